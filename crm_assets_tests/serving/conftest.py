from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import uvicorn
from fastapi.testclient import TestClient

from crm_assets.calendar import Month
from crm_assets.lake import Lake
from crm_assets.modelling.win_model import WinModel
from crm_assets.serving.app import build_app
from crm_assets.serving.live import Live
from crm_assets.serving.server import uvicorn_options
from crm_assets.settings import Settings
from crm_assets_tests.serving.small_lake import (
    LAST,
    MONTHS,
    RECIPES,
    RUNG_WINS,
    Business,
    Shelf,
    model_of,
    new_lake,
    settings_in,
    write_month,
)


@pytest.fixture(scope="session")
def business() -> Business:
    return Business.of()


@pytest.fixture(scope="session")
def models(business: Business) -> dict[str, WinModel]:
    known = business.known()
    return {name: model_of(name, known) for name in (*RUNG_WINS, *RECIPES)}


@dataclass(frozen=True)
class Stored:
    """A lake that tests copy.

    Attributes:
        folder: of it.
        scores: month -> the stored scores.
    """

    folder: Path
    scores: dict[Month, pl.DataFrame]


@pytest.fixture(scope="session")
def stored(business: Business, models: dict[str, WinModel], tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("stored") / "lake"
    lake = new_lake(folder)
    return Stored(folder, {month: write_month(lake, business, month, models["blend"]) for month in MONTHS})


@dataclass
class Deployment:
    """A small lake and registry, and an API on them.

    Attributes:
        settings: of it.
        lake: with `MONTHS`.
        shelf: with the blend as version 1, the champion.
        scores: month -> the stored scores.
        live: what is answered from, after one look.
        now: seconds of its clock.
    """

    settings: Settings
    lake: Lake
    shelf: Shelf
    scores: dict[Month, pl.DataFrame]
    live: Live
    now: list[float]

    def client(self, settings: Settings | None = None) -> TestClient:
        app = build_app(settings or self.settings, self.live, watch=False)
        return TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False)

    @contextmanager
    def server(self, settings: Settings | None = None) -> Iterator[str]:
        """A real server on a free port, by its address."""
        settings = settings or self.settings
        app = build_app(settings, self.live, watch=False)
        options = {**uvicorn_options(settings), "log_config": None}
        server = uvicorn.Server(uvicorn.Config(app, port=0, **options))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
            yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

    def another(self, settings: Settings) -> Live:
        """Another process on the same lake and registry, after one look."""
        live = Live(settings, self.shelf, lambda _: self.lake, lambda: self.now[0])
        live.look()
        return live


@pytest.fixture
def deployment(stored: Stored, models: dict[str, WinModel], tmp_path: Path) -> Deployment:
    settings = settings_in(tmp_path)
    folder = Path(settings.dataset_url)
    shutil.copytree(stored.folder, folder)
    lake, shelf, now = new_lake(folder), Shelf(), [1000.0]
    shelf.put("1", models["blend"])
    live = Live(settings, shelf, lambda _: lake, lambda: now[0])
    live.look()
    assert live.current is not None
    assert live.current.book.month == LAST
    return Deployment(settings, lake, shelf, dict(stored.scores), live, now)


@pytest.fixture
def client(deployment: Deployment) -> Iterator[TestClient]:
    with deployment.client() as client:
        yield client
