"""Every view in a browser: it loads, nothing complains, it fits, and all can use it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from crm_assets.app.views import VIEWS
from crm_assets_tests.browser.conftest import Open
from crm_assets_tests.browser.visit import SIZES

PATHS = ["/", *(f"/{view.path}" for view in VIEWS[1:])]


@pytest.mark.parametrize("path", PATHS)
def test_a_view_loads_without_complaint_and_can_be_used_by_all(look: Open, path: str) -> None:
    view = next(view for view in VIEWS if path in {f"/{view.path}", "/"})
    seen = look(path)
    expect(seen.page.get_by_role("heading", level=1).first).to_have_text(view.title)
    assert seen.serious_findings() == []


@pytest.mark.parametrize("path", PATHS)
def test_a_view_fits_a_phone_in_the_dark(look: Open, path: str) -> None:
    seen = look(path, "phone", "dark")
    assert seen.width_needed() <= SIZES["phone"][0]
    assert seen.serious_findings() == []


def test_an_operator_turns_to_older_months(look: Open) -> None:
    window = look("/operations")
    window.page.get_by_role("button", name="Older months").click()
    window.page.get_by_role("button", name="Newest months").wait_for()
    window.page.wait_for_url(re.compile("before=2017-01"))
    window.page.get_by_role("button", name="Older months").wait_for(state="hidden")
    window.page.get_by_role("button", name="Newest months").click()
    window.page.get_by_role("button", name="Older months").wait_for()
    window.page.wait_for_url(re.compile("^(?!.*before)"))
