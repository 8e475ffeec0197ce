"""DuckDB in memory: bounded memory for months of millions of opportunities, spilling to a folder of its own."""

from __future__ import annotations

import atexit
import glob
import shutil
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw


class DuckDBEngine:
    """One in-memory connection with a memory limit; not to be shared between threads.

    Args:
        memory_limit: as DuckDB writes it, for example `2GB`.
    """

    name = "duckdb"

    def __init__(self, memory_limit: str) -> None:
        spill = tempfile.mkdtemp(prefix="crm-assets-duckdb-")
        atexit.register(shutil.rmtree, spill, ignore_errors=True)
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
        """Compute `frame` and write it to one Parquet file at `path`."""
        native: duckdb.DuckDBPyRelation = frame.to_native()
        native.write_parquet(str(path), compression="zstd")
