"""A deployment in this process: Dagster runs here, in its own home, without a server."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from crm_assets.backfill_plan import Plan, Question, check_months
from crm_assets.calendar import Month, month_range
from crm_assets.client.backfill import Backfill, OnProgress, Progress, State
from crm_assets.client.errors import ClientError, RunCanceledError, RunFailedError, WaitTimeoutError
from crm_assets.client.platform import AnyMonth, AnyRun, Platform, question
from crm_assets.client.progress_bar import shown
from crm_assets.client.runs import (
    ASKED_TAG,
    TOTAL_TAG,
    asked_key,
    state_of,
)
from crm_assets.defs.run_tags import ONLY_OUT_OF_DATE_TAG, RANGE_END_TAG, RANGE_START_TAG, backfill_tags, process_of
from crm_assets.errors import CrmAssetsError
from crm_assets.settings import Settings

if TYPE_CHECKING:
    from crm_assets.defs.platform import Platform as Deployment
    from crm_assets.published import PublishedScores


_CANCELED = "Cancelled through crm_assets.client"


@dataclass
class _Task:
    """A backfill of this process as it goes on."""

    backfill: Backfill
    running: str = ""
    asset: str | None = None
    month: str | None = None
    error: BaseException | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self.backfill.done, self.backfill.total, self.month, self.asset, self.backfill.state)

    def update(self, state: State, reason: str | None = None) -> None:
        """Write down a new state."""
        with self.changed:
            self.backfill = replace(self.backfill, state=state, reason=reason)
            self.changed.notify_all()

    def stored(self, asset: str, month: Month) -> None:
        """Count a month of an asset."""
        with self.changed:
            self.backfill = replace(self.backfill, done=self.backfill.done + 1)
            self.asset, self.month = asset, str(month)
            self.changed.notify_all()


class LocalPlatform(Platform):
    """The deployment of `settings` in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: dict[str, _Task] = {}

    def assets(self) -> tuple[str, ...]:
        """See Platform."""
        from crm_assets.defs.assets import ASSETS

        return tuple(asset.name for asset in ASSETS)

    def plan(
        self,
        assets: Sequence[str] | None = None,
        start: AnyMonth | None = None,
        end: AnyMonth | None = None,
        *,
        force: bool = False,
    ) -> Plan:
        """See Platform."""
        return self._plan(self._deployment(), question(assets, start, end, force=force))

    def backfill(
        self,
        assets: Sequence[str] | None = None,
        start: AnyMonth | None = None,
        end: AnyMonth | None = None,
        *,
        per_month: bool = False,
        force: bool = False,
        on_progress: OnProgress | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Backfill:
        """See Platform."""
        asked = question(assets, start, end, force=force)
        going_on = [task for key, task in self._tasks.items() if not task.over.is_set() and key == asked_key(asked)]
        task = going_on[0] if going_on else self._begin(asked, per_month=per_month)
        if going_on:
            task.backfill = replace(task.backfill, joined=True)
        if not wait:
            return task.backfill
        try:
            return self._wait(task, timeout, on_progress)
        except WaitTimeoutError:
            raise
        except BaseException:
            # Who interrupts the call that runs it, means the run; it stops between two months.
            task.stop.set()
            task.over.wait()
            raise

    def wait(self, backfill: AnyRun, timeout: float | None = None, on_progress: OnProgress | None = None) -> Backfill:
        """See Platform."""
        task = self._task(backfill)
        if task is not None:
            return self._wait(task, timeout, on_progress)
        found = self.status(backfill)
        if not found.state.over:
            raise ClientError(f"run {found.run_ids[-1]} was not started by this object: wait where it was started")
        return _ended(found)

    def status(self, backfill: AnyRun) -> Backfill:
        """See Platform."""
        if isinstance(backfill, Backfill) and not backfill.run_ids:
            return backfill
        task = self._task(backfill)
        return task.backfill if task is not None else self._recorded(_last_run(backfill))

    def cancel(self, backfill: AnyRun, timeout: float = 60) -> Backfill:
        """See Platform."""
        task = self._task(backfill)
        if task is None:
            found = self.status(backfill)
            if not found.state.over:
                self._write_down(found.run_ids[-1])
            return self.status(backfill)
        task.stop.set()
        if not task.over.wait(timeout):
            raise WaitTimeoutError(
                f"the backfill stops when the month of an asset that is being made is stored, which is not so after "
                f"{timeout:g} s: wait for it",
                task.backfill,
            )
        return task.backfill

    def scores(self, as_of: str | None = None, *, sha256: str | None = None) -> PublishedScores:
        """See Platform."""
        return read_scores(self._settings, as_of, sha256)

    def _deployment(self) -> Deployment:
        from crm_assets.defs.platform import Platform as Deployment

        # Anew each time, for source and lake may have changed since.
        return Deployment(self._settings)

    def _plan(self, deployment: Deployment, asked: Question) -> Plan:
        from crm_assets.defs.planning import planned

        held = [str(month) for month in deployment.source.months()]
        check_months(asked.months, held, deployment.source.url)
        return planned(deployment, asked)

    def _begin(self, asked: Question, *, per_month: bool) -> _Task:
        from crm_assets.run import recovering

        deployment = self._deployment()
        plan = self._plan(deployment, asked)
        ranges = [[month] for month in plan.months] if per_month else [plan.months] if plan else []
        task = _Task(
            Backfill(
                State.RUNNING if plan else State.UP_TO_DATE,
                tuple(str(uuid.uuid4()) for _ in ranges),
                total=len(plan.assets) * len(plan.months),
                months=tuple(map(str, plan.months)),
                plan=plan,
            )
        )
        if not plan:
            # A run that was killed may have left something to finish all the same.
            with recovering(deployment):
                pass
            task.over.set()
            return task
        self._tasks = {key: kept for key, kept in self._tasks.items() if not kept.over.is_set()}
        self._tasks[asked_key(asked)] = task
        thread = threading.Thread(
            target=self._run, args=(task, deployment, asked, ranges), name=f"backfill {task.backfill.run_ids[0]}"
        )
        thread.start()
        return task

    def _run(self, task: _Task, deployment: Deployment, asked: Question, ranges: list[list[Month]]) -> None:
        from crm_assets.run import make_range, recovering

        plan = task.backfill.plan
        assert plan is not None

        def heard(asset: str, month: Month) -> None:
            task.stored(asset, month)
            if task.stop.is_set():
                self._announce(task.running)
                raise _interruption()

        deployment.listen(heard)
        tags = {
            ASKED_TAG: asked_key(asked),
            ONLY_OUT_OF_DATE_TAG: "false" if asked.force else "true",
        }
        assets = None if asked.assets is None else plan.assets
        try:
            with recovering(deployment):
                for run_id, months in zip(task.backfill.run_ids, ranges, strict=True):
                    total = {TOTAL_TAG: str(len(plan.assets) * len(months))}
                    task.running = run_id
                    of_run = tags | total | backfill_tags(months[0], months[-1], all_assets=assets is None)
                    make_range(deployment, months, assets=assets, tags=of_run, run_id=run_id)
            task.update(State.DONE)
        except BaseException as error:
            task.error = error
            canceled = task.stop.is_set()
            task.update(State.CANCELED if canceled else State.FAILED, "cancelled" if canceled else str(error))
        finally:
            task.over.set()
            with task.changed:
                task.changed.notify_all()

    def _wait(self, task: _Task, timeout: float | None, on_progress: OnProgress | None) -> Backfill:
        deadline = None if timeout is None else time.monotonic() + timeout
        with shown(on_progress) as show:
            told: Progress | None = None
            while True:
                with task.changed:
                    left = None if deadline is None else max(deadline - time.monotonic(), 0)
                    now, over = task.progress, task.over.is_set()
                    if now == told and not over:
                        if left == 0:
                            break
                        task.changed.wait(left)
                        continue
                # Outside the lock, so that a slow listener does not hold the run up.
                if now != told:
                    show(now)
                    told = now
                if over:
                    break
        if not task.over.is_set():
            raise WaitTimeoutError(f"the backfill is not done after {timeout:g} s and goes on", task.backfill)
        if isinstance(task.error, CrmAssetsError) or (task.error is not None and task.backfill.state is State.FAILED):
            raise task.error
        return _ended(task.backfill)

    def _task(self, backfill: AnyRun) -> _Task | None:
        """The backfill as this object runs or ran it; None of others."""
        wanted = {backfill} if isinstance(backfill, str) else set(backfill.run_ids)
        for task in self._tasks.values():
            if wanted & set(task.backfill.run_ids):
                return task
        return None

    def _recorded(self, run_id: str) -> Backfill:
        """What Dagster's home tells about a run."""
        import dagster as dg

        from crm_assets.dagster_home import home_of, open_instance

        with open_instance(self._settings) as instance:
            run = instance.get_run_by_id(run_id)
            if run is None:
                home = home_of(self._settings)
                raise ClientError(f"there is no run {run_id} in {home}: see CRM_HOME and DAGSTER_HOME")
            records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
            events = [record.event_log_entry.dagster_event for record in records]
        stored = {(event.asset_key, event.partition) for event in events if event is not None}
        first, last = run.tags.get(RANGE_START_TAG), run.tags.get(RANGE_END_TAG)
        months = month_range(Month.parse(first), Month.parse(last)) if first and last else []
        return Backfill(
            state_of(run.status.value),
            (run_id,),
            len(stored),
            int(run.tags.get(TOTAL_TAG, len(stored))),
            tuple(map(str, months)),
        )

    def _announce(self, run_id: str) -> None:
        """Tell Dagster that a run is to be cancelled: what then interrupts it is no failure to it."""
        from crm_assets.dagster_home import open_instance

        with open_instance(self._settings) as instance:
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                instance.report_run_canceling(run, _CANCELED)

    def _write_down(self, run_id: str) -> None:
        """Write down as cancelled a run that no process executes. Raises ClientError when one does or may."""
        import dagster as dg

        from crm_assets.dagster_home import open_instance

        with open_instance(self._settings) as instance:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return
            process = process_of(run_id, run.tags)
            if process is None and run.status is not dg.DagsterRunStatus.QUEUED:
                raise ClientError(f"run {run_id} goes on, and which process executes it is not known: cancel it there")
            if process is not None and not process.is_gone:
                raise ClientError(
                    f"run {run_id} is executed by {process.name}, which is not known to have ended: cancel it "
                    "there, or end that process and call again"
                )
            instance.report_run_canceled(run, _CANCELED)


def read_scores(settings: Settings, as_of: str | None, sha256: str | None) -> PublishedScores:
    """The scores of `Platform.scores`, from the lake of `settings`."""
    from crm_assets.published import check_model, published

    found = published(settings, Month.parse(as_of) if as_of else None, sha256)
    check_model(settings, found)
    return found


def _last_run(backfill: AnyRun) -> str:
    return backfill if isinstance(backfill, str) else backfill.run_ids[-1]


def _ended(found: Backfill) -> Backfill:
    """The backfill, if it was done. Raises RunCanceledError or RunFailedError otherwise."""
    if found.state is State.CANCELED:
        raise RunCanceledError(f"the backfill was cancelled: {found}; the same call goes on where it stopped", found)
    if found.state is State.FAILED:
        raise RunFailedError(f"the backfill failed: {found}", found)
    return found


def _interruption() -> BaseException:
    """What Dagster takes for the wish to stop, and not for a fault of the asset."""
    from dagster._core.errors import DagsterExecutionInterruptedError

    return DagsterExecutionInterruptedError("cancelled through crm_assets.client")
