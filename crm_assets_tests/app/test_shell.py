from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from crm_assets.app.shell import HEADERS, BackToView, Headers, routes, shell
from crm_assets.errors import SettingsError


def _client(*, secure: bool) -> TestClient:
    return TestClient(Starlette(routes=routes(["/", "/model"]), middleware=[Middleware(Headers, secure=secure)]))


@pytest.mark.parametrize("path", ["/", "/model"])
def test_a_view_is_answered_with_the_page_and_its_headers(path: str) -> None:
    answer = _client(secure=False).get(path)
    assert "<title>Sales pipeline</title>" in answer.text
    assert "BACKEND_BASE_URL: window.location.origin" in answer.text
    assert 'id="root"' in answer.text
    assert "Streamlit app" not in answer.text
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert "strict-transport-security" not in answer.headers


def test_nothing_but_https_is_used_where_people_come_by_it() -> None:
    assert _client(secure=True).get("/").headers["strict-transport-security"] == "max-age=31536000"


def test_nothing_elsewhere_is_asked_for() -> None:
    policy = dict(HEADERS)[b"content-security-policy"].decode()
    assert "http:" not in policy
    assert "https:" not in policy
    assert "connect-src 'self';" in policy


@pytest.mark.parametrize("part", ["<title>", "favicon.png", "<noscript>", "<head>"])
def test_html_of_another_version_is_refused(part: str) -> None:
    html = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    with pytest.raises(SettingsError, match=r"requirements\.lock"):
        shell(html.replace(part, "other"))


@pytest.mark.parametrize(
    ("noted", "led_to"),
    [
        ("", "/"),
        ("/model?month=2017-11&by=region", "/model?month=2017-11&by=region"),
        ("/model?search=Zo\u00eb \r\nSet-Cookie: x=1", "/model?search=Zo%C3%AB%20%0D%0ASet-Cookie:%20x=1"),
        ("//elsewhere.example", "/"),
        ("https://elsewhere.example/model", "/"),
        ("/auth/logout", "/"),
        ("/model/../auth/logout", "/"),
    ],
)
def test_whoever_has_signed_in_is_led_to_the_view_and_nowhere_else(noted: str, led_to: str) -> None:
    async def signed_in(_: Request) -> RedirectResponse:
        return RedirectResponse("/", status_code=302)

    back = Middleware(BackToView, paths=["/", "/model"])
    app = Starlette(routes=[Route("/oauth2callback", signed_in), Route("/other", signed_in)], middleware=[back])
    cookie = {"Cookie": f"asked_for={quote(noted, safe='')}"} if noted else {}
    client = TestClient(app, follow_redirects=False)
    assert client.get("/oauth2callback", headers=cookie).headers["location"] == led_to
    assert client.get("/other", headers=cookie).headers["location"] == "/"
