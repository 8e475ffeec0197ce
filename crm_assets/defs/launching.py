"""How a run is started on a code server, and how the daemon learns that its process is gone."""

from __future__ import annotations

import json

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Starts each run as a process of its code server, and knows when that server does not run it any more.

    Dagster's own launcher cannot be asked. With it a run whose code server was killed or replaced is in progress until
    `run_monitoring.max_runtime_seconds` have passed, and what waits for it is not started. Named in `dagster.yaml`
    under `run_launcher`, with `run_monitoring` turned on. For code servers that keep their address over a restart.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: run monitoring asks `check_run_worker_health` about each run that has started."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the code server that the run was started on still runs it.

        A server that does not answer may be starting anew; its runs are taken for alive until it has been asked.
        """
        address = run.tags.get(GRPC_INFO_TAG)
        if address is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "started by no code server")
        client = DagsterGrpcClient(**json.loads(address))
        try:
            running = deserialize_value(client.get_current_runs(), GetCurrentRunsResult).current_runs
        except DagsterUserCodeUnreachableError as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"the code server does not answer: {error}")
        if run.run_id in running:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server was restarted and no longer runs it")
