"""The drift level of a month: one rule from what was measured to NONE, LOW, MEDIUM or HIGH, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crm_assets.monitoring.reference import CLOSINGS

LEVELS = NONE, LOW, MEDIUM, HIGH = ("NONE", "LOW", "MEDIUM", "HIGH")

HIGH_FACTOR = 2.0
"""How many times its threshold the prediction's PSI has to be for HIGH."""
HIGH_BAD_SHARE = 0.5
"""Share of a column's values that has to be bad for HIGH."""
_CALIBRATED_CHECK = "calibrated"
TURNED_OUT: Mapping[str, str] = {
    _CALIBRATED_CHECK: "last month's scores promised other wins than there were",
    "as_estimated": "last month's scores told deals apart otherwise than they promised",
    "as_backtested": "last month's scores told deals apart otherwise than in the backtest",
}
"""Check of performance -> what it means that it failed."""


@dataclass(frozen=True)
class DriftThresholds:
    """Where one level of drift ends and the next begins; the defaults are calibrated, see docs/monitoring.md.

    Attributes:
        alpha: chance that the tests flag any intake column of a month that does not differ.
        closings_alpha: the same of the shares won. It is larger, since a region has few closings in a month, and what
            chance makes of them is mostly too small to have moved.
        column_psi: PSI from which an intake column that tests flag has moved.
        prediction_psi: PSI at fixed age from which the scores have moved.
        quality: quality score below which values are bad enough to matter.
        win_rate: relative change from which a share won that tests flag has moved.
        high_share: share of the intake columns that have moved from which the month is HIGH. Managers go with their
            region and prices with products, so that one cause moves half of them.
    """

    alpha: float = 0.02
    closings_alpha: float = 0.04
    column_psi: float = 0.02
    prediction_psi: float = 0.75
    quality: float = 0.98
    win_rate: float = 0.15
    high_share: float = 0.75

    def __post_init__(self) -> None:
        fits = 0 < self.alpha < 1 and 0 < self.closings_alpha < 1 and self.column_psi > 0 and self.prediction_psi > 0
        if not (fits and 0 < self.quality <= 1 and 0 < self.win_rate < 1 and 0 < self.high_share <= 1):
            raise ValueError(f"thresholds out of range: {self}")

    def p_value(self, part: str, tests: int) -> float:
        """The p-value at or below which one of the tests of a part says that something differs (Bonferroni)."""
        return (self.closings_alpha if part == CLOSINGS else self.alpha) / max(tests, 1)


CALIBRATED = DriftThresholds()


@dataclass(frozen=True)
class Evidence:
    """What was measured of a month.

    Attributes:
        moved: intake columns that have moved.
        columns: number of intake columns.
        prediction_psi: of the scores at fixed age; None when it could not be compared.
        quality: quality score of the month in [0, 1].
        worst: column with the most bad values, and what they are; empty when there are none.
        win_changes: closings whose share won has moved -> the relative change.
        noticed: what differs without having moved, in words.
        failed: checks of `performance_comparison.CHECKED` that failed for the scores which matured in the month ->
            whether badly.
    """

    moved: tuple[str, ...]
    columns: int
    prediction_psi: float | None
    quality: float
    worst: str = ""
    win_changes: tuple[tuple[str, float], ...] = ()
    noticed: tuple[str, ...] = ()
    failed: Mapping[str, bool] = field(default_factory=dict)


def drift_level(found: Evidence, thresholds: DriftThresholds = CALIBRATED) -> tuple[str, tuple[str, ...]]:
    """One of LEVELS and why, in words; the first that holds.

    HIGH: `high_share` or more of the intake columns have moved, the scores by HIGH_FACTOR times `prediction_psi`, at
    least HIGH_BAD_SHARE of a column's values are bad, or a check of performance failed badly.
    MEDIUM: an intake column has moved, the scores have, quality is below `quality`, a share won has moved, or there
    were other wins than the scores promised (`calibrated`).
    LOW: tests found something, too small to have moved, or another check of performance failed.
    """
    prediction = found.prediction_psi or 0.0
    moved = f"moved: {', '.join(found.moved)}"
    scores = f"scores at fixed age moved, PSI {prediction:.2f}"
    quality = f"quality {found.quality:.2f}: {found.worst}"
    high = [
        (bool(found.moved) and len(found.moved) >= thresholds.high_share * found.columns, moved),
        (prediction >= HIGH_FACTOR * thresholds.prediction_psi, scores),
        (1 - found.quality >= HIGH_BAD_SHARE, quality),
        *((badly, TURNED_OUT[name]) for name, badly in found.failed.items()),
    ]
    medium = [
        (bool(found.moved), moved),
        (prediction >= thresholds.prediction_psi, scores),
        (found.quality < thresholds.quality, quality),
        *((True, f"share won of {name} {change:+.0%}") for name, change in found.win_changes),
        (_CALIBRATED_CHECK in found.failed, TURNED_OUT[_CALIBRATED_CHECK]),
    ]
    low = (*found.noticed, *(TURNED_OUT[name] for name in found.failed))
    held = [why for holds, why in medium if holds]
    for level, rules in ((HIGH, high), (MEDIUM, medium)):
        why = [why for holds, why in rules if holds]
        if why:
            return level, tuple(dict.fromkeys([*why, *held, *low]))
    return (LOW, low) if low else (NONE, ())
