"""The page in a real browser: how long until each view is drawn, and until it has followed what somebody does."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx
import polars as pl

from crm_assets.app.views import VIEWS
from crm_assets_tests.benchmarks.process import ROOT
from crm_assets_tests.benchmarks.serving import Demo
from crm_assets_tests.browser.chromium import chromium
from crm_assets_tests.browser.page_server import page_server
from crm_assets_tests.browser.visit import Visit, visit
from crm_assets_tests.serving.server_process import api_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RESULTS = ROOT / "bench" / "page.json"
FOLDER = ROOT / "bench" / "page"
"""Lake of the large book, made anew each time."""
LARGE = 50_000
TABLES = ("opportunity_snapshots", "opportunity_features", "scores", "score_changes", "score_reasons")
"""What holds a row per deal, and is read for the page."""
ROUNDS = 5
AIM_PAINT, AIM_ACTION, AIM_LARGE = 2.0, 1.0, 2.0
"""Seconds: until a view is drawn, until an action is followed, and either with the large book."""

_WATCH = """
window.lastChange = 0;
new MutationObserver((changes) => {
  if (changes.some(({target}) => (target.closest || (() => null)).call(target, '[data-testid="stMain"]')))
    window.lastChange = performance.now();
}).observe(document, {subtree: true, childList: true, characterData: true});
"""


@dataclass(frozen=True)
class Watched:
    """A window that knows when what it shows changed last."""

    visit: Visit

    def opened(self, path: str) -> dict[str, float]:
        """Seconds from the address until the browser painted first, and until all was drawn."""
        self.visit.open(path)
        told = self.visit.page.evaluate(
            "() => [performance.getEntriesByName('first-contentful-paint')[0].startTime, window.lastChange]"
        )
        return {"paint": told[0] / 1000, "drawn": told[1] / 1000}

    def did(self, action: Callable[[Visit], None]) -> float:
        """Seconds from an action until what is shown changed last. Raises RuntimeError when nothing did."""
        began = self.visit.page.evaluate("() => performance.now()")
        action(self.visit)
        self.visit.settle()
        changed = self.visit.page.evaluate("() => window.lastChange")
        if changed <= began:
            raise RuntimeError(f"{action.__name__} changed nothing of what is shown")
        return float(changed - began) / 1000


@contextmanager
def watched(browser: Browser, address: str) -> Iterator[Watched]:
    """A window on a laptop's screen."""
    with visit(browser, address) as window:
        window.page.context.add_init_script(_WATCH)
        yield Watched(window)


def search(window: Visit) -> None:
    """Look for an agent's deals."""
    field = window.page.get_by_role("textbox", name="Search")
    field.fill("Dunleavy")
    field.press("Enter")
    window.page.wait_for_url("**search=Dunleavy*")


def next_page(window: Visit) -> None:
    """Turn to the second page of the list."""
    window.page.get_by_role("button", name="Page 2", exact=True).click()
    window.page.wait_for_url("**page=2*")


def by_product(window: Visit) -> None:
    """Ask where the revenue is expected, by product."""
    window.page.get_by_test_id("stMain").get_by_role("radio", name="Products").click()


def open_deal(window: Visit) -> None:
    """Tick the first deal of the list."""
    window.page.get_by_test_id("stDataFrame").first.click(position={"x": 16, "y": 52})
    window.page.wait_for_url("**/opportunity?*")


def what_if(window: Visit) -> None:
    """Ask for the probability at another age."""
    field = window.page.get_by_role("spinbutton", name="Age, days")
    field.fill("60")
    field.press("Enter")
    window.page.get_by_test_id("stMetric").nth(1).wait_for()


def part(name: str) -> Callable[[Visit], None]:
    """Turn to a part of a view."""

    def turn(window: Visit) -> None:
        window.page.get_by_test_id("stMain").get_by_role("radio", name=name, exact=True).click()

    turn.__name__ = name
    return turn


ACTIONS: Mapping[str, tuple[str, Callable[[Visit], None]]] = {
    "look for an agent": ("/", search),
    "turn the page of the list": ("/", next_page),
    "revenue by product": ("/", by_product),
    "open a deal": ("/", open_deal),
    "what if": ("/opportunity?id={deal}", what_if),
    "forecast by product": ("/forecast", by_product),
    "calibration": ("/model", part("Calibration")),
    "open deals of monitoring": ("/monitoring", part("Open deals")),
}
"""What is done -> the view it begins on, and how."""


