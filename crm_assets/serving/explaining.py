"""Reasons of a score, and of what it would be if the opportunity were another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_assets.features.registry import AS_OF, FEATURE_NAMES
from crm_assets.modelling.reasons import PARTS, WORDED, reasons
from crm_assets.serving.scoring import Asked, Scorer, Told, UnknownPolicy, changed, resolved


def explained(scorer: Scorer, asked: Asked, change: Mapping[str, Any], policy: UnknownPolicy) -> dict[str, Any]:
    """The reasons of an opportunity's score as it is and, where `change` names fields, with these changed.

    Raises RefusedError as `resolved` does; a field of the change is told as `/change/...`.
    """
    from crm_assets.serving.scoring import Fault, RefusedError

    try:
        before = resolved(asked, scorer.book, policy)
    except RefusedError as error:
        raise RefusedError([Fault(f"/opportunity{fault.pointer}", fault.detail) for fault in error.faults]) from None
    told = reasons_of(scorer, before)
    answer = {"opportunity_id": before.opportunity_id, "before": told, "after": None, "difference": None}
    if not change:
        return answer
    try:
        _, after = changed(asked, change, scorer.book, policy)
    except RefusedError as error:
        raise RefusedError([Fault(f"/change{fault.pointer}", fault.detail) for fault in error.faults]) from None
    then = reasons_of(scorer, after)
    return {**answer, "after": then, "difference": then["probability"] - told["probability"]}


def reasons_of(scorer: Scorer, told: Told) -> dict[str, Any]:
    """The reasons of one opportunity's score."""
    (score,) = scorer.scores([told])
    frame = scorer.frame([told.fields], (AS_OF, *FEATURE_NAMES))
    frame.insert(0, "opportunity_id", [told.opportunity_id or ""])
    row = reasons(scorer.served.model, frame).iloc[0]
    return {
        "probability": float(row["probability"]),
        "expected_value": score["expected_value"],
        "base": float(row["base"]),
        "parts": {part: float(row[part]) for part in PARTS},
        **{name: row[name] if isinstance(row[name], str) else None for name in WORDED},
        "unknown": list(told.unknown),
    }
