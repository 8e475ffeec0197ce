"""The drift level of a month: one rule from the figures of its columns to NONE, LOW, MEDIUM or HIGH."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_assets.monitoring.drift_columns import PREDICTION

if TYPE_CHECKING:
    import pandas as pd

LEVELS = NONE, LOW, MEDIUM, HIGH = ("NONE", "LOW", "MEDIUM", "HIGH")


@dataclass(frozen=True)
class DriftThresholds:
    """Where one level of drift ends and the next begins. The defaults are rules of thumb, not calibrated.

    Attributes:
        small_psi: PSI from which a drifted column or prediction counts as moved.
        large_psi: PSI from which it counts as moved far.
        large_share: share of the monitored columns that have moved from which the month is HIGH.
    """

    small_psi: float = 0.1
    large_psi: float = 0.25
    large_share: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.small_psi <= self.large_psi and 0 < self.large_share <= 1):
            raise ValueError(f"thresholds out of order: {self}")


RULES_OF_THUMB = DriftThresholds()


def drift_level(columns: pd.DataFrame, thresholds: DriftThresholds = RULES_OF_THUMB) -> str:
    """One of LEVELS from a column table; the first that holds.

    HIGH: the prediction drifted with a PSI of `large_psi` or more, or `large_share` or more of the monitored columns
    drifted with a PSI of `small_psi` or more.
    MEDIUM: the prediction drifted with a PSI of `small_psi` or more, or a column with one of `large_psi` or more.
    LOW: anything drifted, or a column has a category that the reference lacks.

    A column that could not be tested counts as one that did not drift.
    """
    drifted = columns["drifted"].fillna(value=False).astype(bool)
    is_prediction = columns["kind"] == PREDICTION
    moved = drifted & (columns["psi"] >= thresholds.small_psi)
    moved_far = drifted & (columns["psi"] >= thresholds.large_psi)
    if (moved_far & is_prediction).any() or moved[~is_prediction].mean() >= thresholds.large_share:
        return HIGH
    if (moved & is_prediction).any() or moved_far.any():
        return MEDIUM
    if drifted.any() or (columns["new_categories"] != "").any():
        return LOW
    return NONE
