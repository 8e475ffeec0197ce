"""The promotion gate: whether a newly trained challenger takes the champion's place, and every reason for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import QualityError
from crm_assets.modelling.backtest import matured_by
from crm_assets.modelling.candidate import ProbabilityModel
from crm_assets.modelling.cold_start import RUNGS
from crm_assets.modelling.intervals import CONFIDENCE, RESAMPLES, Interval, clustered_mean, paired_improvement
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.training_rows import KEY

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {
    "mean_auc": ("Mean over the test months of the area under the ROC curve", None),
    "auc": ("Area under the ROC curve over all test months", None),
    "average_precision": ("Average precision", None),
    "top_decile_lift": ("Share of wins among the tenth with the highest probability, over the share among all", None),
    "brier": ("Brier score", "squared probability"),
    "log_loss": ("Log loss", "nats"),
    "calibration_error": ("Expected calibration error", "probability"),
    "base_rate_brier": ("Brier score of the win rate by quarter position", "squared probability"),
    "age_table_brier": ("Brier score of the win rate by age and quarter position", "squared probability"),
    "skill_vs_base_rate": ("1 - Brier / Brier of the win rate by quarter position", None),
    "skill_vs_age_table": ("1 - Brier / Brier of the win rate by age and quarter position", None),
}
"""Figure of the backtest in WIN_MODEL -> what it is, and its unit."""

WIN_MODEL = Table(
    "win_model",
    "One row: the model trained at the month-end, how its recipe did out of time, and who is champion from then on.",
    (
        Column("snapshot_month", Kind.STRING, "Month at whose end it was trained, YYYY-MM", required=True),
        Column("status", Kind.STRING, "Whether a model was trained", required=True, allowed=("trained", "not trained")),
        Column("reason", Kind.STRING, "Why the model was promoted or not, or why none was trained", required=True),
        Column("candidate", Kind.STRING, "Candidate that was chosen on earlier months"),
        Column("model_version", Kind.STRING, "Version of the month's model in the registry"),
        Column("model_sha256", Kind.STRING, "Content hash of the month's model"),
        Column("promoted", Kind.BOOLEAN, "Whether it became champion", required=True),
        Column(
            "champion_version", Kind.STRING, "Version of the champion after the decision; empty while there is none"
        ),
        Column("champion_sha256", Kind.STRING, "Content hash of the champion"),
        Column("champion_month", Kind.STRING, "Month at whose end the champion was trained"),
        Column("champion_rung", Kind.STRING, "Rung of the cold-start ladder that the champion is", allowed=RUNGS),
        Column("training_rows", Kind.INTEGER, "Rows it was trained on", unit="rows", minimum=0),
        Column("training_wins", Kind.INTEGER, "Wins among them", unit="rows", minimum=0),
        Column("test_months", Kind.INTEGER, "Months of the backtest", unit="months", required=True, minimum=0),
        *(Column(name, Kind.FLOAT, text, unit=unit) for name, (text, unit) in FIGURES.items()),
    ),
    key=("snapshot_month",),
)


PASSED, FAILED, NOT_APPLICABLE = VERDICTS = ("passed", "failed", "not applicable")
"""What a check says; a figure that leaves the decision to the next one is not applicable, too."""

DECISION = "decision"
"""Name of the row of PROMOTION_CHECKS that holds the outcome."""

PROMOTION_CHECKS = Table(
    "promotion_checks",
    "One row per reason for or against the month's model becoming champion, and one, `decision`, for the outcome.",
    (
        Column("snapshot_month", Kind.STRING, "Month at whose end it was trained, YYYY-MM", required=True),
        Column("check", Kind.STRING, "What was checked", required=True),
        Column("verdict", Kind.STRING, "What the check says", required=True, allowed=VERDICTS),
        Column("model_version", Kind.STRING, "Version of the month's model in the registry"),
        Column("figure", Kind.FLOAT, "What was measured: an improvement, or wins expected too many per row"),
        Column("low", Kind.FLOAT, "Lower end of its interval"),
        Column("high", Kind.FLOAT, "Upper end of its interval"),
        Column("limit", Kind.FLOAT, "What an improvement's interval must be above, or the largest gap allowed"),
        Column("detail", Kind.STRING, "The reason in words, with its figures", required=True),
    ),
    key=("snapshot_month", "check"),
)

SEGMENTS = {"region": "regional_office", "product": "product", "agent": "sales_agent"}
"""What no segment of may become worse -> its column."""

SEGMENT_ROWS = 200
"""Rows without which a segment is not looked at: with fewer its interval says little."""

CALIBRATION_SIGMAS = 3.0
"""Standard deviations of the number of wins, were the probabilities right, that a month may be off by in any case."""

_SAME = 1e-12


@dataclass(frozen=True)
class GateLimits:
    """What a challenger is held to.

    Attributes:
        margin: what the interval of its improvement, in Brier score or average precision, must be above, and by how
            much a segment may surely be worse; 0 or more.
        calibration: expected wins too many or too few, per row of a month, that are always allowed.
        months: newest test months whose calibration counts: of a recipe that learnt from little at first, the early
            ones would count against it forever.
        seed: of the resamples.
        resamples: how many.
    """

    margin: float = 0.0
    calibration: float = 0.05
    months: int = 6
    seed: int = 7
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class Check:
    """One reason for or against a promotion.

    Attributes:
        name: what was checked, unique in a decision.
        passed: None when it has no say.
        detail: the reason in words, with its figures.
        figure, low, high, limit: as in PROMOTION_CHECKS; None where nothing is measured.
    """

    name: str
    passed: bool | None
    detail: str
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        return NOT_APPLICABLE if self.passed is None else PASSED if self.passed else FAILED


@dataclass(frozen=True)
class PromotionDecision:
    """What the gate decided, and why.

    Attributes:
        promoted: whether the challenger becomes champion: it does when no check failed.
        checks: all that was checked.
        figures: what it was compared on: `rows`, `first_month`, `last_month`, `challenger_brier`, and
            `base_rate_brier` or `champion_brier`, whichever it was compared with. Undefined ones are None.
    """

    promoted: bool
    checks: tuple[Check, ...]
    figures: dict[str, Any]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, as sentences with figures: what failed, or else what it was promoted for."""
        failed = tuple(check.detail for check in self.checks if check.passed is False)
        decisive = [check for check in self.checks if check.name in (_COMPARISON, _BRIER, _PRECISION)]
        return failed or tuple(check.detail for check in decisive if check.passed or check.name == _COMPARISON)

    def as_table(self, month: Month, model_version: str | None = None) -> pd.DataFrame:
        """Rows of PROMOTION_CHECKS: the decision, then each check."""
        import pandas as pd

        outcome = f"{'promoted' if self.promoted else 'not promoted'}: {'; '.join(self.reasons)}"
        rows = [
            {
                "snapshot_month": str(month),
                "check": check.name,
                "verdict": check.verdict,
                "model_version": model_version,
                "figure": check.figure,
                "low": check.low,
                "high": check.high,
                "limit": check.limit,
                "detail": check.detail,
            }
            for check in (Check(DECISION, self.promoted, outcome), *self.checks)
        ]
        table = pd.DataFrame(rows, columns=PROMOTION_CHECKS.column_names)
        return table.astype(dict.fromkeys(("figure", "low", "high", "limit"), "float64"))


