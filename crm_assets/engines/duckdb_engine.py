"""DuckDB in memory: bounded memory for months of millions of opportunities, spilling to a folder of its own."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw

from crm_assets.engines.engine import failures_told
from crm_assets.process import process_folder

_REMEDY = "free space in the folder for temporary files (TMPDIR), or try CRM_ENGINE=polars"
_MEMORY_REMEDY = "raise CRM_DUCKDB_MEMORY_LIMIT, or free space to spill to (TMPDIR)"


class DuckDBEngine:
    """One in-memory connection with a memory limit; not to be shared between threads.

    Args:
        memory_limit: as DuckDB writes it, for example `2GB`.
    """

    name = "duckdb"

    def __init__(self, memory_limit: str) -> None:
        spill = tempfile.mkdtemp(dir=process_folder())
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "temp_directory": spill,
            # Sorted frames keep their order all the same, and are written by every core instead of one.
            "preserve_insertion_order": "false",
        }
        self._connection = duckdb.connect(":memory:", config=config)

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """The Parquet file at `path`, not read yet."""
        # DuckDB takes every path for a pattern.
        return nw.from_native(self._connection.read_parquet(glob.escape(str(path))))

    def sink(self, frame: nw.LazyFrame[Any], path: Path) -> None:
        """Compute `frame` and write it to one Parquet file at `path`. Raises EngineError when that fails."""
        native: duckdb.DuckDBPyRelation = frame.to_native()
        with (
            failures_told("DuckDB", duckdb.Error, remedy=_REMEDY),
            failures_told("DuckDB", duckdb.OutOfMemoryException, remedy=_MEMORY_REMEDY),
        ):
            native.write_parquet(str(path), compression="zstd")
