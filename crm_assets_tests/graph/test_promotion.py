"""Challengers against the champion in the graph: who is promoted, who is not, and what the tables say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlflow import MlflowClient

from crm_assets.calendar import Month, month_range
from crm_assets.registry import Registry
from crm_assets.run import RunResult, run_months
from crm_assets.settings import Settings

BETTER = Month(2017, 7)


def run(settings: Settings, candidates: str, first: Month, last: Month, **changes: Any) -> RunResult:
    """The months made with other candidates; none of those after them, though they are made of them."""
    other = settings.model_copy(update={"candidates": candidates, **changes})
    return run_months(other, month_range(first, last), force=True, show_progress=False)


def decided(result: RunResult, month: Month) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The row of `win_model`, and those of `promotion_checks` by their check."""
    lake = result.platform.lake
    row = pl.read_parquet(lake.table_path("win_model", month)).row(0, named=True)
    checks = pl.read_parquet(lake.table_path("promotion_checks", month))
    return row, {check["check"]: check for check in checks.iter_rows(named=True)}


def test_a_better_challenger_is_promoted_and_a_worse_one_is_not(copied: Settings) -> None:
    """Trees are the first model that is champion, the blend takes their place, and a logistic regression does not."""
    result = run(copied, "lightgbm", Month(2017, 5), Month(2017, 6))
    row, checks = decided(result, Month(2017, 5))
    assert not row["promoted"], "a table of win rates is better at first"
    assert row["champion_rung"] == "age_table"
    assert "of the champion: worse, improvement -" in row["reason"]
    assert row["reason"].endswith("the win rate by age and month of the quarter is champion")
    row, _ = decided(result, Month(2017, 6))
    assert (row["candidate"], row["promoted"], row["champion_rung"]) == ("lightgbm", True, "model")

    result = run(copied, "blend", BETTER, BETTER)
    row, checks = decided(result, BETTER)
    assert row["promoted"], row["reason"]
    assert row["candidate"] == "blend"
    assert (row["champion_version"], row["champion_month"]) == (row["model_version"], str(BETTER))
    assert {check["verdict"] for check in checks.values()} <= {"passed", "not applicable"}
    assert checks["brier"]["low"] > checks["brier"]["limit"] == 0
    assert checks["decision"]["detail"].startswith("promoted: compared with the champion on ")
    scores = pl.read_parquet(result.platform.lake.table_path("scores", BETTER))
    assert scores["model_version"].unique().to_list() == [row["model_version"]]

    result = run(copied, "logistic", BETTER.next, BETTER.next)
    row, checks = decided(result, BETTER.next)
    assert not row["promoted"]
    assert (row["candidate"], row["champion_month"]) == ("logistic", str(BETTER))
    assert checks["brier"]["verdict"] == checks["decision"]["verdict"] == "failed"
    assert checks["brier"]["high"] < 0
    assert "of the champion: worse, improvement -" in row["reason"]
    assert checks["brier"]["detail"] in row["reason"]
    shadow = pl.read_parquet(result.platform.lake.table_path("shadow_scores", BETTER.next))
    assert shadow["model_version"].unique().to_list() == [row["model_version"]]
    assert shadow["champion_version"].unique().to_list() == [row["champion_version"]]


def test_a_margin_that_no_improvement_reaches_keeps_the_champion(copied: Settings) -> None:
    """The blend that is promoted without it."""
    margin = 0.5
    month = Month(2017, 8)
    result = run(copied, copied.candidates, month, month, promotion_margin=margin)
    row, checks = decided(result, month)
    assert not row["promoted"]
    assert row["champion_month"] == "2017-05"
    assert {checks[name]["limit"] for name in ("brier", "average precision")} == {margin}
    assert f"margin {margin:g}" in row["reason"]


def test_a_version_that_was_withdrawn_is_champion_no_more(copied: Settings) -> None:
    """Its months are made again, and the champion before it comes back."""
    lake = run_months(copied, None, force=False, show_progress=False).platform.lake
    last = copied.last_month or Month(2017, 12)
    row = pl.read_parquet(lake.table_path("win_model", last)).row(0, named=True)
    since = Month.parse(row["champion_month"])
    Registry(copied.tracking_uri, copied.model_name).withdraw(row["champion_version"], since, "it was trained in error")
    result = run_months(copied, None, force=False, show_progress=False)
    assert result.made == tuple(month_range(since, last))
    then, checks = decided(result, since)
    assert not then["promoted"]
    assert checks["withdrawn"]["verdict"] == "failed"
    assert "it was trained in error" in then["reason"]
    assert then["champion_version"] not in {None, row["champion_version"]}
    champion = result.platform.registry.champion()
    assert champion is not None
    assert champion.version == decided(result, last)[0]["champion_version"] != row["champion_version"]
    assert run_months(copied, None, force=False, show_progress=False).made == ()


@pytest.mark.parametrize("candidates", ["lightgbm"])
def test_tuning_is_told_below_the_run_of_the_month(copied: Settings, candidates: str, tmp_path: Path) -> None:
    """A run with what was found for each candidate, below one with what the search was allowed."""
    last = Month(2017, 9)
    result = run(copied, candidates, last, last, tuning_seconds=600, tuning_trials=2)
    row, _ = decided(result, last)
    assert row["candidate"] == candidates
    registry = result.platform.registry
    client = MlflowClient(registry.tracking_uri)
    version = client.get_model_version(registry.model_name, row["model_version"])
    parent = client.get_run(str(version.run_id))
    assert {name: parent.data.params[name] for name in ("tuning_seconds", "tuning_trials", "iterations")} == {
        "tuning_seconds": "600",
        "tuning_trials": "2",
        "iterations": str(copied.trees),
    }
    experiment = client.get_experiment_by_name(registry.model_name)
    assert experiment is not None
    (child,) = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
    assert child.data.tags["candidate"] == candidates
    assert {"iterations", "leaves", "learning_rate"} <= set(child.data.params)
    tuning = json.loads(Path(client.download_artifacts(child.info.run_id, "tuning.json", str(tmp_path))).read_text())
    assert tuning["trials"][0]["number"] == 0
    assert len(tuning["trials"]) == 2
    assert child.data.metrics["backtest_brier"] == pytest.approx(row["brier"])
