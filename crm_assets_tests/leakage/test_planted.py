"""Every planted leak is caught and named; the honest build passes everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.leakage import probed_columns
from crm_assets.leakage.finding import Finding, Probe, faults_of, report
from crm_assets.leakage.gate import feature_findings, outcome_findings
from crm_assets.leakage.rebuild import Rebuild, Rebuilt, rebuilt
from crm_assets.leakage.training import training_findings
from crm_assets.leakage.whole_history import history_findings
from crm_assets.leakage.worlds import World
from crm_assets.modelling.backtest import RollingOrigin
from crm_assets.modelling.candidate import Known, TrainingHistory
from crm_assets_tests.leakage.planted import (
    AGES,
    LEAKY_FEATURES,
    LEAKY_TRAININGS,
    encoded_on_all_months,
    future_close_value,
    honest_training,
    platform_training,
    with_column,
)
from crm_assets_tests.leakage.rows import different_business, history_and_outcomes, outcomes_between

SOURCES = ("extract_worlds", "history_worlds", "late_worlds", "real_worlds")
READ = ["age_days", "sales_agent"]


def failed(findings: list[Finding]) -> list[tuple[Probe, str, str]]:
    return [(found.probe, found.table, found.column) for found in findings if found.failed]


@pytest.mark.parametrize("leak", LEAKY_FEATURES)
@pytest.mark.parametrize("source", ["late_worlds", "real_worlds"])
@pytest.mark.parametrize("month", [Month(2017, 4), Month(2017, 9)], ids=str)
def test_a_leaky_feature_is_caught_and_named(
    request: pytest.FixtureRequest, source: str, leak: str, month: Month
) -> None:
    worlds: list[World] = request.getfixturevalue(source)
    world = next(world for world in worlds if world.month == month)
    rebuild, column = LEAKY_FEATURES[leak]
    findings = feature_findings(world, seed=7, rebuild=rebuild)
    assert {(table, name) for _, table, name in failed(findings)} == {("opportunity_features", column)}
    assert Probe.ANOTHER_FUTURE in {probe for probe, _, _ in failed(findings)}
    (told, *_) = faults_of(report(findings, str(month)))
    assert told.startswith(f"opportunity_features.{column} of {month} fails the probe ")


def changes_of_stage_in_all(world: World) -> Rebuilt:
    """How often the stage changes, in the whole history and not in that until the month-end."""
    events = world.tables["opportunity_history"].filter(pl.col("field") == "deal_stage")
    counts = events.group_by(opportunity_id="object_id").agg(stage_changes=pl.len())
    return with_column(rebuilt(world), "stage_changes", counts, ["opportunity_id"])


def changes_of_stage_by_their_day(world: World) -> Rebuilt:
    """How often the stage had changed by the month-end, whether that was recorded by then or not."""
    by_then = (pl.col("field") == "deal_stage") & (pl.col("changed_at") <= world.month.end)
    counts = world.tables["opportunity_history"].filter(by_then).group_by("object_id").agg(changes=pl.len())
    agents = world.tables["opportunity_history"].filter(pl.col("field") == "sales_agent")
    of_agents = agents.join(counts, on="object_id").group_by(sales_agent="new_value")
    return with_column(rebuilt(world), "agent_changes", of_agents.agg(agent_changes=pl.sum("changes")), ["sales_agent"])


@pytest.mark.parametrize(
    ("rebuild", "column"),
    [(changes_of_stage_in_all, "stage_changes"), (changes_of_stage_by_their_day, "agent_changes")],
)
def test_a_feature_that_reads_later_records_is_caught(
    history_worlds: list[World], rebuild: Rebuild, column: str
) -> None:
    """Also one that mistakes the clock of what happened for that of what was known."""
    world = next(world for world in history_worlds if world.month == Month(2017, 9))
    findings = feature_findings(world, seed=7, rebuild=rebuild)
    assert {(probe, name) for probe, _, name in failed(findings)} >= {(Probe.ANOTHER_FUTURE, column)}
    assert {name for _, _, name in failed(findings)} == {column}


def test_a_feature_that_is_stored_otherwise_than_defined_is_caught(late_worlds: list[World]) -> None:
    """As when an asset adds a column that the definitions do not know, or changes one."""
    world = late_worlds[8]
    stored = rebuilt(world).features
    assert failed(feature_findings(world, stored, seed=7)) == []
    age = stored["age_days"].scatter(3, stored["age_days"][3] + 1)
    assert failed(feature_findings(world, stored.with_columns(age), seed=7)) == [
        (Probe.STORED, "opportunity_features", "age_days")
    ]
    assert failed(feature_findings(world, stored[1:], seed=7)) == [(Probe.STORED, "opportunity_features", "*")]


GUILTY = {
    "deals of the last month": "training deals",
    "final outcomes of deals": "training deals",
    "recalibrated on all outcomes": "outcome",
    "chosen on all months": "outcome",
}
"""Leak -> what of later months is changed when the scores are."""


@pytest.mark.parametrize("leak", LEAKY_TRAININGS)
@pytest.mark.parametrize("source", ["extract_worlds", "late_worlds", "real_worlds"])
def test_a_leaky_training_is_caught(request: pytest.FixtureRequest, source: str, leak: str) -> None:
    history, outcomes = history_and_outcomes(request.getfixturevalue(source))
    train, month = LEAKY_TRAININGS[leak], Month(2017, 9)
    findings = training_findings(train(history), train, history, outcomes, month, features=READ, seed=7)
    assert Probe.LATER_ROWS in {probe for probe, _, _ in failed(findings)}
    if leak in {"random split across months", "outcomes that had not matured"}:
        assert {Probe.CUT_OFF, Probe.BOTH_SIDES} <= {probe for probe, _, _ in failed(findings)}
    if leak == "deals of the last month":
        assert (Probe.CUT_OFF, "training deals", "as_of") in failed(findings)
    if leak in GUILTY:
        (told,) = [found.detail for found in findings if found.failed and found.table == "scores"]
        assert GUILTY[leak] in told.partition("the training reads ")[2]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("month", [Month(2017, 6), Month(2017, 9), Month(2017, 12)], ids=str)
def test_an_honest_training_passes(request: pytest.FixtureRequest, source: str, month: Month) -> None:
    history, outcomes = history_and_outcomes(request.getfixturevalue(source))
    train = honest_training
    findings = training_findings(train(history), train, history, outcomes, month, features=READ, seed=7)
    assert failed(findings) == []
    assert {found.probe for found in findings} == {Probe.CUT_OFF, Probe.BOTH_SIDES, Probe.LATER_ROWS}


@pytest.mark.parametrize("source", SOURCES)
def test_the_training_of_the_platform_passes(request: pytest.FixtureRequest, source: str) -> None:
    """The blend, the hazard model and the trees, and the choice among them."""
    history, outcomes = history_and_outcomes(request.getfixturevalue(source))
    train, month = platform_training, Month(2017, 9)
    findings = training_findings(train(history), train, history, outcomes, month, features=probed_columns(), seed=7)
    assert failed(findings) == []
    assert {(found.probe, found.table) for found in findings} == {
        (Probe.CUT_OFF, "training rows"),
        (Probe.CUT_OFF, "training deals"),
        (Probe.BOTH_SIDES, "training rows"),
        (Probe.LATER_ROWS, "scores"),
        (Probe.LATER_ROWS, "backtest_predictions"),
    }


@pytest.mark.parametrize("source", SOURCES)
def test_the_platform_scores_alike_in_other_worlds(request: pytest.FixtureRequest, source: str) -> None:
    """With the models that the platform trains, over five months of it."""
    worlds: list[World] = request.getfixturevalue(source)
    start = [world.month for world in worlds].index(Month(2017, 4))
    some = worlds[start : start + 5]
    findings = list(history_findings(some, platform_training, features=probed_columns(), seed=7))
    assert failed(findings) == []
    assert [found.probe for found in findings if "trained anew" in found.detail] == [
        Probe.TRUNCATION,
        Probe.ANOTHER_FUTURE,
        Probe.IRRELEVANCE,
    ]


def test_a_deal_closed_after_the_month_is_named(late_worlds: list[World]) -> None:
    """One among thousands."""
    history, outcomes = history_and_outcomes(late_worlds)

    class OneLater(RollingOrigin):
        def known(self, month: Month) -> Known:
            known = super().known(month)
            first = np.arange(len(known.deals)) == int(np.flatnonzero(~known.deals.is_closed)[0])
            late = np.where(first, known.deals.as_of + 1, known.deals.closed)
            return replace(known, deals=replace(known.deals, closed=late))

    def train(history: TrainingHistory) -> RollingOrigin:
        return OneLater(history, [AGES], min_wins=10)

    findings = training_findings(train(history), train, history, outcomes, Month(2017, 9), features=READ, seed=7)
    assert failed(findings) == [(Probe.CUT_OFF, "training deals", "close_date")]
    (told,) = [found.detail for found in findings if found.failed]
    assert told.startswith("1 of ")
    assert "dated after 2017-09" in told


def test_outcomes_that_were_changed_are_caught(late_worlds: list[World]) -> None:
    history, outcomes = history_and_outcomes(late_worlds)
    rows = history.rows
    first = rows.index[(rows["snapshot_month"] == "2017-05") & (rows["outcome"] == "open")][0]
    changed = replace(history, rows=rows.assign(outcome=rows["outcome"].where(rows.index != first, "won")))
    findings = training_findings(
        honest_training(changed), honest_training, changed, outcomes, Month(2017, 9), features=READ, seed=7
    )
    assert [(found.probe, found.column, found.rows) for found in findings if found.failed] == [
        (Probe.CUT_OFF, "outcome", 1)
    ]


def test_final_outcomes_taken_for_those_of_the_next_month_are_caught(late_worlds: list[World]) -> None:
    """Stored as outcomes, too, so that the training agrees with the table."""
    history, outcomes = history_and_outcomes(late_worlds)
    final = rebuilt(late_worlds[-1]).snapshots.select("opportunity_id", "deal_stage", "close_date").to_pandas()
    stages = final.set_index("opportunity_id")
    told = outcomes["opportunity_id"].map(stages["deal_stage"]).map({"Won": "won", "Lost": "lost"}).fillna("open")
    stored = outcomes.assign(outcome=told, close_date=outcomes["opportunity_id"].map(stages["close_date"]))
    keys = ["opportunity_id", "snapshot_month"]
    rows = history.rows.drop(columns="outcome").merge(stored[[*keys, "outcome"]], on=keys, how="left")
    labelled = replace(history, rows=rows)
    findings = training_findings(
        honest_training(labelled), honest_training, labelled, stored, Month(2017, 9), features=READ, seed=7
    )
    assert (Probe.CUT_OFF, "training rows", "close_date") in failed(findings)


def test_later_rows_that_are_read_are_named(late_worlds: list[World]) -> None:
    history, outcomes = history_and_outcomes(late_worlds)
    train = LEAKY_TRAININGS["scaler fitted on all months"]
    findings = training_findings(train(history), train, history, outcomes, Month(2017, 9), features=READ, seed=7)
    assert (Probe.LATER_ROWS, "scores", "age_days") in failed(findings)


@pytest.mark.parametrize("honest", ["product", "agent", "age"])
@pytest.mark.parametrize("month", [Month(2017, 6), Month(2017, 10)], ids=str)
def test_a_business_with_honest_differences_passes(honest: str, month: Month) -> None:
    """Where products or agents differ in speed, or old deals are lost, single features tell much, and honestly."""
    history = [rebuilt(world) for world in different_business(honest, (month, month.next))]
    matured = outcomes_between(history[0], history[1])
    findings = outcome_findings(history[0].features, history[0].closings, matured)
    assert len(findings) > 60
    assert failed(findings) == []


def test_a_feature_that_was_looked_into_passes(late_worlds: list[World]) -> None:
    world, after = late_worlds[10], late_worlds[11]
    made = future_close_value(world)
    matured = outcomes_between(made, rebuilt(after))
    assert {name for _, _, name in failed(outcome_findings(made.features, made.closings, matured))} == {"close_value"}
    assert failed(outcome_findings(made.features, made.closings, matured, understood=["close_value"])) == []


@pytest.mark.parametrize("source", SOURCES)
def test_the_honest_build_passes_everything(request: pytest.FixtureRequest, source: str) -> None:
    worlds: list[World] = request.getfixturevalue(source)
    findings = list(history_findings(worlds, honest_training, features=READ, seed=7))
    assert failed(findings) == []
    told = pd.DataFrame([(str(found.probe), found.table) for found in findings]).drop_duplicates()
    assert {*told[0]} >= {str(probe) for probe in Probe if probe not in {Probe.STORED, Probe.MISSINGNESS}}
    assert [
        (found.probe, found.month) for found in findings if found.table == "scores" and "trained anew" in found.detail
    ] == [(probe, "2017-12") for probe in (Probe.TRUNCATION, Probe.ANOTHER_FUTURE, Probe.IRRELEVANCE)]


def test_scores_of_a_leaky_feature_differ_in_other_worlds(late_worlds: list[World]) -> None:
    findings = history_findings(late_worlds[:12], encoded_on_all_months, features=READ, seed=7)
    assert (Probe.LATER_ROWS, "scores", "probability") in failed(list(findings))


@pytest.mark.parametrize("source", ["late_worlds", "real_worlds"])
def test_single_features_that_are_too_good_are_caught(request: pytest.FixtureRequest, source: str) -> None:
    worlds: list[World] = request.getfixturevalue(source)
    train = honest_training
    findings = list(history_findings(worlds, train, features=READ, seed=7, rebuild=future_close_value))
    probes = {probe for probe, _, column in failed(findings) if column == "close_value"}
    assert {Probe.WON_FROM_LOST, Probe.MISSINGNESS, Probe.ANOTHER_FUTURE} <= probes
