"""The engine protocol, and which engine a month of a given size gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import narwhals as nw

from crm_assets.errors import EngineError, SettingsError

EngineChoice = Literal["auto", "polars", "duckdb", "spark"]


class Engine(Protocol):
    """Opens Parquet files as lazy frames and writes lazy frames to Parquet files.

    Frames of two engines, or of two openings of one engine, do not join: take both sides from one `Engine`.
    """

    @property
    def name(self) -> str:
        """`polars`, `duckdb` or `spark`."""
        ...

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """The Parquet file at `path`, not read yet."""
        ...

    def sink(self, frame: nw.LazyFrame[Any], path: Path) -> None:
        """Compute `frame` and write it to one Parquet file at `path`. Raises EngineError when that fails."""
        ...


@contextmanager
def failures_told(engine: str, *errors: type[Exception], remedy: str) -> Iterator[None]:
    """Raise EngineError with the first line of what was said in place of `errors` and OSError."""
    expected: tuple[type[Exception], ...] = (*errors, OSError)
    try:
        yield
    except expected as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise EngineError(f"{engine} could not compute or write the table: {said}; {remedy}") from error


def choose_engine(choice: EngineChoice, rows: int, duckdb_from_rows: int) -> Literal["polars", "duckdb", "spark"]:
    """The engine for a month of `rows` opportunities: `choice`, or for `auto` Polars below `duckdb_from_rows`.

    Polars is quickest while a month fits easily in memory; DuckDB stays within its memory limit and spills.
    """
    if choice != "auto":
        return choice
    return "duckdb" if rows >= duckdb_from_rows else "polars"


@cache
def open_engine(name: Literal["polars", "duckdb", "spark"], memory_limit: str = "2GB") -> Engine:
    """The process's one engine of that name. Raises SettingsError when its package is not installed."""
    if name == "polars":
        from crm_assets.engines.polars_engine import PolarsEngine

        return PolarsEngine()
    if name == "duckdb":
        from crm_assets.engines.duckdb_engine import DuckDBEngine

        return DuckDBEngine(memory_limit)
    try:
        from crm_assets.engines.spark_engine import SparkEngine
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"CRM_ENGINE is 'spark', but {error.name} is not installed: pip install 'crm-assets[spark]'"
        ) from error
    return SparkEngine()
