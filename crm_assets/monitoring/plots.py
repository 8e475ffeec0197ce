"""Pictures of monitoring: how far each column moved, and the drift of the scores month by month.

Figures are made without pyplot, as in `modelling.plots`; `modelling.plots.png` turns one into bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crm_assets.monitoring.drift_level import LEVELS, RULES_OF_THUMB, DriftThresholds
from crm_assets.monitoring.drift_page import LEVEL_COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DRIFTED, _STEADY, _GREY = "#b71c1c", "#1f5a93", "#6b7280"


def psi_by_column(
    columns: pd.DataFrame, thresholds: DriftThresholds = RULES_OF_THUMB, title: str = "How far each column moved"
) -> Figure:
    """PSI of each row of a column table as a bar, largest first, drifted ones in another colour."""
    figure, axes = _canvas(title)
    if columns.empty:
        return _nothing(figure, axes, "not compared")
    shown = columns.sort_values("psi", kind="stable")
    drifted = shown["drifted"].fillna(value=False).astype(bool)
    # One column far off must not squeeze the others against the axis: its bar is cut, its label is not.
    cut = 4 * max(thresholds.large_psi, 0.01)
    bars = axes.barh(
        shown["column"],
        shown["psi"].clip(upper=cut),
        color=[_DRIFTED if each else _STEADY for each in drifted],
        height=0.7,
    )
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(bars, [f"{psi:.2f}" for psi in shown["psi"]], padding=3, fontsize=8, color=_GREY, bbox=white)
    axes.set_xlim(0, 1.12 * min(max(float(shown["psi"].max()), 1.2 * thresholds.large_psi), cut))
    _threshold_lines(axes.axvline, thresholds)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_xlabel("PSI; red: drifted by its test; dashed: a small and a large PSI", fontsize=9)
    return figure


def psi_by_month(
    summaries: pd.DataFrame, thresholds: DriftThresholds = RULES_OF_THUMB, title: str = "Drift of the scores by month"
) -> Figure:
    """PSI of the scores over the months, each in the colour of its level; months that were not compared are crosses.

    Args:
        summaries: rows of `DriftReport.summary()`, of any months in any order.
        thresholds: where the dashed lines are drawn.
        title: of the figure.
    """
    figure, axes = _canvas(title)
    if summaries.empty:
        return _nothing(figure, axes, "no month yet")
    rows = summaries.sort_values("snapshot_month", kind="stable").reset_index(drop=True)
    psi = rows["prediction_psi"].astype(float)
    axes.plot(rows.index, psi, color=_GREY, linewidth=1, zorder=1)
    for level in LEVELS:
        at = rows.index[rows["level"] == level]
        if len(at):
            axes.scatter(at, psi[at], color=LEVEL_COLOURS[level], s=50, label=level, zorder=2)
    without = rows.index[rows["level"].isna()]
    if len(without):
        axes.scatter(
            without, [0.0] * len(without), color=_GREY, marker="x", label="not compared", zorder=2, clip_on=False
        )
    axes.set_xticks(list(rows.index), rows["snapshot_month"], rotation=45, ha="right")
    axes.set_ylim(0, max(1.15 * float(psi.fillna(0.0).max()), 1.2 * thresholds.large_psi))
    _threshold_lines(axes.axhline, thresholds)
    axes.set_ylabel("PSI of the scores", fontsize=9)
    axes.legend(title="Level of the month", fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _threshold_lines(draw: Callable[..., object], thresholds: DriftThresholds) -> None:
    for value in (thresholds.small_psi, thresholds.large_psi):
        draw(value, color=_GREY, linestyle="--", linewidth=0.8, zorder=0)


def _canvas(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _nothing(figure: Figure, axes: Axes, text: str) -> Figure:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_GREY)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
