from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES
from crm_assets.errors import SettingsError, SourceError
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.sources import Evidence, open_source, simulator
from crm_assets.sources.simulator import SimulatorSource
from crm_assets_tests.sources.conftest import write_tables

SMALL = "simulator:?opportunities=300&months=2017-01:2017-06"
MONTHS = month_range(Month(2017, 1), Month(2017, 6))


def test_gives_the_tables_of_the_simulation() -> None:
    source = SimulatorSource(SMALL)
    assert source.evidence is Evidence.EXTRACT
    assert source.months() == MONTHS
    assert source.notes(MONTHS[0]) == []
    expected = simulate(SimulationConfig.from_url(SMALL))
    for month in MONTHS:
        tables = source.tables(month)
        assert list(tables) == [table.name for table in CRM_TABLES]
        for table in CRM_TABLES:
            assert tables[table.name].collect_schema() == table.polars_schema()
            assert_frame_equal(tables[table.name].collect(), expected.tables(month)[table.name])


def test_is_simulated_once_when_first_needed() -> None:
    said: list[str] = []
    source = SimulatorSource(SMALL, said.append)
    source.months()
    source.fingerprint(MONTHS[0])
    assert said == []
    source.tables(MONTHS[0])
    once = list(said)
    assert once
    source.tables(MONTHS[1])
    assert said == once


def test_fingerprint_is_of_the_parameters_and_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(url: str) -> str:
        return SimulatorSource(url).fingerprint(MONTHS[0])

    before = fingerprint(SMALL)
    assert len(before) == 64
    assert fingerprint("simulator:?months=2017-01:2017-06&opportunities=300&seed=7") == before
    assert fingerprint(f"{SMALL}&seed=8") != before
    monkeypatch.setattr(simulator, "code_version", lambda *modules: f"other {modules[0]}")
    assert fingerprint(SMALL) != before


@pytest.mark.parametrize("month", [Month(2016, 12), Month(2017, 7)])
def test_month_outside(month: Month) -> None:
    source = SimulatorSource(SMALL)
    for ask in (source.tables, source.fingerprint, source.notes):
        with pytest.raises(SourceError) as caught:
            ask(month)
        assert str(caught.value) == f"{source.url} simulates 2017-01 to 2017-06, not {month}. Ask for another month."


def test_wrong_parameter() -> None:
    with pytest.raises(SettingsError, match="'sede' is unknown; known are opportunities, seed"):
        SimulatorSource("simulator:?sede=1")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_its_extracts_come_back_from_files(tmp_path: Path, suffix: str) -> None:
    source = SimulatorSource(SMALL)
    for month in MONTHS:
        tables = {name: frame.collect() for name, frame in source.tables(month).items()}
        write_tables(tmp_path / str(month), tables, suffix)
    landed = open_source(str(tmp_path))
    assert landed.evidence is Evidence.EXTRACT
    assert landed.months() == MONTHS
    for month in MONTHS:
        expected, found = source.tables(month), landed.tables(month)
        assert list(found) == list(expected)
        for name in expected:
            assert_frame_equal(found[name], expected[name], check_exact=True)
        assert landed.notes(month) == []


def test_its_late_export_comes_back_from_files(tmp_path: Path) -> None:
    export: dict[str, pl.DataFrame] = simulate(SimulationConfig.from_url(SMALL)).late_export()
    landed = open_source(str(write_tables(tmp_path, export)))
    assert landed.evidence is Evidence.EXPORT
    assert landed.months()[-1] == MONTHS[-1]
    for name, frame in landed.tables(MONTHS[-1]).items():
        assert_frame_equal(frame.collect(), export[name], check_exact=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_its_field_history_comes_back_from_files(tmp_path: Path, suffix: str) -> None:
    kept: dict[str, pl.DataFrame] = simulate(SimulationConfig.from_url(SMALL)).field_history()
    landed = open_source(str(write_tables(tmp_path, kept, suffix)), exported_on=MONTHS[-1].end)
    assert landed.evidence is Evidence.FIELD_HISTORY
    assert landed.months() == MONTHS
    found = landed.tables(MONTHS[0])
    assert list(found) == list(kept)
    for name, frame in kept.items():
        expected = frame.cast({"field": pl.String}) if "field" in frame.columns else frame
        assert_frame_equal(found[name].collect(), expected, check_exact=True)
