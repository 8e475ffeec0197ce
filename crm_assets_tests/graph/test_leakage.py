"""The leakage gate in Dagster and on the command line: what it says of a planted leak, and what it stops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import narwhals as nw
import pandas as pd
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs import assets, leakage
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, MonthlyAsset
from crm_assets.errors import QualityError
from crm_assets.features.registry import FEATURE_NAMES
from crm_assets.leakage.finding import LEAKAGE_REPORT, Finding, Probe, Verdict, report
from crm_assets.modelling.backtest import RollingOrigin
from crm_assets.reproduction import _Beside
from crm_assets.run import run_months
from crm_assets.settings import Settings, load_settings
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.simulator.writing import write_late_export
from crm_assets.sources import open_source
from crm_assets_tests.graph.conftest import SMALL, Command, Finished
from crm_assets_tests.leakage.planted import DealsOfTheLastMonth, FinalOutcomes

CONFIG = SimulationConfig(opportunities=1200, first=Month(2016, 10), last=Month(2017, 6), seed=3)


@pytest.fixture
def late(command: Command) -> Settings:
    """The settings of a small CRM that was exported once."""
    write_late_export(simulate(CONFIG), command.folder / "late", "parquet")
    return load_settings(
        source_url=str(command.folder / "late"), exported_on=CONFIG.last.end, lake_url=str(command.folder / "lake")
    )


def asset_of(name: str) -> MonthlyAsset:
    return next(asset for asset in assets.ASSETS if asset.name == name)


def plant(monkeypatch: pytest.MonkeyPatch, name: str, make: Any) -> None:
    """Have the asset made otherwise."""
    asset = asset_of(name)
    before = asset.make
    monkeypatch.setitem(asset.__dict__, "make", lambda inputs, month: make(before, inputs, month))


def price_that_knows_the_close_value(before: Any, inputs: Inputs, month: Month) -> Made:
    """The list price, but where the export knows what the deal brought, that."""
    made: Made = before(inputs, month)
    source = open_source(inputs.settings.source_url, exported_on=inputs.settings.exported_on)
    known = source.tables(month)["sales_pipeline"].select("opportunity_id", "close_value")
    rows = made.frame.to_native().join(known, on="opportunity_id", how="left", maintain_order="left")
    price = pl.coalesce(pl.col("close_value"), pl.col("list_price"))
    return replace(made, frame=nw.from_native(rows.with_columns(list_price=price)))


def test_a_planted_feature_stops_the_run_and_is_named(late: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "opportunity_features", price_that_knows_the_close_value)
    with pytest.raises(QualityError) as caught:
        run_months(late, None, force=False, show_progress=False)
    told = str(caught.value)
    assert "opportunity_features.list_price of 2016-10 fails the probe 'stored features'" in told
    assert "rows differ, the first is" in told
    assert "Mend the feature or the training (docs/time.md" in told
    with dg.DagsterInstance.from_config(str(late.dagster_home)) as instance:
        (run,) = instance.get_runs()
        records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    found = [event.asset_check_evaluation_data for event in events if event is not None]
    (failed,) = [check for check in found if not check.passed and check.blocking]
    assert (failed.check_name, failed.asset_key) == ("known_on_their_date", dg.AssetKey("opportunity_features"))
    assert "| stored features | failed |" in str(failed.metadata["probes"].value)
    assert not list(Path(late.dataset_url).glob("win_model/*"))


class WithLaterRows(RollingOrigin):
    """Trained on every outcome that the run knows."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        del month
        rows: pd.DataFrame = self.history.rows
        return rows[rows["outcome"].notna()]


