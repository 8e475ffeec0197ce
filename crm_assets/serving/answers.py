"""What the paths of the API share: answers as JSON, what they are of, and how they fail in OpenAPI."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic_core import to_json

from crm_assets.serving.live import Live, State
from crm_assets.serving.problems import MEDIA_TYPE, TITLES, ProblemError

WHY = "a key with the scope read is told why"
AT_ONCE = 2
"""Requests that score many or explain, and as many that read from the lake, in threads: more would not be faster, and
each holds what it works on in memory."""


class Json(Response):
    """An answer written by Pydantic's own serialiser."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The JSON."""
        # JSON knows no NaN.
        return to_json(content, inf_nan_mode="null")


def state_of(live: Live) -> State:
    """What is answered from. Raises ProblemError, with what is in the way, while there is nothing."""
    state = live.current
    if state is None:
        troubles = {about: told for about, told in vars(live.troubles).items() if told}
        loading = "the champion is being loaded: try again in a moment"
        outline = f"trouble with {', '.join(troubles)}: {WHY}" if troubles else loading
        detail = "; ".join(troubles.values()) or loading
        raise ProblemError("unavailable", detail, headers={"Retry-After": "5"}, outline=outline)
    return state


def as_of(state: State) -> dict[str, Any]:
    """The fields of `AsOf` for answers of the champion."""
    served, month = state.champion.served, state.book.month
    return {
        "month": str(month),
        "as_of": month.end,
        "predicted_month": str(month.next),
        "model_version": served.version,
        "model_month": served.month,
        "rung": served.model.rung,
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a path that are problems, for OpenAPI."""
    titles = dict(TITLES.values())
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    told = (401, 403, 408, 429, 500, *statuses)
    return {status: {"description": titles[status], "content": {MEDIA_TYPE: schema}} for status in sorted(told)}
