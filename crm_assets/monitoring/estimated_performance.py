"""Estimated performance: how good the scores of a month are if their probabilities are right, before outcomes exist.

Confidence-based estimation: an outcome that is not known yet is drawn from its own probability, and a figure is what
it comes to in many such draws. Of calibrated probabilities that is what will be measured: the Brier score is mean
p (1 - p) in expectation, the AUC is high where probabilities are far apart. It notices when the book becomes harder to
tell, and it cannot notice that the probabilities are wrong; that is for the comparison with what is realised.

Garg et al., "Leveraging unlabeled data to predict out-of-distribution performance", ICLR 2022, for accuracy; for other
figures the "confidence-based performance estimation" of NannyML (Białek, Kuberski, Perrakis and Bifet, "Estimating
model performance under covariate shift without labels", 2024), which takes expectations without an interval.

The interval begins as the middle 95 % of the draws. A draw has one month effect for all deals
(`modelling.month_effect`), as the forecast has: deals of a month go together, and intervals of independent deals would
be far too narrow. Rankings of a month go together, too, which a shift of all log-odds does not show; so the interval is
widened by what the months of the backtest were off by beyond their draws. The factor is a Birge ratio (Birge, "The
calculation of errors by the method of least squares", Physical Review 40, 1932), drawn towards 1 while months are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.modelling.intervals import CONFIDENCE, Interval
from crm_assets.modelling.metrics import CALIBRATION_BINS, equal_frequency_bins, measure
from crm_assets.modelling.month_effect import MonthEffect, past_months
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.performance import ALL, OVERALL, SEGMENTS, SMALL_SEGMENT
from crm_assets.monitoring.rows import as_labels, as_probabilities, require_columns, require_one

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

ESTIMATED, NOT_ESTIMATED = "estimated", "not estimated"
FIGURES = ("wins", "auc", "average_precision", "brier", "log_loss", "calibration_error")
DRAWS = 1000
FEWEST_DRAWS = 200
"""Draws of a book that is so large that all of them would take minutes."""

LARGEST = dict.fromkeys(("auc", "average_precision", "brier", "calibration_error"), 1.0) | {"log_loss": math.inf}
"""The largest value each figure but the wins can have; the smallest is 0."""
PRIOR_MONTHS = 4.0
"""Months that the prior of the widening is worth, by which nothing is widened."""

_CELLS = 20_000_000
"""Rows times draws that a book may cost before it gets fewer draws."""
_CELLS_AT_ONCE = 4_000_000
_RECORD_DRAWS = 100
"""Draws of a month of the backtest, of which only the standard deviation is looked at."""
_TINY = float(np.finfo(np.float64).eps)
_TEXTS = {
    "wins": ("Wins", "opportunities"),
    "auc": ("Area under the ROC curve", None),
    "average_precision": ("Area under the precision-recall curve", None),
    "brier": ("Brier score", "squared probability"),
    "log_loss": ("Log loss", "nats"),
    "calibration_error": ("Calibration error that chance and the month effect alone make", "probability"),
}
_ENDS = {"": "expected", "_low": "lower end of the 95 % interval", "_high": "upper end of the 95 % interval"}

ESTIMATE = Table(
    "estimated_performance",
    "One row overall and one per region and product: how good the month's scores are if their probabilities are right.",
    (
        Column("level", Kind.STRING, "overall, or the column the segments come from", required=True),
        Column("segment", Kind.STRING, "Value of that column, or all", required=True),
        Column("snapshot_month", Kind.STRING, "Month that was scored, YYYY-MM", required=True),
        Column("matures_month", Kind.STRING, "Month at whose end the outcomes will be known, YYYY-MM", required=True),
        Column("model_version", Kind.STRING, "Version of the champion that gave the scores", required=True),
        Column("rows", Kind.INTEGER, "Scored opportunities", unit="opportunities", required=True, minimum=0),
        Column("small", Kind.BOOLEAN, f"Whether they are fewer than {SMALL_SEGMENT}", required=True),
        *(
            Column(f"{name}{end}", Kind.FLOAT, f"{text}, {told}", unit=unit)
            for name, (text, unit) in _TEXTS.items()
            for end, told in _ENDS.items()
        ),
    ),
    key=("level", "segment"),
)


@dataclass(frozen=True)
class TrackRecord:
    """How far months that are over were from what their probabilities promised.

    Attributes:
        effect: what deals of a month have in common.
        excess: variance beyond the draws of each figure of FIGURES, as a share of that of the draws; 0 or more.
        off: figure -> realised minus estimated of each month in which it is defined, oldest first; of wins, per row.
        months: how many it was learnt from.
        degrees: of freedom of Student's t, as the widening is known from few months; infinitely many where it is known.
    """

    effect: MonthEffect
    excess: Mapping[str, float]
    off: Mapping[str, tuple[float, ...]]
    months: int
    degrees: float

    @classmethod
    def of(cls, effect: MonthEffect) -> Self:
        """Of months that have nothing but a known effect in common."""
        return cls(effect, dict.fromkeys(FIGURES, 0.0), dict.fromkeys(FIGURES, ()), 0, math.inf)

    @classmethod
    def learnt(cls, predictions: pd.DataFrame, seed: int) -> Self:
        """From rows of `modelling.backtest.BACKTEST`: the model of each month on rows whose outcomes it had not seen.

        Months of whose position in the quarter their model could not know anything are to be left out: see
        `modelling.forecast_accuracy.informed`. Without rows there are the priors.
        """
        effect = MonthEffect.learnt(past_months(predictions))
        squares: dict[str, list[float]] = {name: [] for name in FIGURES}
        off: dict[str, list[float]] = {name: [] for name in FIGURES}
        for _, rows in predictions.groupby("snapshot_month", sort=True):
            probability = as_probabilities(rows["probability"], "the predictions of the backtest")
            (drawn,) = _figures(probability, [np.arange(probability.size)], effect, seed, _RECORD_DRAWS)
            realised = measure(rows["won"], probability).as_dict()
            for name, at in drawn.standardised(realised).items():
                squares[name].append(at**2)
                off[name].append(at * drawn.deviation(name) / (probability.size if name == "wins" else 1))
        excess = {
            name: max(0.0, (PRIOR_MONTHS + math.fsum(found)) / (PRIOR_MONTHS + len(found)) - 1)
            for name, found in squares.items()
        }
        told = {name: tuple(found) for name, found in off.items()}
        return cls(effect, excess, told, effect.months, PRIOR_MONTHS + effect.months)


@dataclass(frozen=True)
class Estimate:
    """What the scores of one month promise.

    Attributes:
        month: the snapshot month that was scored; its outcomes are known a month later.
        model_version: version of the model that scored it; None when nothing was scored.
        status: "estimated" or "not estimated".
        reason: why there is no estimate; None when there is one.
        record: how far past months were off, which the intervals hold.
        table: rows of ESTIMATE, one overall and then one per segment; none without rows.
    """

    month: Month
    model_version: str | None
    status: str
    reason: str | None
    record: TrackRecord
    table: pd.DataFrame = field(repr=False, compare=False)

    def interval(self, figure: str) -> Interval:
        """A figure overall, with its interval; undefined ends are None. `figure` is one of FIGURES."""
        if self.table.empty:
            return Interval(None, None, None)
        row = self.table.iloc[0]
        middle, low, high = (
            None if math.isnan(row[f"{figure}{end}"]) else float(row[f"{figure}{end}"]) for end in _ENDS
        )
        return Interval(middle, low, high)

    def summary(self) -> dict[str, Any]:
        """The overall row as plain values, undefined ones None, with `status`, `reason` and the month effect."""
        row = self.table.iloc[0].to_dict() if len(self.table) else {}
        figures = {
            str(name): None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()
        }
        return figures | {
            "status": self.status,
            "reason": self.reason,
            "month_effect": round(self.record.effect.tau, 4),
            "months_learnt_from": self.record.months,
        }


def estimated_performance(
    scores: pd.DataFrame,
    *,
    month: Month,
    record: TrackRecord,
    seed: int,
    segments: Sequence[str] = SEGMENTS,
    draws: int = DRAWS,
) -> Estimate:
    """What the scores of `month` will come to if their probabilities are right, with 95 % intervals.

    Wins, Brier score and log loss are exact expectations; AUC, average precision and calibration error are means over
    the draws in which they are defined, and are empty where they are in none: of a single row, say, or where every
    probability is 0. Equal rows in any order give equal estimates.

    Args:
        scores: one row per scored opportunity: `opportunity_id`, `probability`, `model_version` and `segments`. Where
            it has `snapshot_month`, that is checked.
        month: the snapshot month that was scored.
        record: how far months that are over were off.
        seed: of the draws.
        segments: columns of `scores` to estimate by, too.
        draws: how many; a book of more than 20,000 rows gets fewer, and at least 200.

    Raises:
        MonitoringError: a column is missing, an opportunity is repeated, a probability is missing or outside [0, 1], or
            the rows are of another month or of several model versions.
    """
    place = f"the scores of {month}"
    version = check_scores(scores, month, segments)
    ordered = scores.sort_values("opportunity_id", kind="stable")
    probability = as_probabilities(ordered["probability"], place)
    groups: list[tuple[str, str, NDArray[np.int64]]] = [(OVERALL, ALL, np.arange(probability.size))]
    for name in segments:
        labels = as_labels(ordered[name])
        groups += [(name, str(label), np.flatnonzero(labels == label)) for label in np.unique(labels)]
    rows = []
    if probability.size:
        figures = _figures(probability, [at for _, _, at in groups], record.effect, seed, draws)
        same = {"snapshot_month": str(month), "matures_month": str(month.next), "model_version": version}
        rows = [
            {
                **same,
                "level": level,
                "segment": segment,
                "rows": at.size,
                "small": at.size < SMALL_SEGMENT,
                **of.told(record, figures[0]),
            }
            for (level, segment, at), of in zip(groups, figures, strict=True)
        ]
    return Estimate(
        month=month,
        model_version=version,
        status=ESTIMATED if rows else NOT_ESTIMATED,
        reason=None if rows else "nothing was scored",
        record=record,
        table=_as_table(rows),
    )


def check_scores(scores: pd.DataFrame, month: Month, segments: Sequence[str]) -> str | None:
    """The one model version of the scores of a month, None without rows. Raises MonitoringError on malformed ones."""
    place = f"the scores of {month}"
    require_columns(scores, ["opportunity_id", "probability", "model_version", *segments], place)
    if "snapshot_month" in scores:
        require_one(scores, "snapshot_month", str(month), place, "hand in the rows of that month alone")
    repeated = scores.loc[scores["opportunity_id"].duplicated(), "opportunity_id"]
    if len(repeated):
        raise MonitoringError(f"{place} repeat opportunity {repeated.iloc[0]!r}; {len(repeated)} rows are repeats")
    versions = sorted({str(version) for version in scores["model_version"]})
    if len(versions) > 1:
        raise MonitoringError(f"{place} are of model versions {', '.join(versions)}: estimate one at a time")
    return versions[0] if versions else None


def _as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=ESTIMATE.column_names).astype(ESTIMATE.pandas_types())


@dataclass(frozen=True)
class _Drawn:
    """Figures of some rows in every draw.

    Attributes:
        exact: figure -> its expectation, where there is a formula.
        drawn: figure -> its value in each draw, NaN where undefined, shape (draws,).
        rows: number of the rows.
    """

    exact: Mapping[str, float]
    drawn: Mapping[str, Floats]
    rows: int

    def middle(self, name: str) -> float:
        """Expectation of a figure; NaN where it is undefined in every draw."""
        defined = self._defined(name)
        return self.exact.get(name, float(defined.mean())) if defined.size else math.nan

    def deviation(self, name: str) -> float:
        """Standard deviation of a figure over the draws; 0 where it is undefined in every draw."""
        defined = self._defined(name)
        return float(defined.std()) if defined.size else 0.0

    def standardised(self, realised: Mapping[str, float | None]) -> dict[str, float]:
        """By how many standard deviations what was realised is off, where it is defined and can be off."""
        found: dict[str, float] = {}
        for name in FIGURES:
            value, deviation = realised[name], self.deviation(name)
            if value is not None and deviation > 0:
                found[name] = (value - self.middle(name)) / deviation
        return found

    def told(self, record: TrackRecord, book: _Drawn) -> dict[str, float]:
        """`figure`, `figure_low`, `figure_high` of every figure; NaN where undefined.

        What months are off by beyond their draws is that of the book: a small segment is not off by more.
        """
        found: dict[str, float] = {}
        for name in FIGURES:
            middle, defined = self.middle(name), self._defined(name)
            ends = (math.nan, math.nan)
            if defined.size:
                shared = record.excess[name] * book.deviation(name) ** 2
                if name == "wins":
                    shared *= (self.rows / book.rows) ** 2
                ends = _widened(middle, defined, shared, record.degrees, self.rows if name == "wins" else LARGEST[name])
            found |= {f"{name}{end}": value for end, value in zip(_ENDS, (middle, *ends), strict=True)}
        return found

    def _defined(self, name: str) -> Floats:
        return self.drawn[name][np.isfinite(self.drawn[name])]


def _widened(middle: float, drawn: Floats, variance: float, degrees: float, largest: float) -> tuple[float, float]:
    """The middle 95 % of the draws about `middle`, with a further variance, within 0 and `largest`."""
    from scipy.stats import norm, t

    tail = (1 + CONFIDENCE) / 2
    normal = float(norm.ppf(tail))
    wider = float(t.ppf(tail, degrees)) / normal if math.isfinite(degrees) else 1.0
    low, high = np.quantile(drawn, [1 - tail, tail])
    down, up = (wider * math.hypot(reach, normal * math.sqrt(variance)) for reach in (middle - low, high - middle))
    return max(0.0, middle - down), min(largest, middle + up)


class _Part:
    """Some rows of the book, and their figures in a draw.

    Everything but the average precision is linear in the outcomes, or a function of what is: one product of matrices.
    """

    def __init__(self, probability: Floats, at: NDArray[np.int64]) -> None:
        p = probability[at]
        order = np.argsort(-p, kind="stable")
        p = p[order]
        self._at, self._rows = at[order], p.size
        _, tie, size = np.unique(p, return_inverse=True, return_counts=True)
        rank = (np.cumsum(size) - (size - 1) / 2)[tie]
        clipped = np.clip(p, _TINY, 1 - _TINY)
        log_odds = np.log(clipped) - np.log1p(-clipped)
        bins = equal_frequency_bins(p)
        self._weights = np.column_stack([np.ones_like(p), rank, 1 - 2 * p, log_odds, np.eye(CALIBRATION_BINS)[bins]])
        self._brier, self._log_loss = float((p**2).sum()), float(-np.log1p(-clipped).sum())
        self._expected = np.bincount(bins, weights=p, minlength=CALIBRATION_BINS)
        self._steps = np.append(np.flatnonzero(np.diff(p)), p.size - 1)
        self.exact = {
            "wins": math.fsum(p),
            "brier": math.fsum(p * (1 - p)) / p.size,
            "log_loss": math.fsum(-p * np.log(clipped) - (1 - p) * np.log1p(-clipped)) / p.size,
        }

    def figures(self, won: Floats) -> dict[str, Floats]:
        """Of outcomes (draws, rows of the book) of 0 and 1, each of shape (draws,)."""
        mine = won[:, self._at]
        sums = mine @ self._weights
        wins, rank, brier, log_odds = sums[:, :4].T
        both = (wins > 0) & (wins < self._rows)
        pairs = np.where(both, wins * (self._rows - wins), np.nan)
        return {
            "wins": wins,
            "auc": (rank - wins * (wins + 1) / 2) / pairs,
            "average_precision": np.where(both, self._average_precision(mine, wins), np.nan),
            "brier": (self._brier + brier) / self._rows,
            "log_loss": (self._log_loss - log_odds) / self._rows,
            "calibration_error": np.abs(sums[:, 4:] - self._expected).sum(axis=1) / self._rows,
        }

    def _average_precision(self, won: Floats, wins: Floats) -> Floats:
        down = np.cumsum(won, axis=1)[:, self._steps]
        found = np.diff(down, axis=1, prepend=0)
        total: Floats = (found * (down / (self._steps + 1))).sum(axis=1)
        return total / np.maximum(wins, 1)


def _figures(
    probability: Floats, groups: Sequence[NDArray[np.int64]], effect: MonthEffect, seed: int, draws: int
) -> list[_Drawn]:
    """The figures of each group, of the same draws of the whole book."""
    from threadpoolctl import threadpool_limits

    parts = [_Part(probability, at) for at in groups]
    # How sums of a product of matrices round depends on the number of threads.
    with threadpool_limits(limits=1):
        blocks = [[part.figures(won) for part in parts] for won in _drawn(probability, effect, seed, draws)]
    return [
        _Drawn(
            part.exact,
            {name: np.concatenate([block[number][name] for block in blocks]) for name in FIGURES},
            groups[number].size,
        )
        for number, part in enumerate(parts)
    ]


def _drawn(probability: Floats, effect: MonthEffect, seed: int, draws: int) -> Iterator[Floats]:
    """Outcomes of 0 and 1 in blocks of shape (some draws, rows)."""
    from scipy.special import expit

    rows = probability.size
    draws = min(draws, max(FEWEST_DRAWS, _CELLS // rows))
    shifts = effect.drawn(draws)
    effects = shifts.drawn(shifts.nodes)
    random = np.random.default_rng(seed)
    log_odds = shifts.centred(probability)
    at_once = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, draws, at_once):
        given = expit(log_odds + effects[start : start + at_once, None])
        yield (random.random(given.shape) < given).astype(np.float64)
