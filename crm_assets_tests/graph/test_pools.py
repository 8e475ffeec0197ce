"""That two runs never write to the lake at once, by iterations of Dagster's own daemon over runs that are queued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from crm_assets.dagster_home import dagster_home, limit_pools
from crm_assets.settings import load_settings
from crm_assets_tests.graph.conftest import cleared

# Dagster looks at deprecated properties of its own when it describes a code location.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")

QUEUED, STARTING = dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING

# Runs are noted as launched and none is executed.
_NO_LAUNCH = """
run_launcher:
  module: dagster._core.test_utils
  class: MockedRunLauncher
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkspaceProcessContext]:
    """The code location of the simulator on an instance as `crm-assets run` and `make dev` configure it."""
    with cleared():
        home = dagster_home(load_settings(home=tmp_path))
    with (home / "dagster.yaml").open("a") as configuration:
        configuration.write(_NO_LAUNCH)
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="crm_assets.definitions"))
    with cleared(), dg.DagsterInstance.from_config(str(home)) as instance:
        limit_pools(instance)
        target = InProcessWorkspaceLoadTarget(origin)
        with create_test_daemon_workspace_context(target, instance) as context:
            yield context


class Queue:
    """Dagster's queue of runs."""

    def __init__(self, workspace: WorkspaceProcessContext) -> None:
        self._workspace = workspace
        self.instance = workspace.instance
        self._daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

    def submit(self, job: str, month: str) -> str:
        """Queue a run of a job as a sensor does; its id."""
        request = self._workspace.create_request_context()
        (location,) = request.code_locations
        repository = location.get_repository("__repository__")
        remote = repository.get_full_job(job)
        tags = {**remote.tags, "dagster/partition": month}
        plan = location.get_execution_plan(remote, {}, step_keys_to_execute=None, known_state=None)
        run = self.instance.create_run(
            job_name=job,
            run_id=None,
            run_config={},
            resolved_op_selection=None,
            step_keys_to_execute=None,
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags=tags,
            root_run_id=None,
            parent_run_id=None,
            job_snapshot=remote.job_snapshot,
            execution_plan_snapshot=plan.execution_plan_snapshot,
            parent_job_snapshot=None,
            remote_job_origin=remote.get_remote_origin(),
            job_code_origin=remote.get_python_origin(),
            asset_selection=None,
            asset_check_selection=None,
            op_selection=None,
            asset_graph=repository.asset_graph,
        )
        self.instance.submit_run(run.run_id, request)
        return run.run_id

    def iterate(self) -> None:
        """What the daemon does every few seconds."""
        list(self._daemon.run_iteration(self._workspace))

    def status(self, run: str) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run)
        assert found is not None
        return found.status

    def end(self, run: str) -> None:
        found = self.instance.get_run_by_id(run)
        assert found is not None
        self.instance.report_run_failed(found)


def test_of_runs_that_write_to_the_lake_one_goes_on_and_the_others_wait(workspace: WorkspaceProcessContext) -> None:
    queue = Queue(workspace)
    first, second = queue.submit("monthly", "2017-05"), queue.submit("retrain", "2017-06")
    reports = queue.submit("drift", "2017-05")
    queue.iterate()
    assert [queue.status(run) for run in (first, second, reports)] == [STARTING, QUEUED, QUEUED]
    queue.iterate()
    assert [queue.status(run) for run in (second, reports)] == [QUEUED, QUEUED]
    queue.end(first)
    queue.iterate()
    assert [queue.status(run) for run in (second, reports)] == [STARTING, QUEUED]


def test_a_limit_that_a_person_set_stays(workspace: WorkspaceProcessContext) -> None:
    storage = workspace.instance.event_log_storage
    storage.set_concurrency_slots("lake", 2)
    limit_pools(workspace.instance)
    assert {pool.name: pool.limit for pool in storage.get_pool_limits()} == {"lake": 2}
