"""Signing in at an issuer of OpenID Connect and with API keys: nothing is shown before, and each sees what it may."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import expect

from crm_assets.serving.access import entry, new_key
from crm_assets_tests.browser.issuer import AUDIENCE, CLIENT, SECRET, Issuer, issuer
from crm_assets_tests.browser.page_server import page_server
from crm_assets_tests.browser.visit import Scheme, Visit
from crm_assets_tests.serving.server_process import ServerProcess, api_server, free_port

Windows = Callable[[str, str, Scheme], Visit]
KEYS = {"Rita": new_key(), "Otto": new_key()}
SCOPES = {"Rita": "read+score", "Otto": "read+score+operate"}


@pytest.fixture(scope="module")
def somebody() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture(scope="module")
def api(somebody: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """An API without a month, that takes keys, and tokens of the issuer."""
    folder = tmp_path_factory.mktemp("api")
    variables = {
        "CRM_LAKE_URL": str(folder / "lake"),
        "CRM_HOME": str(folder),
        "CRM_DAGSTER_URL": "http://127.0.0.1:9",
        "CRM_API_OIDC_ISSUER": somebody.url,
        "CRM_API_OIDC_AUDIENCE": AUDIENCE,
        "CRM_API_KEYS": " ".join(entry(name, SCOPES[name], key) for name, key in KEYS.items()),
    }
    with api_server(variables, folder, ready=False) as running:
        yield running


@pytest.fixture(scope="module")
def by_issuer(somebody: Issuer, api: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page at which people sign in at the issuer."""
    folder, port = tmp_path_factory.mktemp("by_issuer"), free_port()
    variables = {
        "CRM_HOME": str(folder),
        "CRM_APP_API_URL": api.address,
        "CRM_APP_URL": f"http://127.0.0.1:{port}",
        "CRM_API_OIDC_ISSUER": somebody.url,
        "CRM_APP_OIDC_CLIENT_ID": CLIENT,
        "CRM_APP_OIDC_CLIENT_SECRET": SECRET,
        "CRM_APP_OIDC_SCOPES": "openid profile crm",
        "CRM_APP_COOKIE_SECRET": "long and random, for a test at least",
    }
    with page_server(variables, folder, port) as address:
        yield address


