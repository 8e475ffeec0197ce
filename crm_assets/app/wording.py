"""How figures are written for people: with units, rounded as far as they can be trusted."""

from __future__ import annotations

import math
import re

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NOTHING = DASH
"""What stands where there is no figure."""


def percent(share: float | None, digits: int = 0) -> str:
    """A share of 1 as percent: `0.123` as `12 %`, what is nearly none as `< 1 %`, nearly all as `> 99 %`."""
    if share is None or math.isnan(share):
        return NOTHING
    least = 10 ** -(digits + 2)
    if 0 < share < least:
        return f"< {100 * least:.{digits}f} %"
    if -least < share < 0:
        return f"> {MINUS}{100 * least:.{digits}f} %"
    if 1 - least < share < 1:
        return f"> {100 * (1 - least):.{digits}f} %"
    return _signed(f"{100 * share:.{digits}f} %")


def points(change: float | None) -> str:
    """A change of a share in percentage points, with its sign."""
    if change is None or math.isnan(change):
        return NOTHING
    rounded = round(100 * change)
    if not rounded:
        return "no change" if abs(change) < 0.0005 else _signed(f"{100 * change:+.1f} points")
    return _signed(f"{rounded:+d} point{'' if abs(rounded) == 1 else 's'}")


def dollars(amount: float | None) -> str:
    """An amount in USD: `$950`, `$12,300`, `$1.24 M`, `$1,200.00 B`; B are billions."""
    if amount is None or math.isnan(amount):
        return NOTHING
    size = abs(amount)
    if size >= 999_995_000:
        text = f"${size / 1e9:,.2f} B"
    elif size >= 999_500:
        text = f"${size / 1e6:.2f} M"
    elif size >= 9_995:
        text = f"${round(size, -2):,.0f}"
    else:
        text = f"${size:,.0f}"
    return f"{MINUS}{text}" if amount < 0 and round(size) else text


def count(number: float | None, digits: int = 0) -> str:
    """A number with thousands separated."""
    return NOTHING if number is None or math.isnan(number) else _signed(f"{number:,.{digits}f}")


def days(number: float | None) -> str:
    """A number of days."""
    return NOTHING if number is None else f"{number:,.0f} day{'' if round(number) == 1 else 's'}"


def written(text: object) -> str:
    """A text as it stands, on one line, for where Markdown would see formulas, marks, links or emoji in it."""
    line = _JOINED.sub(_JOINER, " ".join(str(text).split()))
    return _FIRST.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", line)).replace(" %", "\N{NO-BREAK SPACE}%")


_MARKS = re.compile(r"[\\`*_{}\[\]<>()#+!|$~:&]")
_FIRST = re.compile(r"^(\d*)([-.])(?=\s|$)")
# Links and emoji are found in the text after its backslashes are gone: only a character that nobody sees parts them.
_JOINER = "\N{WORD JOINER}"
_JOINED = re.compile(r"(?<=:)(?=//|(?!\d\d\b)[\w+-])|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)


def _signed(text: str) -> str:
    return text.replace("-", MINUS)
