"""What a quarter has brought and is expected to bring by the end of the month that is forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from crm_assets.calendar import Month


@dataclass(frozen=True)
class Quarter:
    """A quarter up to the end of the forecast month.

    Attributes:
        name: such as 2018-Q1.
        month: that is forecast, YYYY-MM.
        position: of that month in the quarter, 1 to 3.
        won: revenue of the months before it in the quarter, at list price, USD; None where one is not stored.
        expected, low, high: that and the forecast with its 80 % interval; None likewise.
    """

    name: str
    month: str
    position: int
    won: float | None
    expected: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, month: str, total: Mapping[str, Any], past: Iterable[Mapping[str, Any]]) -> Self:
        """From the forecast's total and the months that are over, as the API tells them."""
        forecast = Month.parse(month)
        position = forecast.quarter_position
        came = {one["forecast_month"]: one["actual_revenue"] for one in past}
        before, wanted = forecast, []
        for _ in range(position - 1):
            before = before.previous
            wanted.append(str(before))
        name = f"{forecast.year}-Q{(forecast.number - 1) // 3 + 1}"
        if any(one not in came for one in wanted):
            return cls(name, month, position, None, None, None, None)
        won = float(sum(came[one] for one in wanted))
        return cls(
            name,
            month,
            position,
            won,
            *(won + total[column] for column in ("expected_revenue", "low_80", "high_80")),
        )