def _measured(variables: Mapping[str, str]) -> dict[str, Any]:
    """Figures of one lake: seconds of each view, cold and warm, and of each action."""
    paths = ["/", *(f"/{view.path}" for view in VIEWS[1:])]
    with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name:
        folder = Path(name)
        limits = {"CRM_API_REQUESTS_PER_SECOND": "0", "PYTHONDONTWRITEBYTECODE": ""}
        with api_server({**variables, **limits}, folder, keep_log=False) as api, chromium() as browser:
            page = {"CRM_HOME": name, "CRM_APP_API_URL": api.address, "PYTHONDONTWRITEBYTECODE": ""}
            with page_server(page, folder):
                # With bytecode, as it is installed.
                pass
            with page_server(page, folder) as address:
                first, views = {}, {}
                for path in paths:
                    with watched(browser, address) as window:
                        first[path] = window.opened(path)
                for path in paths:
                    with watched(browser, address) as window:
                        views[path] = _median([window.opened(path) for _ in range(ROUNDS)])
                deal = _first_deal(api.address)
                actions = {}
                for told, (path, action) in ACTIONS.items():
                    taken = []
                    for _ in range(ROUNDS):
                        with watched(browser, address) as window:
                            window.opened(path.format(deal=deal))
                            taken.append(window.did(action))
                    actions[told] = {"median": round(statistics.median(taken), 2), "most": round(max(taken), 2)}
    first = {path: {name: round(value, 2) for name, value in told.items()} for path, told in first.items()}
    return {"first": first, "again": views, "actions": actions}


def _median(told: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in told), 2) for name in told[0]}


def _first_deal(address: str) -> str:
    return str(httpx.get(f"{address}/v1/pipeline", params={"limit": 1}).json()["opportunities"][0]["opportunity_id"])


def large_book(demo: Demo) -> tuple[dict[str, str], int]:
    """Settings of a copy of the demo whose newest month has each deal many times, and how many are open then."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(demo.lake, FOLDER / "lake" / demo.lake.name)
    lake = FOLDER / "lake" / demo.lake.name
    month = max(file.stem for file in (lake / "scores").glob("*.parquet"))
    times = -(-LARGE // pl.read_parquet(lake / "scores" / f"{month}.parquet").height)
    for name in TABLES:
        file = lake / name / f"{month}.parquet"
        rows = pl.read_parquet(file)
        copies = [rows.with_columns(pl.col("opportunity_id") + f"-{number}") for number in range(1, times)]
        grown = pl.concat([rows, *copies])
        grown.write_parquet(file)
        manifest = file.with_name(f"{month}.manifest.json")
        content = file.read_bytes()
        told = json.loads(manifest.read_text())
        told |= {"rows": grown.height, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        manifest.write_text(json.dumps(told))
        if name == "scores":
            height = grown.height
    return {**demo.variables, "CRM_LAKE_URL": str(FOLDER / "lake")}, height


@click.command()
def page() -> None:
    """How long the page takes to draw its views and to follow what somebody does."""
    demo = Demo.made()
    book = pl.read_parquet(max((demo.lake / "scores").glob("*.parquet"))).height
    variables, large = large_book(demo)
    told = {}
    for deals, settings, aims in (
        (book, demo.variables, (AIM_PAINT, AIM_ACTION)),
        (large, variables, (AIM_LARGE, AIM_LARGE)),
    ):
        found = told[deals] = _measured(settings)
        click.echo(f"\n{deals:,} open deals\nseconds until drawn (aim {aims[0]:g})    again   first look   first paint")
        for path, again in found["again"].items():
            first = found["first"][path]
            click.echo(f"  {path:34} {again['drawn']:7.2f} {first['drawn']:12.2f} {first['paint']:13.2f}")
        click.echo(f"seconds until followed (aim {aims[1]:g})   median      at most")
        for action, taken in found["actions"].items():
            click.echo(f"  {action:34} {taken['median']:7.2f} {taken['most']:12.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2))
