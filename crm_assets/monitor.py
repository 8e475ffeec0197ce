"""Drift of a stored month, and of a copy of one with something wrong in it: `crm-assets monitor` and `monitor-demo`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from crm_assets.alerts.alert import Alert, Message
from crm_assets.alerts.observing import CheckResult, FinishedRun, Pages, observations
from crm_assets.alerts.rendering import Letter, letter
from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.checks import CHECKS
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.jobs import MONTHLY
from crm_assets.defs.monthly import Made
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import DOCUMENTS, stale_months
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import LakeError
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake, Manifest
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.monitoring.drift_level import HIGH, LOW, MEDIUM, NONE
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.estimated_performance import ESTIMATE
from crm_assets.monitoring.injection import inject
from crm_assets.monitoring.performance import PERFORMANCE
from crm_assets.monitoring.performance_comparison import COMPARISON
from crm_assets.monitoring.reference import REFERENCE
from crm_assets.monitoring.status import NOT_COMPARED
from crm_assets.published import scored_month
from crm_assets.reproduction import beside_platform
from crm_assets.settings import Settings

EXIT_CODES = {NONE: 0, LOW: 0, MEDIUM: 9, HIGH: 10, None: MonitoringError.exit_code}
"""Level -> exit code of `crm-assets monitor`; None for a month that was not compared."""

_ASSETS = {asset.name: asset for asset in ASSETS}
_MONITORING = (PERFORMANCE.name, ESTIMATE.name, COMPARISON.name, REFERENCE.name, DRIFT.name)
"""What a level comes from, each below those it reads."""


@dataclass(frozen=True)
class Monitored:
    """The drift of a month.

    Attributes:
        month: the month.
        level: NONE, LOW, MEDIUM or HIGH; None when it was not compared.
        why: what the level comes from, or why there is none.
        report: place of the HTML page; None when there is none.
        made: whether it had to be made.
        figures: the report's summary.
    """

    month: Month
    level: str | None
    why: str
    report: str | None
    made: bool
    figures: dict[str, Any]

    def sentence(self) -> str:
        """What to tell people."""
        if self.level is None:
            return f"Drift of {self.month}: not compared, because {self.why}"
        return f"Drift of {self.month}: {self.level}" + (f", {self.why}" if self.why else ", nothing differs")


def monitor(settings: Settings, month: Month | None = None) -> Monitored:
    """The drift of a stored month, by its report or, where that is missing or out of date, by one made now.

    Args:
        settings: the deployment's.
        month: the newest with scores when None.

    Raises:
        LakeError: there is no lake, or it lacks the month.
        MonitoringError: the month and its reference do not belong together.
    """
    lake, chosen = scored_month(settings, month)
    platform = Platform(settings)
    platform.lake = lake
    return _monitored(platform, chosen)


def _monitored(platform: Platform, chosen: Month) -> Monitored:
    lake = platform.lake
    outdated = stale_months(platform, [_ASSETS[name] for name in _MONITORING], [chosen]).get(chosen, {})
    for name in _MONITORING:
        if name in outdated:
            _make(platform, name, chosen)
    return _told(lake, chosen, lake.location(DRIFT.name, chosen, "html"), made=bool(outdated))


def monitor_demo(
    settings: Settings, kind: str, folder: Path, month: Month | None = None
) -> tuple[Monitored, Monitored, Letter | None]:
    """The drift of a stored month, and of a copy with something wrong in it; lake and registry stay as they are.

    Args:
        settings: the deployment's.
        kind: one of `injection.KINDS`.
        folder: that the copy is written to.
        month: the newest that was compared when None.

    Returns (as it is, with the drift, the alert that people would get of it; None where it is NONE or LOW).

    Raises LakeError when there is no lake or no month that was compared, and SettingsError on an unknown kind.
    """
    lake, newest = scored_month(settings, month)
    chosen = month or _newest_compared(lake, newest)
    copy = lake.beside(folder)
    platform = beside_platform(settings, copy)
    before = _monitored(platform, chosen)
    features, snapshot = (pl.read_parquet(lake.table_path(n, chosen)) for n in (FEATURE_TABLE.name, SNAPSHOTS.name))
    changed = inject(kind, features, snapshot, chosen)
    for name, rows in zip((FEATURE_TABLE.name, SNAPSHOTS.name), changed, strict=True):
        store(platform, _ASSETS[name], chosen, Made(nw.from_native(rows.lazy())))
    for name in (SCORES.name, DRIFT.name):
        _make(platform, name, chosen)
    page = folder / DRIFT.name / f"{chosen}.html"
    return before, _told(copy, chosen, str(page), made=True), _alert(platform, chosen, str(page))


def _alert(platform: Platform, month: Month, page: str) -> Letter | None:
    """What people would be told of a month, were it the newest."""
    (check,) = (check for check in CHECKS if check.asset == DRIFT.name)
    verdict = check.verdict(platform, month)
    if verdict.fault is None:
        return None
    settings = platform.settings
    said = verdict.fault.replace(platform.lake.location(DRIFT.name, month, "html"), page)
    found = CheckResult(check.asset, check.name, False, verdict.severe, check.blocking, said, verdict.figures)
    reports = {(DRIFT.name, str(month)): page}
    run = FinishedRun("monitor-demo", MONTHLY.name, True, datetime.now(UTC), (str(month),), (found,), reports=reports)
    (alert,) = (told for told in observations(run, Pages(settings.dagster_url)) if isinstance(told, Alert))
    # There is no run to look at.
    alert = replace(alert, links=tuple(link for link in alert.links if link.title != "Run"))
    return letter(Message(alert, alert.at, 1), settings.dataset_name, "text")


def _newest_compared(lake: Lake, newest: Month) -> Month:
    held = [Month.parse(name) for name in lake.months(DRIFT.name)]
    compared = [m for m in held if m <= newest and (_notes(lake.manifest(DRIFT.name, m)).get("level")) is not None]
    if not compared:
        raise LakeError(
            f"{lake.url} holds no month that was compared with a reference, so a drift cannot be shown: run more months"
        )
    return compared[-1]


def _make(platform: Platform, name: str, month: Month) -> None:
    asset = _ASSETS[name]
    with platform.writing(lambda line: None):
        store(platform, asset, month, asset.make(Inputs(asset, platform, month), month))


def _notes(manifest: Manifest | None) -> dict[str, Any]:
    return dict(manifest.notes) if manifest else {}


def _told(lake: Lake, month: Month, place: str, *, made: bool) -> Monitored:
    notes = _notes(lake.manifest(DRIFT.name, month))
    level = notes.get("level")
    why = str(notes.get("why", "") if level else notes.get("reason", NOT_COMPARED))
    return Monitored(month, level, why, place if notes.get(DOCUMENTS) else None, made, notes)
