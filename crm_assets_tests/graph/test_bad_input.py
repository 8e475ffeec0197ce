"""A source at fault stops the run with a message that names the place, and leaves the lake as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.simulator.writing import write_extracts
from crm_assets_tests.graph.conftest import Command, files_below

Fault = Callable[[Path], None]
CONFIG = SimulationConfig(opportunities=300, first=Month(2017, 1), last=Month(2017, 6), seed=5)


@pytest.fixture
def extracts(command: Command) -> Path:
    folder = command.folder / "crm"
    write_extracts(simulate(CONFIG), folder, CONFIG.months, "csv")
    return folder


def edit(name: str, old: str, new: str) -> Fault:
    def fault(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, (name, old)
        (folder / name).write_text(text.replace(old, new, 1))

    return fault


def remove(name: str) -> Fault:
    return lambda folder: (folder / name).unlink()


def truncated_parquet(folder: Path) -> None:
    file = folder / "2017-04" / "products.csv"
    pl.read_csv(file).write_parquet(file.with_suffix(".parquet"))
    file.with_suffix(".parquet").write_bytes(file.with_suffix(".parquet").read_bytes()[:-20])
    file.unlink()


def missing_month(folder: Path) -> None:
    for file in (folder / "2017-03").iterdir():
        file.unlink()
    (folder / "2017-03").rmdir()


def empty(folder: Path) -> None:
    (folder / "2017-04" / "accounts.csv").write_bytes(b"")


FAULTS: dict[str, tuple[Fault, list[str]]] = {
    "missing table": (remove("2017-04/sales_teams.csv"), ["sales_teams", "2017-04"]),
    "missing column": (edit("2017-04/products.csv", "sales_price", "price"), ["2017-04/products.csv", "sales_price"]),
    "extra column": (edit("2017-04/products.csv", "series", "series,margin"), ["2017-04/products.csv", "margin"]),
    "unparsable date": (
        edit("2017-04/sales_pipeline.csv", "2017-02-", "2017-99-"),
        ["2017-04/sales_pipeline.csv", "line", "engage_date", "2017-99-"],
    ),
    "empty file": (empty, ["2017-04/accounts.csv", "empty"]),
    "truncated Parquet": (truncated_parquet, ["2017-04/products.parquet"]),
    "month without data": (missing_month, ["2017-03"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_stored_of_a_faulty_source(command: Command, extracts: Path, name: str) -> None:
    """The fault is in April; not even January to March are stored."""
    fault, wanted = FAULTS[name]
    fault(extracts)
    told = command("run", "--source", "crm")
    assert told.exit_code == 3, told.output
    for text in wanted:
        assert text in told.stderr
    assert files_below(command.folder / "lake") == {}


def test_lake_stays_as_it_was(command: Command, extracts: Path) -> None:
    made = command("run", "--source", "crm", "--months", "2017-01:2017-02")
    assert made.exit_code == 0
    lines = [line for line in made.stderr.splitlines() if line.endswith(", from 2017-01")]
    assert lines[0] == f"1 of {len(ASSETS)}: raw/accounts, from 2017-01", "a log has a line per asset, and no bar"
    assert len(lines) == len(ASSETS)
    before = files_below(command.folder / "lake")
    edit("2017-02/products.csv", "series", "family")(extracts)
    assert command("run", "--source", "crm", "--months", "2017-01:2017-03").exit_code == 3
    assert files_below(command.folder / "lake") == before


def test_wrong_type_names_line_column_and_value(command: Command, extracts: Path) -> None:
    file = extracts / "2017-05" / "products.csv"
    lines = file.read_text().splitlines()
    lines[3] = ",".join([*lines[3].split(",")[:2], "cheap"])
    file.write_text("\n".join(lines) + "\n")
    told = command("run", "--source", "crm")
    assert told.exit_code == 3
    for text in ("2017-05/products.csv", "line 4", "sales_price", "'cheap'"):
        assert text in told.stderr


def test_extract_taken_days_late_is_that_of_the_month_end(command: Command, extracts: Path) -> None:
    file = extracts / "2017-06" / "sales_pipeline.csv"
    rows = pl.read_csv(file, infer_schema=False)
    open_row = rows.filter(pl.col("deal_stage") == "Engaging").head(1)
    late = open_row.with_columns(
        account=pl.lit("Late Inc."), deal_stage=pl.lit("Won"), close_date=pl.lit("2017-07-02"), close_value=pl.lit("9")
    )
    pl.concat([rows.join(open_row, on="opportunity_id", how="anti"), late]).write_csv(file)
    told = command("run", "--source", "crm", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["quality"]["quarantined"] == 0
    raw = command.folder / "lake" / "crm" / "raw" / "sales_pipeline"
    landed = pl.read_parquet(raw / "2017-06.parquet").filter(pl.col("opportunity_id") == late["opportunity_id"][0])
    assert landed.select("account", "deal_stage", "close_date", "close_value").row(0) == (None, "Engaging", None, None)
    assert json.loads((raw / "2017-06.manifest.json").read_text())["notes"]["closed_after_month_end"] == 1


def test_too_many_bad_rows_stop_the_run(command: Command, extracts: Path) -> None:
    file = extracts / "2017-06" / "sales_pipeline.csv"
    rows = pl.read_csv(file, infer_schema=False)
    half = pl.int_range(pl.len()) % 2 == 0
    rows.with_columns(pl.when(half).then(pl.lit("Nobody")).otherwise("sales_agent").alias("sales_agent")).write_csv(
        file
    )
    told = command("run", "--source", "crm")
    assert told.exit_code == 5, told.output
    for text in ("2017-06", "unknown sales_agent", "CRM_QUARANTINE_LIMIT", "limit is 5.0%"):
        assert text in told.stderr
    assert not (command.folder / "lake" / "crm" / "opportunity_snapshots").exists()


def test_few_bad_rows_are_quarantined_and_told(command: Command, extracts: Path) -> None:
    file = extracts / "2017-06" / "sales_pipeline.csv"
    rows = pl.read_csv(file, infer_schema=False)
    bad = rows.head(1).with_columns(pl.lit("BAD00001").alias("opportunity_id"), pl.lit("Gone").alias("deal_stage"))
    pl.concat([rows, bad]).write_csv(file)
    told = command("run", "--source", "crm", "--json")
    assert told.exit_code == 0, told.output
    quality = json.loads(told.stdout)["quality"]
    assert quality["quarantined"] == 1
    assert quality["quarantine_reasons"] == ["1 unknown deal_stage"]


def test_duplicate_product_breaks_the_schema(command: Command, extracts: Path) -> None:
    file = extracts / "2017-06" / "products.csv"
    text = file.read_text()
    file.write_text(text + text.splitlines()[1] + "\n")
    told = command("run", "--source", "crm")
    assert told.exit_code == 5, told.output
    for word in ("raw/products", "2017-06"):
        assert word in told.stderr
    assert set(files_below(command.folder / "lake")) == {"crm/LAKE.json"}


def test_lake_of_another_version(command: Command, extracts: Path) -> None:
    assert command("run", "--source", "crm", "--months", "2017-01").exit_code == 0
    marker = command.folder / "lake" / "crm" / "LAKE.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"format": 99, "written_by": "9.9.9"}))
    before = files_below(command.folder / "lake")
    for verb in (("run", "--source", "crm"), ("scores", "--source", "crm")):
        told = command(*verb)
        assert told.exit_code == 4
        for text in ("LAKE.json", "99", "9.9.9", "CRM_LAKE_URL"):
            assert text in told.stderr
    assert files_below(command.folder / "lake") == before


def test_lake_of_another_source(command: Command, extracts: Path) -> None:
    assert command("run", "--source", "crm", "--months", "2017-01").exit_code == 0
    before = files_below(command.folder / "lake")
    other = command.folder / "other" / "crm"
    write_extracts(simulate(CONFIG), other, CONFIG.months, "csv")
    told = command("run", "--source", "other/crm")
    assert told.exit_code == 4
    for text in (str(extracts.resolve()), str(other.resolve()), "CRM_DATASET"):
        assert text in told.stderr
    assert files_below(command.folder / "lake") == before


def test_empty_required_cell_is_quarantined(command: Command, extracts: Path) -> None:
    file = extracts / "2017-06" / "sales_pipeline.csv"
    rows = pl.read_csv(file, infer_schema=False)
    first = pl.int_range(pl.len()) == 0
    rows.with_columns(pl.when(first).then(None).otherwise("sales_agent").alias("sales_agent")).write_csv(file)
    told = command("run", "--source", "crm", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["quality"]["quarantine_reasons"] == ["1 no sales_agent"]


def test_skipped_month_leaves_the_lake_as_it_was(command: Command, extracts: Path) -> None:
    assert command("run", "--source", "crm", "--months", "2017-01").exit_code == 0
    before = files_below(command.folder / "lake")
    told = command("run", "--source", "crm", "--months", "2017-04:2017-05")
    assert told.exit_code == 4
    assert "--months 2017-02:2017-05" in told.stderr
    assert files_below(command.folder / "lake") == before


def test_model_store_that_is_down_leaves_the_lake_as_it_was(command: Command, extracts: Path) -> None:
    assert command("run", "--source", "crm", "--months", "2017-01").exit_code == 0
    before = files_below(command.folder / "lake")
    told = command(
        "run", "--source", "crm", "--months", "2017-01:2017-02", CRM_MLFLOW_TRACKING_URI="http://127.0.0.1:9"
    )
    assert told.exit_code == 6
    assert files_below(command.folder / "lake") == before