_COMPARISON, _BRIER, _PRECISION = "comparison", "brier", "average precision"


def champion_predictions(
    champion: ProbabilityModel, rows: pd.DataFrame, trained_at: Month, month: Month
) -> pd.DataFrame:
    """The champion's probabilities for matured books whose outcomes it has not seen.

    Those are the books from the month it was trained at on, and of them the ones whose outcomes had matured by `month`.
    Returns columns `opportunity_id`, `snapshot_month`, `probability`; no rows when there is no such book.
    """
    unseen = matured_by(rows, month)
    unseen = unseen[unseen["snapshot_month"] >= str(trained_at)]
    return unseen[KEY].assign(probability=champion.predict(unseen)).reset_index(drop=True)


def decide(
    champion: pd.DataFrame | None,
    challenger: pd.DataFrame,
    *,
    trained_on: str,
    current: str,
    leakage_faults: Sequence[str] = (),
    withdrawn: str | None = None,
    champion_is_model: bool = True,
    segments: pd.DataFrame | None = None,
    limits: GateLimits | None = None,
) -> PromotionDecision:
    """Whether the challenger becomes champion: only if no check fails.

    Without a champion it is compared with the win rate by quarter position, with one on the rows that both predicted
    without having seen their outcomes. The improvement of the Brier score decides when its interval is above the margin
    or below 0; otherwise that of the average precision must be above the margin, where the champion is a model: rates
    hardly rank at all, so that to rank better than they do says nothing.

    Args:
        champion: from `champion_predictions`; None when there is no champion yet.
        challenger: rolling-origin predictions (rows of `backtest.BACKTEST`): of the backtest's window when there is
            no champion, of the months that the champion had not seen when there is one. Calibration is checked on each
            of the newest of them: a model of few early months says little of today's recipe.
        trained_on: contract that the challenger was trained on.
        current: contract of the tables as they are.
        leakage_faults: what the leakage gate found wrong, in words.
        withdrawn: why this version was rolled back; None if it was not.
        champion_is_model: whether the champion is no rung of the cold-start ladder.
        segments: `opportunity_id`, `snapshot_month` and the columns of SEGMENTS, for at least the challenger's rows.
        limits: defaults when None.

    Raises QualityError when a row stands twice, or a row of the challenger is missing in `segments`.
    """
    limits = limits or GateLimits()
    for side, name in ((champion, "champion"), (challenger, "challenger"), (segments, "segments")):
        if side is not None and side.duplicated(KEY).any():
            twice = int(side.duplicated(KEY).sum())
            raise QualityError(f"{twice} rows of the {name} stand twice: give each opportunity of a month once")
    checks = _admitted(trained_on, current, leakage_faults, withdrawn)
    if champion is None:
        reference, over, common = "base_rate", "base_rate_probability", challenger
    else:
        reference, over = "champion", "champion_probability"
        theirs = champion[[*KEY, "probability"]].rename(columns={"probability": over})
        common = challenger.merge(theirs, on=KEY, how="inner")
    figures = {
        **_extent(common),
        "challenger_brier": measure(common["won"], common["probability"]).brier,
        f"{reference}_brier": measure(common["won"], common[over]).brier,
    }
    compared = _comparison(common, over, has_champion=champion is not None)
    checks.append(compared)
    if compared.passed:
        improvement = paired_improvement(common, over=over, seed=limits.seed, resamples=limits.resamples)
        for name, interval in improvement.items():
            ends = {"": interval.estimate, "_low": interval.low, "_high": interval.high}
            figures |= {f"{name}_improvement{end}": value for end, value in ends.items()}
        ranks = champion is not None and champion_is_model
        checks += _improved(improvement, figures, reference, limits.margin, by_ranking=ranks)
        by_month = list(challenger.groupby(KEY[0]))[-limits.months :]
        checks += [_calibrated(str(month), rows, limits.calibration) for month, rows in by_month]
        if champion is not None:
            checks += _segments_kept(common, over, segments, limits.margin)
    return PromotionDecision(all(check.passed is not False for check in checks), tuple(checks), figures)