@pytest.fixture(scope="module")
def by_key(api: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page without an issuer."""
    folder = tmp_path_factory.mktemp("by_key")
    with page_server({"CRM_HOME": str(folder), "CRM_APP_API_URL": api.address}, folder) as address:
        yield address


def _has_menu(window: Visit, *, operator: bool) -> None:
    names = window.page.get_by_test_id("stSidebarNavLink").get_by_test_id("stMarkdownContainer")
    expect(names.filter(has_text="Pipeline")).to_have_count(1)
    expect(names.filter(has_text="Operations")).to_have_count(1 if operator else 0)


def _has_no_menu(window: Visit) -> None:
    expect(window.page.get_by_test_id("stSidebarNavLink")).to_have_count(0)


def _sign_in(window: Visit) -> None:
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("button", name="Sign out").wait_for()
    window.settle()


def test_nothing_is_shown_before_somebody_has_signed_in(by_issuer: str, windows: Windows) -> None:
    for path in ("/", "/operations"):
        window = windows(by_issuer, "phone", "light")
        window.open(path)
        assert window.text().split("\n\n") == ["Sales pipeline", "Sign in to see the pipeline.", "Sign in"]
        _has_no_menu(window)
        assert window.serious_findings() == []


def test_a_viewer_and_an_operator_see_what_each_may(by_issuer: str, somebody: Issuer, windows: Windows) -> None:
    somebody.name, somebody.scopes = "Vera Viewer", "read score"
    viewer = windows(by_issuer, "laptop", "light")
    viewer.open()
    _sign_in(viewer)
    assert somebody.scope_asked[-1] == "openid profile crm"
    viewer.page.get_by_text("Vera Viewer (viewer)").wait_for()
    _has_menu(viewer, operator=False)
    viewer.open("/operations")
    viewer.reads("This is for people with the role operator")
    assert "Nothing is made yet" not in viewer.text()

    somebody.name, somebody.scopes = "Olga Operator", "read score operate"
    operator = windows(by_issuer, "laptop", "light")
    operator.open()
    _sign_in(operator)
    operator.page.get_by_text("Olga Operator (operator)").wait_for()
    _has_menu(operator, operator=True)
    operator.open("/operations")
    operator.reads("Nothing is made yet")


def test_a_shared_address_is_where_one_is_after_signing_in(by_issuer: str, somebody: Issuer, windows: Windows) -> None:
    somebody.scopes = "read score"
    window = windows(by_issuer, "laptop", "light")
    window.open("/forecast?by=Products")
    _sign_in(window)
    window.page.wait_for_url(f"{by_issuer}/forecast?by=Products")
    window.page.get_by_role("heading", name="Forecast", level=1).wait_for()


def test_somebody_without_a_right_is_told_so(by_issuer: str, somebody: Issuer, windows: Windows) -> None:
    somebody.name, somebody.scopes = "Norma Nobody", "mail"
    window = windows(by_issuer, "laptop", "light")
    window.open()
    _sign_in(window)
    window.reads("Norma Nobody may not see the pipeline")
    _has_no_menu(window)


def test_signing_out_ends_it_here_and_at_the_issuer(by_issuer: str, somebody: Issuer, windows: Windows) -> None:
    somebody.scopes = "read score"
    window = windows(by_issuer, "laptop", "light")
    window.open()
    _sign_in(window)
    window.page.get_by_role("button", name="Sign out").click()
    window.page.get_by_text("Sign in to see the pipeline.").wait_for()
    assert somebody.sent_back == ["/oauth2callback"]
    window.open()
    _has_no_menu(window)


def test_an_expired_sign_in_is_asked_for_anew(by_issuer: str, somebody: Issuer, windows: Windows) -> None:
    somebody.scopes = "read score"
    # Longer ago than the difference between clocks that the API takes.
    somebody.seconds = -60
    window = windows(by_issuer, "laptop", "light")
    window.open()
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_text("Your sign-in has expired. Sign in to see the pipeline.").wait_for()
    _has_no_menu(window)
    somebody.seconds = 600
    _sign_in(window)
    _has_menu(window, operator=False)


def test_a_cookie_that_was_made_up_signs_nobody_in(by_issuer: str, windows: Windows) -> None:
    window = windows(by_issuer, "laptop", "light")
    made_up = {"name": "_streamlit_user", "value": "2|1:0|10:1|15:_streamlit_user|4:e30=|00", "url": by_issuer}
    window.page.context.add_cookies([made_up])  # type: ignore[list-item]  # as Playwright documents it
    window.open()
    window.reads("Sign in to see the pipeline.")


def test_the_cookie_of_a_sign_in_is_out_of_reach_of_scripts(by_issuer: str, somebody: Issuer, windows: Windows) -> None:
    somebody.scopes = "read score"
    window = windows(by_issuer, "laptop", "light")
    window.open()
    _sign_in(window)
    found = {cookie["name"]: cookie for cookie in window.page.context.cookies()}
    user = [cookie for name, cookie in found.items() if name.startswith("_streamlit_user")]
    assert len(user) >= 2
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in user)
    assert "_streamlit_xsrf" in found


def test_with_a_key_its_holder_sees_what_it_may(by_key: str, windows: Windows) -> None:
    window = windows(by_key, "phone", "dark")
    window.open("/model")
    _has_no_menu(window)
    assert window.serious_findings() == []
    field = window.page.get_by_label("API key")
    assert field.get_attribute("type") == "password"
    field.fill("crm_wrong")
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_text("This key does not hold").wait_for()
    field.fill(KEYS["Rita"])
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("heading", name="Model", level=1).wait_for()
    _has_menu(window, operator=False)
    # Another window knows nothing of it, and neither does this one once it is closed.
    _has_no_menu(windows(by_key, "laptop", "light"))
    window.open()
    _has_no_menu(window)


def test_an_operators_key_may_operate(by_key: str, windows: Windows) -> None:
    window = windows(by_key, "laptop", "light")
    window.open("/operations")
    window.page.get_by_label("API key").fill(KEYS["Otto"])
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("heading", name="Operations", level=1).wait_for()
    window.page.get_by_text("Otto (operator)").wait_for()
    window.settle()
    window.page.get_by_role("button", name="Sign out").click()
    window.page.get_by_label("API key").wait_for()
    _has_no_menu(window)


def test_programs_get_nothing_of_the_page(by_key: str) -> None:
    for path in ("/_stcore/agent/interact", "/_stcore/agent/mcp"):
        assert httpx.post(f"{by_key}{path}", json={}).is_client_error
    # A window of another site cannot open the page's connection.
    headers = {"Origin": "https://elsewhere.example", "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    assert httpx.get(f"{by_key}/_stcore/stream", headers=headers).status_code == 403
