"""What Prometheus reads: requests and their times, scores, and from what the API answers.

Several processes that answer at one address have one set of figures: the Prometheus client keeps them in files of
`PROMETHEUS_MULTIPROC_DIR`, and whichever process is asked adds them up.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from crm_assets.serving.live import Live
from crm_assets.serving.prediction_log import PredictionLog

_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.05, 0.1, 0.25, 1, 5)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The service's figures, in a registry of their own."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter("crm_api_requests", "Requests answered", ["route", "method", "status"], registry=own)
        self.seconds = Histogram(
            "crm_api_request_seconds", "Time to answer a request", ["route"], buckets=_SECONDS, registry=own
        )
        self.scored = Counter("crm_api_scored", "Opportunities scored", ["by"], registry=own)
        self.shadow_failures = Counter(
            "crm_api_shadow_failures", "Opportunities that the challenger could not score", registry=own
        )
        self.logged = Counter("crm_api_predictions_logged", "Predictions written to the lake", registry=own)
        self.dropped = Counter(
            "crm_api_predictions_dropped",
            "Predictions that found no room in the log, or could not be kept",
            registry=own,
        )
        self._waiting = Gauge(
            "crm_api_predictions_waiting",
            "Predictions that are not in the lake yet",
            registry=own,
            multiprocess_mode="livesum",
        )
        # Of several processes the worst counts, and those that are gone do not.
        lowest: Literal["livemin"] = "livemin"
        highest: Literal["livemax"] = "livemax"
        self._ready = Gauge(
            "crm_api_ready", "1 when there is something to answer from", registry=own, multiprocess_mode=lowest
        )
        self._trouble = Gauge(
            "crm_api_trouble",
            "1 when the last look, or the last write, could not do it",
            ["about"],
            registry=own,
            multiprocess_mode=highest,
        )
        self._champion = Gauge(
            "crm_api_champion",
            "1 for the version in use, 0 for one that was",
            ["version", "month", "rung"],
            registry=own,
            multiprocess_mode=highest,
        )
        self._looked = Gauge(
            "crm_api_looked_at_seconds",
            "When the last look ended, since 1970",
            registry=own,
            multiprocess_mode=lowest,
        )
        self._as_of = Gauge(
            "crm_api_as_of_seconds",
            "Month-end that is answered as of, since 1970",
            registry=own,
            multiprocess_mode=lowest,
        )
        self._swaps = Gauge(
            "crm_api_swaps", "How often something newer was swapped in", registry=own, multiprocess_mode=highest
        )
        self._in_use: tuple[str, str, str] | None = None

    def tell(self, live: Live, log: PredictionLog | None = None) -> None:
        """Take over what `live` and the log are at now."""
        self._waiting.set(0 if log is None else log.waiting)
        self._trouble.labels("prediction_log").set(log is not None and log.trouble is not None)
        state, troubles = live.current, live.troubles
        self._ready.set(state is not None)
        for about in ("lake", "registry", "champion", "challenger"):
            self._trouble.labels(about).set(getattr(troubles, about) is not None)
        self._looked.set(live.looked_at or 0)
        self._swaps.set(live.swaps)
        if state is None:
            return
        served = state.champion.served
        in_use = (served.version, str(state.book.month), served.model.rung)
        if self._in_use is not None and self._in_use != in_use:
            self._champion.labels(*self._in_use).set(0)
        self._champion.labels(*in_use).set(1)
        self._in_use = in_use
        end = state.book.month.end
        self._as_of.set(datetime(end.year, end.month, end.day, tzinfo=UTC).timestamp())

    def tell_trouble(self, about: str, trouble: str | None) -> None:
        """Take over whether something else than what `live` looks at is wrong."""
        self._trouble.labels(about).set(trouble is not None)

    def exposition(self, live: Live, log: PredictionLog | None = None) -> bytes:
        """All of it as text, with what `live` and the log are at now; of all processes where they share a folder."""
        self.tell(live, log)
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return generate_latest(self._registry)
        _forget_gone(Path(folder))
        shared = CollectorRegistry()
        MultiProcessCollector(shared, folder)  # type: ignore[no-untyped-call]  # the library's
        return generate_latest(shared)


def _forget_gone(folder: Path) -> None:
    """Forget the gauges of processes that have ended; what they counted stays."""
    found = (re.fullmatch(r"gauge_live\w+_(\d+)\.db", file.name) for file in folder.iterdir())
    for pid in {int(match[1]) for match in found if match}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # the library's
