"""`crm-assets write-back` killed by `kill -9` at any step of a delivery, and the same command again."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from crm_assets.defs.platform import Platform
from crm_assets.delivering import deliver_month
from crm_assets.lake import Lake
from crm_assets.settings import Settings
from crm_assets.writeback.journal import Journal
from crm_assets.writeback.plan import ledger
from crm_assets.writeback.target import folder_of, target_name
from crm_assets_tests.graph.test_write_back import FIRST, LAST, SOURCE, settings_at, store_scores
from crm_assets_tests.integration.postgres_server import PostgresServer
from crm_assets_tests.writeback.crm_servers import SECRET, FakeWebhook

COUNT = 1_200
"""Opportunities in each book, so that a webhook gets three batches."""
BOOKS = {
    FIRST: {f"{number:05d}": 0.25 for number in range(COUNT)},
    # The first 10 are gone, 10 are as they were, the last 10 are new, and the others have changed.
    LAST: {f"{number:05d}": 0.25 if number < 20 else 0.5 for number in range(10, COUNT + 10)},
}
EXPECTED = {
    **{f"{number:05d}": ("cleared", None, str(LAST)) for number in range(10)},
    **{
        name: ("scored", probability, str(FIRST if probability == 0.25 else LAST))
        for name, probability in BOOKS[LAST].items()
    },
}

COMMAND = """
import os, signal, sys
from pathlib import Path
from crm_assets import storage
from crm_assets.cli import main
from crm_assets.writeback import csv_file, postgres, webhook
at, steps = int(sys.argv[1]), 0
def step():
    global steps
    if steps == at:
        os.kill(os.getpid(), signal.SIGKILL)
    steps += 1
def dying(function):
    def wrapped(*arguments, **named):
        step()
        answer = function(*arguments, **named)
        step()
        return answer
    return wrapped
for owner, name in ((storage._Folder, "write_bytes"), (Path, "replace"), (csv_file.CsvFile, "send"),
                    (postgres.PostgresTable, "_write"), (postgres.PostgresTable, "send"), (webhook.Webhook, "send")):
    setattr(owner, name, dying(getattr(owner, name)))
try:
    main(["write-back", "--yes", "--top", "0"])
finally:
    print("steps", steps)
