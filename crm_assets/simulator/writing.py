"""Writing a simulated CRM to files, as its users would have them: monthly extracts, field history or one late export.

The true probabilities go to a folder of their own, beside the tables and never in it, so that no source that reads the
tables meets them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

    from crm_assets.simulator.simulation import Simulation

FileFormat: TypeAlias = Literal["csv", "parquet"]
FILE_FORMATS: tuple[str, ...] = get_args(FileFormat)


def truth_folder(out: Path) -> Path:
    """Where the true probabilities of the tables in `out` go: `data_truth` beside `data`."""
    out = out.resolve()
    return out.with_name(f"{out.name}_truth")


def write_extracts(simulation: Simulation, out: Path, months: Iterable[Month], file_format: FileFormat = "csv") -> None:
    """Write the tables as of each month: `out/2017-05/sales_pipeline.csv` and so on.

    `out` appears with all of its months or not at all. Raises SettingsError when it is there already and not empty,
    cannot be written, when no month is given, one is not simulated, or the format is not one of `FILE_FORMATS`.
    """
    months = _checked(simulation, months)
    with _new_folder(out) as folder:
        for month in months:
            below = folder / str(month)
            below.mkdir()
            write_tables(simulation.tables(month), below, file_format)


def write_late_export(simulation: Simulation, out: Path, file_format: FileFormat = "csv") -> None:
    """Write the one export at the end of the last month: `out/sales_pipeline.csv` and so on.

    `out` appears with all of its tables or not at all. Raises SettingsError when it is there already and not empty,
    cannot be written, or the format is not one of `FILE_FORMATS`.
    """
    with _new_folder(out) as folder:
        write_tables(simulation.late_export(), folder, file_format)


def write_field_history(simulation: Simulation, out: Path, file_format: FileFormat = "csv") -> None:
    """Write every change up to the end of the last month: `out/opportunity_history.csv`, and the tables beside it.

    `out` appears with all of its tables or not at all. Raises SettingsError when it is there already and not empty,
    cannot be written, or the format is not one of `FILE_FORMATS`.
    """
    with _new_folder(out) as folder:
        write_tables(simulation.field_history(), folder, file_format)


def write_truth(simulation: Simulation, out: Path, months: Iterable[Month]) -> None:
    """Write the true probabilities of each month to `truth_folder(out)`, `2017-05.parquet` and so on.

    Args:
        simulation: what is written.
        out: the folder of the tables, to which nothing is written.
        months: those of the snapshots.

    The folder appears whole or not at all. Raises SettingsError as `write_extracts` does.
    """
    months = _checked(simulation, months)
    with _new_folder(truth_folder(out)) as folder:
        for month in months:
            simulation.truth(month).write_parquet(folder / f"{month}.parquet")


def _checked(simulation: Simulation, months: Iterable[Month]) -> list[Month]:
    """The months, once each and sorted; all are known to be simulated before anything is written."""
    chosen = sorted(set(months))
    config = simulation.config
    if not chosen:
        raise SettingsError(f"no month to write: choose from {config.first} to {config.last}")
    for month in chosen:
        simulation.check(month)
    return chosen


def write_tables(tables: dict[str, pl.DataFrame], folder: Path, file_format: FileFormat) -> None:
    """Write each table to a file called for it in a folder that is there.

    Raises OSError, and SettingsError when the format is not one of `FILE_FORMATS`.
    """
    for name, frame in tables.items():
        file = folder / f"{name}.{file_format}"
        if file_format == "csv":
            frame.write_csv(file)
        elif file_format == "parquet":
            frame.write_parquet(file)
        else:
            raise SettingsError(f"file format {file_format!r} is unknown; known are {', '.join(FILE_FORMATS)}")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when all is written to it, and else is removed."""
    out = out.resolve()
    try:
        _refuse_occupied(out)
    except OSError as error:
        raise SettingsError(f"{out} cannot be read: {error.strerror}; choose another folder") from error
    # The process id keeps two writers apart; a folder that a killed one left under the same id is of no use.
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        _refuse_occupied(out)
        partial.replace(out)
    except OSError as error:
        raise SettingsError(
            f"cannot write {out}: {error.strerror or error}; free the place or choose another"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_occupied(out: Path) -> None:
    """Raise SettingsError unless a new folder can take the place of `out`."""
    if out == Path.cwd():
        raise SettingsError(f"{out} is the working directory: name a new folder, such as {out / 'crm'}")
    if out.is_dir():
        if any(out.iterdir()):
            raise SettingsError(f"{out} is not empty: remove what is in it, or choose another folder")
    elif out.exists():
        raise SettingsError(f"{out} is a file: choose a folder that is empty or does not exist yet")
