"""Field history from the command line to features: what a run makes of it, and what a later correction changes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.run import RunResult, run_months
from crm_assets.settings import load_settings
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.simulator.writing import write_extracts, write_field_history
from crm_assets_tests.graph.conftest import SMALL, Command

MONTHS = month_range(Month(2017, 1), Month(2017, 6))
CONFIG = SimulationConfig(opportunities=400, first=MONTHS[0], last=MONTHS[-1], seed=5)


def table(result: RunResult, asset: str, month: Month) -> pl.DataFrame:
    return pl.read_parquet(result.platform.lake.table_path(asset, month))


def notes(result: RunResult, asset: str, month: Month) -> dict[str, object]:
    manifest = result.platform.manifest(asset, month)
    assert manifest is not None
    return dict(manifest.notes)


def run(source: Path, lake: Path, command: Command) -> RunResult:
    settings = load_settings(
        source_url=str(source), exported_on=MONTHS[-1].end, lake_url=str(lake), home=command.folder / "home", **SMALL
    )
    return run_months(settings, None, force=False, show_progress=False)


def test_it_gives_the_features_of_monthly_extracts(command: Command) -> None:
    simulation, folder = simulate(CONFIG), command.folder
    write_extracts(simulation, folder / "extracts", MONTHS)
    write_field_history(simulation, folder / "history")
    expected, found = (run(folder / name, folder / f"lake of {name}", command) for name in ("extracts", "history"))
    assert found.months == expected.months == tuple(MONTHS)
    for month in MONTHS:
        landed = table(found, "raw/sales_pipeline", month)
        assert_frame_equal(landed, simulation.tables(month)["sales_pipeline"].sort("opportunity_id"), check_exact=True)
        for asset in ("opportunity_snapshots", "opportunity_outcomes", "opportunity_features"):
            assert_frame_equal(table(found, asset, month), table(expected, asset, month), check_exact=True)
        raw, snapshot = (notes(found, asset, month) for asset in ("raw/sales_pipeline", "opportunity_snapshots"))
        assert (raw["evidence"], raw["rolled_back"]) == ("field history", False)
        assert snapshot == notes(expected, "opportunity_snapshots", month) | {"evidence": "field history"}
    assert table(found, "opportunity_features", MONTHS[-1]).height


@pytest.fixture
def history(command: Command) -> Path:
    command("simulate", "--opportunities", "300", "--months", "2017-01:2017-04", "--field-history", "--out", "crm")
    return command.folder / "crm" / "opportunity_history.csv"


def test_the_command_line_tells_the_evidence(command: Command, history: Path) -> None:
    told = command("simulate", "--field-history", "--months", "2017-01:2017-04", "--out", "again")
    assert "CRM_EXPORTED_ON=2017-04-30 crm-assets run --source again" in told.output
    assert not (command.folder / "again" / "sales_pipeline.csv").exists()
    findings = json.loads(command("doctor", "--source", "crm", "--json", CRM_EXPORTED_ON="2017-04-30").stdout)
    (source,) = (finding for finding in findings["findings"] if finding["what"] == "source")
    assert "field history, 2017-01 to 2017-04; of 2017-04, all 5 tables could be read" in source["text"]
    told = command("run", "--source", "crm", "--json", CRM_EXPORTED_ON="2017-04-30")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["quality"]["evidence"] == "field history"


def test_a_simulated_crm_is_written_in_one_way(command: Command) -> None:
    told = command("simulate", "--field-history", "--late-export", "--out", "crm")
    assert told.exit_code == 2
    assert "--late-export and --field-history" in told.stderr
    assert not (command.folder / "crm").exists()


def test_a_correction_changes_only_the_months_after_it_was_recorded(command: Command, history: Path) -> None:
    def landed() -> list[bytes]:
        told = command("run", "--source", "crm", CRM_EXPORTED_ON="2017-04-30")
        assert told.exit_code == 0, told.output
        lake = command.folder / "lake" / "crm" / "raw" / "sales_pipeline"
        return [file.read_bytes() for file in sorted(lake.glob("*.parquet"))]

    before = landed()
    engaged = pl.read_csv(history, infer_schema=False).filter(pl.col("new_value") == "Engaging").row(0, named=True)
    assert engaged["changed_at"] < "2017-03-01"
    with history.open("a") as stream:
        stream.write(f"{engaged['object_id']},deal_stage,Prospecting,Engaging,2017-01-02,2017-03-15\n")
    after = landed()
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False, False]


def test_a_wrong_change_is_refused_before_anything_is_stored(command: Command, history: Path) -> None:
    text = history.read_text()
    history.write_text(text + "ZZZZZZZZ,deal_stage,,Won,2017-04-05,2017-03-01\n")
    told = command("run", "--source", "crm")
    assert told.exit_code == 3
    for words in (f"{history} line {len(text.splitlines()) + 1}", "recorded_at", "2017-03-01", "'ZZZZZZZZ'"):
        assert words in told.stderr
    assert not (command.folder / "lake").exists()
