"""Closings as they come in: whether deals are won as often as before, given the month of the quarter and the region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crm_assets.monitoring.reference import POSITION_NAMES, position_of

if TYPE_CHECKING:
    import pandas as pd

FEWEST_CLOSINGS = 30
"""Closings of the month's quarter position that the reference must hold."""
FEWEST_IN_REGION = 10
"""Closings a region must have, in the month and in the reference, to be tested."""
_RIDGE = 0.01
_OVERDISPERSED = 0.05
"""P-value below which months and regions differ by more than chance; an estimate that is none would cost power."""
_STEPS = 50


@dataclass(frozen=True)
class WonShare:
    """Wins among the closings of a month, of all or of one region.

    Attributes:
        region: None for all.
        closings, won: in the month.
        expected: wins expected from the reference.
        p_value: two-sided; None when not tested.
        statistic: wins above the expected ones in standard errors; None when not tested.
        reason: why it was not tested.
    """

    region: str | None
    closings: int
    won: int
    expected: float | None = None
    p_value: float | None = None
    statistic: float | None = None
    reason: str | None = None

    @property
    def change(self) -> float | None:
        """Wins beyond the expected ones, as a share of them."""
        return None if not self.expected else self.won / self.expected - 1


def won_shares(reference: pd.DataFrame, current: pd.DataFrame, position: int) -> list[WonShare]:
    """Compare the month's wins with those expected of its number of closings in each region.

    Expected are wins by a logistic regression of the reference's closings on region and quarter position, so that every
    month tells of the regions and one of the same position is enough. The variance takes in that the regression is an
    estimate, and, where months and regions differ by more than binomial chance, that they do (McCullagh and Nelder,
    "Generalized Linear Models", 1989, section 4.5).

    Args:
        reference: `snapshot_month`, `regional_office` and `won` (0 or 1) of closed deals of all quarter positions.
        current: `regional_office` and `won` of the deals closed in the month.
        position: the month's position in its quarter.

    Returns:
        One for all closings and one for each region, all of them without a test where the reference has too few
        closings of that position.
    """
    regions = sorted({*reference["regional_office"].dropna().unique(), *current["regional_office"].dropna().unique()})
    by_region = (
        current.groupby("regional_office", observed=True)["won"].agg(["size", "sum"]).reindex(regions, fill_value=0)
    )
    closings, won = by_region["size"].to_numpy(dtype=np.int64), by_region["sum"].to_numpy(dtype=np.int64)
    total, total_won = int(closings.sum()), int(won.sum())
    cells = _cells(reference)
    held = int(cells.loc[cells["position"] == position, "closings"].sum()) if len(cells) else 0
    reason = None
    if held < FEWEST_CLOSINGS:
        reason = (
            f"the reference has {held} closings in the {POSITION_NAMES[position]} month of a quarter, "
            f"{FEWEST_CLOSINGS} are needed"
        )
    elif total < FEWEST_CLOSINGS:
        reason = f"{total} deals closed in the month, {FEWEST_CLOSINGS} are needed"
    if reason:
        found = [WonShare(None, total, total_won, reason=reason)]
        return found + [
            WonShare(name, int(n), int(w), reason=reason) for name, n, w in zip(regions, closings, won, strict=True)
        ]
    design = _design(cells["regional_office"], cells["position"], regions)
    coefficients, covariance = _fitted(design, cells["closings"].to_numpy(float), cells["won"].to_numpy(float))
    spread = _overdispersion(design, coefficients, cells)
    rows = _design(regions, [position] * len(regions), regions)
    share = _logistic(rows @ coefficients)
    # Regions that the reference lacks have no expectation of their own.
    known = cells.groupby("regional_office", observed=True)["closings"].sum().reindex(regions, fill_value=0).to_numpy()
    counted = np.where(known >= FEWEST_IN_REGION, closings, 0).astype(float)

    def compared(name: str | None, weights: NDArray[np.float64], wins: int, count: int) -> WonShare:
        expected = float(weights @ share)
        slope = (weights * share * (1 - share)) @ rows
        variance = spread * (float(weights @ (share * (1 - share))) + float(slope @ covariance @ slope))
        z = (wins - expected) / np.sqrt(variance)
        return WonShare(name, count, wins, expected, _two_sided(float(z)), float(z))

    found = [compared(None, counted, int(won[counted > 0].sum()), int(counted.sum()))]
    for at, name in enumerate(regions):
        fewest = min(int(closings[at]), int(known[at]))
        if fewest < FEWEST_IN_REGION:
            few = f"{fewest} closings, {FEWEST_IN_REGION} are needed on each side"
            found.append(WonShare(name, int(closings[at]), int(won[at]), reason=few))
        else:
            alone = np.zeros(len(regions))
            alone[at] = closings[at]
            found.append(compared(name, alone, int(won[at]), int(closings[at])))
    return found


def _cells(reference: pd.DataFrame) -> pd.DataFrame:
    """Closings and wins by month and region."""
    cells = (
        reference.groupby(["snapshot_month", "regional_office"], observed=True)["won"]
        .agg(["size", "sum"])
        .reset_index()
    )
    cells = cells.rename(columns={"size": "closings", "sum": "won"})
    return cells.assign(position=[position_of(month) for month in cells["snapshot_month"]])


def _design(region: object, position: object, regions: list[str]) -> NDArray[np.float64]:
    """Columns: each quarter position, each region; the small ridge makes them identifiable."""
    region, position = np.asarray(region), np.asarray(position)
    positions = [(position == each).astype(float) for each in POSITION_NAMES]
    return np.column_stack([*positions, *((region == name).astype(float) for name in regions)])


def _fitted(
    design: NDArray[np.float64], closings: NDArray[np.float64], won: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients and their covariance, by Newton's steps."""
    coefficients = np.zeros(design.shape[1])
    penalty = np.eye(design.shape[1]) * _RIDGE
    for _ in range(_STEPS):
        share = _logistic(design @ coefficients)
        gradient = design.T @ (won - closings * share) - penalty @ coefficients
        hessian = design.T @ (design * (closings * share * (1 - share))[:, None]) + penalty
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            break
    return coefficients, np.linalg.inv(hessian).astype(np.float64)


def _overdispersion(design: NDArray[np.float64], coefficients: NDArray[np.float64], cells: pd.DataFrame) -> float:
    """Pearson's chi-square over its degrees of freedom; 1 unless it is larger than chance makes it."""
    from scipy.stats import chi2

    share = _logistic(design @ coefficients)
    closings, won = cells["closings"].to_numpy(float), cells["won"].to_numpy(float)
    freedom = len(cells) - int(np.linalg.matrix_rank(design))
    if freedom < 1:
        return 1.0
    statistic = float(np.sum((won - closings * share) ** 2 / (closings * share * (1 - share))))
    return max(1.0, statistic / freedom) if chi2.sf(statistic, freedom) < _OVERDISPERSED else 1.0


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))


def _two_sided(z: float) -> float:
    from scipy.stats import norm

    return float(2 * norm.sf(abs(z)))
