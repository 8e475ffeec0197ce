"""Runs that are queued at once, a few of them; `python -m crm_assets_tests.benchmarks queue` takes 200."""

from __future__ import annotations

import pytest

from crm_assets_tests.benchmarks.run_queue import queued
from crm_assets_tests.integration.postgres_server import required_programs
from crm_assets_tests.survival.restarted_postgres import restarted_postgres

pytestmark = pytest.mark.survival
RUNS = 10


def test_none_is_lost_on_sqlite() -> None:
    told = queued(RUNS, 4)
    assert (told["asked_for"], told["succeeded"], told["lock_errors"]) == (RUNS, RUNS, 0), told


def test_none_is_lost_on_postgresql() -> None:
    with restarted_postgres(required_programs()) as server:
        told = queued(RUNS, 4, server.url)
    assert (told["asked_for"], told["succeeded"], told["lock_errors"]) == (RUNS, RUNS, 0), told
