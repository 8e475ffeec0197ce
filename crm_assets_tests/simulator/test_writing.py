from __future__ import annotations

from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES, FIELD_HISTORY_TABLES
from crm_assets.errors import SettingsError
from crm_assets.simulator import Simulation, SimulationConfig, simulate
from crm_assets.simulator.writing import (
    FileFormat,
    truth_folder,
    write_extracts,
    write_field_history,
    write_late_export,
    write_truth,
)

MONTHS = month_range(Month(2017, 2), Month(2017, 4))


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(SimulationConfig(300))


def read(file: Path, schema: pl.Schema) -> pl.DataFrame:
    return pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, schema=schema)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("file_format", get_args(FileFormat))
def test_extracts(simulation: Simulation, tmp_path: Path, file_format: FileFormat) -> None:
    out = tmp_path / "a" / "crm"
    write_extracts(simulation, out, [MONTHS[2], *MONTHS], file_format)
    assert names(out) == {str(month) for month in MONTHS}
    for month in MONTHS:
        assert names(out / str(month)) == {f"{table.name}.{file_format}" for table in CRM_TABLES}
        for table in CRM_TABLES:
            written = read(out / str(month) / f"{table.name}.{file_format}", table.polars_schema())
            assert_frame_equal(written, simulation.tables(month)[table.name])
    assert names(tmp_path / "a") == {"crm"}


@pytest.mark.parametrize("file_format", get_args(FileFormat))
def test_late_export(simulation: Simulation, tmp_path: Path, file_format: FileFormat) -> None:
    out = tmp_path / "crm"
    out.mkdir()
    write_late_export(simulation, out, file_format)
    assert names(out) == {f"{table.name}.{file_format}" for table in CRM_TABLES}
    for table in CRM_TABLES:
        written = read(out / f"{table.name}.{file_format}", table.polars_schema())
        assert_frame_equal(written, simulation.late_export()[table.name])


@pytest.mark.parametrize("file_format", get_args(FileFormat))
def test_field_history(simulation: Simulation, tmp_path: Path, file_format: FileFormat) -> None:
    out = tmp_path / "crm"
    write_field_history(simulation, out, file_format)
    assert names(out) == {f"{table.name}.{file_format}" for table in FIELD_HISTORY_TABLES}
    for table in FIELD_HISTORY_TABLES:
        written = read(out / f"{table.name}.{file_format}", table.polars_schema())
        expected = simulation.field_history()[table.name]
        assert_frame_equal(written.cast(expected.schema), expected)


def test_truth_lies_beside_the_tables(simulation: Simulation, tmp_path: Path) -> None:
    out = tmp_path / "crm"
    write_extracts(simulation, out, MONTHS)
    before = sorted(out.rglob("*"))
    write_truth(simulation, out, MONTHS)
    assert sorted(out.rglob("*")) == before
    assert truth_folder(out) == tmp_path / "crm_truth"
    assert names(tmp_path / "crm_truth") == {f"{month}.parquet" for month in MONTHS}
    for month in MONTHS:
        assert_frame_equal(pl.read_parquet(tmp_path / f"crm_truth/{month}.parquet"), simulation.truth(month))


def test_what_is_there_is_never_overwritten(simulation: Simulation, tmp_path: Path) -> None:
    for folder in (tmp_path / "crm", tmp_path / "crm_truth"):
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="crm is not empty"):
        write_extracts(simulation, tmp_path / "crm", MONTHS)
    with pytest.raises(SettingsError, match="crm is not empty"):
        write_late_export(simulation, tmp_path / "crm")
    with pytest.raises(SettingsError, match="crm_truth is not empty"):
        write_truth(simulation, tmp_path / "crm", MONTHS)
    with pytest.raises(SettingsError, match="is a file"):
        write_late_export(simulation, tmp_path / "crm" / "mine.txt")
    assert names(tmp_path / "crm") == names(tmp_path / "crm_truth") == {"mine.txt"}
    assert names(tmp_path) == {"crm", "crm_truth"}


def test_the_working_directory_and_the_root_are_refused(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (".", str(tmp_path)):
        with pytest.raises(SettingsError, match=f"{tmp_path} is the working directory: name a new folder, such as"):
            write_extracts(simulation, Path(out), MONTHS)
    with pytest.raises(SettingsError, match="/ is not empty"):
        write_extracts(simulation, Path("/"), MONTHS)
    assert names(tmp_path) == set()


def test_a_place_that_cannot_be_written_is_named(simulation: Simulation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot write .*file/crm: .*choose another"):
        write_late_export(simulation, tmp_path / "file" / "crm")


def test_bad_months_and_formats_leave_nothing_behind(simulation: Simulation, tmp_path: Path) -> None:
    out = tmp_path / "crm"
    with pytest.raises(SettingsError, match=r"2018-01.*2016-10 to 2017-12"):
        write_extracts(simulation, out, [Month(2017, 12), Month(2018, 1)])
    with pytest.raises(SettingsError, match=r"2018-01.*2016-10 to 2017-12"):
        write_truth(simulation, out, [Month(2018, 1)])
    with pytest.raises(SettingsError, match=r"no month.*2016-10 to 2017-12"):
        write_extracts(simulation, out, [])
    unknown: FileFormat = "xlsx"  # type: ignore[assignment]  # a value that only the check at run time can refuse
    with pytest.raises(SettingsError, match="'xlsx' is unknown; known are csv, parquet"):
        write_extracts(simulation, out, MONTHS, unknown)
    assert names(tmp_path) == set()


def test_a_write_that_breaks_off_leaves_nothing_behind_and_an_occupied_place_is_refused_at_once(
    simulation: Simulation, tmp_path: Path
) -> None:
    class BreaksOff(Simulation):
        def tables(self, month: Month) -> dict[str, pl.DataFrame]:
            if month == MONTHS[-1]:
                raise KeyboardInterrupt
            return simulation.tables(month)

    broken = BreaksOff.__new__(BreaksOff)
    broken.config = simulation.config
    with pytest.raises(KeyboardInterrupt):
        write_extracts(broken, tmp_path / "crm", MONTHS)
    assert names(tmp_path) == set()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty"):
        write_extracts(broken, tmp_path, MONTHS)
