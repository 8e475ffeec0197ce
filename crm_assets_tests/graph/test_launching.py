"""What run monitoring is told of a run's process, for each answer of the code server."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import serialize_value

from crm_assets.defs import launching


class _Server:
    """A code server that runs some runs, or does not answer."""

    def __init__(self, running: list[str] | None) -> None:
        self.running = running
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **address: Any) -> _Server:
        self.asked.append(address)
        return self

    def get_current_runs(self) -> str:
        if self.running is None:
            raise DagsterUserCodeUnreachableError("no connection")
        return serialize_value(GetCurrentRunsResult(current_runs=self.running, serializable_error_info=None))


def _run(tags: dict[str, str]) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="monthly", run_id="11111111-1111-4111-8111-111111111111", tags=tags)


@pytest.mark.parametrize(
    ("running", "status"),
    [
        (["11111111-1111-4111-8111-111111111111"], WorkerStatus.RUNNING),
        (["22222222-2222-4222-8222-222222222222"], WorkerStatus.NOT_FOUND),
        ([], WorkerStatus.NOT_FOUND),
        (None, WorkerStatus.RUNNING),
    ],
    ids=["runs", "another runs", "restarted", "starting anew"],
)
def test_the_code_server_is_asked(
    running: list[str] | None, status: WorkerStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _Server(running)
    monkeypatch.setattr(launching, "DagsterGrpcClient", server)
    run = _run({GRPC_INFO_TAG: json.dumps({"host": "code", "port": 4000})})
    launcher = launching.WatchedRunLauncher()
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run).status == status
    assert server.asked == [{"host": "code", "port": 4000}]


def test_a_run_that_no_code_server_was_asked_for_is_left_alone() -> None:
    assert launching.WatchedRunLauncher().check_run_worker_health(_run({})).status == WorkerStatus.RUNNING
