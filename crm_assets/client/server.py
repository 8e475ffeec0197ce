"""A running Dagster, through its GraphQL; nothing here loads Dagster."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, NoReturn, Self

from crm_assets.backfill_plan import Plan, Question
from crm_assets.calendar import Month, month_range
from crm_assets.client import documents
from crm_assets.client.backfill import Backfill, OnProgress, PastRun, Progress, State
from crm_assets.client.errors import (
    ClientError,
    CodeLocationError,
    NoRunError,
    NotDagsterError,
    RunCanceledError,
    RunFailedError,
    UnreachableError,
    WaitTimeoutError,
)
from crm_assets.client.graphql import LostAnswerError, Session
from crm_assets.client.platform import AnyMonth, AnyRun, Platform, question
from crm_assets.client.progress_bar import shown
from crm_assets.client.runs import (
    ASKED_TAG,
    JOB,
    LAUNCH_TAG,
    SENSOR,
    TOTAL_TAG,
    asked_key,
    error_kinds,
    state_of,
)
from crm_assets.defs.run_tags import (
    GOING_ON,
    ONLY_OUT_OF_DATE_TAG,
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    TRIGGER_TAG,
    Trigger,
    backfill_tags,
    process_of,
)
from crm_assets.errors import CrmAssetsError, SettingsError

if TYPE_CHECKING:
    from crm_assets.published import PublishedScores

_FIRST_POLL, _LONGEST_POLL = 0.2, 2.0
_LOADING_SECONDS = 120
_LOOKS, _SECONDS_BETWEEN_LOOKS = 10, 1.0
"""How often, after the answer to a launch was lost, Dagster is asked whether the run is there."""


@dataclass(frozen=True)
class _Location:
    """Where the project's job and sensor are in Dagster's workspace."""

    name: str
    repository: str


@dataclass
class _Run:
    """What is known of a run; further events are added to it."""

    run_id: str
    status: str = "QUEUED"
    tags: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    stored: set[tuple[str, str]] = field(default_factory=set)
    asset: str | None = None
    month: str | None = None
    faults: list[str] = field(default_factory=list)
    cursor: str | None = None

    @property
    def state(self) -> State:
        """Where it stands."""
        return state_of(self.status)

    @property
    def total(self) -> int:
        """Months of assets it stores in all."""
        return int(self.tags.get(TOTAL_TAG, len(self.stored)))

    @property
    def months(self) -> list[Month]:
        """Of its range."""
        first, last = self.tags.get(RANGE_START_TAG), self.tags.get(RANGE_END_TAG)
        return month_range(Month.parse(first), Month.parse(last)) if first and last else []

    def hear(self, event: dict[str, Any]) -> None:
        """Add an event of its log."""
        kind = event["__typename"]
        if kind == "MaterializationEvent" and event["assetKey"]:
            self.asset = "/".join(event["assetKey"]["path"])
            self.month = event["partition"]
            self.stored.add((self.asset, self.month or ""))
        elif kind == "AssetMaterializationPlannedEvent" and event["assetKey"]:
            path = event["assetKey"]["path"]
            self.steps["__".join(path)] = "/".join(path)
        elif kind == "ExecutionStepStartEvent":
            # Steps of checks are no asset's.
            self.asset = self.steps.get(event["stepKey"], self.asset)
        elif kind == "ExecutionStepFailureEvent" and event["error"]:
            self.faults.append(f"{event['stepKey']}: {_said(event['error'])}")
        elif kind == "RunFailureEvent" and not self.faults:
            self.faults.append(_said(event["error"]) if event["error"] else str(event["message"]))
        elif kind == "AssetCheckEvaluationEvent":
            found = event["evaluation"]
            if not found["success"] and found["severity"] == "ERROR":
                self.faults.insert(0, f"check {found['checkName']}: {found['description']}")


class ServerPlatform(Platform):
    """The deployment behind the web server of a running Dagster."""

    def __init__(
        self,
        url: str | None,
        *,
        headers: dict[str, str],
        location: str | None,
        lake: str | None,
        source: str | None,
        patience: float,
    ) -> None:
        self._lake, self._source = lake, source
        if url is None:
            from crm_assets.settings import load_settings

            url = load_settings().dagster_url
        self._session = Session(url, headers, patience)
        self.url = self._session.url
        self._location = self._find(location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the server."""
        self._session.close()

    def assets(self) -> tuple[str, ...]:
        """See Platform."""
        pipeline = {
            "pipelineName": JOB,
            "repositoryName": self._location.repository,
            "repositoryLocationName": self._location.name,
        }
        nodes = self._session.ask(documents.ASSETS, {"pipeline": pipeline})["assetNodes"]
        reads = {
            "/".join(node["assetKey"]["path"]): {"/".join(key["path"]) for key in node["dependencyKeys"]}
            for node in nodes
        }
        order = TopologicalSorter({name: (read & reads.keys()) - {name} for name, read in reads.items()})
        return tuple(order.static_order())

    def plan(
        self,
        assets: Sequence[str] | None = None,
        start: AnyMonth | None = None,
        end: AnyMonth | None = None,
        *,
        force: bool = False,
    ) -> Plan:
        """See Platform. The code location answers, with its own settings, from its own lake and source."""
        return self._plan(question(assets, start, end, force=force))

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
        if per_month and not wait:
            raise SettingsError("each month is started when the one before is done: per_month needs wait=True")
        deadline = None if timeout is None else time.monotonic() + timeout
        with shown(on_progress if wait else _nothing) as show:
            if going_on := self._going_on({ASKED_TAG: asked_key(asked)}):
                joined = replace(self.status(going_on), joined=True)
                if not wait:
                    return joined
                joined = self._follow(joined, show, deadline)
                if not per_month:
                    return joined
            plan = self._plan(asked)
            return self._run(asked, plan, show, deadline, per_month=per_month, wait=wait)

    def wait(self, backfill: AnyRun, timeout: float | None = None, on_progress: OnProgress | None = None) -> Backfill:
        """See Platform."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with shown(on_progress) as show:
            return self._follow(_handle(backfill), show, deadline)

    def status(self, backfill: AnyRun) -> Backfill:
        """See Platform."""
        found = _handle(backfill)
        if not found.run_ids:
            return found
        runs = [self._look(_Run(run_id)) for run_id in found.run_ids]
        return self._told(found, runs)

    def cancel(self, backfill: AnyRun, timeout: float = 60) -> Backfill:
        """See Platform."""
        found = self.status(backfill)
        if found.state.over:
            return found
        run_id, deadline = found.run_ids[-1], time.monotonic() + timeout
        carried_out = self._terminate(run_id, "SAFE_TERMINATE")
        while carried_out and not found.state.over and time.monotonic() < deadline:
            time.sleep(_FIRST_POLL)
            found = self.status(found)
        run = self._look(_Run(run_id))
        process = process_of(run_id, run.tags)
        if not run.state.over and process is not None and process.is_gone:
            self._terminate(run_id, "MARK_AS_CANCELED_IMMEDIATELY")
        found = self.status(found)
        if not found.state.over:
            raise WaitTimeoutError(
                f"run {run_id} stays {run.status}: {process.name if process else 'its process'} may still write, and "
                f"stops when the month of an asset that is being made is stored, or is marked by Dagster once it is "
                f"gone; its page is {self._page(run_id)}",
                found,
            )
        return found

    def recent_runs(self, limit: int = 20) -> tuple[PastRun, ...]:
        """The last runs of whatever job, newest first."""
        told = self._session.ask(documents.RECENT, {"limit": limit})["runsOrError"]
        if told["__typename"] != "Runs":
            raise ClientError(f"Dagster at {self.url} cannot list its runs: {told.get('message')}")
        return tuple(self._past(run) for run in told["results"])

    def _past(self, told: dict[str, Any]) -> PastRun:
        tags = {tag["key"]: tag["value"] for tag in told["tags"]}
        one = tags.get(PARTITION_TAG)
        found = (tags.get(RANGE_START_TAG, one), tags.get(RANGE_END_TAG, one))
        return PastRun(
            told["runId"],
            told["jobName"],
            state_of(told["status"]),
            tuple(month for month in found if month),
            tags.get(TRIGGER_TAG, str(Trigger.MANUAL)),
            told["creationTime"],
            told["startTime"],
            told["endTime"],
            self._page(told["runId"]),
        )

    def _terminate(self, run_id: str, policy: str) -> bool:
        """Ask Dagster to stop a run. Returns whether it could pass that on; whether the run stopped is asked later."""
        told = self._session.order(documents.TERMINATE, {"runId": run_id, "policy": policy})["terminateRun"]
        if told["__typename"] == "UnauthorizedError":
            raise ClientError(f"Dagster at {self.url} does not let you cancel runs: {told['message']}")
        return bool(told["__typename"] == "TerminateRunSuccess")

    def scores(self, as_of: str | None = None, *, sha256: str | None = None) -> PublishedScores:
        """See Platform."""
        from crm_assets.client.local import read_scores
        from crm_assets.settings import load_settings

        return read_scores(load_settings(lake_url=self._lake, source_url=self._source), as_of, sha256)

    def _find(self, wanted: str | None) -> _Location:
        """The code location that has the project's job and sensor, once it is loaded."""
        deadline = time.monotonic() + _LOADING_SECONDS
        while True:
            told = self._session.ask(documents.WORKSPACE)
            if "version" not in told:
                raise NotDagsterError(f"{self.url} is no Dagster: it does not tell its version; correct the address")
            workspace = told["workspaceOrError"]
            if workspace["__typename"] != "Workspace":
                raise CodeLocationError(f"Dagster at {self.url} has no workspace: {workspace.get('message')}")
            entries = [entry for entry in workspace["locationEntries"] if wanted in {None, entry["name"]}]
            if not any(entry["loadStatus"] == "LOADING" for entry in entries) or time.monotonic() > deadline:
                return self._chosen(entries, [entry["name"] for entry in workspace["locationEntries"]], wanted)
            time.sleep(_FIRST_POLL)

    def _chosen(self, entries: list[dict[str, Any]], names: list[str], wanted: str | None) -> _Location:
        found, broken = [], []
        for entry in entries:
            content = entry["locationOrLoadError"] or {"__typename": "nothing yet"}
            if content["__typename"] == "PythonError":
                broken.append(f"{entry['name']} failed to load: {content['message'].strip()}")
            for repository in content.get("repositories", []):
                jobs = {job["name"] for job in repository["jobs"]}
                sensors = {sensor["name"] for sensor in repository["sensors"]}
                if JOB in jobs and SENSOR in sensors:
                    found.append(_Location(entry["name"], repository["name"]))
        if len(found) == 1:
            return found[0]
        there = f"its code locations are {', '.join(names)}" if names else "it has no code location"
        if found:
            raise CodeLocationError(f"Dagster at {self.url} has crm-assets more than once ({there}): name a location")
        if wanted is not None and not entries:
            raise CodeLocationError(f"Dagster at {self.url} has no code location {wanted!r}: {there}")
        why = (
            "; ".join(broken) or f"{there}, none with a job {JOB!r} and a sensor {SENSOR!r}: is crm-assets up to date?"
        )
        raise CodeLocationError(f"Dagster at {self.url} has no crm-assets: {why}")

    def _plan(self, asked: Question) -> Plan:
        sensor = {
            "sensorName": SENSOR,
            "repositoryName": self._location.repository,
            "repositoryLocationName": self._location.name,
        }
        # A mutation by name, which changes nothing: it can be asked again.
        told = self._session.ask(documents.EVALUATE, {"sensor": sensor, "cursor": asked.to_json()})["sensorDryRun"]
        tick = told.get("evaluationResult") or {}
        wrong = tick.get("error") or (None if told["__typename"] == "DryRunInstigationTick" else told)
        if wrong:
            raise CodeLocationError(f"Dagster at {self.url} could not tell the plan: {str(wrong['message']).strip()}")
        answer = json.loads(tick["cursor"])
        if "plan" not in answer:
            _raise_told(answer.get("error") or {"message": f"the code location did not answer: {tick['skipReason']}"})
        return Plan.from_dict(answer["plan"])

    def _run(
        self,
        asked: Question,
        plan: Plan,
        show: OnProgress,
        deadline: float | None,
        *,
        per_month: bool,
        wait: bool,
    ) -> Backfill:
        ranges = [[month] for month in plan.months] if per_month else [plan.months] if plan else []
        found = Backfill(
            State.QUEUED if plan else State.UP_TO_DATE,
            (),
            total=len(plan.assets) * len(plan.months),
            months=tuple(map(str, plan.months)),
            plan=plan,
        )
        for months in ranges:
            run_id = self._launch(asked, plan.assets, months)
            found = replace(found, run_ids=(*found.run_ids, run_id), urls=(*found.urls, self._page(run_id)))
            if wait:
                found = self._follow(found, show, deadline)
        return found

    def _launch(self, asked: Question, assets: Sequence[str], months: list[Month]) -> str:
        """Launch a run, once. Returns its id."""
        launch = str(uuid.uuid4())
        tags = {
            ASKED_TAG: asked_key(asked),
            LAUNCH_TAG: launch,
            TOTAL_TAG: str(len(assets) * len(months)),
            ONLY_OUT_OF_DATE_TAG: "false" if asked.force else "true",
            **backfill_tags(months[0], months[-1], all_assets=asked.assets is None),
        }
        selector: dict[str, Any] = {
            "jobName": JOB,
            "repositoryName": self._location.repository,
            "repositoryLocationName": self._location.name,
        }
        if asked.assets is not None:
            selector["assetSelection"] = [{"path": name.split("/")} for name in assets]
        params = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        try:
            told = self._session.order(documents.LAUNCH, {"params": params})["launchRun"]
        except LostAnswerError as error:
            # Dagster may have launched it, or be about to: to launch another would make every month twice.
            return self._launched(launch, error)
        if told["__typename"] == "LaunchRunSuccess":
            return str(told["run"]["runId"])
        reasons = [found["message"] for found in told.get("errors", [])] or [str(told.get("message"))]
        raise ClientError(f"Dagster at {self.url} did not launch a run ({told['__typename']}): {'; '.join(reasons)}")

    def _launched(self, launch: str, error: LostAnswerError) -> str:
        """Id of the run of an attempt to launch whose answer was lost."""
        for _ in range(_LOOKS):
            if run_id := self._going_on({LAUNCH_TAG: launch}, statuses=None):
                return run_id
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        raise UnreachableError(
            f"{error}. The run was not launched as far as can be seen; the same call joins it if it was"
        ) from error

    def _going_on(self, tags: dict[str, str], statuses: Sequence[str] | None = GOING_ON) -> str | None:
        """Id of the newest run with these tags in one of the statuses; None when there is none."""
        wanted: dict[str, Any] = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        if statuses:
            wanted["statuses"] = statuses
        told = self._session.ask(documents.RUNS, {"filter": wanted})["runsOrError"]
        if told["__typename"] != "Runs":
            raise ClientError(f"Dagster at {self.url} cannot list its runs: {told.get('message')}")
        return str(told["results"][0]["runId"]) if told["results"] else None

    def _look(self, run: _Run) -> _Run:
        """The run with what has happened to it since it was last looked at."""
        more = True
        while more:
            told = self._session.ask(documents.RUN, {"runId": run.run_id, "after": run.cursor})["runOrError"]
            if told["__typename"] == "RunNotFoundError":
                raise NoRunError(f"Dagster at {self.url} has no run {run.run_id}: {told.get('message')}")
            if told["__typename"] != "Run":
                raise ClientError(f"Dagster at {self.url} has no run {run.run_id}: {told.get('message')}")
            run.status = told["status"]
            run.tags = {tag["key"]: tag["value"] for tag in told["tags"]}
            events = told["eventConnection"]
            for event in events["events"]:
                run.hear(event)
            run.cursor, more = events["cursor"], events["hasMore"]
        return run

    def _polls(self, run: _Run, deadline: float | None) -> Iterator[bool]:
        """Look at a run until it is over, with growing pauses; gives whether it is. Ends at the deadline."""
        pause = _FIRST_POLL
        while True:
            before = (run.status, len(run.stored))
            self._look(run)
            yield run.state.over
            if run.state.over or (deadline is not None and time.monotonic() >= deadline):
                return
            pause = _FIRST_POLL if (run.status, len(run.stored)) != before else min(pause * 1.5, _LONGEST_POLL)
            time.sleep(pause if deadline is None else max(min(pause, deadline - time.monotonic()), 0))

    def _follow(self, found: Backfill, show: OnProgress, deadline: float | None) -> Backfill:
        """Wait for the last run of a backfill, whose others are done."""
        if not found.run_ids:
            return found
        runs = [self._look(_Run(run_id)) for run_id in found.run_ids[:-1]]
        run = _Run(found.run_ids[-1])
        told: Progress | None = None
        try:
            for _ in self._polls(run, deadline):
                found = self._told(found, [*runs, run])
                now = Progress(found.done, found.total, run.month, run.asset, found.state)
                if now != told:
                    show(now)
                    told = now
        except UnreachableError as error:
            raise type(error)(
                f"{error}. Run {run.run_id} may go on without it: ask for its status when Dagster is back, or repeat "
                "the call, which goes on where it stopped"
            ) from error
        page = self._page(run.run_id)
        if run.state is State.FAILED:
            raise RunFailedError(f"run {run.run_id} failed: {found.reason}; its page is {page}", found)
        if run.state is State.CANCELED:
            raise RunCanceledError(
                f"run {run.run_id} was cancelled after {found.done} of {found.total}: the same call goes on where it "
                f"stopped; its page is {page}",
                found,
            )
        if not run.state.over:
            queue = "; it waits in the queue: does dagster-daemon run?" if run.state is State.QUEUED else ""
            raise WaitTimeoutError(
                f"run {run.run_id} is not done in time and goes on{queue}; its page is {page}", found
            )
        return found

    def _told(self, found: Backfill, runs: list[_Run]) -> Backfill:
        """The handle with what is known of its runs."""
        state, done = runs[-1].state, sum(len(run.stored) for run in runs)
        months = found.months or tuple(str(month) for run in runs for month in run.months)
        total = max(found.total, sum(run.total for run in runs))
        if state is State.DONE and runs[-1].months and months[-1] != str(runs[-1].months[-1]):
            # Further months are started when this one is done.
            state = State.RUNNING
        return replace(
            found,
            state=state,
            done=done,
            total=total,
            months=months,
            urls=tuple(self._page(run.run_id) for run in runs),
            reason=" | ".join(dict.fromkeys(runs[-1].faults)) or None if state is State.FAILED else None,
        )

    def _page(self, run_id: str) -> str:
        return f"{self.url}/runs/{run_id}"


def _handle(backfill: AnyRun) -> Backfill:
    return Backfill(State.QUEUED, (backfill,)) if isinstance(backfill, str) else backfill


def _nothing(_progress: Progress) -> None:
    """Nobody waits."""


def _said(error: dict[str, Any]) -> str:
    """The text of the error that is meant for people among an error and its causes; else its own."""
    chain = [error, *(link["error"] for link in error["errorChain"])]
    kinds = error_kinds()
    for link in chain:
        if link["className"] in kinds:
            # Python writes the module before the name of the class.
            return f"{link['className']}: {link['message'].partition(': ')[2].strip()}"
    return str(chain[-1]["message"]).strip()


def _raise_told(told: dict[str, Any]) -> NoReturn:
    """Raise the error that the code location told of, as what it was there."""
    kind = error_kinds().get(str(told.get("type")), CrmAssetsError)
    error = kind.__new__(kind)
    error.args = (str(told["message"]),)
    error.exit_code = int(told.get("exit_code", CodeLocationError.exit_code))
    raise error
