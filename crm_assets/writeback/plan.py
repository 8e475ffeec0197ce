"""What has to be sent: the newest scores compared with what the trail of earlier deliveries says a target holds.

An opportunity is sent when its content is not the one that is known to be there, to the last bit. Of one that may or
may not have arrived, nothing is known, so it is sent again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_assets.calendar import Month
from crm_assets.errors import WriteBackError
from crm_assets.writeback.content import NO_FIGURES

if TYPE_CHECKING:
    import polars as pl


class Action(enum.StrEnum):
    """Why an opportunity is sent."""

    ADD = "add"
    UPDATE = "update"
    CLEAR = "clear"
    REPEAT = "repeat"


class Outcome(enum.StrEnum):
    """What became of an opportunity that was to be sent."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NOT_SENT = "not sent"


@dataclass(frozen=True)
class Held:
    """What a target holds of an opportunity.

    Attributes:
        content: as last known; None for nothing.
        sure: whether it is known that nothing has arrived since.
    """

    content: str | None = None
    sure: bool = True


@dataclass(frozen=True)
class Change:
    """An opportunity that has to be sent.

    Attributes:
        opportunity_id: which.
        action: why.
        old: content that the target last held as far as is known; None for nothing.
        new: content it is to hold.
    """

    opportunity_id: str
    action: Action
    old: str | None
    new: str


@dataclass(frozen=True)
class Planned:
    """What a delivery of a month would send.

    Attributes:
        month: whose scores.
        changes: in order of the opportunities.
        unchanged: opportunities that need not be sent.
        standing: opportunities of which the target is known to hold something that stays as it is.
        last_month: month that was delivered last; None before the first delivery.
    """

    month: Month
    changes: tuple[Change, ...]
    unchanged: int
    standing: int
    last_month: Month | None

    def counts(self) -> dict[str, int]:
        """Action -> how many opportunities; all actions are there."""
        return {str(action): sum(change.action is action for change in self.changes) for action in Action}

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to send or to note."""
        return bool(self.changes) or self.month != self.last_month


def ledger(trail: Iterable[Mapping[str, object]]) -> dict[str, Held]:
    """Opportunity -> what the target holds of it, for all of which anything was ever sent.

    Args:
        trail: rows of `TRAIL` of one target, in order of deliveries.
    """
    found: dict[str, Held] = {}
    for row in trail:
        opportunity, outcome = str(row["opportunity_id"]), row["outcome"]
        if outcome == Outcome.DELIVERED:
            found[opportunity] = Held(str(row["new"]))
        elif outcome == Outcome.UNKNOWN:
            found[opportunity] = Held(found.get(opportunity, Held()).content, sure=False)
    return found


def changes(held: Mapping[str, Held], wanted: Mapping[str, str], *, resend: bool = False) -> list[Change]:
    """What to send so that a target holds what is wanted and nothing of anything else, in order of the opportunities.

    Args:
        held: what it holds.
        wanted: opportunity -> content.
        resend: send everything again, as if nothing were known of what arrived.
    """
    found = []
    for opportunity in sorted({*held, *wanted}):
        there = held.get(opportunity, Held())
        if opportunity not in wanted and there == Held():
            continue
        new = wanted.get(opportunity, NO_FIGURES)
        if there.content == new and there.sure and not resend:
            continue
        found.append(Change(opportunity, _action(there, new), there.content, new))
    return found


def _action(there: Held, new: str) -> Action:
    if there.content == new:
        return Action.REPEAT
    if new == NO_FIGURES:
        return Action.CLEAR
    return Action.ADD if there.content is None else Action.UPDATE


def plan(
    trail: pl.DataFrame,
    wanted: Mapping[str, str],
    month: Month,
    *,
    force: bool = False,
    resend: bool = False,
) -> Planned:
    """What a delivery of a month has to send.

    Args:
        trail: rows of `TRAIL` of one target, in order of deliveries, the interrupted ones included.
        wanted: opportunity -> content, of the month's scores.
        month: whose scores.
        force: also when a later month was delivered last, and when the month has no scores.
        resend: send everything again.

    Raises WriteBackError when a later month was delivered last, or when the month has no scores and would clear all
    that was delivered, unless forced.
    """
    last, held = last_month(trail), ledger(trail.iter_rows(named=True))
    if last is not None and month < last and not force:
        raise WriteBackError(
            f"the scores of {last} were delivered last, and those of {month} are older: nothing was sent; name {last} "
            "or a later month, or add --force"
        )
    # What is not known to be cleared.
    scored = sum(there.content != NO_FIGURES and there != Held() for there in held.values())
    if not wanted and scored and not force:
        raise WriteBackError(
            f"{month} has no scores, and {scored} opportunities would be cleared: nothing was sent; look why with "
            f"`crm-assets scores --month {month}`, and add --force if it is right"
        )
    found = changes(held, wanted, resend=resend)
    sent = {change.opportunity_id for change in found}
    standing = sum(there.content is not None and name not in sent for name, there in held.items())
    return Planned(month, tuple(found), len({*wanted} - sent), standing, last)


def last_month(trail: pl.DataFrame) -> Month | None:
    """Month of the last delivery in a trail; None when there was none."""
    return Month.parse(trail["month"][-1]) if trail.height else None
