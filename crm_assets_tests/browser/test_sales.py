"""A salesperson's Monday in a browser: narrow the book down, open a deal, score a new one, take a file along."""

from __future__ import annotations

import csv
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import openpyxl
import pytest
from playwright.sync_api import expect

from crm_assets_tests.browser.conftest import Open, Site

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from crm_assets_tests.browser.visit import Visit

SIZES = pytest.mark.parametrize("size", ["laptop", "phone"])


def _open_deals(window: Visit) -> Locator:
    return window.page.get_by_test_id("stMetric").filter(has_text="Open deals").get_by_test_id("stMetricValue")


def _choose(window: Visit, field: Locator, value: str) -> None:
    field.fill(value)
    window.page.get_by_role("option", name=value, exact=True).first.click()


@SIZES
def test_a_filter_narrows_the_book_and_is_in_the_address(look: Open, site: Site, size: str) -> None:
    window = look("/", size)
    book = httpx.get(f"{site.api}/v1/pipeline", params={"limit": 1}).json()
    everything = book["total"]
    expect(_open_deals(window)).to_have_text(f"{everything:,}")
    agent = book["opportunities"][0]["sales_agent"]
    mine = httpx.get(f"{site.api}/v1/pipeline", params={"sales_agent": agent, "limit": 1}).json()["total"]
    search = window.page.get_by_role("textbox", name="Search")
    search.fill(agent)
    search.press("Enter")
    assert mine < everything
    # What is asked for may be in the address before it is in the figures.
    expect(_open_deals(window)).to_have_text(f"{mine:,}")
    window.page.wait_for_url(re.compile("search="))
    # Whoever is sent the address sees the same.
    other = look(window.page.url.removeprefix(site.address), size, "dark")
    expect(_open_deals(other)).to_have_text(f"{mine:,}")


def test_a_tick_opens_the_deal_and_back_leads_to_the_book(look: Open, site: Site) -> None:
    asked = {"limit": "1", "sort": "expected_value", "order": "desc"}
    first = httpx.get(f"{site.api}/v1/pipeline", params=asked).json()["opportunities"][0]["opportunity_id"]
    window = look()
    # A canvas: the box of the first row, below the heading.
    window.page.get_by_test_id("stDataFrame").first.click(position={"x": 16, "y": 52})
    window.page.wait_for_url(f"**/opportunity?*id={first}*")
    window.settle()
    window.reads(first)
    assert window.serious_findings() == []
    window.page.go_back()
    window.page.get_by_role("heading", name="Pipeline", level=1).wait_for()


@SIZES
def test_a_deal_that_is_shared_is_shown_with_its_history_and_reasons(look: Open, site: Site, size: str) -> None:
    row = httpx.get(f"{site.api}/v1/pipeline", params={"limit": 1}).json()["opportunities"][0]
    window = look(f"/opportunity?id={row['opportunity_id']}", size)
    window.reads(f"{100 * row['probability']:.0f}")
    window.reads("Why")
    assert window.serious_findings() == []


@SIZES
def test_a_new_deal_is_scored_at_once(look: Open, site: Site, size: str) -> None:
    row = httpx.get(f"{site.api}/v1/pipeline", params={"limit": 1}).json()["opportunities"][0]
    window = look("/opportunity", size)
    window.page.get_by_test_id("stMain").get_by_role("radio").last.click()
    window.page.get_by_role("button", name="Score it").wait_for()
    window.page.get_by_role("button", name="Score it").click()
    window.page.get_by_text("Choose an agent and a product.").wait_for()
    window.settle()
    _choose(window, window.page.get_by_role("combobox", name="Agent"), row["sales_agent"])
    _choose(window, window.page.get_by_role("combobox", name="Product"), row["product"])
    window.page.get_by_role("button", name="Score it").click()
    window.page.get_by_text("Probability of being won by the end of").wait_for()
    window.settle()
    month = httpx.get(f"{site.api}/v1/pipeline", params={"limit": 1}).json()["as_of"]
    asked = {"sales_agent": row["sales_agent"], "product": row["product"], "engage_date": month}
    scored = httpx.post(f"{site.api}/v1/score", json={"opportunities": [asked]}).json()["opportunities"][0]
    shown = window.page.get_by_test_id("stMetricValue").first
    expect(shown).to_have_text(f"{100 * scored['probability']:.1f} %")
    window.page.wait_for_url(re.compile("agent="))
    assert window.serious_findings() == []


@pytest.mark.parametrize("kind", ["CSV", "Excel"])
def test_a_file_holds_the_deals_that_are_shown(look: Open, site: Site, kind: str, tmp_path: Path) -> None:
    agent = httpx.get(f"{site.api}/v1/pipeline", params={"limit": 1}).json()["opportunities"][0]["sales_agent"]
    window = look(f"/?search={agent.replace(' ', '%20')}")
    window.page.get_by_role("button", name="Export").click()
    with window.page.expect_download() as waiting:
        window.page.get_by_role("button", name=kind, exact=True).click()
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    assert date.fromisoformat(f"{re.findall(r'[0-9]{4}-[0-9]{2}', file.name)[0]}-01")
    if kind == "CSV":
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
    else:
        rows = [list(row) for row in openpyxl.load_workbook(file).worksheets[0].iter_rows(values_only=True)]
    expect(_open_deals(window)).to_have_text(f"{len(rows) - 1:,}")
    agents = {row[index] for index, name in enumerate(rows[0]) if name in {"sales_agent", "Agent"} for row in rows[1:]}
    assert agents == {agent}