class WithLaterRowsSoon(WithLaterRows):
    """The same from the first month on of which an outcome is known."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        honest = RollingOrigin.training_rows(self, month)
        return honest if honest.empty else super().training_rows(month)


@pytest.mark.parametrize(
    ("training", "wanted"),
    [
        (
            WithLaterRowsSoon,
            ["training rows.matured_month", "fails the probe 'training cut-off'", "had no outcome yet at the end of"],
        ),
        (DealsOfTheLastMonth, ["training deals.as_of", "fails the probe 'training cut-off'", "are dated after 2017-0"]),
        (
            FinalOutcomes,
            ["scores.training deals", "fails the probe 'later rows'", "reads training deals of later rows"],
        ),
    ],
)
def test_a_planted_training_stops_the_run_and_makes_no_champion(
    late: Settings, monkeypatch: pytest.MonkeyPatch, training: type[RollingOrigin], wanted: list[str]
) -> None:
    from crm_assets.modelling import backtest

    monkeypatch.setattr(backtest, "RollingOrigin", training)
    settings = late.model_copy(update={**SMALL, "candidates": "cure_hazard"})
    with pytest.raises(QualityError) as caught:
        run_months(settings, None, force=False, show_progress=False)
    for text in wanted:
        assert text in str(caught.value)
    assert list(Path(late.dataset_url).glob("leakage_report/*.parquet"))
    assert not list(Path(late.dataset_url).glob("win_model/*"))


def test_a_month_that_failed_the_gate_makes_no_champion(finished: Finished, tmp_path: Path) -> None:
    """Also where the model is trained by itself, long after the check has failed."""
    month = next(m for m in finished.result.months if promoted(finished, m))
    beside = finished.platform.lake.beside(tmp_path)
    platform = _Beside(finished.settings, beside)
    failure = Finding(Probe.LATER_ROWS, str(month), "scores", "probability", Verdict.FAILED, "3 of 9 scores change")
    held = finished.platform.lake.manifest(LEAKAGE_REPORT.name, month)
    assert held is not None
    beside.write_table(
        LEAKAGE_REPORT.name,
        month,
        nw.from_native(report([failure], str(month)).lazy()),
        LEAKAGE_REPORT,
        sink=platform.engine_for(0).sink,
        provenance=held,  # type: ignore[arg-type]  # a manifest holds what a provenance does
    )
    asset = asset_of("win_model")
    row = asset.make(Inputs(asset, platform, month), month).frame.to_native().collect().row(0, named=True)
    assert not row["promoted"]
    assert row["champion_version"] != row["model_version"]
    assert row["reason"].startswith(
        f"it failed the leakage gate; scores.probability of {month} fails the probe 'later rows': 3 of 9 scores change"
    )


def promoted(finished: Finished, month: Month) -> bool:
    row = pl.read_parquet(finished.platform.lake.table_path("win_model", month)).row(0, named=True)
    return bool(row["promoted"])


def test_the_report_says_what_was_probed(finished: Finished) -> None:
    rows = pl.read_parquet(finished.platform.lake.table_path(LEAKAGE_REPORT.name, finished.last))
    assert rows["verdict"].unique().to_list() == ["passed"]
    assert set(rows["probe"]) >= {str(probe) for probe in Probe if probe is not Probe.MISSINGNESS}
    assert set(rows.filter(pl.col("probe") == Probe.WON_FROM_LOST)["column"]) == set(FEATURE_NAMES)
    with dg.DagsterInstance.from_config(str(finished.settings.dagster_home)) as instance:
        record = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey("leakage_report"), asset_partitions=[str(finished.last)]),
            limit=1,
        ).records[0]
    assert record.asset_materialization is not None
    metadata = record.asset_materialization.metadata
    assert "| another future | passed |" in str(metadata["probes"].value)
    assert "data:image/png;base64" in str(metadata["separation"].value)


def test_a_source_that_has_changed_is_not_taken_for_a_leak(command: Command) -> None:
    """The report compares with the source, which must be what the month was made of."""
    folder = command.folder / "late"
    write_late_export(simulate(CONFIG), folder, "csv")
    settings = load_settings(source_url=str(folder), exported_on=CONFIG.last.end, **SMALL)
    result = run_months(settings, None, force=False, show_progress=False)
    file = folder / "sales_pipeline.csv"
    file.write_text(file.read_text().replace(",Engaging,", ",Prospecting,", 1))
    asset = asset_of(LEAKAGE_REPORT.name)
    with pytest.raises(Exception, match=r"the source holds other data for 2017-06 .*--months 2017-06"):
        leakage.leakage_report.make(Inputs(asset, result.platform, CONFIG.last), CONFIG.last)


def test_the_command_probes_a_source_and_stores_nothing(command: Command) -> None:
    write_late_export(simulate(CONFIG), command.folder / "late", "parquet")
    before = sorted(path.name for path in command.folder.iterdir())
    told = command(
        "leakage", "--source", "late", "--months", "2017-01:2017-05", "--plot", "p.png", CRM_EXPORTED_ON="2017-06-30"
    )
    assert told.exit_code == 0, told.output
    assert "No probe found anything that was not known on its date." in told.output
    assert "Not run: won from lost in 2017-01" in told.output
    assert sorted(path.name for path in command.folder.iterdir()) == sorted([*before, "p.png"])
    assert (command.folder / "p.png").read_bytes().startswith(b"\x89PNG")
    as_json = json.loads(command("leakage", "--source", "late", "--months", "2017-01:2017-02", "--json").stdout)
    assert as_json["passed"]
    assert {row["verdict"] for row in as_json["probes"]} <= {"passed", "not run"}
    # What a later month's model learns from are all months before it, whichever are probed.
    later = json.loads(command("leakage", "--source", "late", "--months", "2017-05", "--json").stdout)["probes"]
    assert {row["examined_month"] for row in later} <= {"2017-04", "2017-05"}
    assert {row["verdict"] for row in later if row["probe"] == "training cut-off"} == {"passed"}


def test_the_command_fails_on_a_leak(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from crm_assets.modelling import backtest

    monkeypatch.setattr(backtest, "RollingOrigin", WithLaterRows)
    write_late_export(simulate(CONFIG), command.folder / "late", "parquet")
    told = command("leakage", "--source", "late", "--json", CRM_EXPORTED_ON="2017-06-30")
    assert told.exit_code == 8
    faults = json.loads(told.stdout)["faults"]
    assert any("training cut-off" in fault for fault in faults)


def test_a_champion_is_the_model_that_the_rows_of_its_month_give(finished: Finished, tmp_path: Path) -> None:
    """Whatever the shared training of a run did, and whoever logged the model."""
    from crm_assets.defs.model import _confirm
    from crm_assets.errors import LeakageError

    month = next(m for m in finished.result.months if promoted(finished, m))
    row = pl.read_parquet(finished.platform.lake.table_path("win_model", month)).row(0, named=True)
    platform = _Beside(finished.settings, finished.platform.lake.beside(tmp_path))
    inputs = Inputs(asset_of("win_model"), platform, month)
    registered = platform.registry.load(row["model_version"], row["model_sha256"])
    _confirm(inputs, month, registered)
    another = replace(registered, training={**registered.training, "rows": 1})
    with pytest.raises(LeakageError, match=rf"the model of {month} .* is not the one that what was known at the end"):
        _confirm(inputs, month, another)
