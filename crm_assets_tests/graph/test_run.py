"""The whole graph over a small simulated CRM: what it leaves in the lake, in MLflow and in Dagster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import polars as pl
import pytest
from mlflow import MlflowClient

from crm_assets.calendar import Month, month_range
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.checks import Verdict, coverage_verdict, score_changes_verdict
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.platform import Platform
from crm_assets.errors import LakeError
from crm_assets.features.registry import CAUSES, WIN_MODEL_FEATURES
from crm_assets.lake import Lake
from crm_assets.modelling.cold_start import RUNGS
from crm_assets.modelling.movement import PARTS, PLAYERS
from crm_assets.modelling.reasons import PARTS as SUBJECT_PARTS
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.run import run_months
from crm_assets.settings import Settings
from crm_assets_tests.graph.conftest import SMALL, Finished, cut


def table(finished: Finished, asset: str, month: Month | None = None) -> pl.DataFrame:
    return pl.read_parquet(finished.platform.lake.table_path(asset, month or finished.last))


def hashes(settings: Settings, assets: list[str], months: list[Month]) -> dict[tuple[str, Month], str]:
    lake = Lake.open(settings.dataset_url, create=False)
    found = {}
    for asset in assets:
        for month in months:
            manifest = lake.manifest(asset, month)
            assert manifest is not None, (asset, month)
            found[asset, month] = manifest.sha256
    return found


def test_every_asset_has_every_month(finished: Finished) -> None:
    for asset in ASSETS:
        assert finished.platform.lake.months(asset.name) == [str(month) for month in finished.result.months]


def test_every_table_fits_its_contract(finished: Finished) -> None:
    for asset in ASSETS:
        rows = table(finished, asset.name)
        assert rows.schema == asset.table.polars_schema(), asset.name
        if asset.table.key:
            assert not rows.select(asset.table.key).is_duplicated().any(), asset.name


def test_whole_book_is_scored_by_the_champion(finished: Finished) -> None:
    scores, model = table(finished, "scores"), table(finished, "win_model").row(0, named=True)
    book = table(finished, "opportunity_snapshots").filter("in_book")
    assert scores["opportunity_id"].to_list() == book["opportunity_id"].to_list()
    assert scores["probability"].is_between(0, 1).all()
    assert scores["probability"].n_unique() > 10
    assert scores["model_version"].unique().to_list() == [model["champion_version"]]
    manifest = finished.platform.lake.manifest("opportunity_features", finished.last)
    assert manifest is not None
    assert scores["features_sha256"].unique().to_list() == [manifest.sha256]


def test_no_score_without_a_champion(finished: Finished) -> None:
    first = finished.result.months[0]
    assert table(finished, "win_model", first)["status"].to_list() == ["not trained"]
    assert table(finished, "scores", first).is_empty()
    assert table(finished, "revenue_forecast", first).is_empty()
    for month in (first, first.next):
        assert table(finished, "score_changes", month).is_empty()
        manifest = finished.platform.lake.manifest("score_changes", month)
        assert manifest is not None
        assert manifest.notes["status"] == "no scores the month before"


def test_champion_of_a_month_was_trained_by_then(finished: Finished) -> None:
    for month in finished.result.months:
        row = table(finished, "win_model", month).row(0, named=True)
        assert row["champion_month"] is None or row["champion_month"] <= str(month)
        predictions = table(finished, "backtest_predictions", month)
        assert (predictions["snapshot_month"] < str(month)).all()


def test_alias_points_at_the_last_champion(finished: Finished) -> None:
    champion = finished.platform.registry.champion()
    assert champion is not None
    assert champion.version == table(finished, "win_model").row(0, named=True)["champion_version"]


def test_the_challenger_is_the_newest_model_that_is_not_champion(finished: Finished) -> None:
    row = table(finished, "win_model").row(0, named=True)
    challenger = finished.platform.registry.challenger()
    assert row["model_version"] != row["champion_version"], "the test needs a last month that was not promoted"
    assert challenger is not None
    assert (challenger.version, challenger.month) == (row["model_version"], finished.last)


def decisions(finished: Finished) -> list[dict[str, Any]]:
    return [table(finished, "win_model", month).row(0, named=True) for month in finished.result.months]


def test_registry_tells_on_which_figures_a_model_was_promoted_or_not(finished: Finished) -> None:
    registry, champion, compared = finished.platform.registry, None, 0
    client = MlflowClient(registry.tracking_uri)
    for row in decisions(finished):
        if row["model_version"] is not None:
            tags = client.get_model_version(registry.model_name, row["model_version"]).tags
            figures = json.loads(tags["decision_figures"])
            assert row["reason"].startswith(tags["decision"])
            assert tags["promoted"] == str(row["promoted"]).lower()
            assert (tags["candidate"], tags["rung"]) == (row["candidate"], "model")
            against = "base_rate_brier" if champion is None else "champion_brier"
            assert set(figures) >= {"rows", "challenger_brier", against}
            if row["promoted"]:
                compared += 1
                assert f"Brier score {figures['challenger_brier']:.4f} against {figures[against]:.4f}" in row["reason"]
                first, last = figures["first_month"], figures["last_month"]
                over = first if first == last else f"{first} to {last}"
                assert f"on {figures['rows']} rows of {over};" in row["reason"]
        champion = row["champion_version"]
    assert compared >= 2


def test_promotion_checks_are_the_reasons_of_each_month(finished: Finished) -> None:
    for row in decisions(finished):
        month = Month.parse(row["snapshot_month"])
        checks = table(finished, "promotion_checks", month)
        verdicts = {check["check"]: check for check in checks.iter_rows(named=True)}
        decision = verdicts.pop("decision")
        if row["status"] == "not trained":
            assert (decision["verdict"], verdicts) == ("not applicable", {})
            assert row["reason"].startswith(decision["detail"].removeprefix("no model was trained: "))
            continue
        failed = [check["detail"] for check in verdicts.values() if check["verdict"] == "failed"]
        assert row["promoted"] is (not failed)
        assert decision["verdict"] == ("passed" if row["promoted"] else "failed")
        for detail in failed:
            assert detail in decision["detail"]
            assert detail in row["reason"]
        assert checks["model_version"].unique().to_list() == [row["model_version"]]
        assert {"contract", "leakage", "withdrawn", "comparison"} <= set(verdicts)
        if row["promoted"]:
            assert [name for name in verdicts if name.startswith("calibration ")]
            assert max(verdicts[name]["low"] for name in ("brier", "average precision")) > 0


def test_every_score_names_its_rung(finished: Finished) -> None:
    """A rung gives no more than the probability; the model says what else becomes of a deal."""
    rungs = []
    for row in decisions(finished):
        month = Month.parse(row["snapshot_month"])
        scores = table(finished, "scores", month)
        if scores.is_empty():
            assert row["champion_rung"] is None
            continue
        assert scores["rung"].unique().to_list() == [row["champion_rung"]]
        rungs.append(row["champion_rung"])
        more = scores.select("probability_lost", "probability_abandoned", "expected_close_month")
        if row["champion_rung"] != "model":
            assert all(column.null_count() == scores.height for column in more)
            continue
        assert (scores["probability"] + scores["probability_lost"]).is_between(0, 1 + 1e-12).all()
        assert scores["probability_abandoned"].is_between(0, 1).all()
        assert (scores["expected_close_month"].drop_nulls() > str(month)).all()
        assert scores.filter(pl.col("probability_abandoned") >= 0.5)["expected_close_month"].null_count() > 0
    assert rungs == sorted(rungs, key=RUNGS.index)
    assert rungs[0] != "model"
    assert rungs[-1] == "model"


def test_reasons_sum_to_the_score(finished: Finished) -> None:
    told = 0
    for row in decisions(finished):
        month = Month.parse(row["snapshot_month"])
        scores, reasons = (table(finished, name, month) for name in ("scores", "score_reasons"))
        assert reasons["opportunity_id"].to_list() == scores["opportunity_id"].to_list()
        if scores.is_empty():
            continue
        assert reasons["model_version"].unique().to_list() == [row["champion_version"]]
        assert ((reasons["probability"] - scores["probability"]).abs() <= 1e-12).all()
        parts = reasons.select(SUBJECT_PARTS)
        summed = reasons["base"] + parts.sum_horizontal()
        assert ((summed - scores["probability"]).abs() <= 1e-12).all()
        if row["champion_rung"] == "model":
            assert reasons["base"].n_unique() == 1
            assert all((column != 0).any() for column in parts)
            told += reasons.filter(pl.col("raises").is_not_null() | pl.col("lowers").is_not_null()).height
        else:
            assert not any((column != 0).any() for column in parts)
            assert reasons["raises"].null_count() == reasons["lowers"].null_count() == reasons.height
    assert told > 500


def test_the_challenger_scores_in_the_shadow_of_the_champion(finished: Finished) -> None:
    shadowed = 0
    for row in decisions(finished):
        month = Month.parse(row["snapshot_month"])
        scores, shadow = (table(finished, name, month) for name in ("scores", "shadow_scores"))
        if row["model_version"] is None or row["promoted"]:
            assert shadow.is_empty()
            continue
        shadowed += 1
        assert shadow["opportunity_id"].to_list() == scores["opportunity_id"].to_list()
        assert shadow["champion_probability"].to_list() == scores["probability"].to_list()
        assert shadow["champion_version"].unique().to_list() == [row["champion_version"]]
        assert shadow["model_version"].unique().to_list() == [row["model_version"]]
        model = finished.platform.registry.load(row["model_version"], row["model_sha256"])
        book = table(finished, "opportunity_features", month).to_pandas()
        assert shadow["probability"].to_numpy() == pytest.approx(model.predict(book), abs=1e-12)
        assert (shadow["probability"] != shadow["champion_probability"]).any()
    assert shadowed >= 3


def test_every_candidate_is_a_run_below_that_of_the_month(finished: Finished) -> None:
    registry = finished.platform.registry
    client = MlflowClient(registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.model_name)
    assert experiment is not None
    for row in decisions(finished):
        if row["model_version"] is None:
            continue
        run = client.get_model_version(registry.model_name, row["model_version"]).run_id
        below = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{run}'")
        by_name = {child.data.tags["candidate"]: child.data for child in below}
        assert set(by_name) == set(finished.settings.candidate_names)
        assert all(child.info.status == "FINISHED" for child in below)
        for name, data in by_name.items():
            assert data.tags["month"] == row["snapshot_month"]
            assert data.params
            if row["test_months"]:
                assert 0 < data.metrics["backtest_brier"] < 1, name
        predicted = table(finished, "backtest_predictions", Month.parse(row["snapshot_month"]))
        if predicted["candidate"].unique().to_list() == [row["candidate"]]:
            assert by_name[row["candidate"]].metrics["backtest_brier"] == pytest.approx(row["brier"])


def test_backtest_beats_the_base_rate_but_is_no_oracle(finished: Finished) -> None:
    row = table(finished, "win_model").row(0, named=True)
    assert row["brier"] < row["base_rate_brier"]
    assert 0.6 < row["auc"] < 0.95


def test_forecast_adds_up(finished: Finished) -> None:
    scores, forecast = table(finished, "scores"), table(finished, "revenue_forecast")
    by_level = {row["level"]: row for row in forecast.group_by("level").agg(pl.col(pl.Float64).sum()).to_dicts()}
    for level in ("book", "region", "product", "agent"):
        assert by_level[level]["expected_revenue"] == pytest.approx(scores["expected_value"].sum()), level
    for column in ("expected_wins", "expected_revenue", "naive_revenue"):
        parts = by_level["book"][column] + by_level["new business"][column]
        assert parts > 0
        assert by_level["total"][column] == pytest.approx(parts)
    total = forecast.filter(pl.col("level") == "total").row(0, named=True)
    assert total["low_95"] <= total["low_80"] <= total["expected_revenue"] <= total["high_80"] <= total["high_95"]


def test_forecast_stands_next_to_the_month_of_last_quarter(finished: Finished) -> None:
    forecast, snapshots = table(finished, "revenue_forecast"), table(finished, "opportunity_snapshots")
    closed = pl.col("close_date").dt.strftime("%Y-%m")
    october = snapshots.filter((pl.col("deal_stage") == "Won") & (closed == "2017-10"))
    total = forecast.filter(pl.col("level") == "total").row(0, named=True)
    assert total["forecast_month"] == "2018-01"
    assert total["naive_revenue"] == october["list_price"].sum() > 0
    manifest = finished.platform.lake.manifest("revenue_forecast", finished.last)
    assert manifest is not None
    assert manifest.notes["backtest_months"] == SMALL["backtest_months"]
    assert "the seasonal naive forecast was closer in" in str(manifest.notes["backtest_verdict"])


def test_every_forecast_of_a_month_that_is_over_is_judged_by_that_months_snapshot(finished: Finished) -> None:
    judged = table(finished, "forecast_accuracy")
    forecast = [month for month in finished.result.months[:-1] if table(finished, "revenue_forecast", month).height]
    assert judged["snapshot_month"].to_list() == [str(month) for month in forecast]
    assert forecast
    for row in judged.iter_rows(named=True):
        over = Month.parse(row["forecast_month"])
        made = table(finished, "revenue_forecast", over.previous).filter(pl.col("level") == "total").row(0, named=True)
        assert [row[name] for name in ("expected_revenue", "low_80", "naive_revenue")] == [
            made[name] for name in ("expected_revenue", "low_80", "naive_revenue")
        ]
        won = table(finished, "opportunity_snapshots", over).filter(
            (pl.col("deal_stage") == "Won") & (pl.col("close_date") >= over.start)
        )
        assert (row["wins"], row["actual_revenue"]) == (won.height, won["list_price"].sum())
        assert row["close_value"] == pytest.approx(won["close_value"].sum())
    assert table(finished, "forecast_accuracy", forecast[0]).is_empty()


def test_too_few_months_within_the_interval_warn(finished: Finished, tmp_path: Path) -> None:
    judged = table(finished, "forecast_accuracy").head(1)
    path = tmp_path / "accuracy.parquet"
    platform = cast(Platform, SimpleNamespace(lake=SimpleNamespace(table_path=lambda *_: path)))

    def verdict(inside: int, months: int) -> Verdict:
        rows = pl.concat([judged.with_columns(inside_80=pl.lit(number < inside)) for number in range(months)])
        rows.write_parquet(path)
        return coverage_verdict(platform, finished.last)

    assert verdict(0, 1).fault is None
    assert verdict(5, 8).fault is None
    fault = verdict(4, 9).fault
    assert fault is not None
    assert "4 of 9 months" in fault
    judged.head(0).write_parquet(path)
    assert coverage_verdict(platform, finished.last).fault is None


def test_every_score_of_two_months_is_explained(finished: Finished) -> None:
    compared = 0
    for month in finished.result.months[1:]:
        changes, now, before = (
            table(finished, name, m)
            for name, m in (("score_changes", month), ("scores", month), ("scores", month.previous))
        )
        both = now.join(before, on="opportunity_id", suffix="_before").sort("opportunity_id")
        assert changes["opportunity_id"].to_list() == both["opportunity_id"].to_list()
        for name in ("probability", "probability_before"):
            assert ((changes[name] - both[name]).abs() <= 1e-9).all()
        assert (changes["probability"] - changes["probability_before"] == changes["change"]).all()
        assert (changes.select(pl.sum_horizontal(PARTS) - pl.col("change")).to_series().abs() <= 1e-12).all()
        assert changes["model_version"].to_list() == both["model_version"].to_list()
        assert changes["previous_model_version"].to_list() == both["model_version_before"].to_list()
        compared += changes.height
    assert compared > 500


def test_only_what_changed_moves_a_score(finished: Finished) -> None:
    """The model where another champion came, and of the features the causes of those that the model reads."""
    causes = {CAUSES[name].value for name in WIN_MODEL_FEATURES}
    same: list[pl.DataFrame] = []
    other: list[pl.DataFrame] = []
    for month in finished.result.months:
        changes = table(finished, "score_changes", month)
        if not changes.is_empty():
            (now,), (then,) = (changes[name].unique() for name in ("model_version", "previous_model_version"))
            (same if now == then else other).append(changes)
    assert same
    assert other
    assert (pl.concat(same)["by_model"] == 0).all()
    assert (pl.concat(other)["by_model"] != 0).any()
    found = pl.concat([*same, *other])
    for player in ("deal", "time", "world"):
        assert (found[f"by_{player}"] != 0).any() is (player in causes), player
    assert set(found["main_cause"]) <= {*PLAYERS, "nothing"}


def _moved_off(column: str, by: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    first = pl.int_range(pl.len()) == 0
    return lambda rows: rows.with_columns(pl.col(column) + pl.when(first).then(by).otherwise(0.0))


@pytest.mark.parametrize(
    ("tampered", "count"),
    [
        (_moved_off("by_world", 1e-11), "'not_summed': 1"),
        (_moved_off("by_deal", float("nan")), "'not_summed': 1"),
        (_moved_off("change", 1e-11), "'not_summed': 1"),
        (_moved_off("probability", 1e-8), "'not_stored': 1"),
        (_moved_off("probability_before", -1e-8), "'not_stored': 1"),
        (lambda rows: rows.tail(-1), "'not_stored': 1"),
        (lambda rows: rows.with_columns(opportunity_id=pl.lit("X")).head(1).vstack(rows), "'not_stored': 1"),
        (lambda rows: rows.head(1).vstack(rows), "'compared': "),
    ],
)
def test_parts_that_do_not_explain_the_scores_are_at_fault(
    finished: Finished, tmp_path: Path, tampered: Callable[[pl.DataFrame], pl.DataFrame], count: str
) -> None:
    lake, rows = finished.platform.lake, table(finished, "score_changes")
    tampered(rows).write_parquet(tmp_path / "changes.parquet")

    class Tampered:
        months = lake.months

        def table_path(self, asset: str, month: Month) -> Path:
            return tmp_path / "changes.parquet" if asset == "score_changes" else lake.table_path(asset, month)

    def verdict(of: object) -> Verdict:
        return score_changes_verdict(cast("Platform", SimpleNamespace(lake=of)), finished.last)

    assert verdict(lake).fault is None
    fault = verdict(Tampered()).fault
    assert fault is not None
    assert f"score_changes of {finished.last} do not explain" in fault
    assert count in fault


def test_performance_is_of_the_month_before(finished: Finished) -> None:
    performance = table(finished, "model_performance").filter(pl.col("level") == "overall").row(0, named=True)
    before = table(finished, "scores", finished.last.previous)
    assert (performance["snapshot_month"], performance["scored"]) == (str(finished.last.previous), before.height)
    won = table(finished, "opportunity_outcomes").filter(pl.col("outcome") == "won")
    assert performance["wins"] == won.join(before, on="opportunity_id").height


def test_drift_report_is_a_page_of_its_own(finished: Finished) -> None:
    page = finished.platform.lake.document("drift_report", finished.last, "html").decode()
    assert "<html" in page.lower()
    assert 'src="http' not in page


def shown(finished: Finished, asset: str, month: Month) -> dict[str, Any]:
    """What Dagster shows of a month of an asset."""
    with dg.DagsterInstance.from_config(str(finished.settings.dagster_home)) as instance:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[str(month)])
        (record,) = instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_metadata_of_each_month_is_its_own(finished: Finished) -> None:
    for month in (finished.result.months[6], finished.last):
        metadata = shown(finished, "opportunity_features", month)
        assert metadata["dagster/row_count"] == table(finished, "opportunity_features", month).height
        assert "| opportunity_id |" in metadata["preview"]


def test_preview_of_scores_shows_the_highest_expected_values(finished: Finished) -> None:
    preview = shown(finished, "scores", finished.last)["preview"].splitlines()[2:]
    best = table(finished, "scores").sort("expected_value", descending=True, maintain_order=True).head(5)
    assert [line.split(" | ")[0] for line in preview] == [f"| {identity}" for identity in best["opportunity_id"]]


def test_checks_ran_and_passed(finished: Finished) -> None:
    with dg.DagsterInstance.from_config(str(finished.settings.dagster_home)) as instance:
        (run,) = instance.get_runs()
        records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    evaluations = [record.event_log_entry.dagster_event for record in records]
    verdicts = {
        event.asset_check_evaluation_data.check_name: event.asset_check_evaluation_data.passed
        for event in evaluations
        if event is not None and event.asset_check_evaluation_data.blocking
    }
    blocking = (
        "fits_contract",
        "below_limit",
        "matches_book",
        "known_on_their_date",
        "no_leak",
        "passed_leakage_gate",
        "one_per_opportunity",
        "parts_sum_to_change",
    )
    assert verdicts == dict.fromkeys(blocking, True)


def test_second_run_makes_nothing(finished: Finished) -> None:
    again = run_months(finished.settings, None, force=False, show_progress=False)
    assert again.made == ()
    assert again.months == finished.result.months


def test_months_made_one_by_one_are_the_same(finished: Finished, copied: Settings) -> None:
    """What a month holds does not depend on which other months the run made, above all not on later ones."""
    months = month_range(Month(2017, 3), Month(2017, 5))
    cut(copied, months[0].previous)
    for month in months:
        assert run_months(copied, [month], force=False, show_progress=False).made == (month,)
    assets = [asset.name for asset in ASSETS if asset.name != "drift_report"]
    assert hashes(copied, assets, months) == hashes(finished.settings, assets, months)
    assert table(finished, "win_model", months[-1])["promoted"].item(), "the test needs a model that became champion"


def test_made_again_is_the_same_to_the_last_bit(finished: Finished, tmp_path: Path) -> None:
    settings = finished.settings.model_copy(update={"lake_url": str(tmp_path / "lake"), "home": tmp_path / "home"})
    months = list(finished.result.months[:6])
    run_months(settings, months, force=False, show_progress=False)
    assets = [asset.name for asset in ASSETS if asset.name != "drift_report"]
    assert hashes(settings, assets, months) == hashes(finished.settings, assets, months)
    assert table(finished, "win_model", months[-1])["status"].item() == "trained"


def test_months_are_made_again_where_the_model_store_was_lost(finished: Finished, copied: Settings) -> None:
    months = list(finished.result.months[:8])
    cut(copied, months[-1])
    shutil.rmtree(copied.home)
    with_models = [m for m in months if table(finished, "win_model", m)["champion_version"].item() is not None]
    again = run_months(copied, months, force=False, show_progress=False)
    assert list(again.made) == with_models
    champion = again.platform.registry.champion()
    assert champion is not None
    assert champion.sha256 == table(finished, "win_model", months[-1])["champion_sha256"].item()
    assets = ["win_model", "scores", "score_changes", "score_reasons", "shadow_scores"]
    assert hashes(copied, assets, months) == hashes(finished.settings, assets, months)


def test_what_the_api_was_asked_of_a_closed_month_is_gathered_and_nothing_else_made(
    finished: Finished, copied: Settings
) -> None:
    closed = finished.last.previous
    fields = table(finished, "opportunity_snapshots", closed).select("opportunity_id", "engage_date")
    rows = (
        table(finished, "scores", closed)
        .join(fields, on="opportunity_id")
        .with_row_index("place")
        .with_columns(pl.lit("all").alias("request_id"), pl.lit("2018-01-03T08:00:00.000+00:00").alias("asked_at"))
        .with_columns(pl.lit("crm").alias("asker"), pl.lit(None, pl.Float64).alias("shadow_probability"))
        .with_columns(pl.lit(None, pl.String).alias("shadow_version"))
        .select(pl.col(name).cast(dtype) for name, dtype in PREDICTION_LOG.polars_schema().items())
    )
    lake = Lake.open(copied.dataset_url, create=False)
    lake.log(PREDICTION_LOG).add(closed, rows, datetime(2018, 1, 3, 8, tzinfo=UTC))
    before = {asset.name: lake.manifest(asset.name, closed) for asset in ASSETS}
    again = run_months(copied, None, force=False, show_progress=False)
    assert (again.made, again.gathered, again.outdated) == ((), (closed,), ())
    now = {asset.name: lake.manifest(asset.name, closed) for asset in ASSETS}
    assert {name for name in now if now[name] != before[name]} == {"online_predictions", "online_drift_report"}
    gathered, report = now["online_predictions"], now["online_drift_report"]
    assert gathered is not None
    assert report is not None
    assert (gathered.rows, gathered.notes["unlike_scores"]) == (rows.height, 0)
    assert (report.notes["status"], report.notes["book_rows"]) == ("compared", rows.height)
    assert run_months(copied, None, force=False, show_progress=False).gathered == ()


def test_an_asset_reads_only_what_it_declares(finished: Finished) -> None:
    by_name = {asset.name: asset for asset in ASSETS}
    month = finished.last.previous
    inputs = Inputs(by_name["scores"], finished.platform, month, finished.last)
    with pytest.raises(LookupError, match=r"scores reads opportunity_outcomes and does not declare it"):
        inputs.frame("opportunity_outcomes", month)
    with pytest.raises(LookupError, match=r"scores of 2017-11 reads opportunity_features of 2017-12 and does not"):
        inputs.frame("opportunity_features", finished.last)
    with pytest.raises(LookupError, match=r"of 2017-10 and does not declare it"):
        inputs.engine_frames("opportunity_features", month=month.previous)
    with pytest.raises(LookupError, match=r"scores does not declare that it reads the source"):
        _ = inputs.source
    training = Inputs(by_name["win_model"], finished.platform, month, finished.last)
    with pytest.raises(LookupError, match=r"win_model of 2017-11 reads opportunity_outcomes of 2017-12"):
        training.history("opportunity_outcomes", finished.last)
    assert Inputs(by_name["raw/accounts"], finished.platform, month).source is finished.platform.source


def test_skipped_month_is_refused(finished: Finished, tmp_path: Path) -> None:
    settings = finished.settings.model_copy(update={"lake_url": str(tmp_path / "lake"), "home": tmp_path / "home"})
    run_months(settings, [Month(2016, 10)], force=False, show_progress=False)
    with pytest.raises(LakeError, match=r"months out of order.*2016-11 is missing.*--months 2016-11:2016-12"):
        run_months(settings, [Month(2016, 12)], force=False, show_progress=False)
