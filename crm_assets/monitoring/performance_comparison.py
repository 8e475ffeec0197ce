"""A month's performance against what was promised: by its own probabilities, and by the backtest of its champion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.history.outcomes import LOST_OUTCOME, WON_OUTCOME
from crm_assets.modelling.intervals import CONFIDENCE
from crm_assets.monitoring.estimated_performance import FIGURES, LARGEST, TrackRecord, estimated_performance
from crm_assets.monitoring.performance import OVERALL, SEGMENTS, SMALL_SEGMENT, realised_performance
from crm_assets.monitoring.status import COMPARED, NOT_COMPARED

if TYPE_CHECKING:
    import pandas as pd

FEWEST_ROWS = 30
"""Matured rows below which a month is not compared."""
FEWEST_MONTHS = 3
"""Months of a backtest below which it gives no interval for another one."""
UNLIKELY = 0.03
"""Chance below which the figures of a check, together, are off."""
VERY_UNLIKELY = 0.001
"""Chance below which they are badly off."""

CHECKED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "calibrated": (("wins", "calibration_error"), "estimate"),
    "as_estimated": (("auc", "brier"), "estimate"),
    "as_backtested": (("auc", "brier"), "backtest"),
}
"""Check -> the figures it looks at together, and what they are compared with."""

COMPARISON = Table(
    "performance_comparison",
    "One row per figure overall, by region and by product: what was realised beside what was promised.",
    (
        Column("level", Kind.STRING, "overall, or the column the segments come from", required=True),
        Column("segment", Kind.STRING, "Value of that column, or all", required=True),
        Column("figure", Kind.STRING, "What was measured", required=True, allowed=FIGURES),
        Column("snapshot_month", Kind.STRING, "Month that was scored, YYYY-MM", required=True),
        Column("matured_month", Kind.STRING, "Month at whose end the outcomes were known, YYYY-MM", required=True),
        Column("model_version", Kind.STRING, "Version of the champion that gave the scores", required=True),
        Column(
            "rows",
            Kind.INTEGER,
            "Opportunities whose outcome has matured; all figures are of these",
            unit="opportunities",
            required=True,
            minimum=0,
        ),
        Column("small", Kind.BOOLEAN, f"Whether they are fewer than {SMALL_SEGMENT}", required=True),
        Column("realised", Kind.FLOAT, "The figure as it turned out; empty where it is undefined"),
        Column("estimate", Kind.FLOAT, "What the probabilities promised"),
        Column("estimate_low", Kind.FLOAT, "Lower end of its 95 % interval"),
        Column("estimate_high", Kind.FLOAT, "Upper end of its 95 % interval"),
        Column("inside_estimate", Kind.BOOLEAN, "Whether the figure lies in it"),
        Column(
            "estimate_chance",
            Kind.FLOAT,
            "Chance of being off as far to either side, were the probabilities right",
            unit="probability",
        ),
        Column("deviations", Kind.FLOAT, "By how many standard deviations of that interval the figure is off"),
        Column("backtest", Kind.FLOAT, "The estimate moved by what the backtest's months were off by; overall only"),
        Column("backtest_low", Kind.FLOAT, "Lower end of the 95 % interval of a further month of the backtest"),
        Column("backtest_high", Kind.FLOAT, "Upper end of it"),
        Column("inside_backtest", Kind.BOOLEAN, "Whether the figure lies in it"),
        Column(
            "backtest_chance",
            Kind.FLOAT,
            "Chance of a month of the backtest being off as far to either side",
            unit="probability",
        ),
    ),
    key=("level", "segment", "figure"),
)


@dataclass(frozen=True)
class Comparison:
    """A month that has matured beside what was promised of it.

    Attributes:
        month: the snapshot month that was scored; its outcomes are known a month later.
        model_version: version of the model that scored it; None when nothing was scored.
        status: "compared" or "not compared".
        reason: why it was not compared; None when it was.
        backtest_months: months of the backtest that it is compared with.
        table: rows of COMPARISON; none when it was not compared.
    """

    month: Month
    model_version: str | None
    status: str
    reason: str | None
    backtest_months: int
    table: pd.DataFrame = field(repr=False, compare=False)

    def summary(self) -> dict[str, Any]:
        """Status, and the overall figures as plain values; undefined ones are left out."""
        found: dict[str, Any] = {"snapshot_month": str(self.month), "status": self.status}
        found |= {"reason": self.reason} if self.reason else {}
        found |= {"model_version": self.model_version, "backtest_months": self.backtest_months}
        overall = self.table[self.table["level"] == OVERALL]
        for row in overall.to_dict("records"):
            told = {
                row["figure"]: row["realised"],
                f"estimated_{row['figure']}": row["estimate"],
                f"{row['figure']}_deviations": row["deviations"],
            }
            found |= {str(name): round(value, 4) for name, value in told.items() if not math.isnan(value)}
        return {name: value for name, value in found.items() if value is not None}


def compared_performance(
    scores: pd.DataFrame,
    outcomes: pd.DataFrame,
    *,
    month: Month,
    record: TrackRecord,
    seed: int,
    unknown: str | None = None,
    segments: Sequence[str] = SEGMENTS,
) -> Comparison:
    """Compare how the scores of `month` turned out with what their probabilities and the champion's backtest promised.

    Both sides are of the opportunities whose outcome is known: one that is censored is in neither, and not a lost one.

    The interval of the backtest is that of one more of its months: the estimate moved by the mean of what its months
    were off by, with Student's t for their spread (the prediction interval of one normal observation). It takes three
    months.

    Args:
        scores: as for `performance.realised_performance`.
        outcomes: likewise.
        month: the snapshot month that was scored.
        record: how far the months of the backtest as of `month` were off.
        seed: of the draws.
        unknown: why nothing was promised, such as a champion that is a table of win rates; None when there was.
        segments: columns of `scores` to compare by, too.

    Raises:
        MonitoringError: as `performance.realised_performance` does.
    """
    realised = realised_performance(scores, outcomes, month=month, segments=segments)
    matured = int(realised.table["rows"].iloc[0])
    reason = unknown or realised.reason
    if reason is None and matured < FEWEST_ROWS:
        reason = f"only {matured} scored opportunities have an outcome, at least {FEWEST_ROWS} are needed"
    if reason is None and not outcomes["outcome"].isin([WON_OUTCOME, LOST_OUTCOME]).any():
        reason = f"none of {matured} opportunities closed in {month.next}: see whether its closings have landed"
    rows: list[dict[str, Any]] = []
    if reason is None:
        known = outcomes.loc[outcomes["outcome"].notna(), "opportunity_id"]
        promised = estimated_performance(
            scores[scores["opportunity_id"].isin(known)], month=month, record=record, seed=seed, segments=segments
        )
        both = realised.table.merge(promised.table, on=["level", "segment"], suffixes=("", "_promised"), validate="1:1")
        for row in both.to_dict("records"):
            rows += [_compared({str(name): value for name, value in row.items()}, name, record) for name in FIGURES]
    return Comparison(
        month=month,
        model_version=realised.model_version,
        status=COMPARED if reason is None else NOT_COMPARED,
        reason=reason,
        backtest_months=record.months,
        table=_as_table(rows),
    )


@dataclass(frozen=True)
class Off:
    """A figure that is off.

    Attributes:
        figure: one of FIGURES.
        realised: the figure as it turned out.
        low, high: the 95 % interval it should lie in.
        chance: of being off as far to either side.
        rows: opportunities it is of.
    """

    figure: str
    realised: float
    low: float
    high: float
    chance: float
    rows: int

    @property
    def too_calm(self) -> bool:
        """Whether it is a calibration error smaller than chance makes it, which is no fault."""
        return self.figure == "calibration_error" and self.realised < self.low

    @property
    def badly(self) -> bool:
        """Whether chance all but cannot have made it."""
        return self.chance < VERY_UNLIKELY


def figures_off(rows: Iterable[Mapping[str, Any]], figures: Sequence[str], side: str) -> list[Off] | None:
    """Those overall figures that are less likely than UNLIKELY over all of `figures` together (Bonferroni).

    Args:
        rows: rows of COMPARISON.
        figures: names out of FIGURES that are looked at together.
        side: what they are compared with, `estimate` or `backtest`.

    Returns:
        None when none of them could be compared.
    """
    found = [
        Off(
            row["figure"],
            row["realised"],
            row[f"{side}_low"],
            row[f"{side}_high"],
            row[f"{side}_chance"],
            row["rows"],
        )
        for row in rows
        if row["level"] == OVERALL and row["figure"] in figures and row[f"inside_{side}"] is not None
    ]
    return [off for off in found if off.chance < UNLIKELY / len(figures) and not off.too_calm] if found else None


def failed_checks(rows: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    """Checks out of CHECKED that fail -> whether any figure is badly off.

    Args:
        rows: rows of COMPARISON.
    """
    held = list(rows)
    found = {name: figures_off(held, *looked_at) for name, looked_at in CHECKED.items()}
    return {name: any(one.badly for one in off) for name, off in found.items() if off}


def _compared(row: dict[str, Any], name: str, record: TrackRecord) -> dict[str, Any]:
    """One row of COMPARISON of a merged row of realised and promised figures."""
    value = float(row[name])
    middle, low, high = (float(row[column]) for column in (f"{name}_promised", f"{name}_low", f"{name}_high"))
    found: dict[str, Any] = {
        **{key: row[key] for key in ("level", "segment", "snapshot_month", "matured_month", "model_version", "rows")},
        "small": row["small"],
        "figure": name,
        "realised": value,
        **_placed("estimate", value, (middle, low, high), record.degrees),
    }
    found["deviations"] = _deviations(value, (middle, low, high))
    off = np.array(record.off[name]) * (row["rows"] if name == "wins" else 1)
    if row["level"] == OVERALL and off.size >= FEWEST_MONTHS:
        from scipy.stats import t

        degrees = off.size - 1
        reach = float(t.ppf((1 + CONFIDENCE) / 2, degrees) * off.std(ddof=1) * math.sqrt(1 + 1 / off.size))
        moved = middle + float(off.mean())
        largest = row["rows"] if name == "wins" else LARGEST[name]
        found |= _placed("backtest", value, (moved, moved - reach, moved + reach), degrees)
        found |= {"backtest_low": max(0.0, moved - reach), "backtest_high": min(largest, moved + reach)}
    return found


def _placed(side: str, value: float, interval: tuple[float, float, float], degrees: float) -> dict[str, Any]:
    """Where a value lies in an interval of 95 %; empty where either is undefined."""
    from scipy.stats import norm, t

    middle, low, high = interval
    found: dict[str, Any] = {side: middle, f"{side}_low": low, f"{side}_high": high}
    if math.isnan(value) or math.isnan(low):
        return found
    law = t(degrees) if math.isfinite(degrees) else norm
    off, reach = abs(value - middle), high - middle if value > middle else middle - low
    chance = float(off == 0) if reach == 0 else float(2 * law.sf(law.ppf((1 + CONFIDENCE) / 2) * off / reach))
    return found | {f"inside_{side}": bool(low <= value <= high), f"{side}_chance": chance}


def _deviations(value: float, interval: tuple[float, float, float]) -> float:
    from scipy.stats import norm

    middle, low, high = interval
    reach = high - middle if value > middle else middle - low
    if math.isnan(value) or math.isnan(reach) or reach == 0:
        return math.nan
    return float(norm.ppf((1 + CONFIDENCE) / 2)) * (value - middle) / reach


def _as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=COMPARISON.column_names).astype(COMPARISON.pandas_types())
