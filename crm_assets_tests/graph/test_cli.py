"""The command line: what it prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from crm_assets.cli import main
from crm_assets.run import run_months
from crm_assets_tests.graph.conftest import SOURCE, Command, Finished, files_below


@pytest.fixture
def at(command: Command, finished: Finished) -> Command:
    """The command line, on the finished run."""
    command.patch.setenv("CRM_SOURCE_URL", SOURCE)
    command.patch.setenv("CRM_LAKE_URL", finished.settings.lake_url)
    command.patch.setenv("CRM_HOME", str(finished.settings.home))
    return command


@pytest.mark.parametrize(
    "verb", ["run", "scores", "why", "leakage", "verify", "monitor", "monitor-demo", "simulate", "doctor", "alert-test"]
)
def test_every_verb_explains_itself(verb: str) -> None:
    told = CliRunner().invoke(main, [verb, "--help"])
    assert told.exit_code == 0
    assert f"Example: crm-assets {verb}" in told.output
    assert "Exit codes" in told.output
    assert "--json" in told.output


def test_run_again_says_that_all_is_up_to_date(at: Command) -> None:
    told = at("run")
    assert told.exit_code == 0, told.output
    assert "Nothing to do: 2016-10 to 2017-12 are up to date." in told.output
    assert "Forecast for 2018-01" in told.output
    assert "Forecast for 2018-01, at list price: " in told.output
    assert "The same month of last quarter brought " in told.output
    assert "the seasonal naive forecast was closer in " in told.output
    assert "Champion: version" in told.output
    assert "2017-12.html" in told.output
    assert "creating opportunities" in told.stderr.splitlines()


def test_run_as_json(at: Command) -> None:
    told = at("run", "--json")
    assert "opportunities" not in told.stderr
    shown = json.loads(told.stdout)
    assert shown["made"] == []
    assert len(shown["top"]) == 10
    values = [row["expected_value"] for row in shown["top"]]
    assert values == sorted(values, reverse=True)
    assert shown["champion"]["backtest"]["brier"] < shown["champion"]["backtest"]["base_rate_brier"]
    forecast = shown["forecast"]
    assert forecast["forecast_month"] == "2018-01"
    parts = forecast["book"]["expected_revenue"] + forecast["new_business"]["expected_revenue"]
    assert forecast["expected_revenue"] == pytest.approx(parts)
    assert forecast["backtest"]["months"] > 0


def test_scores_of_a_month(at: Command, finished: Finished) -> None:
    stored = pl.read_parquet(finished.platform.lake.table_path("scores", finished.last.previous))
    told = json.loads(at("scores", "--month", "2017-11", "--json").stdout)
    assert told["month"] == "2017-11"
    assert {row["opportunity_id"] for row in told["scores"]} == set(stored["opportunity_id"])
    shown = at("scores", "--month", "2017-11", "--top", "3").output
    assert sum(identity in shown for identity in stored["opportunity_id"]) == 3


def test_scores_are_of_the_newest_month_by_default(at: Command) -> None:
    assert json.loads(at("scores", "--json").stdout)["month"] == "2017-12"


def test_scores_of_a_month_that_is_not_there(at: Command) -> None:
    told = at("scores", "--month", "2019-01")
    assert told.exit_code == 4
    assert "2019-01" in told.stderr
    assert "2016-10 to 2017-12" in told.stderr


def changes(finished: Finished) -> pl.DataFrame:
    return pl.read_parquet(finished.platform.lake.table_path("score_changes", finished.last))


def test_why_a_score_moved(at: Command, finished: Finished) -> None:
    row = changes(finished).sort(pl.col("change").abs()).row(-1, named=True)
    told = json.loads(at("why", row["opportunity_id"], "--json").stdout)
    changed = told.pop("changed")
    assert told == row
    assert changed["time"]["age_days"][1] - changed["time"]["age_days"][0] == finished.last.days
    shown = at("why", row["opportunity_id"], "--month", "2017-12").output
    first, *others = shown.splitlines()
    assert first.startswith(f"{row['opportunity_id']}, 2017-11 to 2017-12: ")
    assert f"{100 * row['probability_before']:.1f} % to {100 * row['probability']:.1f} %: " in first
    assert f"time passed {100 * row['by_time']:+.1f}" in first
    assert any("age_days" in line and line.startswith("  time passed: ") for line in others)


def test_why_names_the_models_where_they_changed(at: Command, finished: Finished) -> None:
    for month in finished.result.months:
        rows = pl.read_parquet(finished.platform.lake.table_path("score_changes", month))
        if not rows.is_empty():
            then, now = rows["previous_model_version"][0], rows["model_version"][0]
            shown = at("why", rows["opportunity_id"][0], "--month", str(month)).output
            assert (f"  the model changed: version {then} to version {now}" in shown) is (then != now)


def test_why_not(at: Command, finished: Finished) -> None:
    lake, last = finished.platform.lake, finished.last
    compared = set(changes(finished)["opportunity_id"])
    now, before = (
        set(pl.read_parquet(lake.table_path("scores", month))["opportunity_id"]) for month in (last, last.previous)
    )
    taken = pl.read_parquet(lake.table_path("opportunity_snapshots", last))
    stages = dict(taken.select("opportunity_id", "deal_stage").iter_rows())
    prospect = next(name for name, stage in stages.items() if stage == "Prospecting")
    new, closed, old = min(now - before), min(before - now), min(compared)
    first = str(finished.result.months[0])
    told = {
        ("NOBODY", "2017-12"): ["no opportunity NOBODY", "crm-assets scores --month 2017-12 --json"],
        (new, "2017-12"): [new, "none at the end of 2017-11, when it was", "nor has it any two months in a row"],
        (closed, "2017-12"): ["none at the end of 2017-12", f"when it was {stages[closed]}"],
        (prospect, "2017-12"): ["2017-12, when it was Prospecting", "nor has it any two months in a row"],
        (old, first): [first, "crm-assets scores"],
    }
    for (name, month), wanted in told.items():
        answer = at("why", name, "--month", month)
        assert answer.exit_code == 2, answer.output
        for text in wanted:
            assert text in answer.stderr, (name, month)
        assert json.loads(at("why", name, "--month", month, "--json").stdout)["exit_code"] == 2


def test_why_not_offers_the_months_that_can_be_compared(at: Command, finished: Finished) -> None:
    held = {
        month: set(pl.read_parquet(finished.platform.lake.table_path("score_changes", month))["opportunity_id"])
        for month in finished.result.months
    }
    closed = min(held[finished.last.previous] - held[finished.last])
    offered = " or ".join(str(month) for month, names in held.items() if closed in names)
    assert f"ask for --month {offered}" in at("why", closed).stderr


def test_why_before_there_is_a_champion(at: Command, finished: Finished) -> None:
    lake = finished.platform.lake
    scored = [m for m in finished.result.months if pl.read_parquet(lake.table_path("scores", m)).height]
    name = pl.read_parquet(lake.table_path("scores", scored[0]))["opportunity_id"][0]
    told = at("why", name, "--month", str(scored[0])).stderr
    assert f"none at the end of {scored[0].previous}, when no opportunity had one" in told


def test_doctor_finds_nothing_wrong(at: Command) -> None:
    told = json.loads(at("doctor", "--json").stdout)
    assert told["ok"], told
    assert [finding["what"] for finding in told["findings"]] == ["settings", "source", "lake", "registry", "alerts"]


def test_doctor_says_what_is_wrong_and_writes_nothing(command: Command) -> None:
    told = command("doctor", "--source", "nowhere", "--json", CRM_MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    findings = {finding["what"]: finding for finding in json.loads(told.stdout)["findings"]}
    assert told.exit_code == 3
    assert not findings["source"]["ok"]
    assert "nowhere" in findings["source"]["text"]
    assert not findings["registry"]["ok"]
    assert "127.0.0.1:9" in findings["registry"]["text"]
    assert files_below(command.folder) == {}


@pytest.mark.parametrize("name", ["scores/2017-03.parquet", "drift_report/2017-11.html"])
def test_doctor_sees_a_damaged_file(at: Command, finished: Finished, name: str) -> None:
    file = Path(finished.settings.lake_url) / finished.settings.dataset_name / name
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1])
        told = at("doctor")
    finally:
        file.write_bytes(whole)
    assert f"{Path(name).parent} of {Path(name).stem}" in told.output


def test_doctor_sees_that_the_model_store_is_another(at: Command) -> None:
    findings = json.loads(at("doctor", "--json", CRM_HOME=str(at.folder / "elsewhere")).stdout)["findings"]
    registry = next(finding for finding in findings if finding["what"] == "registry")
    assert not registry["ok"]
    assert "the champion is none yet" in registry["text"]
    assert "CRM_MLFLOW_TRACKING_URI" in registry["text"]
    assert files_below(at.folder) == {}


def test_doctor_looks_at_the_lake_of_a_source_that_is_away(command: Command) -> None:
    arguments = ("--opportunities", "300", "--months", "2017-01:2017-02", "--out", "crm")
    command("simulate", *arguments)
    assert command("run", "--source", "crm").exit_code == 0
    (command.folder / "crm").rename(command.folder / "moved")
    findings = {f["what"]: f for f in json.loads(command("doctor", "--source", "crm", "--json").stdout)["findings"]}
    assert not findings["source"]["ok"]
    assert findings["lake"]["ok"]
    assert "2 months" in findings["lake"]["text"]


def test_simulate_writes_extracts_and_the_truth_apart(command: Command) -> None:
    arguments = ("simulate", "--opportunities", "300", "--months", "2017-01:2017-08", "--seed", "3", "--out", "sim/crm")
    told = command(*arguments, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["months"][0] == "2017-01"
    assert len(list(Path(json.loads(told.stdout)["truth"]).glob("*.parquet"))) == 8
    crm = command.folder / "sim" / "crm"
    assert (crm / "2017-08" / "sales_pipeline.csv").is_file()
    assert not list(crm.rglob("*truth*"))
    assert list((command.folder / "sim").rglob("*truth*"))
    again = command(*arguments)
    assert again.exit_code == 2
    assert "sim/crm" in again.stderr
    here = command(*arguments[:-1], ".")
    assert here.exit_code == 2
    assert f"{command.folder} is the working directory" in here.stderr


def test_late_export_runs_like_any_source(command: Command) -> None:
    arguments = ("--opportunities", "400", "--months", "2017-01:2017-06", "--late-export", "--out", "late")
    told = command("simulate", *arguments)
    assert "CRM_EXPORTED_ON=2017-06-30 crm-assets run --source late" in told.output
    told = command("run", "--source", "late", "--json", CRM_EXPORTED_ON="2017-06-30")
    assert told.exit_code == 0, told.output
    shown = json.loads(told.stdout)
    assert shown["made"][-1] == "2017-06"
    assert shown["quality"]["evidence"] == "one late export"


@pytest.mark.parametrize(
    ("arguments", "environment", "wanted"),
    [
        (("run", "--months", "2017-12:2017-03"), {}, ["months out of order", "2017-03:2017-12"]),
        (("run", "--months", "2017-3"), {}, ["'2017-3'", "YYYY-MM"]),
        (("run",), {"CRM_ENGIN": "duckdb"}, ["CRM_ENGIN", "CRM_ENGINE"]),
        (("run",), {"CRM_ENGINE": "pandas"}, ["CRM_ENGINE", "'pandas'", "duckdb"]),
        (("run",), {"CRM_QUARANTINE_LIMIT": "7"}, ["CRM_QUARANTINE_LIMIT", "7"]),
        (("run",), {"CRM_DATASET": ".."}, ["CRM_DATASET"]),
        (("run",), {"CRM_CANDIDATES": "weather"}, ["CRM_CANDIDATES", "'weather'", "cure_hazard"]),
        (("run",), {"CRM_DUCKDB_MEMORY_LIMIT": "1MB"}, ["CRM_DUCKDB_MEMORY_LIMIT", "100MB"]),
        (("run", "--source", "simulator:?sead=3"), {}, ["sead", "seed"]),
        (("run", "--source", "ftp://host/crm"), {}, ["ftp://host/crm", "simulator:"]),
        (("simulate", "--out", "x", "--drift", "weather@2017-09:1"), {}, ["weather", "price"]),
    ],
)
def test_wrong_settings(
    command: Command, arguments: tuple[str, ...], environment: dict[str, str], wanted: list[str]
) -> None:
    told = command(*arguments, **environment)
    assert told.exit_code in {2, 3}, told.output
    for text in wanted:
        assert text in told.stderr
    assert files_below(command.folder) == {}
    as_json = json.loads(command(*arguments, "--json").stdout)
    assert as_json["exit_code"] == told.exit_code


def test_credentials_in_a_url_are_refused_and_not_told(command: Command) -> None:
    told = command("doctor", "--source", "s3://key:topsecret@bucket/crm")
    assert told.exit_code == 2
    assert "CRM_SOURCE_URL" in told.output
    assert "topsecret" not in told.output


def test_repairing_a_middle_month_makes_the_later_ones_too(finished: Finished, tmp_path: Path) -> None:
    settings = finished.settings.model_copy(update={"lake_url": str(tmp_path / "lake"), "home": tmp_path / "home"})
    months = list(finished.result.months[:4])
    run_months(settings, months, force=False, show_progress=False)
    (tmp_path / "lake" / settings.dataset_name / "model_performance" / "2016-12.parquet").unlink()
    repaired = run_months(settings, months, force=False, show_progress=False)
    assert repaired.made == tuple(months[2:])
    assert run_months(settings, months, force=False, show_progress=False).made == ()


def test_dagster_gets_the_months_of_the_source(command: Command) -> None:
    from crm_assets.dev import _months
    from crm_assets.errors import SourceError
    from crm_assets.settings import load_settings

    assert _months(load_settings()) == {}
    command("simulate", "--opportunities", "300", "--months", "2017-01:2017-03", "--out", "crm")
    assert _months(load_settings(source_url="crm")) == {"CRM_FIRST_MONTH": "2017-01"}
    command("simulate", "--opportunities", "300", "--months", "2017-01:2017-03", "--late-export", "--out", "late")
    late = {"source_url": "late", "exported_on": "2017-03-31"}
    assert _months(load_settings(**late)) == {"CRM_FIRST_MONTH": "2017-01", "CRM_LAST_MONTH": "2017-03"}
    assert _months(load_settings(**late, first_month="2017-02", last_month="2017-02")) == {}
    with pytest.raises(SourceError, match="nowhere"):
        _months(load_settings(source_url="nowhere"))
