"""The command line: what it prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from crm_assets.calendar import Month
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


@pytest.mark.parametrize("verb", sorted(main.commands))
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
    assert "in the backtest the seasonal naive forecast was closer in " in told.output
    assert " forecasts given so far, of 2017-" in told.output
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


def test_scores_tell_fates_and_reasons(at: Command, finished: Finished) -> None:
    lake, month = finished.platform.lake, finished.last
    top = pl.read_parquet(lake.table_path("scores", month)).sort("expected_value", descending=True).row(0, named=True)
    reasons = pl.read_parquet(lake.table_path("score_reasons", month))
    of_top = reasons.filter(pl.col("opportunity_id") == top["opportunity_id"]).row(0, named=True)
    plain = at("scores", "--top", "1").stdout.splitlines()
    fates = (f"{top['probability_lost']:.1%}", f"{top['probability_abandoned']:.1%}", top["expected_close_month"] or "")
    (row,) = [line for line in plain if line.startswith(top["opportunity_id"])]
    assert all(fate in row for fate in fates)
    assert all(heading in plain[1] for heading in ("lost", "abandoned", "closes"))
    told = at("scores", "--top", "1", "--reasons").stdout.splitlines()
    below = [line.strip() for line in told[told.index(row) + 1 :]]
    worded = [reason for name in ("raises", "lowers") for reason in (of_top[name] or "").split("; ") if reason]
    assert len(worded) > 1
    for line, reason in zip(below, worded, strict=False):
        assert line.endswith(reason)
    assert not any(line in plain for line in told[told.index(row) + 1 : told.index(row) + 1 + len(worded)])
    shown = {row["opportunity_id"]: row for row in json.loads(at("scores", "--json").stdout)["scores"]}
    assert {name: shown[name]["raises"] for name in shown} == dict(
        reasons.select("opportunity_id", "raises").iter_rows()
    )


def test_scores_of_no_model_name_the_rung(at: Command) -> None:
    told = at("scores", "--month", "2017-03").stdout
    assert "which is no model: every deal gets the win rate of all open deals" in told
    assert "lost" not in told
    assert "no model" not in at("scores").stdout


def test_a_month_without_scores_says_why(at: Command, finished: Finished) -> None:
    model = pl.read_parquet(finished.platform.lake.table_path("win_model", Month(2016, 11)))
    for verb in ("scores", "forecast"):
        told = at(verb, "--month", "2016-11")
        assert told.exit_code == 0
        assert f"No scores at the end of 2016-11, for there is no champion yet: {model['reason'][0]}." in told.stdout
        shown = json.loads(at(verb, "--month", "2016-11", "--json").stdout)
        assert model["reason"][0] in shown["none_because"]
        assert json.loads(at(verb, "--json").stdout)["none_because"] is None


def test_forecast(at: Command, finished: Finished) -> None:
    lake, last = finished.platform.lake, finished.last
    stored = pl.read_parquet(lake.table_path("revenue_forecast", last))
    judged = pl.read_parquet(lake.table_path("forecast_accuracy", last))
    shown = json.loads(at("forecast", "--json").stdout)
    assert shown["lines"] == stored.to_dicts()
    assert shown["forecast_month"] == "2018-01"
    assert shown["given"]["months"] == judged.height
    told = at("forecast", "--by", "region").stdout
    regions = stored.filter(pl.col("level") == "region")
    for row in stored.filter(pl.col("level").is_in(["total", "book", "new business"])).vstack(regions).to_dicts():
        (line,) = [line for line in told.splitlines() if line.startswith(f"│ {row['name']} ")]
        for name in ("expected_revenue", "low_80", "high_80", "low_95", "high_95", "naive_revenue"):
            assert f"{row[name]:,.0f}" in line, (name, line)
    new = stored.filter(pl.col("level") == "new business")["expected_revenue"][0]
    assert f"Each region is of open deals only: together they are the book, and the {new:,.0f} USD of new" in told
    naive = judged.drop_nulls("naive_revenue")
    for text in (
        f"{judged.height} forecasts given so far, of {judged['forecast_month'][0]} to 2017-12: "
        f"{judged['inside_80'].sum()} in the 80 % interval, {judged['inside_95'].sum()} in the 95 % interval",
        f"mean absolute error {judged['absolute_error'].to_numpy().mean():,.0f} USD",
        f"closer in {(naive['closer'] == 'naive').sum()} of {naive.height} months",
    ):
        assert text in told, text
    assert "West" not in at("forecast").stdout
    assert {row["level"] for row in json.loads(at("forecast", "--by", "agent", "--json").stdout)["lines"]} == {
        *("total", "book", "new business", "agent")
    }


def test_before_any_month_is_over_no_forecast_has_turned_out(at: Command) -> None:
    assert json.loads(at("forecast", "--month", "2017-03", "--json").stdout)["given"] is None
    assert "given so far" not in at("forecast", "--month", "2017-03").stdout
    assert "The forecast given so far, of 2017-04: " in at("forecast", "--month", "2017-04").stdout


def test_scores_are_of_the_newest_month_by_default(at: Command) -> None:
    assert json.loads(at("scores", "--json").stdout)["month"] == "2017-12"


@pytest.mark.parametrize("verb", ["scores", "forecast", "model-card", "verify"])
def test_a_month_that_no_source_tells_about(at: Command, verb: str) -> None:
    told = at(verb, "--month", "2019-01")
    assert told.exit_code == 4
    assert "of 2019-01, only of 2016-10 to 2017-12: ask for one of these; the source tells about" in told.stderr
    assert "crm-assets run" not in told.stderr, "it could not make the month"


def test_a_month_that_is_not_made_yet_can_be(command: Command) -> None:
    command("simulate", "--opportunities", "300", "--months", "2017-01:2017-03", "--out", "my crm")
    assert command("run", "--source", "my crm", "--months", "2017-01:2017-02").exit_code == 0
    told = command("scores", "--source", "my crm", "--month", "2017-03").stderr
    assert "or make it with crm-assets run --months 2017-03 --source 'my crm'" in told


def test_without_a_lake_the_source_is_looked_at_first(command: Command) -> None:
    for verb in (("scores",), ("why", "X"), ("model-card",), ("verify", "--month", "2017-03"), ("forecast",)):
        told = command(*verb, "--source", "nowhere")
        assert told.exit_code == 3, told.output
        assert "nowhere: cannot open the folder" in told.stderr
        assert "there is no lake" not in told.stderr
    command("simulate", "--opportunities", "300", "--months", "2017-01:2017-03", "--out", "crm")
    told = command("scores", "--source", "crm")
    assert told.exit_code == 4
    assert "there is no lake at ./lake/crm yet; run `crm-assets run --source crm`" in told.stderr
    assert "run `crm-assets run`, or" in command("scores").stderr


def changes(finished: Finished) -> pl.DataFrame:
    return pl.read_parquet(finished.platform.lake.table_path("score_changes", finished.last))


def test_why_a_score_moved(at: Command, finished: Finished) -> None:
    row = changes(finished).sort(pl.col("change").abs()).row(-1, named=True)
    told = json.loads(at("why", row["opportunity_id"], "--json").stdout)
    changed, reasons = told.pop("changed"), told.pop("reasons")
    assert (told.pop("unmoved"), told.pop("rung")) == (None, "model")
    assert told == row
    assert changed["time"]["age_days"][1] - changed["time"]["age_days"][0] == finished.last.days
    shown = at("why", row["opportunity_id"], "--month", "2017-12").output
    head, *lines = shown.splitlines()
    assert head.startswith(f"{row['opportunity_id']} at the end of 2017-12: {100 * row['probability']:.1f} %, ")
    below = [line for line in lines if reasons["raises"] and reasons["raises"].split("; ")[0] in line]
    assert below == lines[: len(below)]
    at_first = next(i for i, line in enumerate(lines) if line.startswith(row["opportunity_id"]))
    first, others = lines[at_first], lines[at_first + 1 :]
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


def test_why_a_new_deal_has_its_score(at: Command, finished: Finished) -> None:
    lake, last = finished.platform.lake, finished.last
    reasons = pl.read_parquet(lake.table_path("score_reasons", last))
    compared = changes(finished)["opportunity_id"]
    row = reasons.filter(~pl.col("opportunity_id").is_in(compared.implode())).row(0, named=True)
    told = at("why", row["opportunity_id"])
    assert told.exit_code == 0, told.output
    for name in ("raises", "lowers"):
        for reason in (row[name] or "").split("; "):
            assert reason in told.stdout
    assert f"{row['opportunity_id']} has no earlier score: none at the end of 2017-11, when it was" in told.stdout
    shown = json.loads(at("why", row["opportunity_id"], "--json").stdout)
    assert shown["reasons"] == row
    assert shown["probability"] == row["probability"]
    assert shown["probability_before"] is None
    assert shown["unmoved"].startswith("none at the end of 2017-11, when it was")


def test_why_not(at: Command, finished: Finished) -> None:
    lake, last = finished.platform.lake, finished.last
    compared = set(changes(finished)["opportunity_id"])
    now, before = (
        set(pl.read_parquet(lake.table_path("scores", month))["opportunity_id"]) for month in (last, last.previous)
    )
    taken = pl.read_parquet(lake.table_path("opportunity_snapshots", last))
    stages = dict(taken.select("opportunity_id", "deal_stage").iter_rows())
    prospect = next(name for name, stage in stages.items() if stage == "Prospecting")
    closed, old = min(before - now), min(compared)
    first = str(finished.result.months[0])
    told = {
        ("NOBODY", "2017-12"): [
            "no opportunity NOBODY",
            f"crm-assets scores --month 2017-12 --json --source '{SOURCE}'",
        ],
        (closed, "2017-12"): ["no score at the end of 2017-12", f"when it was {stages[closed]}", "ask for --month"],
        (prospect, "2017-12"): ["2017-12, when it was Prospecting", "nor has it one in any month"],
        (old, first): [first, "when no opportunity had one", "ask for --month"],
    }
    for (name, month), wanted in told.items():
        answer = at("why", name, "--month", month)
        assert answer.exit_code == 2, answer.output
        for text in wanted:
            assert text in answer.stderr, (name, month)
        assert json.loads(at("why", name, "--month", month, "--json").stdout)["exit_code"] == 2


def test_why_not_offers_the_months_with_a_score(at: Command, finished: Finished) -> None:
    held = {
        month: set(pl.read_parquet(finished.platform.lake.table_path("scores", month))["opportunity_id"])
        for month in finished.result.months
    }
    closed = min(held[finished.last.previous] - held[finished.last])
    offered = " or ".join([str(month) for month, names in held.items() if closed in names][-6:])
    assert f"ask for --month {offered}" in at("why", closed).stderr


def test_why_before_there_is_a_champion(at: Command, finished: Finished) -> None:
    lake = finished.platform.lake
    scored = [m for m in finished.result.months if pl.read_parquet(lake.table_path("scores", m)).height]
    name = pl.read_parquet(lake.table_path("scores", scored[0]))["opportunity_id"][0]
    told = at("why", name, "--month", str(scored[0])).stdout
    assert "as there is no model yet: every deal gets the win rate of all open deals" in told
    assert f"none at the end of {scored[0].previous}, when no opportunity had one" in told


def test_doctor_finds_nothing_wrong(at: Command) -> None:
    told = json.loads(at("doctor", "--json").stdout)
    assert told["ok"], told
    assert [finding["what"] for finding in told["findings"]] == [
        *("settings", "source", "lake", "registry", "dagster", "alerts")
    ]
    assert "intact; wrote, read and deleted doctor_probe" in told["findings"][2]["text"]


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
