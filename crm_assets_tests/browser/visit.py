"""One browser window on the page, which writes down whatever goes wrong in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

SIZES: Final = {"laptop": (1440, 900), "phone": (390, 844)}
"""Width and height of what people look at, in CSS pixels."""
Scheme = Literal["light", "dark"]
SECONDS: Final = 30.0
"""Most that anything may take on a busy machine."""

_SERIOUS = {"serious", "critical"}
_SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  return app !== null
    && app.dataset.testScriptState === "notRunning"
    && app.dataset.testConnectionState === "CONNECTED"
    && !document.querySelector('[data-testid="stSkeleton"], [data-testid="stAppSkeleton"], [data-stale="true"]');
}"""
_CALM_MILLISECONDS, _DRAWN_MILLISECONDS = 150, 500
_AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
_RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


class Visit:
    """A window.

    Args:
        page: Playwright's, on which nothing is open yet.
        address: of the page, `http://HOST:PORT`.

    Attributes:
        faults: what the console, scripts and requests complained of since the window was opened.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.faults: list[str] = []
        page.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._asked)

    def open(self, path: str = "/") -> None:
        """Open a path of the page, such as `/forecast?by=product`, and wait until it is drawn."""
        self.page.goto(f"{self.address}{path}", wait_until="domcontentloaded")
        self.settle()

    def settle(self) -> None:
        """Wait until all is drawn that was asked for."""
        self.page.wait_for_function(_SETTLED)
        # The script's end may be told a moment before what follows from it begins.
        self.page.wait_for_timeout(_CALM_MILLISECONDS)
        self.page.wait_for_function(_SETTLED)

    def text(self) -> str:
        """What can be read in the main part."""
        return self.page.get_by_test_id("stMain").inner_text()

    def reads(self, text: str) -> None:
        """Wait until a text can be read in the main part.

        A script may begin a moment after the click that asked for it, so that what is drawn and calm may still be
        what was there before.
        """
        expect(self.page.get_by_test_id("stMain")).to_contain_text(text)

    def serious_findings(self) -> list[str]:
        """What axe finds wrong for people with screen readers, keyboards or other eyes: serious and critical ones."""
        self.page.evaluate(_AXE)
        found: dict[str, Any] = self.page.evaluate(f"async () => await axe.run(document, {json.dumps(_RULES)})")
        return [
            f"{told['id']} ({told['impact']}): {told['help']}: {node['html'][:300]}"
            for told in found["violations"]
            for node in told["nodes"]
            if told["impact"] in _SERIOUS
        ]

    def picture(self, file: Path) -> None:
        """Write a PNG of the whole view, also of what is below the window's lower end."""
        size = self.page.viewport_size
        assert size is not None
        tall = int(self.page.evaluate("() => document.querySelector('[data-testid=\"stMain\"]').scrollHeight"))
        self.page.set_viewport_size({"width": size["width"], "height": max(size["height"], tall)})
        self.settle()
        # Plots are drawn anew after a change of size.
        self.page.wait_for_timeout(_DRAWN_MILLISECONDS)
        self.page.screenshot(path=file, animations="disabled")
        self.page.set_viewport_size(size)

    def width_needed(self) -> int:
        """Pixels to the right end of the widest thing in the main part, which is not to be scrolled sideways."""
        return int(self.page.evaluate("() => document.querySelector('[data-testid=\"stMain\"]').scrollWidth"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} {message.location.get('url', '')}".strip())

    def _asked(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme in {"http", "https", "ws", "wss"} and where.hostname not in {"127.0.0.1", "localhost"}:
            self.faults.append(f"asked for something elsewhere: {request.url}")


@contextmanager
def visit(browser: Browser, address: str, size: str = "laptop", scheme: Scheme = "light") -> Iterator[Visit]:
    """A window of one of `SIZES`, with no memory of any other."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=1,
        has_touch=size == "phone",
        is_mobile=size == "phone",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
        accept_downloads=True,
    )
    try:
        yield Visit(context.new_page(), address)
    finally:
        context.close()
