"""Engaged opportunities as they were known at the end of a day: what models of durations learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import WON

if TYPE_CHECKING:
    import pandas as pd

Days = NDArray[np.int64]
"""Days since 1970-01-01."""

OPEN = -1
"""Close day of an open deal."""

DEAL_COLUMNS = ("engage_date", "close_date", "deal_stage", "sales_agent", "regional_office", "product")
"""Columns of a snapshot that deals are made of."""


@dataclass(frozen=True)
class Deals:
    """Engaged opportunities as known at the end of a day; arrays of shape (n,).

    Attributes:
        as_of: that day.
        engaged: day of engagement, not after `as_of`.
        closed: day of close, not after `as_of`; OPEN while open.
        won: whether it was won; False while open.
        agent, region, product: names.
    """

    as_of: int
    engaged: Days
    closed: Days
    won: NDArray[np.bool_]
    agent: NDArray[np.str_]
    region: NDArray[np.str_]
    product: NDArray[np.str_]

    @classmethod
    def from_snapshot(cls, rows: pd.DataFrame, month: Month) -> Self:
        """The engaged opportunities among the rows of a month's snapshot.

        Args:
            rows: `DEAL_COLUMNS` of `history.snapshots.SNAPSHOTS`, dates as `datetime.date` or `datetime64`; rows without
                an engage date are left out.
            month: the snapshot month.
        """
        engaged = rows[rows["engage_date"].notna()]
        close = engaged["close_date"]
        return cls(
            as_of=int(to_days(month.end)),
            engaged=to_days(engaged["engage_date"]),
            closed=np.where(close.notna(), to_days(close.where(close.notna(), month.end)), OPEN),
            won=np.asarray(engaged["deal_stage"] == WON, dtype=np.bool_),
            agent=engaged["sales_agent"].to_numpy(dtype=str),
            region=engaged["regional_office"].to_numpy(dtype=str),
            product=engaged["product"].to_numpy(dtype=str),
        )

    def __len__(self) -> int:
        return len(self.engaged)

    @property
    def is_closed(self) -> NDArray[np.bool_]:
        """Which are closed."""
        return self.closed != OPEN

    def only(self, which: NDArray[np.bool_]) -> Deals:
        """The deals among `which`, (n,)."""
        return Deals(
            self.as_of,
            self.engaged[which],
            self.closed[which],
            self.won[which],
            self.agent[which],
            self.region[which],
            self.product[which],
        )

    def as_known_at(self, day: int) -> Deals:
        """The deals as they were known at the end of an earlier day."""
        known = self.only(self.engaged <= day)
        still_open = (known.closed == OPEN) | (known.closed > day)
        return Deals(
            day,
            known.engaged,
            np.where(still_open, OPEN, known.closed),
            known.won & ~still_open,
            known.agent,
            known.region,
            known.product,
        )


def to_days(dates: object) -> Days:
    """Days since 1970-01-01 of a date, or of an array or series of dates."""
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64)
