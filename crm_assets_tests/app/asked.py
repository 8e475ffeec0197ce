"""An API that answers from memory, for pages that are drawn in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
from streamlit.testing.v1 import AppTest

from crm_assets.app.api import Api
from crm_assets.app.session import VIEWER, User

ANSWERS: dict[str, Any] = {}
"""Path with its query, where there is one -> the answer: JSON, bytes, or a status of failure with what it says."""


def user(role: str = VIEWER) -> User:
    """Somebody whose API gives ANSWERS, and 404 for anything else."""
    return User("", role, Api("http://api", transport=httpx.MockTransport(_answer)))


def _answer(request: httpx.Request) -> httpx.Response:
    found = ANSWERS.get(request.url.raw_path.decode())
    if found is None:
        return httpx.Response(404, json={"detail": f"nothing at {request.url}"})
    if isinstance(found, bytes):
        return httpx.Response(200, content=found)
    if isinstance(found, tuple):
        status, told = found
        return httpx.Response(status, json=told if isinstance(told, Mapping) else {"detail": told})
    return httpx.Response(200, json=found)


def drawn(script: Callable[[], None], query: Mapping[str, str]) -> AppTest:
    """A view that was drawn at an address with this query."""
    view = AppTest.from_function(script, default_timeout=20)
    for name, value in query.items():
        view.query_params[name] = value
    view.run()
    assert not view.exception
    return view


def said(view: AppTest) -> str:
    """The words on it."""
    kinds = ("markdown", "caption", "subheader", "success", "error", "warning")
    return "\n".join(str(one.value) for kind in kinds for one in getattr(view, kind))
