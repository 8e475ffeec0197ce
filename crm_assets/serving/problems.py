"""Errors as RFC 9457 has them: `application/problem+json` with a type, a title, a status and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

MEDIA_TYPE = "application/problem+json"
_TYPES = "urn:crm-assets:problem:"


class FaultyValue(BaseModel):
    """One value of a request that is wrong."""

    pointer: str = Field(description="Where it stands: a JSON pointer into the body, or the name of a parameter.")
    detail: str = Field(description="What is wrong with it, and the remedy.")


class Problem(BaseModel):
    """What is wrong, as RFC 9457 has it."""

    type: str = Field(description="What kind of problem it is.", examples=[f"{_TYPES}not-valid"])
    title: str = Field(description="The kind in words.", examples=["The request is not valid"])
    status: int = Field(description="HTTP status.", examples=[422])
    detail: str = Field(description="What is wrong with this request, and the remedy.")
    instance: str = Field(description="The path that was asked for.", examples=["/v1/score"])
    request_id: str = Field(description="Names the request in the logs.")
    errors: list[FaultyValue] = Field(default=[], description="Each value that is wrong.")


TITLES: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be read"),
    "unauthorized": (401, "The request does not say who asks"),
    "forbidden": (403, "Who asks may not do this"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The method is not one of this path"),
    "too-slow": (408, "The body took too long to arrive"),
    "conflict": (409, "It cannot be done as things stand"),
    "gone": (410, "The page is of scores that are not kept any more"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body is not JSON"),
    "not-valid": (422, "The request is not valid"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Something went wrong here"),
    "unavailable": (503, "There is nothing to answer from"),
}
"""Kind -> status and title."""
_BY_STATUS = {status: kind for kind, (status, _) in TITLES.items()}


class ProblemError(Exception):
    """A request that gets a problem for an answer.

    Args:
        kind: one of `TITLES`.
        detail: what is wrong, and the remedy.
        errors: each value that is wrong.
        headers: of the answer.
        outline: the detail for those without the scope read, where the other one may tell where stores are.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[FaultyValue] = (),
        headers: Mapping[str, str] | None = None,
        outline: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.outline = outline


def kind_of(status: int) -> str:
    """The kind of a status: the one of `TITLES` with that status, or else the general one of its hundred."""
    fallback = "internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad-request"
    return _BY_STATUS.get(status, fallback)


def body(error: ProblemError, *, instance: str, request_id: str, whole: bool = False) -> tuple[int, bytes]:
    """Status and JSON of the answer; the `whole` detail, or its outline where there is one."""
    status, title = TITLES[error.kind]
    told: dict[str, Any] = {
        "type": f"{_TYPES}{error.kind}",
        "title": title,
        "status": status,
        "detail": error.detail if whole or error.outline is None else error.outline,
        "instance": instance,
        "request_id": request_id,
        "errors": [fault.model_dump() for fault in error.errors],
    }
    return status, to_json(told)
