"""Pictures of a model: calibration, gain, what it looks at, the scores it gives, what moves them, and forecasts.

Figures are made without pyplot, so nothing is kept or shared between threads, and no display is needed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from crm_assets.modelling.metrics import equal_frequency_bins

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _GREY, _LIGHT, _RED = "#1f5a93", "#6b7280", "#d9dde3", "#c0392b"
_SHOWN_FEATURES = 15


def reliability(won: ArrayLike, probability: ArrayLike, title: str = "Reliability") -> Figure:
    """Share won against mean probability in 10 equal-frequency bins; on the diagonal the probabilities are right."""
    y, p = np.asarray(won, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    figure, axes = _canvas(title, "Predicted probability of a win (%)", "Won (%)")
    if p.size == 0:
        return _nothing(figure, axes)
    inside = equal_frequency_bins(p)
    rows = np.bincount(inside)
    filled = rows > 0
    rows = rows[filled]
    predicted = 100 * np.bincount(inside, weights=p)[filled] / rows
    happened = 100 * np.bincount(inside, weights=y)[filled] / rows
    # One standard error of a share of that many rows, were the probability right.
    error = np.sqrt(predicted * (100 - predicted) / rows)
    top = min(100.0, 1.1 * float(max(predicted.max(), (happened + error).max(), 1)))
    axes.plot([0, top], [0, top], color=_GREY, linestyle="--", linewidth=1, label="as predicted")
    axes.errorbar(
        predicted,
        happened,
        yerr=error,
        color=_BLUE,
        marker="o",
        markersize=5,
        linewidth=1.5,
        capsize=2,
        clip_on=False,
        label="model, ± 1 s.e.",
    )
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.legend(frameon=False, loc="upper left")
    return figure


def cumulative_gain(won: ArrayLike, probability: ArrayLike, title: str = "Cumulative gain") -> Figure:
    """Share of the wins found against share of the book worked through, best probability first."""
    y, p = np.asarray(won, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    figure, axes = _canvas(title, "Opportunities worked through, best score first (%)", "Wins among them (%)")
    if y.sum() == 0:
        return _nothing(figure, axes)
    ranked, first = y[np.argsort(-p, kind="stable")], np.sort(-p)
    # A point only where the probability changes: within a tie the order says nothing.
    ends = np.flatnonzero(np.append(np.diff(first) != 0, True))
    worked = np.append(0, 100 * (ends + 1) / y.size)
    found = np.append(0, 100 * np.cumsum(ranked)[ends] / y.sum())
    axes.plot(worked, found, color=_BLUE, linewidth=2, label="model")
    axes.plot([0, 100 * float(y.mean()), 100], [0, 100, 100], color=_GREY, linestyle=":", linewidth=1, label="perfect")
    axes.plot([0, 100], [0, 100], color=_GREY, linestyle="--", linewidth=1, label="at random")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.legend(frameon=False, loc="lower right")
    return figure


def feature_importance(importance: Mapping[str, float], title: str = "Feature importance") -> Figure:
    """The 15 most important features; `importance` maps a feature to its percentage of the total."""
    figure, axes = _canvas(title, "Mean change of the score when the feature changes (% of total)", "")
    shown = sorted(importance.items(), key=lambda pair: pair[1], reverse=True)[:_SHOWN_FEATURES]
    if not shown:
        return _nothing(figure, axes)
    names, values = [name for name, _ in shown], [value for _, value in shown]
    bars = axes.barh(names, values, color=_BLUE, height=0.7)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8, color=_GREY)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(*values, 1))
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.grid(visible=False, axis="y")
    return figure


def score_histogram(probability: ArrayLike, title: str = "Scores of the book") -> Figure:
    """How many opportunities got which probability, and the mean."""
    p = np.asarray(probability, dtype=np.float64)
    figure, axes = _canvas(title, "Predicted probability of a win (%)", "Opportunities")
    if p.size == 0:
        return _nothing(figure, axes)
    top = min(1.0, np.ceil(20 * float(p.max()) + 1e-9) / 20)
    axes.hist(100 * p, bins=np.linspace(0, 100 * max(top, 0.05), 41).tolist(), color=_BLUE)
    mean = 100 * float(p.mean())
    axes.axvline(mean, color="black", linestyle="--", linewidth=1, label=f"mean {mean:.1f} %")
    axes.set_xlim(0, 100 * max(top, 0.05))
    axes.legend(frameon=False, loc="upper right")
    return figure


def separation(
    names: Sequence[str], probes: Sequence[str], measured: ArrayLike, limit: ArrayLike, title: str = "Separation"
) -> Figure:
    """For each probe the 15 features that come closest to its limit: a dot for the AUC, a line for the limit.

    Args:
        names, probes: feature and probe of each point.
        measured, limit: its AUC and the largest one that passes, shape (n,).
    """
    from matplotlib.figure import Figure

    aucs, limits = np.asarray(measured, dtype=np.float64), np.asarray(limit, dtype=np.float64)
    panels = list(dict.fromkeys(probes))
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    for number, probe in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        inside = np.flatnonzero(np.asarray(probes) == probe)
        shown = inside[np.argsort((limits - aucs)[inside], kind="stable")][:_SHOWN_FEATURES]
        at = np.arange(shown.size)
        failed = aucs[shown] > limits[shown]
        axes.scatter(aucs[shown], at, c=np.where(failed, _RED, _BLUE).tolist(), s=28, zorder=3)
        axes.scatter(limits[shown], at, marker="|", color="black", s=120, zorder=2)
        axes.set_yticks(at, [names[index] for index in shown], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0.45, 1.02)
        axes.set_title(probe, fontsize=10, loc="left")
        axes.set_xlabel("AUC within the month; | is the limit, red is too good", fontsize=9)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_LIGHT, linewidth=0.6, axis="x")
        axes.set_axisbelow(True)
    return figure


def parts_by_cause(parts: Mapping[str, float], title: str = "Why scores moved") -> Figure:
    """Bars of the mean absolute part of each cause; `parts` maps a cause to it, in [0, 1]."""
    figure, axes = _canvas(title, "Mean absolute part of the change (percentage points)", "")
    if not parts:
        return _nothing(figure, axes)
    values = [100 * value for value in parts.values()]
    bars = axes.barh([*parts], values, color=_BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8, color=_GREY)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(*values, 1e-3))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return figure


def forecasts(rows: pd.DataFrame, title: str = "Forecasts and what came") -> Figure:
    """For each month the forecast with both intervals, the revenue that came and the seasonal naive forecast.

    Args:
        rows: rows of `modelling.forecast_accuracy.ACCURACY`.
    """
    figure, axes = _canvas(title, "Month of the forecast", "Revenue at list price (million USD)")
    if rows.empty:
        return _nothing(figure, axes)
    at, million = np.arange(len(rows)), rows.select_dtypes("number") / 1e6
    axes.vlines(at, million["low_95"], million["high_95"], color=_LIGHT, linewidth=7, label="95 % interval")
    axes.vlines(at, million["low_80"], million["high_80"], color=_BLUE, alpha=0.45, linewidth=7, label="80 % interval")
    axes.plot(at, million["expected_revenue"], color=_BLUE, marker="_", markersize=14, linestyle="", label="forecast")
    axes.plot(at, million["naive_revenue"], color=_GREY, marker="x", linestyle="", label="seasonal naive")
    axes.plot(at, million["actual_revenue"], color="black", marker="D", markersize=5, linestyle="", label="what came")
    axes.set_xticks(at, rows["forecast_month"].tolist(), rotation=45, ha="right")
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(0, 1.05 * float(million[["high_95", "actual_revenue", "naive_revenue"]].max().max()))
    figure.legend(frameon=False, loc="outside lower center", ncols=5, fontsize=8)
    return figure


def performance(promised: pd.DataFrame, realised: pd.DataFrame, title: str = "Promised and realised") -> Figure:
    """Brier score and AUC of each scored month: what its probabilities promised, with the interval, and what came.

    Args:
        promised: overall rows of `monitoring.estimated_performance.ESTIMATE`, by month.
        realised: overall rows of `monitoring.performance.PERFORMANCE`; other months are left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    months = promised["snapshot_month"].tolist()
    at = {month: number for number, month in enumerate(months)}
    came = realised[realised["snapshot_month"].isin(at)]
    for number, (name, text) in enumerate((("brier", "Brier score"), ("auc", "AUC")), start=1):
        axes = figure.add_subplot(2, 1, number)
        axes.set_title(title if number == 1 else "", fontsize=11, loc="left")
        axes.set_ylabel(text, fontsize=9)
        axes.set_xlabel("" if number == 1 else "Month that was scored", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_LIGHT, linewidth=0.6, axis="y")
        axes.set_axisbelow(True)
        if not months:
            _nothing(figure, axes)
            continue
        places = np.arange(len(months))
        low, high = promised[f"{name}_low"], promised[f"{name}_high"]
        axes.vlines(places, low, high, color=_LIGHT, linewidth=7, label="95 % interval")
        axes.plot(places, promised[name], color=_BLUE, marker="_", markersize=14, linestyle="", label="promised")
        found = [at[month] for month in came["snapshot_month"]]
        axes.plot(found, came[name], color="black", marker="D", markersize=5, linestyle="", label="realised")
        axes.set_xticks(places, months if number > 1 else [""] * len(months), rotation=45, ha="right")
        axes.set_xlim(-0.6, len(months) - 0.4)
    if months:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG of 100 pixels per inch; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _canvas(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=_LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _nothing(figure: Figure, axes: Axes) -> Figure:
    axes.text(0.5, 0.5, "nothing to show yet", transform=axes.transAxes, ha="center", va="center", color=_GREY)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
