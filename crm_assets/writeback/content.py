"""What a target holds of an opportunity, as text that is equal where the content is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import polars as pl

Value: TypeAlias = str | float | None

NUMBERS = ("probability", "expected_value", "probability_lost", "probability_abandoned")
TEXTS = ("expected_close_month", "rung", "model_version")
FIGURES = (*NUMBERS, *TEXTS)
"""Columns of the scores that are written back."""

STATUS = "status"
SCORED, CLEARED = "scored", "cleared"
"""Status of an opportunity in the newest scores, and of one that was in earlier ones and is not any more."""


def contents(scores: pl.DataFrame) -> dict[str, str]:
    """Opportunity -> what a target is to hold of it, for each row of `SCORES`.

    Raises ValueError on a number that JSON does not have, such as NaN, and on an opportunity that is there twice.
    """
    found = {
        row["opportunity_id"]: as_text({STATUS: SCORED, **{name: row[name] for name in FIGURES}})
        for row in scores.select("opportunity_id", *FIGURES).iter_rows(named=True)
    }
    if len(found) < scores.height:
        raise ValueError(f"of {scores.height} scores only {len(found)} are of different opportunities")
    return found


def as_text(content: Mapping[str, Value]) -> str:
    """JSON that is equal for equal content; numbers are written so that they are read back to the last bit."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def figures_of(text: str) -> dict[str, Value]:
    """What `as_text` was given, without the status."""
    return {name: value for name, value in json.loads(text).items() if name != STATUS}


def status_of(text: str) -> str:
    """SCORED or CLEARED."""
    return str(json.loads(text)[STATUS])


NO_FIGURES = as_text({STATUS: CLEARED, **dict.fromkeys(FIGURES)})
"""What a target is to hold of an opportunity that has no score any more."""
