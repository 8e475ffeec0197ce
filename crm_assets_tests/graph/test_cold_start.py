"""A business that has just started to sell: one rung of the ladder after the other, and every score names its own."""

from __future__ import annotations

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.modelling.cold_start import RUNGS, WORDS
from crm_assets.run import RunResult, run_months
from crm_assets.settings import load_settings
from crm_assets.summary import print_summary, summary
from crm_assets_tests.graph.conftest import SMALL, cleared


@pytest.fixture(scope="module")
def young(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("young")
    with cleared():
        settings = load_settings(
            source_url="simulator:?opportunities=100&months=2016-10:2017-08&seed=7",
            lake_url=str(folder / "lake"),
            home=folder / "home",
            **SMALL | {"min_training_wins": 50},
        )
    return run_months(settings, None, force=False, show_progress=False)


def table(young: RunResult, asset: str, month: Month) -> pl.DataFrame:
    return pl.read_parquet(young.platform.lake.table_path(asset, month))


def test_rungs_come_one_after_the_other(young: RunResult) -> None:
    found = [table(young, "win_model", month).row(0, named=True) for month in young.months]
    rungs = [row["champion_rung"] for row in found]
    told = [rung for rung in rungs if rung is not None]
    assert rungs[: len(rungs) - len(told)] == [None] * (len(rungs) - len(told))
    assert told == sorted(told, key=RUNGS.index)
    assert set(told) == {"overall_rate", "quarter_rate", "age_table"}
    for row in found:
        assert row["status"] == "not trained"
        assert not row["promoted"]
        if row["champion_rung"] is None:
            assert "no deal has closed in a month that has matured" in row["reason"]
        else:
            assert f"the {WORDS[row['champion_rung']]} " in row["reason"]
            assert row["champion_month"] <= row["snapshot_month"]


def test_every_score_names_its_rung_and_has_a_reason_row(young: RunResult) -> None:
    for month in young.months:
        row = table(young, "win_model", month).row(0, named=True)
        scores, book = table(young, "scores", month), table(young, "opportunity_features", month)
        reasons, shadow = table(young, "score_reasons", month), table(young, "shadow_scores", month)
        assert shadow.is_empty()
        assert reasons["opportunity_id"].to_list() == scores["opportunity_id"].to_list()
        if row["champion_rung"] is None:
            assert scores.is_empty()
            continue
        assert scores["opportunity_id"].to_list() == book["opportunity_id"].to_list()
        assert set(scores["rung"]) <= {row["champion_rung"]}
        assert set(scores["model_version"]) <= {row["champion_version"]}
        assert scores["probability"].is_between(0, 1, closed="none").all()
        assert scores["probability_lost"].null_count() == scores.height
        if row["champion_rung"] != "age_table":
            assert scores["probability"].n_unique() <= 1, "all deals of a month have the same rate"


def test_scores_are_followed_by_all_that_is_made_of_them(young: RunResult) -> None:
    last = young.months[-1]
    forecast = table(young, "revenue_forecast", last)
    wins = dict(forecast.group_by("level").agg(pl.col("expected_wins").sum()).iter_rows())
    assert wins["book"] == pytest.approx(table(young, "scores", last)["probability"].sum())
    assert wins["total"] == pytest.approx(wins["book"] + wins["new business"])
    assert table(young, "model_performance", last).height
    assert table(young, "score_changes", last).height
    champion = young.platform.registry.champion()
    assert champion is not None
    assert champion.version == table(young, "win_model", last).row(0, named=True)["champion_version"]
    assert young.platform.registry.challenger() is None


def test_a_second_run_makes_nothing(young: RunResult) -> None:
    assert run_months(young.platform.settings, None, force=False, show_progress=False).made == ()


def test_the_summary_tells_that_no_model_is_champion(young: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    last = young.months[-1]
    print_summary(summary(young.platform, last), young)
    told = capsys.readouterr().out
    rung = table(young, "win_model", last)["champion_rung"].item()
    assert f"the {WORDS[rung]}, counted at the end of {last}: no model has passed the promotion gate yet." in told
    assert "Its recipe" not in told
