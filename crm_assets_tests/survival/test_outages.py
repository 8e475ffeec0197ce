"""Servers that go away while a run needs them: it waits, or says what is wrong, and the next run goes on from there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.integration.faulty_proxy import Fault, FaultyProxy
from crm_assets_tests.integration.postgres_server import required_programs
from crm_assets_tests.survival.commands import Moment
from crm_assets_tests.survival.conftest import InFolder, OnServers, Place
from crm_assets_tests.survival.killed import BEFORE
from crm_assets_tests.survival.restarted_postgres import RestartedPostgres, restarted_postgres

pytestmark = pytest.mark.survival
REACHED_SECONDS = 600


def undisturbed(place: Place) -> dict[str, Any]:
    """What a run leaves."""
    place.renew()
    assert place.run() == 0, place.command.told()
    return place.state()


@contextmanager
def paused(place: Place, moment: Moment, **options: Any) -> Iterator[Callable[[], int]]:
    """A new run that waits at a moment of its own while the block runs; what is given lets it go on to its end."""
    place.renew()
    file = place.root / "paused"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(place.run, moment=moment, pause=file, **options)
        deadline = time.monotonic() + REACHED_SECONDS
        while not file.exists():
            assert not running.done(), place.command.told()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        try:
            yield lambda: file.unlink() or running.result()  # type: ignore[func-returns-value]
        finally:
            file.unlink(missing_ok=True)


def test_an_mlflow_server_that_goes_away(on_servers: OnServers) -> None:
    alone, server = undisturbed(on_servers), on_servers.mlflow
    moment: Moment = ("mlflow.create_logged_model", 1, BEFORE)
    with paused(on_servers, moment) as go_on, ThreadPoolExecutor(1) as pool:
        server.stop()
        running = pool.submit(go_on)
        server.start()
        assert running.result() == 0, on_servers.command.told()
    assert on_servers.state() == alone
    with paused(on_servers, moment, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1") as go_on:
        server.stop()
        assert go_on() == 6
    told = on_servers.command.told()
    assert f"in the model store {server.url}: " in told
    assert "Check that the MLflow server runs" in told
    server.start()
    assert on_servers.run() == 0, on_servers.command.told()
    assert on_servers.state() == alone


def test_s3_that_refuses(on_servers: OnServers) -> None:
    alone, number = undisturbed(on_servers), 0
    faults: tuple[Fault, ...] = ("500", "503", "reset", "reset after", "half")

    def now_and_then(method: str, path: str) -> Fault:
        nonlocal number
        number += 1
        return None if number % 12 else faults[number // 12 % len(faults)]

    with FaultyProxy(on_servers.server.endpoint) as proxy:
        on_servers.renew()
        proxy.fault = now_and_then
        assert on_servers.run(AWS_ENDPOINT_URL=proxy.endpoint) == 0, on_servers.command.told()
        assert on_servers.state() == alone
        print(f"identical with {proxy.failed} of {number} requests failed")  # noqa: T201 - figures for people
        assert proxy.failed > len(faults)
        proxy.fault = lambda method, path: None
        moment: Moment = ("s3.put_file", 12, BEFORE)
        with paused(on_servers, moment, AWS_ENDPOINT_URL=proxy.endpoint, AWS_MAX_ATTEMPTS="2") as go_on:
            proxy.fault = lambda method, path: "503"
            assert go_on() == 4
        told = on_servers.command.told()
        # The step is tried again before it is given up, and by then it cannot even list what it reads.
        refused = rf"{re.escape(on_servers.settings.dataset_url)}: cannot (write|list) \S+: the server said SlowDown"
        assert re.search(refused + r", Try again\.; try again later", told), told
        proxy.fault = lambda method, path: None
        assert on_servers.run(AWS_ENDPOINT_URL=proxy.endpoint) == 0, on_servers.command.told()
    assert on_servers.state() == alone


@pytest.fixture(scope="module")
def postgres() -> Iterator[RestartedPostgres]:
    with restarted_postgres(required_programs()) as server:
        yield server


def test_a_postgresql_server_that_restarts(
    in_folder: InFolder, postgres: RestartedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    # What the run writes into dagster.yaml names the variable, which the test reads, too.
    monkeypatch.setenv("CRM_DAGSTER_POSTGRES_URL", postgres.url)
    in_folder.dagster_home = home
    in_folder.environment = {"DAGSTER_HOME": str(home), "CRM_DAGSTER_POSTGRES_URL": postgres.url}
    moment: Moment = ("dagster.event", 60, BEFORE)
    try:
        alone = undisturbed(in_folder)
        assert not alone["unfinished in Dagster"]
        with paused(in_folder, moment) as go_on, ThreadPoolExecutor(1) as pool:
            postgres.stop()
            running = pool.submit(go_on)
            postgres.refuse_once()
            postgres.start()
            assert running.result() == 0, in_folder.command.told()
        assert in_folder.state() == alone
        in_folder.renew()
        postgres.stop()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(in_folder.run)
            postgres.refuse_once()
            postgres.start()
            assert running.result() == 0, in_folder.command.told()
        assert in_folder.state() == alone
        seconds = {"crm_assets.defs.patience.DATABASE_SECONDS": 1.0}
        with paused(in_folder, moment, constants=seconds) as go_on:
            postgres.stop()
            assert go_on() == 1
        told = in_folder.command.told()
        assert f"Dagster's records, set up in {home / 'dagster.yaml'}, cannot be used: " in told
        assert "bring its database up, and run again" in told
        postgres.start()
        assert in_folder.run() == 0, in_folder.command.told()
        assert in_folder.state() == alone
    finally:
        in_folder.dagster_home, in_folder.environment = None, {}
