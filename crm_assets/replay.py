"""A simulated CRM in fast motion: lands month by month, runs the graph on each, and tells what became of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.platform import Platform
from crm_assets.defs.scoring import SCORES
from crm_assets.modelling.cold_start import MODEL
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.monitoring.drift_level import HIGH, MEDIUM
from crm_assets.monitoring.performance import OVERALL, PERFORMANCE
from crm_assets.run import run_months
from crm_assets.settings import Settings
from crm_assets.simulated_landing import Landing
from crm_assets.simulator import Drift


@dataclass(frozen=True)
class ReplayedMonth:
    """What became of a month.

    Attributes:
        month: the month.
        scored: open deals that were scored.
        trained: whether a model was trained.
        promoted: whether it became champion.
        decision: why it was promoted or not, or why none was trained.
        champion: version of the champion from then on; None while there is none.
        champion_month: month at whose end the champion was trained, or counted.
        champion_rung: what it is on the cold-start ladder.
        level: of drift; None when the month was not compared.
        drift: what the level comes from, or why there is none.
        auc: of the scores of the month before, which have matured; None when there is nothing to measure.
        wins, predicted_wins: of the same scores: how many were won, and were expected to be.
        seconds: that the run took.
    """

    month: Month
    scored: int
    trained: bool
    promoted: bool
    decision: str
    champion: str | None
    champion_month: str | None
    champion_rung: str | None
    level: str | None
    drift: str
    auc: float | None
    wins: int | None
    predicted_wins: float | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "month": str(self.month)}


def replay(
    settings: Settings,
    count: int,
    *,
    simulator: str | None,
    drifts: Sequence[Drift],
    one_by_one: bool,
    told: Callable[[ReplayedMonth], None],
    begun: Callable[[Month], None] = lambda month: None,
) -> list[ReplayedMonth]:
    """Land the next months in the folder that is the settings' source, and run them.

    Args:
        settings: whose source is the folder to land in.
        count: how many months.
        simulator: URL of the CRM, when its first month is landed; `simulated_landing.DEFAULT` when None.
        drifts: changes of the CRM from a month on that has not landed yet.
        one_by_one: whether each month is run as soon as it is there; else one run makes all that have landed.
        told: told of each month once it has been run.
        begun: told of the last month that has landed before a run begins.

    Raises what `Landing.advance` and `run_months` do.
    """
    landing = Landing(settings.source_url)
    months: list[ReplayedMonth] = []
    for number in range(count if one_by_one else 1):
        landed = landing.advance(1 if one_by_one else count, simulator=simulator, drifts=() if number else drifts)
        begun(landed[-1])
        started = time.monotonic()
        # What landed earlier and was never run would be missing before it.
        held = landed if number else [month for month in landing.months() if month <= landed[-1]]
        platform = run_months(settings, held, force=False, show_progress=False).platform
        seconds = (time.monotonic() - started) / len(landed)
        for month in landed:
            months.append(_replayed(platform, month, seconds))
            told(months[-1])
    return months


def header() -> list[str]:
    """The lines above those of `line`."""
    return [
        "AUC and wins are of the scores of the month before, whose outcome is known by now.",
        f"{'month':9}{'scored':>6}  {'champion':17}{'AUC':6}{'won (expected)':16}{'drift':8}model of the month",
    ]


def line(replayed: ReplayedMonth, width: int = 0) -> list[str]:
    """What became of a month, for people: a line, and one more where it drifted.

    Args:
        replayed: the month.
        width: letters after which a line is cut; 0 for none.
    """
    level = replayed.level or "-"
    colour = {HIGH: "red", MEDIUM: "yellow"}.get(level)
    decided = "promoted" if replayed.promoted else "refused" if replayed.trained else "none"
    auc = "-" if replayed.auc is None else f"{replayed.auc:.2f}"
    won = "-" if replayed.predicted_wins is None else f"{replayed.wins or 0:,} ({replayed.predicted_wins:,.0f})"
    start = f"{replayed.month!s:9}{replayed.scored:6,}  {_champion(replayed):17}{auc:6}{won:16}"
    because = "" if replayed.promoted else f": {_first(replayed.decision)}"
    told = [
        start
        + _coloured(f"{level:8}", colour)
        + _coloured(decided, "green" if replayed.promoted else None)
        + _cut(because, width - len(start) - 8 - len(decided) if width else 0)
    ]
    if colour:
        told.append(_coloured(_cut(f"{'':17}{replayed.drift}", width), colour))
    return told


def ending(months: Sequence[ReplayedMonth], drifts: Sequence[Drift]) -> list[str]:
    """What happened, in sentences: whether each drift was seen, and who is champion."""
    told = []
    for drift in drifts:
        since = [replayed for replayed in months if replayed.month >= drift.start]
        seen = next((replayed for replayed in since if replayed.level in {MEDIUM, HIGH}), None)
        if not since:
            told.append(f"{drift} is still to come.")
        elif seen:
            told.append(f"{drift} was seen at the end of {seen.month}, as {seen.level}: {_first(seen.drift)}.")
        else:
            told.append(f"{drift} was not seen by the end of {since[-1].month}.")
    promoted = [replayed for replayed in months if replayed.promoted]
    if promoted:
        told.append(f"Models promoted at the end of {', '.join(str(replayed.month) for replayed in promoted)}.")
    if months and months[-1].champion:
        told.append(f"Champion now: {_champion(months[-1])}.")
    return told


def _champion(replayed: ReplayedMonth) -> str:
    if replayed.champion is None:
        return "none"
    return f"v{replayed.champion} {f'of {replayed.champion_month}' if replayed.champion_rung == MODEL else 'win rate'}"


def _first(reasons: str) -> str:
    """The first of several reasons, without its figures in brackets and what follows from it."""
    return re.sub(r" \([^)]*\)|, (which|so) .*|: wait .*", "", reasons.partition(";")[0])


def _coloured(text: str, colour: str | None) -> str:
    import click

    return click.style(text, fg=colour) if colour else text


def _cut(text: str, width: int) -> str:
    return text if not width or len(text) <= width else f"{text[: max(width - 3, 0)]}..."


def _replayed(platform: Platform, month: Month, seconds: float) -> ReplayedMonth:
    lake = platform.lake
    model = pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    performance = pl.read_parquet(lake.table_path(PERFORMANCE.name, month)).filter(pl.col("level") == OVERALL)
    turned_out = performance.row(0, named=True) if performance.height else {}
    manifest = platform.manifest(DRIFT.name, month)
    notes = dict(manifest.notes) if manifest else {}
    level = str(notes["level"]) if notes.get("level") else None
    return ReplayedMonth(
        month=month,
        scored=pl.read_parquet(lake.table_path(SCORES.name, month)).height,
        trained=model["status"] == "trained",
        promoted=model["promoted"],
        decision=model["reason"],
        champion=model["champion_version"],
        champion_month=model["champion_month"],
        champion_rung=model["champion_rung"],
        level=level,
        drift=str(notes.get("why", "") if level else notes.get("reason", "")),
        auc=turned_out.get("auc"),
        wins=turned_out.get("wins"),
        predicted_wins=turned_out.get("predicted_wins"),
        seconds=seconds,
    )
