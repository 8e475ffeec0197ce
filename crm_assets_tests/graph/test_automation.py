"""What automation conditions ask for, by ticks of Dagster's own evaluation over runs of the real graph's shape.

The assets are those of the declarations, with their needs, checks and conditions; what they store is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from crm_assets.defs.assets import ASSETS, dagster_asset
from crm_assets.defs.automation import conditions_sensor
from crm_assets.defs.checks import CHECKS, Verdict, asset_check
from crm_assets.defs.jobs import JOBS
from crm_assets.defs.run_tags import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG, TRIGGER_TAG

OPEN = dg.MonthlyPartitionsDefinition(start_date="2017-01", fmt="%Y-%m")
NOW = datetime(2017, 7, 3, 12, tzinfo=UTC)
NEWEST, BEFORE = "2017-06", "2017-05"
DERIVED = {asset.name for asset in ASSETS if not asset.source_fingerprint}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Nothing(dg.IOManager):
    """Stores nothing, and fails for what is broken; Dagster is told of the materialization all the same."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if context.asset_key.to_user_string() in self._graph.broken:
            raise ValueError("broken")

    def load_input(self, context: dg.InputContext) -> None: ...


class Graph:
    """The graph's shape on an instance, whose months are made and whose conditions are evaluated by hand."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.at_fault: set[str] = set()
        self.broken: set[str] = set()
        checks = [replace(check, verdict=self._verdict(check.name)) for check in CHECKS]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            assets = [dagster_asset(asset, OPEN) for asset in ASSETS]
        self.definitions = dg.Definitions(
            assets=assets,
            asset_checks=[asset_check(check) for check in checks],
            jobs=JOBS,
            sensors=[conditions_sensor(OPEN)],
            resources={"platform": dg.ResourceDefinition.hardcoded_resource(None), "lake_io": Nothing(self)},
            executor=dg.in_process_executor,
        )
        self._cursor: Any = None

    def _verdict(self, name: str) -> Any:
        return lambda *_: Verdict("at fault" if name in self.at_fault else None, {})

    def tick(self) -> dict[str, set[str]]:
        """Month -> names of the assets that are asked for."""
        result = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            asset_selection=dg.AssetSelection.all(),
            evaluation_time=NOW,
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        asked: dict[str, set[str]] = {}
        for asset in ASSETS:
            for month in result.get_requested_partitions(dg.AssetKey(asset.key)):
                asked.setdefault(str(month), set()).add(asset.name)
        return asked

    def job(self, name: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(name).execute_in_process(
            instance=self.instance, tags=tags, run_config=QUIET, raise_on_error=False
        )

    def monthly(self, month: str) -> None:
        assert self.job("monthly", {PARTITION_TAG: month}).success

    def by_hand(self, month: str, *names: str) -> dg.ExecuteInProcessResult:
        """As from an asset's page: the assets with their checks, in a run without tags of ours."""
        selection = dg.AssetSelection.assets(*(dg.AssetKey(name.split("/")) for name in names))
        job = dg.define_asset_job("by_hand", selection).resolve(asset_graph=self.definitions.resolve_asset_graph())
        return job.execute_in_process(
            instance=self.instance,
            tags={PARTITION_TAG: month},
            run_config=QUIET,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name.split("/")) for name in names],
        )


@pytest.fixture
def graph() -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(instance)


def below(*names: str) -> set[str]:
    """Everything that is made of these assets in the same month."""
    found: set[str] = set()
    for asset in ASSETS:
        needed = {needs.asset for needs in asset.needs if needs.last == 0}
        if needed & {*names, *found}:
            found.add(asset.name)
    return found


def test_a_run_that_makes_all_that_follows_leaves_nothing_to_ask_for(graph: Graph) -> None:
    graph.tick()
    graph.job("backfill", {RANGE_START_TAG: BEFORE, RANGE_END_TAG: NEWEST})
    assert graph.tick() == {}
    graph.job("drift", {PARTITION_TAG: NEWEST})
    assert graph.tick() == {}
    # Nor does one that failed: what it did not make fails again, or is for a person to start again.
    graph.broken = {"scores"}
    assert not graph.job("retrain", {PARTITION_TAG: NEWEST}).success
    assert graph.tick() == {}


