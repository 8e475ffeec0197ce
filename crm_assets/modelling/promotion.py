"""The promotion gate: whether a newly trained challenger takes the champion's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import QualityError
from crm_assets.modelling.backtest import matured_by
from crm_assets.modelling.candidate import ProbabilityModel
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.training_rows import KEY

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {
    "mean_auc": ("Mean over the test months of the area under the ROC curve", None),
    "auc": ("Area under the ROC curve over all test months", None),
    "average_precision": ("Average precision", None),
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
        Column("model_version", Kind.STRING, "Version of the month's model in the registry"),
        Column("model_sha256", Kind.STRING, "Content hash of the month's model"),
        Column("promoted", Kind.BOOLEAN, "Whether it became champion", required=True),
        Column(
            "champion_version", Kind.STRING, "Version of the champion after the decision; empty while there is none"
        ),
        Column("champion_sha256", Kind.STRING, "Content hash of the champion"),
        Column("champion_month", Kind.STRING, "Month at whose end the champion was trained"),
        Column("training_rows", Kind.INTEGER, "Rows it was trained on", unit="rows", minimum=0),
        Column("training_wins", Kind.INTEGER, "Wins among them", unit="rows", minimum=0),
        Column("test_months", Kind.INTEGER, "Months of the backtest", unit="months", required=True, minimum=0),
        *(Column(name, Kind.FLOAT, text, unit=unit) for name, (text, unit) in FIGURES.items()),
    ),
    key=("snapshot_month",),
)


@dataclass(frozen=True)
class PromotionDecision:
    """What the gate decided and on which figures.

    Attributes:
        promoted: whether the challenger becomes champion.
        reasons: why, as sentences with figures.
        figures: everything the decision used: `rows`, `first_month`, `last_month`, `challenger_brier`, and
            `base_rate_brier` or `champion_brier`, whichever it was compared with. Undefined ones are None.
    """

    promoted: bool
    reasons: tuple[str, ...]
    figures: dict[str, Any]


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


def decide(champion: pd.DataFrame | None, challenger: pd.DataFrame) -> PromotionDecision:
    """Compare out-of-time predictions by their Brier score.

    Without a champion the challenger must beat the win rate by quarter position. With one it must have the strictly
    smaller Brier score on the rows that both predicted without having seen their outcomes.

    Args:
        champion: from `champion_predictions`; None when there is no champion yet.
        challenger: rolling-origin predictions (rows of `backtest.BACKTEST`): of the backtest's window when there is
            no champion, of the champion's months when there is one.

    Raises QualityError when a row stands twice in either.
    """
    if champion is None:
        return _first(challenger)
    for side, name in ((champion, "champion"), (challenger, "challenger")):
        if side.duplicated(KEY).any():
            raise QualityError(
                f"{int(side.duplicated(KEY).sum())} rows of the {name} stand twice: predict each row once"
            )
    both = challenger.merge(champion[[*KEY, "probability"]], on=KEY, how="inner", suffixes=("", "_champion"))
    challenger_brier = measure(both["won"], both["probability"]).brier
    champion_brier = measure(both["won"], both["probability_champion"]).brier
    figures = {**_extent(both), "challenger_brier": challenger_brier, "champion_brier": champion_brier}
    if challenger_brier is None or champion_brier is None:
        return PromotionDecision(False, ("no outcome has matured since the champion was trained",), figures)
    if np.allclose(both["probability"], both["probability_champion"], rtol=0, atol=1e-12):
        return PromotionDecision(False, ("challenger and champion predict the same",), figures)
    promoted = challenger_brier < champion_brier
    reason = (
        f"Brier {challenger_brier:.4f} of the challenger is {'below' if promoted else 'not below'} "
        f"{champion_brier:.4f} of the champion on {len(both)} rows neither had seen"
    )
    return PromotionDecision(promoted, (reason,), figures)


def _first(challenger: pd.DataFrame) -> PromotionDecision:
    challenger_brier = measure(challenger["won"], challenger["probability"]).brier
    base_rate_brier = measure(challenger["won"], challenger["base_rate_probability"]).brier
    figures = {**_extent(challenger), "challenger_brier": challenger_brier, "base_rate_brier": base_rate_brier}
    if challenger_brier is None or base_rate_brier is None:
        reason = "no month to backtest on, so nothing shows that it beats the win rate by quarter position"
        return PromotionDecision(False, (reason,), figures)
    promoted = challenger_brier < base_rate_brier
    reason = (
        f"no champion yet; Brier {challenger_brier:.4f} is {'below' if promoted else 'not below'} "
        f"{base_rate_brier:.4f} of the win rate by quarter position on {len(challenger)} rows"
    )
    return PromotionDecision(promoted, (reason,), figures)


def _extent(rows: pd.DataFrame) -> dict[str, Any]:
    months = sorted(rows["snapshot_month"].unique())
    return {
        "rows": len(rows),
        "first_month": str(months[0]) if months else None,
        "last_month": str(months[-1]) if months else None,
    }
