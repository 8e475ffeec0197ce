"""What was asked and answered, kept in the lake as Parquet by month and day, without keeping anybody waiting.

Rows wait in memory, up to a limit, and a thread writes them. A stop that is asked for writes what is left. Rows that
find no room are dropped and counted, and so are rows that do not fit the table; rows that could not be written are
tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.lake import Lake
from crm_assets.monitoring.prediction_log import PREDICTION_LOG

_log = logging.getLogger(__name__)
_LAST_TRIES = 3
_STOP_SECONDS = 20.0
Row = Mapping[str, Any]


class PredictionLog:
    """The log of one process.

    Args:
        open_lake: opens the lake it is written to.
        limit: rows that may wait.
        at_once: waiting rows from which it is written before its time.
        every_seconds: seconds between two writes.
        clock: seconds since 1970.
        written: told how many rows were written.
        dropped: told how many found no room, or could not be kept.
    """

    def __init__(
        self,
        open_lake: Callable[[], Lake],
        *,
        limit: int = 200_000,
        at_once: int = 10_000,
        every_seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
        written: Callable[[int], object] = lambda _: None,
        dropped: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._open_lake = open_lake
        self._limit = limit
        self._at_once = at_once
        self._every = every_seconds
        self._clock = clock
        self._written, self._dropped = written, dropped
        self._waiting: deque[Row] = deque()
        self._taken = 0
        # Guards both.
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        """Why the last write failed; None when it did not."""

    @property
    def waiting(self) -> int:
        """Rows that are not in the lake yet."""
        with self._lock:
            return len(self._waiting) + self._taken

    def start(self) -> None:
        """Write now and then, in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """Write what is left, and end; after so many seconds what is not written is given up and counted."""
        self._ended.set()
        self._wake.set()
        if self._thread is None:
            self.start()
        assert self._thread is not None
        self._thread.join(seconds)
        lost = self.waiting
        if lost:
            _log.error("%d predictions could not be written to the lake: %s", lost, self.trouble or "it took too long")
            self._dropped(lost)

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Have rows of `PREDICTION_LOG`, but for `asked_at`, written some time soon; never waits."""
        asked_at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        with self._lock:
            if len(self._waiting) + self._taken + len(rows) > self._limit:
                self._dropped(len(rows))
                return
            self._waiting.extend({**row, "asked_at": asked_at} for row in rows)
            many = len(self._waiting) >= self._at_once
        if many:
            self._wake.set()

    def flush(self) -> bool:
        """Write all that waits, a month at a time; whether that was possible."""
        with self._flushing:
            with self._lock:
                rows, self._waiting = list(self._waiting), deque()
                self._taken = len(rows)
            left: list[Row] = []
            trouble = None
            for month, of_month in self._by_month(rows).items():
                try:
                    self._write(month, of_month)
                except Exception as error:
                    # Whatever it was: rows are lost by nothing but a limit that is told.
                    left += of_month
                    trouble = str(error) or type(error).__name__
                    _log.warning("predictions wait, for the lake cannot be written: %s", trouble)
            with self._lock:
                self._waiting.extendleft(reversed(left))
                self._taken = 0
            self.trouble = trouble
            return trouble is None

    def _by_month(self, rows: Sequence[Row]) -> dict[Month, list[Row]]:
        """The rows of each month. Those that no table could hold are dropped, or nothing would be written any more."""
        found: dict[Month, list[Row]] = {}
        try:
            _frame(rows)
            fitting = list(rows)
        except Exception:
            fitting = [row for row in rows if _fits(row)]
        for row in fitting:
            found.setdefault(Month.parse(row["snapshot_month"]), []).append(row)
        if len(fitting) < len(rows):
            _log.error("%d predictions do not fit %s and are dropped", len(rows) - len(fitting), PREDICTION_LOG.name)
            self._dropped(len(rows) - len(fitting))
        return found

    def _write(self, month: Month, rows: Sequence[Row]) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC)
        self._open_lake().log(PREDICTION_LOG).add(month, _frame(rows), now)
        self._written(len(rows))

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(self._every)
            self._wake.clear()
            if not self._ended.is_set():
                self.flush()
        for _ in range(_LAST_TRIES):
            if self.flush():
                return


def _frame(rows: Sequence[Row]) -> pl.DataFrame:
    for month in {row["snapshot_month"] for row in rows}:
        Month.parse(month)
    return pl.DataFrame(rows, schema=PREDICTION_LOG.polars_schema())


def _fits(row: Row) -> bool:
    try:
        _frame([row])
    except Exception:
        return False
    return True