"""

Held = dict[str, tuple[str, float | None, str]]


@dataclass
class Taking(FakeWebhook):
    """A webhook that notes how often each row came."""

    came: Counter[str] = field(default_factory=Counter)

    def __call__(self, request: Request) -> Response:
        self.came.update(row["opportunity_id"] for row in json.loads(request.get_data())["rows"])
        return super().__call__(request)


@dataclass
class Place:
    """A target, and a lake with the scores of two months.

    Attributes:
        settings: the deployment's.
        clear: empties the target.
        held: opportunity -> status, probability and month of the scores.
        came: how often each opportunity was written since the target was cleared; None where that is not seen.
    """

    settings: Settings
    clear: Callable[[], None]
    held: Callable[[], Held]
    came: Counter[str] | None = None

    def begin(self) -> None:
        """The first month is delivered, and nothing else was."""
        self.clear()
        shutil.rmtree(Path(self.settings.dataset_url, "writeback"), ignore_errors=True)
        assert deliver_month(self.settings, FIRST, lambda _: True).delivered is not None
        if self.came is not None:
            self.came.clear()

    def run(self, at: int) -> subprocess.CompletedProcess[str]:
        """The command in a process that kills itself at a step; a negative one never."""
        secret = self.settings.writeback_secret
        return subprocess.run(
            [sys.executable, "-c", COMMAND, str(at)],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("CRM_")},
                "PYTHONPATH": os.pathsep.join(sys.path),
                "CRM_SOURCE_URL": SOURCE,
                "CRM_LAKE_URL": self.settings.lake_url,
                "CRM_HOME": str(self.settings.home),
                "CRM_WRITEBACK_URL": self.settings.writeback_url,
                "CRM_WRITEBACK_SECRET": secret.get_secret_value() if secret else "",
            },
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    def known(self) -> Held:
        """What the trail is sure that the target holds, without the month."""
        name = target_name(self.settings)
        lake = Lake.open(self.settings.dataset_url, create=False)
        told = ledger(Journal(lake.records(folder_of(name)), name).trail().iter_rows(named=True))
        contents = {o: json.loads(there.content) for o, there in told.items() if there.sure and there.content}
        return {o: (one["status"], one["probability"], "") for o, one in contents.items()}


def settings_of(folder: Path, url: str, secret: str | None = None) -> Settings:
    settings = settings_at(folder, url).model_copy(
        update={"writeback_secret": SecretStr(secret) if secret is not None else None}
    )
    for month, book in BOOKS.items():
        store_scores(Platform(settings), month, book)
    return settings


@pytest.fixture
def file(tmp_path: Path) -> Place:
    target = tmp_path / "crm"

    def held() -> Held:
        (found,) = target.glob("*_scores.csv")
        with found.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert len({row["opportunity_id"] for row in rows}) == len(rows)
        return {
            row["opportunity_id"]: (
                row["status"],
                float(row["probability"]) if row["probability"] else None,
                row["score_month"],
            )
            for row in rows
        }

    return Place(settings_of(tmp_path, str(target)), lambda: shutil.rmtree(target, ignore_errors=True), held)


@pytest.fixture
def table(tmp_path: Path, postgres_server: PostgresServer) -> Place:
    database = postgres_server.new_database()

    def held() -> Held:
        rows = postgres_server.run("SELECT opportunity_id, status, probability, score_month FROM crm_scores", database)
        return {name: (status, probability, month) for name, status, probability, month in rows}

    def clear() -> None:
        postgres_server.run("DROP TABLE IF EXISTS crm_scores", database)

    return Place(
        settings_of(
            tmp_path,
            f"postgresql+psycopg2://127.0.0.1:{postgres_server.port}/{database}",
            f"postgres:{postgres_server.password}",
        ),
        clear,
        held,
    )


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Place]:
    with HTTPServer(host="127.0.0.1", port=0) as server:
        taking = Taking()
        server.expect_request(re.compile(".*")).respond_with_handler(taking)

        def held() -> Held:
            return {name: (row["status"], row["probability"], row["score_month"]) for name, row in taking.held.items()}

        yield Place(
            settings_of(tmp_path, f"http://127.0.0.1:{server.port}/scores", SECRET),
            taking.held.clear,
            held,
            taking.came,
        )


def survives(place: Place, every: int = 1) -> None:
    """Kill the command at steps of it, `every` apart: nothing is lost, and nothing known to be there is sent twice."""
    place.begin()
    whole = place.run(-1)
    assert whole.returncode == 0, whole.stderr
    assert place.held() == EXPECTED
    steps = int(whole.stdout.rpartition("steps ")[2])
    assert steps > 10
    for at in range(0, steps, every):
        place.begin()
        killed = place.run(at)
        assert killed.returncode == -signal.SIGKILL, (at, killed.stderr)
        there = place.held()
        known = place.known()
        assert {name: (*there[name][:2], "") for name in known} == known, at
        came = None if place.came is None else place.came.copy()
        again = deliver_month(place.settings, None, lambda _: True)
        assert place.held() == EXPECTED, at
        assert again.planned.month == LAST
        if place.came is not None and came is not None:
            sure = {name for name in came if name in known and known[name][:2] == EXPECTED[name][:2]}
            assert {name: place.came[name] for name in sure} == dict.fromkeys(sure, 1), at
            assert sum(count > 1 for count in place.came.values()) <= 500, "the batch it was killed in alone"
            assert place.came.keys() == {name for name, row in EXPECTED.items() if row[2] == str(LAST)}
        assert not deliver_month(place.settings, None, lambda _: True).planned.is_needed, at


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "table", "hook"])
def test_a_delivery_that_is_killed_is_ended_by_the_next(kind: str, request: pytest.FixtureRequest) -> None:
    survives(request.getfixturevalue(kind), every=5)


@pytest.mark.survival
@pytest.mark.parametrize("kind", ["file", "table", "hook"])
def test_a_delivery_that_is_killed_at_any_step_is_ended_by_the_next(kind: str, request: pytest.FixtureRequest) -> None:
    survives(request.getfixturevalue(kind))
