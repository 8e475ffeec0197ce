"""Whether what monitoring found of the newest month calls for a model trained anew, and whether it is time for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_assets.calendar import Month
from crm_assets.monitoring.drift_level import HIGH


@dataclass(frozen=True)
class Failure:
    """A check of performance that failed in the newest month.

    Attributes:
        severe: whether it failed as an error, and not as a warning.
        lasting: whether it had failed in the month before, too.
    """

    severe: bool
    lasting: bool = False


@dataclass(frozen=True)
class Found:
    """What monitoring found of the newest month.

    Attributes:
        month: the newest month of which the lake holds every asset.
        evidence: fingerprint of the data that its model is trained on.
        level: drift level; None when the month was not compared.
        why: what the level comes from.
        failures: name of a failed check of performance -> how it failed.
        promoted: whether the month's own model is the champion.
    """

    month: Month
    evidence: str
    level: str | None = None
    why: str = ""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    promoted: bool = False


@dataclass(frozen=True)
class Asked:
    """A retrain that was asked for.

    Attributes:
        at: when, with a time zone.
        month: of which month.
        evidence: fingerprint of the data then.
        failed: whether it ended without a model.
    """

    at: datetime
    month: Month
    evidence: str
    failed: bool = False


@dataclass(frozen=True)
class Limits:
    """How often retrains may be asked for.

    Attributes:
        cooldown: least time between two.
        cap: most of them in any `span`.
        span: time the cap is for.
    """

    cooldown: timedelta
    cap: int
    span: timedelta


@dataclass(frozen=True)
class Decision:
    """Whether to retrain.

    Attributes:
        retrain: whether to.
        reason: why, or why not.
        attempt: which one of this month and data it is, from 1.
    """

    retrain: bool
    reason: str
    attempt: int = 1


def causes(found: Found) -> list[str]:
    """What of a month calls for a retrain, in words; empty when nothing does.

    That is a HIGH drift level, and a check of performance that failed as an error, or as a warning two months running:
    a single warning is what chance gives in 3 % of months.
    """
    drift = [f"drift of {found.month} is HIGH" + (f", {found.why}" if found.why else "")] if found.level == HIGH else []
    return drift + [
        f"{name} of {found.month} failed " + ("as an error" if failure.severe else "for the second month running")
        for name, failure in found.failures.items()
        if failure.severe or failure.lasting
    ]


def decide(found: Found, asked: Sequence[Asked], limits: Limits, now: datetime) -> Decision:
    """Whether to ask for a retrain of the newest month.

    Args:
        found: what monitoring found of it.
        asked: retrains that were asked for, in any order. One that failed counts for cooldown and cap, and may be
            tried again after them.
        limits: how often.
        now: with a time zone.
    """
    called_for = causes(found)
    if not called_for:
        return Decision(False, f"nothing found in {found.month} calls for a retrain")
    told = "; ".join(called_for)
    if held_back := _held_back(found, asked, limits, now):
        return Decision(False, f"{told}; but {held_back}")
    return Decision(True, told, len(_of_the_same(found, asked)) + 1)


def _of_the_same(found: Found, asked: Sequence[Asked]) -> list[Asked]:
    return [one for one in asked if (one.month, one.evidence) == (found.month, found.evidence)]


def _held_back(found: Found, asked: Sequence[Asked], limits: Limits, now: datetime) -> str | None:
    """Why it is not the time for a retrain that is called for; None when it is."""
    if found.promoted:
        return f"the model of {found.month} is champion already, and the next month judges it"
    if any(not one.failed for one in _of_the_same(found, asked)):
        return f"{found.month} was retrained for that, and its data is the same since"
    if limits.cap == 0:
        return "CRM_RETRAIN_CAP is 0"
    newest = max((one.at for one in asked), default=None)
    if newest is not None and now - newest < limits.cooldown:
        return f"one was asked for on {newest:%Y-%m-%d}, and the next may be on {newest + limits.cooldown:%Y-%m-%d}"
    recent = sorted(one.at for one in asked if now - one.at < limits.span)
    if len(recent) >= limits.cap:
        over = recent[-limits.cap] + limits.span
        return f"{len(recent)} were asked for within {limits.span.days} days, and the next may be on {over:%Y-%m-%d}"
    return None
