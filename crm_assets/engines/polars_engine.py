"""Polars: quickest while a month fits easily in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from crm_assets.engines.engine import failures_told

_REMEDY = "free space in the folder for temporary files (TMPDIR), or try CRM_ENGINE=duckdb"


class PolarsEngine:
    """Lazy Polars, written by its streaming engine."""

    name = "polars"

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """The Parquet file at `path`, not read yet."""
        return nw.from_native(pl.scan_parquet(path, glob=False))

    def sink(self, frame: nw.LazyFrame[Any], path: Path) -> None:
        """Compute `frame` and write it to one Parquet file at `path`. Raises EngineError when that fails."""
        native: pl.LazyFrame = frame.to_native()
        with failures_told("Polars", pl.exceptions.PolarsError, remedy=_REMEDY):
            native.sink_parquet(path, compression="zstd", maintain_order=True)
