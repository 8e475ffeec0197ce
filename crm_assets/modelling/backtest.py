"""Rolling-origin backtest: each month's book predicted by a model that was trained on what had matured by then.

Tashman, "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16 (2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import QualityError
from crm_assets.modelling.baselines import AgeTable, BaseRate
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Candidate, Fitted, Known, TrainingHistory
from crm_assets.modelling.metrics import Metrics, mean_defined, measure, numbers_only, skill, top_decile_lift
from crm_assets.modelling.training_rows import KEY, LOST, WON, check_rows, label

if TYPE_CHECKING:
    import pandas as pd


def _probability(name: str, description: str) -> Column:
    return Column(name, Kind.FLOAT, description, unit="probability", required=True, minimum=0)


BACKTEST = Table(
    "backtest_predictions",
    "One row per opportunity of the backtest's months, predicted by a model that had not seen its outcome.",
    (
        Column("opportunity_id", Kind.STRING, "Identifier of the opportunity", required=True),
        Column("snapshot_month", Kind.STRING, "Month whose book it was in, YYYY-MM", required=True),
        Column("candidate", Kind.STRING, "Candidate that was chosen on earlier months, and predicted", required=True),
        _probability("probability", "Probability of a win by the end of the next month"),
        _probability("base_rate_probability", "Win rate by quarter position"),
        _probability("age_table_probability", "Win rate by age and quarter position"),
        Column("won", Kind.INTEGER, "1 if it was won by the end of the next month, else 0", required=True, minimum=0),
    ),
    key=("opportunity_id", "snapshot_month"),
)

CANDIDATE_BACKTEST = Table(
    "candidate_predictions",
    "One row per opportunity of the backtest's months and candidate, predicted by its model of that month-end.",
    (
        BACKTEST.column("opportunity_id"),
        BACKTEST.column("snapshot_month"),
        Column("candidate", Kind.STRING, "Candidate that predicted", required=True),
        BACKTEST.column("probability"),
    ),
    key=("opportunity_id", "snapshot_month", "candidate"),
)


@dataclass(frozen=True)
class BacktestReport:
    """What a rolling-origin backtest as of one month found.

    Attributes:
        month: as-of month; only outcomes that had matured by its end are in here.
        months: for each test month, oldest first: `snapshot_month`, the names of `metrics.Metrics` for the model,
            `top_decile_lift`, `base_rate_brier`, `base_rate_auc`, `age_table_brier`, `age_table_auc`, and the Brier
            skill against both, `skill_vs_base_rate` and `skill_vs_age_table`. Undefined figures are None.
        pooled: the same figures over all rows of the test months together; None for every figure when there are none.
        mean_auc: mean of the monthly AUCs, which unlike the pooled one takes no credit for telling months apart.
        predictions: the rows behind it, as in BACKTEST.
        reason: why there is no test month; None when there is one.
    """

    month: Month
    months: tuple[dict[str, Any], ...]
    pooled: dict[str, Any]
    mean_auc: float | None
    predictions: pd.DataFrame
    reason: str | None

    def as_metrics(self) -> dict[str, float]:
        """Flat names -> the defined pooled figures, the number of test months and the mean AUC, for a tracker."""
        figures = {**self.pooled, "months": len(self.months), "mean_auc": self.mean_auc}
        return numbers_only(figures, "backtest_")


MONTHS_TO_CHOOSE_ON = 3
"""Newest test months that candidates are compared on: a quarter, so that every position in it counts once, and what a
candidate did with less history counts no more."""
CERTAINTY = 2.0
"""Standard errors by which another candidate must be better than the preferred one."""


class RollingOrigin:
    """Models by the month they were trained at, and their predictions of that month's book.

    The model of month m is trained on the deals as known at m, and on the books of months before m whose outcomes had
    matured by m, that is up to the book of m - 1, from the first informative month on. Each candidate is fitted once a
    month and kept, so one object serves a backfill.

    Which candidate is the model of m is chosen on the past, the newest books whose outcomes had matured by m: the first
    candidate, unless another's Brier score on them is smaller beyond noise (two standard errors of the mean difference,
    clustered by opportunity); of several the one with the smallest.

    Args:
        history: rows and deals. It may reach beyond any month asked for: what came later has no influence.
        candidates: to choose from, the preferred one first; members of a blend are fitted once for both.
        min_wins: matured wins, and as many non-wins, without which nothing is trained.

    Raises QualityError on an unknown outcome or a repeated row.
    """

    def __init__(self, history: TrainingHistory, candidates: Sequence[Candidate], *, min_wins: int) -> None:
        check_rows(history.rows)
        self._rows = history.rows.sort_values(KEY, kind="stable").reset_index(drop=True)
        self._deals = history.deals
        self._candidates = {candidate.name: candidate for candidate in candidates}
        self._min_wins = min_wins
        self._known: dict[Month, Known] = {}
        self._too_little: dict[Month, str | None] = {}
        self._chosen: dict[Month, str] = {}
        self._fitted: dict[tuple[str, Month], Fitted] = {}
        self._books: dict[tuple[str, Month], NDArray[np.float64]] = {}
        self._references: dict[Month, pd.DataFrame] = {}
        self._figures: dict[Month, dict[str, Any]] = {}

    @property
    def history(self) -> TrainingHistory:
        """All rows, by month and opportunity, and the deals of each month."""
        return TrainingHistory(self._rows, self._deals)

    @property
    def candidates(self) -> list[Candidate]:
        """What the model of a month is chosen from."""
        return list(self._candidates.values())

    def training_rows(self, month: Month) -> pd.DataFrame:
        """The rows that a model of `month` learns from."""
        matured = matured_by(self._rows, month)
        first = first_informative_month(matured)
        return matured.iloc[:0] if first is None else matured[matured["snapshot_month"] >= str(first)]

    def known(self, month: Month) -> Known:
        """All that a model of `month` learns from."""
        if month not in self._known:
            # One month at a time: the deals of all months together may be more than memory holds.
            self._known = {month: Known(month, self.training_rows(month), self._deals(month))}
        return self._known[month]

    def too_little(self, month: Month) -> str | None:
        """Why no model can be trained at `month`; None when one can."""
        if month not in self._too_little:
            self._too_little[month] = too_little_to_train(self.training_rows(month), self._min_wins)
        return self._too_little[month]

    def chosen(self, month: Month) -> str:
        """Name of the candidate that is the model of `month`."""
        if month not in self._chosen:
            self._chosen[month] = self._choice(month)
        return self._chosen[month]

    def _choice(self, month: Month) -> str:
        preferred, *others = self._candidates
        months = self.test_months(month)[-MONTHS_TO_CHOOSE_ON:]
        if not others or not months:
            return preferred
        better = {name: gain for name in others if (gain := self._gain(name, preferred, months)) is not None}
        return max(better, key=lambda name: better[name], default=preferred)

    def _gain(self, name: str, over: str, months: Sequence[Month]) -> float | None:
        """By how much a candidate's Brier score is smaller than another's; None where that may be noise."""
        import pandas as pd

        reference = pd.concat([self._reference(month)[["opportunity_id", "won"]] for month in months])
        won = reference["won"].to_numpy()
        one, other = (np.concatenate([self._predicted(which, month) for month in months]) for which in (name, over))
        gain = (other - won) ** 2 - (one - won) ** 2
        by_opportunity = np.bincount(reference["opportunity_id"].factorize()[0], gain - gain.mean())
        error = np.sqrt(np.sum(by_opportunity**2)) / len(gain)
        return float(gain.mean()) if gain.mean() > CERTAINTY * error else None

    def model_for(self, month: Month) -> Fitted:
        """The model trained on what was known at `month`. Raises QualityError when that is too little."""
        return self.fitted(self.chosen(month), month)

    def fitted(self, name: str, month: Month) -> Fitted:
        """A candidate trained on what was known at `month`. Raises QualityError when that is too little."""
        if (name, month) not in self._fitted:
            reason = self.too_little(month)
            if reason:
                raise QualityError(f"no model at {month}: {reason}; train at a later month")
            self._fitted[name, month] = self._fit(self._candidates[name], month)
        return self._fitted[name, month]

    def _fit(self, candidate: Candidate, month: Month) -> Fitted:
        if isinstance(candidate, Blend):
            members = [member for member, _ in candidate.members]
            return candidate.of([self._member(member, month) for member in members])
        return candidate.fit(self.known(month))

    def _member(self, member: Candidate, month: Month) -> Fitted:
        if self._candidates.get(member.name) == member:
            return self.fitted(member.name, month)
        return member.fit(self.known(month))

    def predictions(self, month: Month) -> pd.DataFrame:
        """The book of `month` as the model of `month` and the references saw it, and how it ended a month later.

        Rows of BACKTEST; opportunities without an outcome are left out, so the frame is empty until the outcomes of
        `month` have matured. Raises QualityError when too little had matured to train.
        """
        name = self.chosen(month)
        return self._reference(month).assign(candidate=name, probability=self._predicted(name, month))[
            BACKTEST.column_names
        ]

    def candidate_predictions(self, months: Sequence[Month]) -> pd.DataFrame:
        """Rows of CANDIDATE_BACKTEST: every candidate on the books of some test months, chosen or not."""
        import pandas as pd

        found = [
            self._reference(month)[KEY].assign(candidate=name, probability=self._predicted(name, month))
            for name in self._candidates
            for month in months
        ]
        columns = CANDIDATE_BACKTEST.column_names
        return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame({name: [] for name in columns})

    def figures(self, name: str, months: Sequence[Month]) -> Metrics:
        """How a candidate did over all rows of some test months."""
        if not months:
            return measure([], [])
        won = np.concatenate([self._reference(month)["won"].to_numpy() for month in months])
        return measure(won, np.concatenate([self._predicted(name, month) for month in months]))

    def _predicted(self, name: str, month: Month) -> NDArray[np.float64]:
        if (name, month) not in self._books:
            self._books[name, month] = self.fitted(name, month).predict(self._book(month))
        return self._books[name, month]

    def _book(self, month: Month) -> pd.DataFrame:
        in_book = (self._rows["snapshot_month"] == str(month)) & self._rows["outcome"].notna()
        return self._rows[in_book].reset_index(drop=True)

    def _reference(self, month: Month) -> pd.DataFrame:
        """Keys, outcomes and the references' predictions of a book."""
        if month not in self._references:
            import pandas as pd

            book, training = self._book(month), self.training_rows(month)
            self._references[month] = pd.DataFrame(
                {
                    "opportunity_id": book["opportunity_id"],
                    "snapshot_month": book["snapshot_month"],
                    "base_rate_probability": BaseRate.fit(training).predict(book),
                    "age_table_probability": AgeTable.fit(training).predict(book),
                    "won": label(book),
                }
            )
        return self._references[month]

    def test_months(self, month: Month, first: Month | None = None) -> list[Month]:
        """Months from `first` on whose outcomes had matured by `month` and at which a model could be trained."""
        matured = matured_by(self._rows, month)
        months = [Month.parse(text) for text in sorted(matured["snapshot_month"].unique())]
        return [k for k in months if (first is None or k >= first) and self.too_little(k) is None]

    def pooled(self, months: list[Month]) -> pd.DataFrame:
        """The predictions of `months`, one below the other."""
        import pandas as pd

        if not months:
            return pd.DataFrame({name: [] for name in BACKTEST.column_names})
        return pd.concat([self.predictions(month) for month in months], ignore_index=True)

    def report(self, month: Month, window: int) -> BacktestReport:
        """The backtest as of `month` over the newest `window` test months (at least 1)."""
        if window < 1:
            raise ValueError(f"a window of {window} months holds no test month")
        months = self.test_months(month)[-window:]
        predictions = self.pooled(months)
        by_month = tuple(self._figures_of(k) for k in months)
        reason = None
        if not months:
            reason = f"no month had both a trained model and matured outcomes by {month}: {self._why_none(month)}"
        return BacktestReport(
            month=month,
            months=by_month,
            pooled=_figures(predictions),
            mean_auc=mean_defined(figures["auc"] for figures in by_month),
            predictions=predictions,
            reason=reason,
        )

    def _figures_of(self, month: Month) -> dict[str, Any]:
        if month not in self._figures:
            self._figures[month] = {"snapshot_month": str(month), **_figures(self.predictions(month))}
        return dict(self._figures[month])

    def _why_none(self, month: Month) -> str:
        matured = matured_by(self._rows, month)["snapshot_month"].unique()
        if len(matured) == 0:
            return "no outcome has matured"
        last = Month.parse(max(matured))
        return f"to predict {last}, {self.too_little(last)}"


