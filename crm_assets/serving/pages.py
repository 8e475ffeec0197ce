"""The open pipeline in pages: a cursor names the state it began with and the last row, so that pages fit together."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from crm_assets.serving.choice import chosen, ordered
from crm_assets.serving.live import Live, State
from crm_assets.serving.messages import PipelineRow
from crm_assets.serving.pipeline_messages import PipelineQuery
from crm_assets.serving.problems import FaultyValue, ProblemError

COLUMNS = list(PipelineRow.model_fields)


def page(live: Live, state: State, asked: PipelineQuery) -> tuple[State, list[dict[str, Any]], int, str | None]:
    """The state that the page is of, its rows, how many there are on all pages, and the cursor of the next.

    Raises ProblemError when the cursor is none, is of another query, or of a state that is not kept any more.
    """
    start = asked.skip
    if asked.cursor is not None:
        key, start = _read(asked)
        kept = live.remembered(key)
        if kept is None:
            raise ProblemError(
                "gone", "the scores have changed since the first page and those of then are not kept: begin again"
            )
        state = kept
    rows = ordered(chosen(state.deals.rows, asked), asked)
    total = rows.height
    if asked.cursor is not None and start >= total:
        raise _refused()
    shown = rows.slice(start, asked.limit)
    at = start + shown.height
    cursor = _write(asked, state.key, at) if shown.height and at < total else None
    return state, shown.select(COLUMNS).to_dicts(), total, cursor


def _query(asked: PipelineQuery) -> str:
    """A digest of what is asked for, but for the page."""
    told = json.dumps(asked.model_dump(exclude={"cursor", "limit", "skip"}), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _write(asked: PipelineQuery, key: str, at: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([key, _query(asked), at]).encode()).decode()


def _read(asked: PipelineQuery) -> tuple[str, int]:
    try:
        key, query, at = json.loads(base64.urlsafe_b64decode((asked.cursor or "").encode("ascii")))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        key, query, at = "", "", -1
    # To Python, True is an integer.
    if not isinstance(key, str) or query != _query(asked) or type(at) is not int or at < 0:
        raise _refused()
    return key, at


def _refused() -> ProblemError:
    wrong = "it is no cursor of this query: hand over next_cursor as it is, with the same filters and order"
    return ProblemError("not-valid", f"cursor: {wrong}", errors=[FaultyValue(pointer="cursor", detail=wrong)])
