"""Estimated and realised performance in the graph: what each month holds, and what its checks say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import dagster as dg
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.checks import (
    CHECKS,
    Verdict,
    backtest_verdict,
    calibration_verdict,
    coverage_verdict,
    estimate_verdict,
)
from crm_assets.defs.platform import Platform
from crm_assets.monitoring.performance_comparison import CHECKED
from crm_assets.run import run_months
from crm_assets_tests.graph.conftest import Finished

OVERALL = pl.col("level") == "overall"
VERDICTS = {
    "calibrated": calibration_verdict,
    "as_estimated": estimate_verdict,
    "as_backtested": backtest_verdict,
}


def table(finished: Finished, asset: str, month: Month) -> pl.DataFrame:
    return pl.read_parquet(finished.platform.lake.table_path(asset, month))


def notes(finished: Finished, asset: str, month: Month) -> dict[str, object]:
    manifest = finished.platform.lake.manifest(asset, month)
    assert manifest is not None
    return dict(manifest.notes)


def scored_months(finished: Finished) -> list[Month]:
    return [month for month in finished.result.months if table(finished, "scores", month).height]


def test_every_scored_month_is_estimated_before_outcomes_exist(finished: Finished) -> None:
    assert finished.last in scored_months(finished)
    for month in finished.result.months:
        scores, estimate = (table(finished, name, month) for name in ("scores", "estimated_performance"))
        if scores.is_empty():
            assert estimate.is_empty()
            assert notes(finished, "estimated_performance", month)["reason"] == "nothing was scored"
            continue
        row = estimate.filter(OVERALL).row(0, named=True)
        p = scores["probability"]
        assert (row["rows"], row["wins"]) == (scores.height, pytest.approx(p.sum()))
        assert row["brier"] == pytest.approx((p * (1 - p)).mean())
        assert row["wins_low"] <= row["wins"] <= row["wins_high"]
        assert row["model_version"] == scores["model_version"][0]
        regions = estimate.filter(pl.col("level") == "regional_office")
        assert set(regions["segment"]) == set(scores["regional_office"])


def test_a_matured_month_is_compared_with_what_was_stored_of_it_before(finished: Finished) -> None:
    compared = 0
    for month in scored_months(finished)[1:]:
        comparison, realised, scores = (
            table(finished, name, at)
            for name, at in (
                ("performance_comparison", month),
                ("model_performance", month),
                ("scores", month.previous),
            )
        )
        if scores["rung"][0] != "model":
            assert comparison.is_empty()
            told = str(notes(finished, "performance_comparison", month)["reason"])
            assert told.startswith(f"the champion of {month.previous} was no model but the win rate")
            continue
        compared += 1
        measured = realised.filter(OVERALL).row(0, named=True)
        promised = table(finished, "estimated_performance", month.previous).filter(OVERALL).row(0, named=True)
        assert measured["censored"] == 0
        for row in comparison.filter(OVERALL).iter_rows(named=True):
            assert row["realised"] == pytest.approx(measured[row["figure"]])
            for column, end in (("estimate", ""), ("estimate_low", "_low"), ("estimate_high", "_high")):
                assert row[column] == pytest.approx(promised[f"{row['figure']}{end}"])
    assert compared >= 3


def test_the_checks_of_the_newest_month_were_evaluated(finished: Finished) -> None:
    with dg.DagsterInstance.from_config(str(finished.settings.dagster_home)) as instance:
        (run,) = instance.get_runs()
        records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    found = {
        event.asset_check_evaluation_data.check_name: event.asset_check_evaluation_data for event in events if event
    }
    for name, verdict in VERDICTS.items():
        told = verdict(finished.platform, finished.last)
        assert told.skipped is None
        assert found[name].passed is (told.fault is None)
        assert found[name].metadata["snapshot_month"].value == str(finished.last.previous)


def test_a_check_with_nothing_to_judge_is_skipped(finished: Finished, tmp_path: Path) -> None:
    settings = finished.settings.model_copy(update={"lake_url": str(tmp_path / "lake"), "home": tmp_path / "home"})
    first = finished.result.months[0]
    result = run_months(settings, [first], force=False, show_progress=False)
    nothing = {name for name, verdict in VERDICTS.items() if verdict(result.platform, first).skipped}
    assert nothing == set(VERDICTS)
    assert coverage_verdict(result.platform, first).skipped is not None
    key = dg.AssetCheckKey(dg.AssetKey("performance_comparison"), "calibrated")
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        (run,) = instance.get_runs()
        evaluated = {
            event.asset_check_evaluation_data.check_name
            for record in instance.get_records_for_run(
                run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
            ).records
            if (event := record.event_log_entry.dagster_event)
        }
        (planned,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert "fits_contract" in evaluated
    assert not evaluated & {*VERDICTS, "covers", "beats_base_rate"}
    assert planned.status.value == "PLANNED", "planned in a run that succeeded, and not evaluated: Dagster's skipped"


def test_checks_of_performance_warn_and_do_not_stop() -> None:
    found = {check.name: check for check in CHECKS if check.asset == "performance_comparison"}
    assert set(found) == set(VERDICTS)
    assert not any(check.blocking for check in found.values())


def _tampered(finished: Finished, folder: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Platform:
    """The finished platform with another comparison of the newest month."""
    path = folder / "comparison.parquet"
    change(table(finished, "performance_comparison", finished.last)).write_parquet(path)
    lake = SimpleNamespace(table_path=lambda *_: path, manifest=finished.platform.lake.manifest)
    return cast("Platform", SimpleNamespace(lake=lake))


def _off(figure: str, side: str, chance: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Right for every figure but this one."""
    return lambda rows: rows.with_columns(
        pl.when(pl.col("figure") == figure).then(chance).otherwise(0.5).alias(f"{side}_chance"),
        pl.lit(0.25).alias(f"{side}_low"),
        pl.lit(0.75).alias(f"{side}_high"),
        pl.lit(0.9).alias("realised"),
        pl.lit(value=False).alias(f"inside_{side}"),
    )


