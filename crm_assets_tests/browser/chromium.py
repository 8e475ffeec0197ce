"""Chromium, driven by Playwright: found on this machine, never downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from crm_assets_tests.integration.required import not_installed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VARIABLE = "CHROMIUM_BIN"
_PLACES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
_REMEDY = f"apt-get install chromium, or set {VARIABLE} to one, or run `playwright install chromium`"


def executable(own: str) -> str:
    """Path of a Chromium: the one that `CHROMIUM_BIN` names, this machine's, or else Playwright's own.

    Fails or skips the test, as `not_installed` does, where there is none.
    """
    if named := os.environ.get(VARIABLE):
        found = shutil.which(named)
        return found or not_installed("chromium", f"{VARIABLE} names {named}, which is no program: {_REMEDY}")
    for place in _PLACES:
        if found := shutil.which(place):
            return found
    return own if Path(own).exists() else not_installed("chromium", _REMEDY)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium, which ends with the block."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=executable(driver.chromium.executable_path),
            # Root has no sandbox, and containers little shared memory; fonts are drawn alike everywhere.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"],
        )
        try:
            yield browser
        finally:
            browser.close()
