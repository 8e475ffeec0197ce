"""The HTML that a browser gets before anything is drawn, and the headers of every answer.

It is Streamlit's own, with the page's name and icon, and with its address said: Streamlit's script otherwise takes the
path of a view for a place where it may be served, and asks there first. It also notes in which view the button to sign
in is, for whoever has signed in to come back to it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from crm_assets.errors import SettingsError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAME = "Sales pipeline"
ICON = Path(__file__).with_name("icon.svg")

_COOKIE = "asked_for"
_CALLBACK = "/oauth2callback"
_SCRIPT = f"""<script>
window.__streamlit = {{BACKEND_BASE_URL: window.location.origin}}
addEventListener("click", () => {{
  const asked = encodeURIComponent(location.pathname + location.search)
  document.cookie = `{_COOKIE}=${{asked}}; path={_CALLBACK}; SameSite=Lax; max-age=600`
}}, true)
</script>"""
_NO_SCRIPT = "<noscript>This page needs JavaScript, which is turned off in this browser.</noscript>"
_CONTENT = "; ".join(
    (
        "default-src 'self'",
        # Plots are compiled in the browser, and reports are shown in frames that inherit this.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", _CONTENT.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
"""Of every answer. Nothing is fetched from elsewhere, whatever a library of Streamlit would like to."""
_SECURE = (b"strict-transport-security", b"max-age=31536000")


def shell(html: str) -> str:
    """Streamlit's HTML made the page's. Raises SettingsError when it is not as this was written for."""
    icon = f"data:image/svg+xml;base64,{base64.b64encode(ICON.read_bytes()).decode()}"
    changes = (
        (r"<title>.*?</title>", f"<title>{NAME}</title>"),
        (r'href="\./favicon\.png"', f'href="{icon}"'),
        (r"<noscript>.*?</noscript>", _NO_SCRIPT),
        (r'<link rel="service-desc"[^>]*>', ""),
        (r"<head>", f"<head>{_SCRIPT}"),
    )
    for pattern, new in changes:
        html, found = re.subn(pattern, lambda _, new=new: new, html, count=1, flags=re.DOTALL)  # type: ignore[misc]  # mypy: a default
        if not found:
            raise SettingsError(
                f"this version of Streamlit has no {pattern} in its HTML: install the one of requirements.lock"
            )
    return html


def routes(paths: Sequence[str]) -> list[BaseRoute]:
    """What answers at the paths of views, with a leading slash. Raises SettingsError as `shell` does."""
    import streamlit
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    html = shell((Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8"))

    async def answer(_: Request) -> Response:
        return HTMLResponse(html, headers={"Cache-Control": "no-cache"})

    return [Route(path, answer) for path in paths]


class Headers:
    """ASGI middleware that puts `HEADERS` on every answer.

    Args:
        app: what answers.
        secure: whether people reach it by HTTPS, so that browsers may be told to use nothing else.
    """

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._headers = (*HEADERS, _SECURE) if secure else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name for name, _ in self._headers}
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in named]
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        await self._app(scope, receive, answered if scope["type"] == "http" else send)


class BackToView:
    """ASGI middleware that leads somebody who has signed in to the view that was asked for, instead of the first one.

    Args:
        app: what answers.
        paths: of views, with a leading slash; to nothing else is anybody led.
    """

    def __init__(self, app: ASGIApp, *, paths: Sequence[str]) -> None:
        self._app = app
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = self._asked_for(scope)
                headers = [
                    (name, there.encode("ascii") if there and (name.lower(), value) == (b"location", b"/") else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": headers}
            await send(message)

        returning = scope["type"] == "http" and scope["path"] == _CALLBACK
        await self._app(scope, receive, answered if returning else send)

    def _asked_for(self, scope: Scope) -> str | None:
        """Path and query of a view, as a browser noted it; None where it noted none."""
        headers = dict(scope["headers"])
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        noted = unquote(cookies[_COOKIE].value) if _COOKIE in cookies else ""
        path, mark, query = noted.partition("?")
        return f"{path}{mark}{quote(query, safe='=&%+:,.~-_')}" if path in self._paths else None
