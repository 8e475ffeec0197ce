"""Months, month-ends and quarter positions: every date rule of the project, once."""

from __future__ import annotations

import calendar as _calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Self

from crm_assets.errors import SettingsError

FIRST_MONDAY = date(1970, 1, 5)
"""Weeks run from Monday to Sunday and are counted from this one."""

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Month:
    """One calendar month; its last day is the as-of date of the monthly partition of that name.

    Attributes:
        year: calendar year, 1 to 9999.
        number: month of the year, 1 to 12.
    """

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2017-03`. Raises SettingsError on any other form."""
        match = _MONTH.fullmatch(text.strip())
        if match is None or match[1] == "0000":
            raise SettingsError(f"{text!r} is not a month: write it as YYYY-MM, for example 2017-03")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, day: date) -> Self:
        """The month that holds `day`."""
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def start(self) -> date:
        """First day of the month."""
        return date(self.year, self.number, 1)

    @property
    def end(self) -> date:
        """Last day of the month, the as-of date."""
        return date(self.year, self.number, self.days)

    @property
    def days(self) -> int:
        """Length in days, 28 to 31."""
        return _calendar.monthrange(self.year, self.number)[1]

    @property
    def quarter_position(self) -> int:
        """1, 2 or 3: first, second or last month of its quarter."""
        return (self.number - 1) % 3 + 1

    def shift(self, months: int) -> Month:
        """The month `months` later (earlier when negative)."""
        index = self.year * 12 + self.number - 1 + months
        return Month(index // 12, index % 12 + 1)

    @property
    def next(self) -> Month:
        """The month after."""
        return self.shift(1)

    @property
    def previous(self) -> Month:
        """The month before."""
        return self.shift(-1)


def month_range(first: Month, last: Month) -> list[Month]:
    """Every month from `first` to `last`, both included; empty when `last` is before `first`."""
    count = (last.year - first.year) * 12 + last.number - first.number + 1
    return [first.shift(i) for i in range(count)]


def parse_months(text: str) -> list[Month]:
    """Read `2017-03:2017-12` (both ends included) or a single `2017-03`.

    Raises SettingsError when the form is wrong or the months are out of order.
    """
    first_text, colon, last_text = text.partition(":")
    first = Month.parse(first_text)
    last = Month.parse(last_text) if colon else first
    if last < first:
        raise SettingsError(f"months out of order: {text!r} ends before it starts; write {last}:{first}")
    return month_range(first, last)
