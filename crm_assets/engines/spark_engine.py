"""PySpark, for when one machine is outgrown; local mode unless Spark's own configuration says otherwise."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import narwhals as nw
from pyspark.sql import SparkSession

from crm_assets.engines.engine import failures_told

_REMEDY = "free space in the folder for temporary files (TMPDIR), or look into Spark's log"


def scan(session: SparkSession, place: str) -> nw.LazyFrame[Any]:
    """The Parquet file at a path or URL, not read yet."""
    # Spark takes every path for a pattern.
    literal = re.sub(r"[][*?{}\\]", r"\\\g<0>", place)
    frame: nw.LazyFrame[Any] = nw.from_native(session.read.parquet(literal))
    return frame


class SparkEngine:
    """The process's Spark session."""

    name = "spark"

    def __init__(self) -> None:
        self._session = (
            SparkSession.builder.appName("crm-assets")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", "8")
            .getOrCreate()
        )

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """The Parquet file at `path`, not read yet."""
        return scan(self._session, str(path))

    def sink(self, frame: nw.LazyFrame[Any], path: Path) -> None:
        """Compute `frame` and write it to one Parquet file at `path`. Raises EngineError when that fails.

        Spark writes a folder of part files; one partition keeps the order of rows and makes it one file.
        """
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        with failures_told("Spark", PySparkException, Py4JError, remedy=_REMEDY):
            folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=".spark-"))
            try:
                frame.to_native().coalesce(1).write.mode("overwrite").option("compression", "zstd").parquet(str(folder))
                (part,) = folder.glob("part-*.parquet")
                part.replace(path)
            finally:
                shutil.rmtree(folder)
