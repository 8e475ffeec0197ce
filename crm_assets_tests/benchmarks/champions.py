"""Who is champion in each month of a history, by the cold-start ladder and the promotion gate, as on the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_assets.calendar import Month
from crm_assets.history.outcomes import WON_OUTCOME
from crm_assets.modelling.cold_start import best_rung
from crm_assets.modelling.promotion import GateLimits, champion_predictions, decide

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.modelling.backtest import RollingOrigin
    from crm_assets.modelling.candidate import ProbabilityModel
    from crm_assets.settings import Settings

RESAMPLES = 100
"""Of the promotion gate: fewer than the platform's, for speed."""


@dataclass(frozen=True)
class Held:
    """A champion.

    Attributes:
        model: what predicts.
        since: month it was trained at.
        is_model: whether it is no table of win rates.
    """

    model: ProbabilityModel
    since: Month
    is_model: bool


def first_wins(rows: pd.DataFrame) -> Month:
    """The first month with wins, of rows with `snapshot_month` and `outcome`."""
    return Month.parse(rows.loc[rows["outcome"] == WON_OUTCOME, "snapshot_month"].min()).next


def informed(month: Month, first_win: Month) -> bool:
    """Whether there were wins at the position in the quarter of the month after, a quarter before it."""
    return first_win <= month.next.shift(-3)


def champion_of(month: Month, before: Held | None, origin: RollingOrigin, settings: Settings) -> Held | None:
    """The champion at the end of a month, given that of the month before; None where there is none yet."""
    rows = origin.history.rows
    if origin.too_little(month) is None:
        unseen, challenger = None, origin.report(month, settings.backtest_months).predictions
        if before is not None:
            unseen = champion_predictions(before.model, rows, before.since, month)
            challenger = origin.pooled(origin.test_months(month, before.since))
        limits = GateLimits(
            margin=settings.promotion_margin,
            calibration=settings.calibration_limit,
            months=settings.backtest_months,
            seed=settings.seed,
            resamples=RESAMPLES,
        )
        decision = decide(
            unseen,
            challenger,
            trained_on="",
            current="",
            champion_is_model=before is None or before.is_model,
            segments=rows,
            limits=limits,
        )
        if decision.promoted:
            return Held(origin.model_for(month), month, True)
    if before is not None and before.is_model:
        return before
    rung = best_rung(origin.training_rows(month), month.next.quarter_position)
    return before if rung is None else Held(rung, month, False)