def _admitted(trained_on: str, current: str, leakage_faults: Sequence[str], withdrawn: str | None) -> list[Check]:
    """What has nothing to do with how well it predicts."""
    contract = f"it was trained on the current contract, {current}"
    if trained_on != current:
        contract = f"it was trained on the contract {trained_on}, and the current one is {current}: train it anew"
    leakage = (
        "; ".join(("it failed the leakage gate", *leakage_faults)) if leakage_faults else "it passed the leakage gate"
    )
    rolled_back = "it was never rolled back" if withdrawn is None else f"it was rolled back and stays so: {withdrawn}"
    return [
        Check("contract", trained_on == current, contract),
        Check("leakage", not leakage_faults, leakage),
        Check("withdrawn", withdrawn is None, rolled_back),
    ]


def _comparison(common: pd.DataFrame, over: str, *, has_champion: bool) -> Check:
    other = "champion" if has_champion else "win rate by quarter position"
    if common.empty:
        nothing = f"no month to backtest on, so nothing shows that it beats the {other}"
        unseen = "no month with known outcomes that both could predict without having seen it"
        return Check(_COMPARISON, False, unseen if has_champion else nothing)
    months = common["snapshot_month"]
    over_months = str(months.min()) if months.nunique() == 1 else f"{months.min()} to {months.max()}"
    if np.allclose(common["probability"], common[over], rtol=0, atol=_SAME):
        told = f"challenger and {other} predict the same in {over_months}: wait for another month to mature"
        return Check(_COMPARISON, False, told)
    extent = f"compared with the {other} on {len(common)} rows of {over_months}"
    return Check(_COMPARISON, True, extent if has_champion else f"no champion yet; {extent}")


def _improved(
    improvement: Mapping[str, Interval], figures: Mapping[str, Any], reference: str, margin: float, *, by_ranking: bool
) -> tuple[Check, Check]:
    brier, precision = improvement["brier"], improvement["average_precision"]
    other = {"champion": "the champion", "base_rate": "the win rate by quarter position"}[reference]
    better = True if brier.above(margin) else False if brier.below(0) else None
    says = {True: "better", False: "worse", None: "not surely better"}[better]
    scores = f"Brier score {figures['challenger_brier']:.4f} against {figures[f'{reference}_brier']:.4f} of {other}: "
    ranked = f"average precision against {other}: improvement {_told(precision, margin)}"
    ranks_better = None
    if better is None and not by_ranking:
        better = False
    elif better is None:
        ranks_better = precision.above(margin)
        ranked += ", which decides where the Brier score does not"
    return (
        _measured(_BRIER, better, f"{scores}{says}, improvement {_told(brier, margin)}", brier, margin),
        _measured(_PRECISION, ranks_better, ranked, precision, margin),
    )


