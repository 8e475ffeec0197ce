"""What Dagster is told: the graph, its checks, jobs and schedule, and what loading it costs."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import dagster as dg
import pytest

from crm_assets.defs.assets import ASSETS, GROUPS
from crm_assets.defs.checks import CHECKS
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.partitions import monthly_partitions
from crm_assets.defs.run_tags import COMPLETE_TAG, TRIGGER_TAG
from crm_assets.settings import Settings

RAW = {f"raw/{name}" for name in ("accounts", "products", "sales_teams", "sales_pipeline", "data_dictionary")}
PIPELINE = {"raw/sales_pipeline", "raw/products", "raw/sales_teams"}
LEARNT_FROM = {"opportunity_features", "opportunity_outcomes", "opportunity_snapshots"}
LINEAGE: dict[str, set[str]] = {
    **{name: set() for name in RAW},
    "quarantined_opportunities": PIPELINE,
    "opportunity_snapshots": {*PIPELINE, "raw/accounts", "quarantined_opportunities"},
    "daily_closings": {"opportunity_snapshots"},
    "opportunity_outcomes": {"opportunity_snapshots"},
    "opportunity_features": {"opportunity_snapshots", "daily_closings"},
    "feature_lookups": {"opportunity_snapshots", "daily_closings", "raw/products", "raw/sales_teams"},
    "backtest_predictions": LEARNT_FROM,
    "candidate_predictions": LEARNT_FROM,
    "leakage_report": {*LEARNT_FROM, "daily_closings", "raw/sales_pipeline"},
    "win_model": {*LEARNT_FROM, "backtest_predictions", "leakage_report", "win_model"},
    "promotion_checks": {"win_model"},
    "model_card": {
        "opportunity_features",
        "opportunity_outcomes",
        "backtest_predictions",
        "candidate_predictions",
        "leakage_report",
        "win_model",
        "promotion_checks",
    },
    "scores": {"opportunity_features", "win_model"},
    "score_reasons": {"scores", "opportunity_features", "win_model"},
    "shadow_scores": {"scores", "opportunity_features", "win_model"},
    "score_changes": {"scores", "opportunity_features", "win_model"},
    "score_writeback": {"scores"},
    "revenue_forecast": {"scores", "opportunity_snapshots", "backtest_predictions"},
    "forecast_accuracy": {"revenue_forecast", "opportunity_snapshots"},
    "reference_set": {*LEARNT_FROM, "win_model", "reference_set"},
    "drift_report": {
        "opportunity_features",
        "opportunity_snapshots",
        "scores",
        "performance_comparison",
        "reference_set",
    },
    "online_predictions": {"scores"},
    "online_drift_report": {"online_predictions", "opportunity_features", "scores", "reference_set"},
    "model_performance": {"scores", "opportunity_outcomes"},
    "estimated_performance": {"scores", "backtest_predictions", "opportunity_snapshots"},
    "performance_comparison": {
        "scores",
        "opportunity_outcomes",
        "backtest_predictions",
        "opportunity_snapshots",
        "estimated_performance",
        "model_performance",
    },
}
JOBS = ("monthly", "retrain", "backfill", "drift", "online")
HEAVY = (
    "apprise",
    "mlflow",
    "evidently",
    "catboost",
    "lightgbm",
    "optuna",
    "sklearn",
    "streamlit",
    "fastapi",
    "pandas",
    "pandera",
    "matplotlib",
    "boto3",
)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings(_env_file=None))  # type: ignore[call-arg]  # pydantic-settings' own argument


def test_graph_is_the_one_of_the_docs(definitions: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs.items()} == LINEAGE


def test_every_asset_explains_itself(definitions: dg.Definitions) -> None:
    specs = list(definitions.resolve_all_asset_specs())
    groups = ["1_raw", "2_history", "3_features", "4_model", "5_scoring", "6_monitoring"]
    assert sorted({str(spec.group_name) for spec in specs}) == groups
    for spec in specs:
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.code_version, spec.key
        assert spec.tags["domain"] == "sales"
        assert spec.tags["stage"] == str(spec.group_name)[2:]
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns), spec.key


def test_columns_tell_their_unit_once_and_the_crm_ones_when_they_are_known(definitions: dg.Definitions) -> None:
    shown: dict[tuple[str, str], str] = {}
    for spec in definitions.resolve_all_asset_specs():
        schema = spec.metadata["dagster/column_schema"]
        shown |= {(spec.key.to_user_string(), column.name): column.description for column in schema.columns}
    assert shown["raw/accounts", "revenue"] == "Annual revenue (million USD). Known: always."
    assert shown["raw/sales_pipeline", "close_date"].endswith("Known: at close.")
    assert shown["opportunity_features", "age_days"] == "Days since the opportunity was engaged."
    assert [name for name, text in shown.items() if "Known" in text and not name[0].startswith("raw/")] == []


def test_columns_of_features_are_traced_to_snapshots(definitions: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    lineage = specs["opportunity_features"].metadata["dagster/column_lineage"]
    deps = {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["agent_win_rate"]}
    assert ("daily_closings", "won") in deps
    assert not any(
        column in {"close_value", "account"} for found in lineage.deps_by_column.values() for column in found
    )


def test_no_asset_reads_a_later_month() -> None:
    assert all(needs.last <= 0 for asset in ASSETS for needs in asset.needs)


def test_assets_stand_below_what_they_read() -> None:
    seen: set[str] = set()
    for asset in ASSETS:
        assert {needs.asset for needs in asset.needs if needs.last == 0} <= seen, asset.name
        seen.add(asset.name)


def test_jobs_and_schedule(definitions: dg.Definitions) -> None:
    names = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    assert names == {*JOBS}
    retrained = definitions.resolve_job_def("retrain").asset_layer.executable_asset_keys
    assert "raw/sales_pipeline" not in {key.to_user_string() for key in retrained}
    assert "scores" in {key.to_user_string() for key in retrained}
    looked_at = definitions.resolve_job_def("drift").asset_layer.executable_asset_keys
    reports = {"drift_report", "estimated_performance", "model_performance", "performance_comparison"}
    assert {key.to_user_string() for key in looked_at} == reports
    gathered = definitions.resolve_job_def("online").asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in gathered} == {"online_predictions", "online_drift_report"}
    schedule = definitions.resolve_schedule_def("monthly_schedule")
    assert schedule.cron_schedule == "0 4 2 * *"


def test_groups_stand_in_reading_order_by_name() -> None:
    stood: list[str] = []
    for asset in ASSETS:
        if asset.group not in stood:
            stood.append(asset.group)
    assert tuple(stood) == GROUPS


def test_runs_tell_who_asked_for_them_and_that_they_make_all_that_follows(definitions: dg.Definitions) -> None:
    tags = {name: definitions.resolve_job_def(name).tags for name in JOBS}
    assert {name: found[TRIGGER_TAG] for name, found in tags.items()} == {
        "monthly": "manual",
        "retrain": "manual",
        "backfill": "backfill",
        "drift": "manual",
        "online": "manual",
    }
    assert all(COMPLETE_TAG in found for found in tags.values())
    graph = definitions.resolve_asset_graph()
    for name in tags:
        made = definitions.resolve_job_def(name).asset_layer.executable_asset_keys
        for key in made:
            assert graph.get(key).child_keys <= set(made), f"{name} makes {key} and not what follows"


def test_only_one_run_at_a_time_writes_to_the_lake(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {asset.name for asset in ASSETS} == {
        "/".join(key.path) for key in graph.materializable_asset_keys if graph.get(key).pools == {"lake"}
    }


@pytest.mark.parametrize(
    ("tick", "asked"),
    [("2018-01-02", "2017-12"), ("2016-11-02", "2016-10"), ("2018-02-02", None), ("2016-10-02", None)],
)
def test_schedule_asks_for_the_month_that_ended_if_it_is_one(
    definitions: dg.Definitions, tick: str, asked: str | None
) -> None:
    schedule = definitions.resolve_schedule_def("monthly_schedule")
    when = datetime.fromisoformat(f"{tick}T04:00:00+00:00")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=when, repository_def=definitions.get_repository_def()
        )
        data = schedule.evaluate_tick(context)
    assert [request.partition_key for request in data.run_requests or []] == ([] if asked is None else [asked])
    assert (data.skip_message is None) is (asked is not None)


def test_schema_and_limit_checks_block() -> None:
    blocking = {f"{check.asset}:{check.name}" for check in CHECKS if check.blocking}
    assert {f"{name}:fits_contract" for name in RAW} <= blocking
    assert "quarantined_opportunities:below_limit" in blocking


def test_partitions_are_the_simulators_months() -> None:
    keys = monthly_partitions(Settings(_env_file=None)).get_partition_keys()  # type: ignore[call-arg]  # as above
    assert (keys[0], keys[-1], len(keys)) == ("2016-10", "2017-12", 15)


def test_loading_imports_nothing_heavy() -> None:
    code = (
        f"import sys, crm_assets.definitions as d; d.defs(); print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
