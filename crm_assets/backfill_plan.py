"""What a backfill would make and why: the plan, as the code location tells it and the client prints it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Self, TypeAlias, get_args

from crm_assets.calendar import Month, month_range
from crm_assets.errors import SettingsError

Cause: TypeAlias = Literal[
    "missing", "damaged", "code changed", "inputs changed", "settings changed", "lost", "asked for"
]
CAUSES: tuple[Cause, ...] = get_args(Cause)

_SHOWN = 5


class UnknownAssetError(SettingsError):
    """An asset is asked for that there is not."""


class MonthRangeError(SettingsError):
    """A month is asked for that is no partition, or that others must come before."""


class MissingInputError(SettingsError):
    """An asset is asked for without what it is made of."""


@dataclass(frozen=True)
class Question:
    """What somebody wants to be up to date.

    Attributes:
        first: month to begin with.
        last: month to end with.
        assets: their names; None for all.
        force: whether what is up to date is to be made as well.
    """

    first: Month
    last: Month
    assets: tuple[str, ...] | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise MonthRangeError(f"months out of order: {self.last} is before {self.first}")

    @property
    def months(self) -> list[Month]:
        """Every month from first to last."""
        return month_range(self.first, self.last)

    def to_json(self) -> str:
        """The question as text; `from_json` reads it."""
        assets = None if self.assets is None else list(self.assets)
        told = {"first": str(self.first), "last": str(self.last), "assets": assets, "force": self.force}
        return json.dumps(told, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote. Raises ValueError on any other text."""
        told = json.loads(text)
        if not isinstance(told, dict) or not {"first", "last", "assets", "force"} <= told.keys():
            raise ValueError("not a question about a backfill")
        assets = None if told["assets"] is None else tuple(map(str, told["assets"]))
        return cls(Month.parse(told["first"]), Month.parse(told["last"]), assets, bool(told["force"]))


@dataclass(frozen=True)
class Step:
    """One month of one asset that has to be made.

    Attributes:
        month: which.
        asset: name of the asset.
        cause: why, in a word.
        detail: why, as a sentence without a full stop.
    """

    month: Month
    asset: str
    cause: Cause
    detail: str


@dataclass(frozen=True)
class Plan:
    """What a backfill would make and why.

    Attributes:
        first, last: months that were asked about.
        assets: that were asked about, each below those it reads.
        steps: what has to be made, by month, and within a month in the order of `assets`.
    """

    first: Month
    last: Month
    assets: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def months(self) -> list[Month]:
        """The months of the run: from the first to the last that lacks something. Empty when nothing has to be made."""
        found = [step.month for step in self.steps]
        return month_range(min(found), max(found)) if found else []

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The plan for people: a heading, then a line per asset and cause."""
        asked = f"{len(self.assets)} asset{'' if len(self.assets) == 1 else 's'} of {_span([self.first, self.last])}"
        if not self.steps:
            yield f"Nothing to do: {asked} are up to date."
            return
        yield f"{len(self.steps)} of {len(self.assets) * len(month_range(self.first, self.last))} to make, {asked}:"
        widest = max(len(step.asset) for step in self.steps)
        for asset in self.assets:
            mine = [step for step in self.steps if step.asset == asset]
            for cause, alike in groupby(mine, key=lambda step: step.cause):
                steps = list(alike)
                told = list(dict.fromkeys(step.detail for step in steps if step.detail != cause))
                more = f" and {len(told) - 1} more" if len(told) > 1 else ""
                because = f": {told[0]}{more}" if told else ""
                yield f"  {asset:{widest}}  {_span([step.month for step in steps]):15}  {cause}{because}"

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain values; `from_dict` reads them."""
        steps = [
            {"month": str(step.month), "asset": step.asset, "cause": step.cause, "detail": step.detail}
            for step in self.steps
        ]
        return {"first": str(self.first), "last": str(self.last), "assets": list(self.assets), "steps": steps}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        steps = tuple(
            Step(Month.parse(step["month"]), step["asset"], step["cause"], step["detail"]) for step in told["steps"]
        )
        return cls(Month.parse(told["first"]), Month.parse(told["last"]), tuple(told["assets"]), steps)


def plan_of(question: Question, known: Sequence[str], stale: Mapping[Month, Mapping[str, tuple[Cause, str]]]) -> Plan:
    """The plan that answers a question.

    Args:
        question: what is asked.
        known: every asset there is, each below those it reads.
        stale: for each month, the assets that are out of date, each with cause and detail; others are up to date.

    Raises UnknownAssetError.
    """
    assets = chosen_assets(question.assets, known)
    asked: tuple[Cause, str] = ("asked for", "asked for")
    steps = []
    for month in question.months:
        for asset in assets:
            why = stale.get(month, {}).get(asset) or (asked if question.force else None)
            if why:
                steps.append(Step(month, asset, *why))
    return Plan(question.first, question.last, assets, tuple(steps))


def chosen_assets(wanted: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """The wanted assets in the order of `known`; all for None. Raises UnknownAssetError with the closest name."""
    if wanted is None:
        return tuple(known)
    if not wanted:
        raise UnknownAssetError("no asset is asked for: name one, or leave assets out for all")
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise UnknownAssetError(f"there is no asset {name!r}: {hint}")
    return tuple(name for name in known if name in wanted)


def check_months(months: Sequence[Month], known: Sequence[str], place: str) -> None:
    """Raise MonthRangeError unless each month is one of those that a place has.

    Args:
        months: that are asked for.
        known: those there are, in order.
        place: what has them, for the message.
    """
    held = set(known)
    wrong = [str(month) for month in months if str(month) not in held]
    if not wrong:
        return
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    told = f"has {known[0]} to {known[-1]}" if known else "has no month yet"
    raise MonthRangeError(f"{place} does not have {', '.join(wrong[:_SHOWN])}{more}: it {told}")


def _span(months: Sequence[Month]) -> str:
    return str(months[0]) if months[0] == months[-1] else f"{months[0]}:{months[-1]}"