@pytest.mark.parametrize(
    ("check", "figure", "told"),
    [
        ("calibrated", "wins", "wins 1, with 95 % it should be 0 to 1 (chance 1.00%)"),
        ("calibrated", "calibration_error", "calibration error 0.9000, with 95 % it should be 0.2500 to"),
        ("as_estimated", "auc", "AUC 0.9000, with 95 % it should be 0.2500 to 0.7500 (chance 1.00%)"),
        ("as_backtested", "brier", "Brier score 0.9000, with 95 % it should be 0.2500 to 0.7500"),
    ],
)
def test_a_fault_names_month_figure_interval_and_remedy(
    finished: Finished, tmp_path: Path, check: str, figure: str, told: str
) -> None:
    side = CHECKED[check][1]

    def verdict(chance: float) -> Verdict:
        return VERDICTS[check](_tampered(finished, tmp_path, _off(figure, side, chance)), finished.last)

    found = verdict(0.01)
    assert found.fault is not None
    assert f"the scores of {finished.last.previous} did not turn out as they should by the end of {finished.last}" in (
        found.fault
    )
    assert told in found.fault
    assert "That is, " in found.fault
    assert not found.severe
    assert verdict(0.0005).severe
    assert verdict(0.02).fault is None, "of two figures either may be off by chance"
    assert verdict(0.02).skipped is None


def test_a_short_backtest_is_not_compared_with(finished: Finished, tmp_path: Path) -> None:
    platform = _tampered(
        finished, tmp_path, lambda rows: rows.with_columns(pl.lit(None, pl.Boolean).alias("inside_backtest"))
    )
    found = backtest_verdict(platform, finished.last)
    assert found.fault is None
    assert "months of a backtest to compare 2017-11 with" in str(found.skipped)
    assert estimate_verdict(platform, finished.last).skipped is None
