"""What is put down on a model card: every number and fact once, with the text it is printed as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.modelling.intervals import Interval

MODEL_CARD = Table(
    "model_card",
    "One row per number or fact on the month's model card, with the text it is printed as.",
    (
        Column("snapshot_month", Kind.STRING, "Month of the card, YYYY-MM", required=True),
        Column("section", Kind.STRING, "Section of the card", required=True),
        Column("subject", Kind.STRING, "What it is of: a book, segment, candidate, check; `all` for no single one"),
        Column("name", Kind.STRING, "Name of the figure or fact", required=True),
        Column("value", Kind.FLOAT, "The figure; empty for a fact in words, or where it is undefined"),
        Column("low", Kind.FLOAT, "Lower end of its 95 % interval, where it has one"),
        Column("high", Kind.FLOAT, "Upper end of its 95 % interval"),
        Column("unit", Kind.STRING, "Unit of the figure"),
        Column("told", Kind.STRING, "What the card prints", required=True),
    ),
    key=("section", "subject", "name"),
)

ALL = "all"
"""Subject of a figure that is of no single book, segment, candidate or check."""

SQUARED, SHARE, ROWS, MONTHS = "squared probability", "share", "rows", "months"
"""Units of figures."""

_UNDEFINED = "undefined"


def as_count(value: float) -> str:
    """A whole number with commas."""
    return f"{value:,.0f}"


def as_one_decimal(value: float) -> str:
    """A number to one decimal, with commas."""
    return f"{value:,.1f}"


def as_two_decimals(value: float) -> str:
    """A number to two decimals."""
    return f"{value:.2f}"


def as_three_decimals(value: float) -> str:
    """A number to three decimals."""
    return f"{value:.3f}"


def as_four_decimals(value: float) -> str:
    """A number to four decimals."""
    return f"{value:.4f}"


def as_signed(value: float) -> str:
    """A difference to four decimals with its sign."""
    return f"{value:+.4f}"


def as_percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f} %" if value == 0 or value >= 0.001 else "< 0.1 %"


class Ledger:
    """Figures as rows of MODEL_CARD, in the order they are put down.

    Args:
        month: of the card.
    """

    def __init__(self, month: Month) -> None:
        self._month = month
        self._section = ""
        self.figures: list[dict[str, Any]] = []

    def _begin(self, section: str) -> None:
        self._section = section

    def _put(
        self,
        name: str,
        value: float | None,
        form: Callable[[float], str],
        *,
        subject: str = ALL,
        unit: str | None = None,
        interval: Interval | None = None,
    ) -> str:
        """Put a figure down; returns what is printed of it."""
        low, high = (interval.low, interval.high) if interval is not None else (None, None)
        told = _UNDEFINED if value is None else form(value)
        if value is not None and low is not None and high is not None:
            told += f" ({form(low)} to {form(high)})"
        self._row(name, subject, told, unit=unit, numbers=(value, low, high))
        return told

    def _fact(self, name: str, told: object, *, subject: str = ALL) -> str:
        """Put a fact in words down; returns it."""
        text = str(told).replace("`", "'")
        self._row(name, subject, text)
        return text

    def _row(
        self,
        name: str,
        subject: str,
        told: str,
        *,
        unit: str | None = None,
        numbers: tuple[float | None, float | None, float | None] = (None, None, None),
    ) -> None:
        """Put a row of MODEL_CARD down; `numbers` are the figure and the ends of its interval."""
        value, low, high = (None if number is None else float(number) for number in numbers)
        self.figures.append(
            {
                "snapshot_month": str(self._month),
                "section": self._section,
                "subject": subject,
                "name": name,
                "value": value,
                "low": low,
                "high": high,
                "unit": unit,
                "told": told,
            }
        )

    def _told(self, section: str, name: str, subject: str = ALL) -> str:
        """What is printed of a figure that was put down."""
        return next(
            str(row["told"])
            for row in self.figures
            if (row["section"], row["subject"], row["name"]) == (section, subject, name)
        )