def test_what_follows_from_an_asset_made_by_hand_is_asked_for_once(graph: Graph) -> None:
    graph.monthly(NEWEST)
    assert graph.tick() == {}
    assert graph.by_hand(NEWEST, "opportunity_features").success
    asked = graph.tick()
    assert asked == {NEWEST: below("opportunity_features")}
    assert {"win_model", "scores", "drift_report"} <= asked[NEWEST]
    assert graph.tick() == {}
    assert graph.by_hand(NEWEST, *asked[NEWEST]).success
    assert graph.tick() == {}
    # Of an earlier month nothing follows by itself, not even in the newest one, which reads it.
    assert graph.by_hand(BEFORE, "opportunity_features").success
    assert graph.tick() == {}


def test_a_blocking_check_holds_back_what_follows_until_it_passes(graph: Graph) -> None:
    graph.monthly(NEWEST)
    graph.tick()
    graph.at_fault = {"below_limit"}
    graph.by_hand(NEWEST, "quarantined_opportunities")
    assert graph.tick() == {}
    graph.at_fault = set()
    graph.by_hand(NEWEST, "quarantined_opportunities")
    assert graph.tick() == {NEWEST: below("quarantined_opportunities")}


@pytest.mark.parametrize(
    "tags", [{PARTITION_TAG: NEWEST}, {RANGE_START_TAG: BEFORE, RANGE_END_TAG: NEWEST}], ids=["month", "range"]
)
def test_what_a_run_is_about_to_make_is_not_asked_for(graph: Graph, tags: dict[str, str]) -> None:
    graph.monthly(NEWEST)
    graph.tick()
    graph.by_hand(NEWEST, "opportunity_features")
    job = graph.definitions.resolve_job_def("backfill")
    started = graph.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTING)
    assert graph.tick() == {}
    # It looked at no check, so none has passed since: what follows waits until they have.
    graph.instance.report_run_canceled(started)
    assert graph.tick() == {}
    graph.by_hand(NEWEST, *{asset.name for asset in ASSETS} - below("opportunity_features"))
    assert {"win_model", "scores"} <= graph.tick()[NEWEST]


def test_what_the_newest_month_lacks_is_asked_for_unless_it_failed(graph: Graph) -> None:
    graph.monthly(BEFORE)
    graph.tick()
    made = {asset.name for asset in ASSETS} - below("opportunity_features")
    assert graph.by_hand(NEWEST, *made).success
    asked = graph.tick()
    assert asked == {NEWEST: below("opportunity_features")}
    graph.broken = {"win_model"}
    assert not graph.by_hand(NEWEST, *asked[NEWEST]).success
    assert graph.tick() == {}
    graph.broken = set()
    assert graph.by_hand(NEWEST, "win_model").success
    assert "scores" in graph.tick()[NEWEST]


def test_the_tables_of_the_source_have_no_condition_and_all_others_have_both(graph: Graph) -> None:
    specs = {spec.key.to_user_string(): spec for spec in graph.definitions.resolve_all_asset_specs()}
    assert {name for name, spec in specs.items() if spec.automation_condition} == DERIVED
    for name in DERIVED:
        condition = specs[name].automation_condition
        assert condition is not None
        assert [part.get_label() for part in condition.children] == ["after_inputs_changed", "missing_of_newest_month"]


def test_they_are_evaluated_by_themselves_where_further_months_are_expected() -> None:
    ended = dg.MonthlyPartitionsDefinition(start_date="2017-01", end_date="2017-07", fmt="%Y-%m")
    assert conditions_sensor(OPEN).default_status is dg.DefaultSensorStatus.RUNNING
    assert conditions_sensor(ended).default_status is dg.DefaultSensorStatus.STOPPED
    assert conditions_sensor(OPEN).run_tags[TRIGGER_TAG] == "condition"
