"""An operator's morning in a browser, on a real Dagster: what is missing, making it, and seeing it end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_assets_tests.browser.page_server import page_server
from crm_assets_tests.browser.visit import Scheme, Visit
from crm_assets_tests.client.small import FIRST, environment
from crm_assets_tests.integration.dagster_server import DagsterServer, dagster_server
from crm_assets_tests.serving.server_process import api_server

Windows = Callable[[str, str, Scheme], Visit]
RUN_MILLISECONDS = 180_000


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterServer]:
    folder = tmp_path_factory.mktemp("dagster")
    with dagster_server(folder, environment(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def page(dagster: DagsterServer) -> Iterator[str]:
    folder = Path(dagster.log).parent
    variables = {**environment(folder), "CRM_DAGSTER_URL": dagster.url}
    with (
        api_server(variables, folder, ready=False) as api,
        page_server({"CRM_HOME": str(folder), "CRM_APP_API_URL": api.address}, folder) as address,
    ):
        yield address


def test_a_month_is_made_from_the_page(page: str, dagster: DagsterServer, windows: Windows) -> None:
    window = windows(page, "laptop", "light")
    window.open("/operations")
    window.reads("Nothing is made yet")
    for label in ("First month", "Last month"):
        field = window.page.get_by_role("combobox", name=label)
        field.fill(str(FIRST))
        field.press("Enter")
    window.page.get_by_role("button", name="Show what would be made").click()
    window.page.get_by_text(f"steps of {FIRST} would be made").wait_for()
    window.settle()
    assert window.serious_findings() == []
    window.page.get_by_role("button", name="Start", exact=True).click()
    window.page.get_by_role("heading", name=f"Making {FIRST}").wait_for()
    window.page.wait_for_url(re.compile("run="))
    # Somebody else who is sent the address sees the same.
    other = windows(page, "phone", "dark")
    other.open(window.page.url.removeprefix(page))
    for seen in (window, other):
        seen.page.get_by_text("It is done.").wait_for(timeout=RUN_MILLISECONDS)
        seen.settle()
        assert seen.serious_findings() == []
    link = window.page.get_by_role("link", name="Its page in Dagster")
    assert (link.get_attribute("href") or "").startswith(f"{dagster.url}/runs/")
    window.page.get_by_role("button", name="Close").click()
    window.page.get_by_role("heading", name=f"Making {FIRST}").wait_for(state="hidden")
    window.reads("Steps and months")
    window.page.wait_for_url(re.compile("^(?!.*run=)"))
