"""Signing in with a key, and what is left of it afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from crm_assets.app import session
from crm_assets.app.api import Api

GOOD, WRONG = "a-good-key", "a-wrong-key"


@pytest.fixture(autouse=True)
def _api_with_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An API that knows one key."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {GOOD}":
            return httpx.Response(401, json={"detail": "who is it"})
        return httpx.Response(200, json={"name": "bob", "scopes": ["read"]})

    told = SimpleNamespace(app_oidc_client_id="", app_api_url="http://api.test", api_port=0)
    monkeypatch.setattr(session, "settings", lambda: told)
    monkeypatch.setattr(session, "Api", lambda url, token: Api(url, token, httpx.MockTransport(answer)))
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def _script() -> None:
    import streamlit as st

    from crm_assets.app import session

    found = session.signed_in()
    if isinstance(found, session.User):
        st.write(found.name, "scores" if found.may_score else "reads")
        st.button("Sign out", on_click=session.sign_out)
    else:
        found()


def _signing_in(key: str) -> AppTest:
    page = AppTest.from_function(_script, default_timeout=20).run()
    page.text_input[0].input(key)
    page.button[0].click().run()
    assert not page.exception
    return page


def _held(key: str) -> bool:
    """Whether anything can still ask with the key."""
    gc.collect()
    clients = (found for found in gc.get_objects() if isinstance(found, httpx.Client))
    return any(client.headers.get("authorization") == f"Bearer {key}" for client in clients)


def test_nothing_keeps_the_key_of_somebody_who_signed_out() -> None:
    page = _signing_in(GOOD)
    assert page.markdown[0].value == "bob reads"
    assert _held(GOOD)
    page.button[0].click().run()
    assert "Sign in with your API key" in page.markdown[0].value
    assert not _held(GOOD)


def test_a_key_that_does_not_hold_is_not_kept() -> None:
    page = _signing_in(WRONG)
    assert "This key does not hold" in page.error[0].value
    assert not _held(WRONG)
