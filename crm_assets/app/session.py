"""Who is looking at the page, and the API with that user's rights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import streamlit as st

from crm_assets.app.api import AnswerError, Api
from crm_assets.app.shell import NAME
from crm_assets.settings import Settings, load_settings

VIEWER, OPERATOR = "viewer", "operator"
_READ, _SCORE, _OPERATE = "read", "score", "operate"
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_KEY = "api_key"
_KEPT_SECONDS = 3600.0
"""How long the page keeps a key or token of somebody who went without signing out."""


@dataclass(frozen=True)
class User:
    """Who is signed in.

    Attributes:
        name: to show; empty where nobody signs in.
        role: `viewer` or `operator`.
        api: asks with the user's rights.
        may_score: whether the API scores for the user what is not stored.
    """

    name: str
    role: str
    api: Api
    may_score: bool = True


@st.cache_resource
def settings() -> Settings:
    """The deployment's settings, read once."""
    return load_settings()


@st.cache_resource(max_entries=200, ttl=_KEPT_SECONDS)
def _api(url: str, digest: str, _token: str | None) -> Api:
    return Api(url, _token)


def _api_of(token: str | None) -> Api:
    return _api(api_url(), _digest(token), token)


def _forget(token: str | None) -> None:
    """Keep the key or token no longer."""
    _api.clear(api_url(), _digest(token), None)


def _digest(token: str | None) -> str:
    return hashlib.sha256((token or "").encode()).hexdigest()


def api_url() -> str:
    """Address of the API."""
    told = settings()
    return told.app_api_url or f"http://127.0.0.1:{told.api_port}"


Form: TypeAlias = Callable[[], None]
"""Draws what is shown instead of a view until somebody is signed in."""


def signed_in() -> User | Form:
    """Who is looking; until somebody is signed in, the form to do so.

    Raises AwayError or AnswerError where the API cannot say what the user may do.
    """
    return _by_issuer() if settings().app_oidc_client_id else _by_key()


def sign_out() -> None:
    """Forget who is looking, here and at the issuer."""
    if settings().app_oidc_client_id:
        _forget(_issued())
        st.logout()
    if key := st.session_state.pop(_KEY, None):
        _forget(key)


def refuse(title: str, role: str) -> None:
    """What is shown to somebody without the role of a view."""
    st.title(title)
    st.info(f"This is for people with the role {role}: whoever runs the platform grants it.", icon=":material/lock:")


def _by_issuer() -> User | Form:
    if not st.user.is_logged_in:
        return partial(_ask_to_sign_in, "")
    token = _issued()
    name = str(st.user.get("name") or st.user.get("email") or "signed in")
    return _user(token, name, partial(_ask_to_sign_in, "Your sign-in has expired."))


def _issued() -> str:
    return str(st.user.tokens.get("access") or "")


def _by_key() -> User | Form:
    """With the API key that was typed in; with none where the API wants none."""
    key = st.session_state.get(_KEY)
    return _user(key, "", partial(_ask_for_key, wrong=key is not None))


def _user(token: str | None, name: str, otherwise: Form) -> User | Form:
    """Whose token or key it is; `otherwise` when it does not hold. Raises as `signed_in` does."""
    api = _api_of(token)
    try:
        told = api.get("/v1/me")
    except AnswerError as error:
        if error.status == _UNAUTHORIZED:
            _forget(token)
            return otherwise
        if error.status == _FORBIDDEN:
            return partial(_refuse, name)
        raise
    shown = name or (told["name"] if token else "")
    role = OPERATOR if _OPERATE in told["scopes"] else VIEWER
    return User(shown, role, api, may_score=_SCORE in told["scopes"])


def _ask_to_sign_in(why: str) -> None:
    st.title(NAME)
    st.write(f"{why} Sign in to see the pipeline.".strip())
    st.button("Sign in", type="primary", on_click=st.login)


def _ask_for_key(*, wrong: bool) -> None:
    st.title(NAME)
    st.write(
        "Sign in with your API key. The page keeps it in its memory until you sign out or, once you have closed this "
        "window, for about an hour; it is stored nowhere."
    )
    with st.form("key", border=False, width=480):
        # A password field, so that nobody reads it over a shoulder and the browser may keep it in its safe.
        key = st.text_input("API key", type="password", autocomplete="current-password")
        asked = st.form_submit_button("Sign in", type="primary")
    if asked and key.strip():
        st.session_state[_KEY] = key.strip()
        st.rerun()
    if asked:
        st.error("Write the key first: whoever runs the platform makes one with `crm-assets api-key`.")
    elif wrong:
        st.error("This key does not hold: check it, or ask whoever runs the platform for another.")


def _refuse(name: str) -> None:
    st.title(NAME)
    st.warning(
        f"{name or 'This key'} may not see the pipeline: whoever runs the platform grants the scope `{_READ}`.",
        icon=":material/lock:",
    )
    st.button("Sign out", on_click=sign_out)