def matured_by(rows: pd.DataFrame, month: Month) -> pd.DataFrame:
    """The rows whose outcomes were known at the end of `month`: books of earlier months that are not censored."""
    return rows[(rows["snapshot_month"] < str(month)) & rows["outcome"].notna()]


def first_informative_month(rows: pd.DataFrame) -> Month | None:
    """The first snapshot month whose outcomes hold a close, won or lost; None when there is none.

    Where the history of closings starts later than that of engagements, the books before it cannot hold a win: their
    zeros are structural and would teach the model that young books never close.
    """
    closed = rows.loc[rows["outcome"].isin([WON, LOST]), "snapshot_month"]
    return Month.parse(closed.min()) if len(closed) else None


def too_little_to_train(rows: pd.DataFrame, min_wins: int) -> str | None:
    """Why `rows` are too few to train on: they need `min_wins` wins and as many non-wins. None when they are enough."""
    matured = rows[rows["outcome"].notna()]
    wins = int(label(matured).sum())
    others = len(matured) - wins
    if wins >= min_wins and others >= min_wins:
        return None
    return f"{wins} wins and {others} non-wins have matured, at least {min_wins} of each are needed"


def _figures(predictions: pd.DataFrame) -> dict[str, Any]:
    won = predictions["won"]
    model = measure(won, predictions["probability"])
    base_rate = measure(won, predictions["base_rate_probability"])
    age_table = measure(won, predictions["age_table_probability"])
    return {
        **model.as_dict(),
        "top_decile_lift": top_decile_lift(won, predictions["probability"]),
        "base_rate_brier": base_rate.brier,
        "base_rate_auc": base_rate.auc,
        "age_table_brier": age_table.brier,
        "age_table_auc": age_table.auc,
        "skill_vs_base_rate": skill(model.brier, base_rate.brier),
        "skill_vs_age_table": skill(model.brier, age_table.brier),
    }
