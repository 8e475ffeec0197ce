"""Drift over the months in one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from crm_assets.monitoring.drift_level import LEVELS
from crm_assets.monitoring.drift_page import LEVEL_COLOURS


def trend(months: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of three rows: level, PSI of the scores at fixed age, and share of the intake columns that moved.

    Args:
        months: summaries of drift reports, oldest first: `snapshot_month`, and where compared `level`,
            `prediction_psi`, `share_drifted` and `quality`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    levels, scores, shares = figure.subplots(3, 1, sharex=True, height_ratios=[2, 2, 2])
    names = [str(month["snapshot_month"]) for month in months]
    figure.suptitle(f"Drift, {names[0]} to {names[-1]}" if names else "Drift", fontsize=12)
    at = range(len(months))
    for x, month in zip(at, months, strict=True):
        level = month.get("level")
        height = LEVELS.index(level) if level in LEVELS else None
        if height is None:
            levels.plot(x, 0, marker="x", color=LEVEL_COLOURS[None], linestyle="none")
        else:
            levels.bar(x, height + 0.15, color=LEVEL_COLOURS[level], width=0.6)
    levels.set_yticks(range(len(LEVELS)), LEVELS)
    levels.set_ylim(-0.4, len(LEVELS) - 0.6)
    levels.set_title("Level (x: not compared)", fontsize=9, loc="left")
    for axes, title, series in (
        (scores, "PSI of the scores at fixed age", {"prediction_psi": "#1f5a93"}),
        (shares, "Intake columns that moved (blue) and 1 - quality (orange), share", {"share_drifted": "#1f5a93"}),
    ):
        for name, colour in series.items():
            axes.plot(at, [_number(month.get(name)) for month in months], marker="o", markersize=4, color=colour)
        axes.set_title(title, fontsize=9, loc="left")
    bad = [1 - _number(month.get("quality")) for month in months]
    shares.plot(at, bad, marker="s", markersize=3, linewidth=1, color="#c25700")
    shares.set_ylim(-0.05, 1.05)
    scores.set_ylim(bottom=0)
    shares.set_xticks(list(at), names, rotation=60, fontsize=8)
    for axes in (levels, scores, shares):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