def _told(interval: Interval, margin: float) -> str:
    if interval.estimate is None:
        return "undefined"
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:+.4f} without an interval"
    return (
        f"{interval.estimate:+.4f} ({CONFIDENCE:.0%} interval {interval.low:+.4f} to {interval.high:+.4f}, "
        f"margin {margin:g})"
    )


def _measured(name: str, passed: bool | None, detail: str, interval: Interval, limit: float) -> Check:
    return Check(name, passed, detail, interval.estimate, interval.low, interval.high, limit)


def _calibrated(month: str, rows: pd.DataFrame, limit: float) -> Check:
    """Whether the wins of a month came to what was expected, within the limit or what chance alone can do."""
    probability = rows["probability"].to_numpy(dtype=np.float64)
    expected, wins = float(probability.sum()), int(rows["won"].sum())
    gap = (expected - wins) / len(rows)
    noise = CALIBRATION_SIGMAS * float(np.sqrt((probability * (1 - probability)).sum())) / len(rows)
    allowed = max(limit, noise)
    passed = abs(gap) <= allowed
    detail = (
        f"{month}: {expected:.1f} wins expected, {wins} came in {len(rows)} rows, {100 * gap:+.1f} points; "
        f"{'within' if passed else 'beyond'} {100 * allowed:.1f}"
    )
    return Check(f"calibration {month}", passed, detail, gap, gap - noise, gap + noise, allowed)


def _segments_kept(common: pd.DataFrame, over: str, segments: pd.DataFrame | None, margin: float) -> list[Check]:
    """Whether no segment with enough rows is worse beyond noise: one check per column, correcting for all of them."""
    if segments is None:
        return [Check(f"segments by {level}", None, "no segments were given") for level in SEGMENTS]
    rows = common.merge(segments[[*KEY, *SEGMENTS.values()]], on=KEY, how="left", indicator="found")
    if (rows["found"] != "both").any():
        raise QualityError(f"{int((rows['found'] != 'both').sum())} rows of the challenger are missing in the segments")
    won, old, new = (rows[name].to_numpy(dtype=np.float64) for name in ("won", over, "probability"))
    gain = (old - won) ** 2 - (new - won) ** 2
    parts = {
        level: {str(name): at for name, at in rows.groupby(column).indices.items() if len(at) >= SEGMENT_ROWS}
        for level, column in SEGMENTS.items()
    }
    # Bonferroni: over all segments together the chance to find one worse that is not stays below 5 %.
    confidence = 1 - (1 - CONFIDENCE) / max(1, sum(len(names) for names in parts.values()))
    opportunity = rows["opportunity_id"].to_numpy(dtype=str)
    intervals = {
        level: {name: clustered_mean(gain[at], opportunity[at], confidence) for name, at in names.items()}
        for level, names in parts.items()
    }
    return [_kept(level, by_name, margin) for level, by_name in intervals.items()]


def _kept(level: str, intervals: Mapping[str, Interval], margin: float) -> Check:
    known = {name: interval.high for name, interval in intervals.items() if interval.high is not None}
    if not known:
        return Check(f"segments by {level}", None, f"no {level} has {SEGMENT_ROWS} rows")
    worse = sorted(name for name, interval in intervals.items() if interval.below(-margin))
    worst = min(known, key=lambda name: (known[name], name))
    interval = intervals[worst]
    beyond = f"{len(worse) or 'none'} of {len(known)} worse beyond noise"
    if worse:
        beyond += f" ({', '.join(worse)})"
    detail = (
        f"by {level} {beyond}; Brier score of {worst}: improvement {interval.estimate:+.4f} "
        f"({interval.low:+.4f} to {interval.high:+.4f}, widened for the number of segments)"
    )
    return _measured(f"segments by {level}", not worse, detail, interval, -margin)


def _extent(rows: pd.DataFrame) -> dict[str, Any]:
    months = sorted(rows["snapshot_month"].unique())
    return {
        "rows": len(rows),
        "first_month": str(months[0]) if months else None,
        "last_month": str(months[-1]) if months else None,
    }
