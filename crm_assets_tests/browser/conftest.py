from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from crm_assets_tests.browser.chromium import chromium
from crm_assets_tests.browser.page_server import page_server
from crm_assets_tests.browser.visit import Scheme, Visit, visit
from crm_assets_tests.graph.conftest import SMALL, Finished, finished
from crm_assets_tests.serving.server_process import api_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["finished"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Site:
    """A running page and the API that it asks.

    Attributes:
        address: of the page, `http://HOST:PORT`.
        api: address of the API.
        finished: the run whose lake and models the API answers from.
    """

    address: str
    api: str
    finished: Finished


class Open(Protocol):
    """Opens a path of the page in a new window."""

    def __call__(self, path: str = "/", size: str = "laptop", scheme: Scheme = "light") -> Visit: ...


@pytest.fixture(scope="session")
def site(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page over the run that graph tests look at, with every view's table."""
    folder = tmp_path_factory.mktemp("site")
    settings = finished.settings
    variables = {
        "CRM_SOURCE_URL": settings.source_url,
        "CRM_LAKE_URL": settings.lake_url,
        "CRM_HOME": str(settings.home),
        # Nothing listens there: what the view of operations says then.
        "CRM_DAGSTER_URL": "http://127.0.0.1:9",
        **{f"CRM_{name.upper()}": str(value) for name, value in SMALL.items()},
    }
    with (
        api_server(variables, folder) as api,
        page_server({"CRM_APP_API_URL": api.address, "CRM_HOME": str(folder)}, folder) as address,
    ):
        yield Site(address, api.address, finished)


# Not for the whole session: while Playwright runs, no test in the process could run an event loop of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def windows(browser: Browser) -> Iterator[Callable[[str, str, Scheme], Visit]]:
    """Opens windows on an address; at the test's end nothing may have gone wrong in any of them."""
    opened: list[Visit] = []
    with ExitStack() as stack:

        def window(address: str, size: str, scheme: Scheme) -> Visit:
            opened.append(stack.enter_context(visit(browser, address, size, scheme)))
            return opened[-1]

        yield window
    assert [fault for one in opened for fault in one.faults] == []


@pytest.fixture
def look(windows: Callable[[str, str, Scheme], Visit], site: Site) -> Open:
    def look(path: str = "/", size: str = "laptop", scheme: Scheme = "light") -> Visit:
        found = windows(site.address, size, scheme)
        found.open(path)
        return found

    return look
