"""Leaks as people build them, planted into the making of a month's tables or into the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import polars as pl

from crm_assets.calendar import FIRST_MONDAY, Month
from crm_assets.leakage.rebuild import Rebuild, Rebuilt, rebuilt
from crm_assets.leakage.worlds import World
from crm_assets.modelling.backtest import RollingOrigin
from crm_assets.modelling.candidate import Candidate, Fitted, Known, TrainingHistory
from crm_assets.modelling.candidates import blend_of
from crm_assets.modelling.deals import OPEN, Deals
from crm_assets.modelling.hazard_candidate import HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.recalibration import Recalibration

Floats: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

CLOSED = pl.col("deal_stage").is_in(["Won", "Lost"])


def with_column(made: Rebuilt, name: str, values: pl.DataFrame, on: list[str]) -> Rebuilt:
    """The month with one more feature, joined from a table that the definitions do not read."""
    features = made.features.join(values.select(*on, pl.col(name).cast(pl.Float64)), on=on, how="left")
    return replace(made, features=features.sort("opportunity_id"))


def future_close_value(world: World) -> Rebuilt:
    """What the deal will bring, from the export."""
    return with_column(rebuilt(world), "close_value", world.pipeline, ["opportunity_id"])


def missing_account(world: World) -> Rebuilt:
    """Whether the export has no account: it is filled in when a deal closes."""
    flags = world.pipeline.select("opportunity_id", without_account=pl.col("account").is_null())
    return with_column(rebuilt(world), "without_account", flags, ["opportunity_id"])


def firmographics(world: World) -> Rebuilt:
    """The revenue of the deal's account, which a replayed month does not know."""
    companies = world.tables["accounts"].select("account", account_revenue="revenue")
    joined = world.pipeline.join(companies, on="account", how="left")
    return with_column(rebuilt(world), "account_revenue", joined, ["opportunity_id"])


def win_rate_of_all_time(world: World) -> Rebuilt:
    """The agent's win rate over the whole table, in place of that of the deals closed by then."""
    rate = (pl.col("deal_stage") == "Won").sum() / CLOSED.sum()
    rates = world.pipeline.group_by("sales_agent").agg(whole_table_win_rate=rate)
    return with_column(rebuilt(world), "whole_table_win_rate", rates, ["sales_agent"])


def cohort_of_all_time(world: World) -> Rebuilt:
    """The share of the region's engage week that is open in the export, in place of that at the month-end."""
    made = rebuilt(world)
    regions = world.pipeline.join(world.tables["sales_teams"], on="sales_agent", how="left").with_columns(_week())
    share = regions.group_by("regional_office", "week").agg(whole_table_share_open=(~CLOSED).mean())
    weeks = made.snapshots.select("opportunity_id", "regional_office", _week())
    shares = weeks.join(share, on=["regional_office", "week"], how="left")
    return with_column(made, "whole_table_share_open", shares, ["opportunity_id"])


def _week() -> pl.Expr:
    return ((pl.col("engage_date") - pl.lit(FIRST_MONDAY)).dt.total_days() // 7).alias("week")


def days_until_close(world: World) -> Rebuilt:
    """Days from the month-end to the close that the export tells."""
    until = (pl.col("close_date") - pl.lit(world.month.end, pl.Date)).dt.total_days()
    days = world.pipeline.select("opportunity_id", days_until_close=until)
    return with_column(rebuilt(world), "days_until_close", days, ["opportunity_id"])


def prospects_in_export(world: World) -> Rebuilt:
    """The agent's prospects in the export: nobody knows how many there were at the month-end."""
    prospects = world.pipeline.filter(pl.col("deal_stage") == "Prospecting")
    counts = prospects.group_by("sales_agent").agg(agent_prospects=pl.len())
    return with_column(rebuilt(world), "agent_prospects", counts, ["sales_agent"])


def accounts_of_closed_deals(world: World) -> Rebuilt:
    """How many companies the agent sold to by then, by accounts that may have been filled in since."""
    closed = world.pipeline.filter(pl.col("close_date") <= world.month.end)
    counts = closed.group_by("sales_agent").agg(agent_accounts=pl.col("account").n_unique())
    return with_column(rebuilt(world), "agent_accounts", counts, ["sales_agent"])


LEAKY_FEATURES: dict[str, tuple[Rebuild, str]] = {
    "future close_value": (future_close_value, "close_value"),
    "missing account": (missing_account, "without_account"),
    "firmographics by account": (firmographics, "account_revenue"),
    "win rate of the whole table": (win_rate_of_all_time, "whole_table_win_rate"),
    "cohort share of the whole table": (cohort_of_all_time, "whole_table_share_open"),
    "days until close": (days_until_close, "days_until_close"),
    "prospects in the export": (prospects_in_export, "agent_prospects"),
    "accounts of closed deals": (accounts_of_closed_deals, "agent_accounts"),
}
"""Name -> (how the month is made, the column that leaks)."""


@dataclass(frozen=True)
class Learner:
    """A candidate that is fitted by a function."""

    learn: Callable[[Known], Fitted]
    name: str = "ages"

    def parameters(self) -> dict[str, Any]:
        return {}

    def fit(self, known: Known) -> Fitted:
        return self.learn(known)


class Plain:
    """What a fitted candidate says of itself beside its predictions, which is all that the probes ask for."""

    candidate = "ages"
    features = ("age_days", "sales_agent")

    def importance(self) -> dict[str, float]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


class AgeModel(Plain):
    """Win rates by ten age groups and a code of the agent; quick to train, and plain to see through."""

    def __init__(self, rows: pd.DataFrame, codes: dict[str, float] | None = None) -> None:
        won = (rows["outcome"] == "won").astype(float)
        self._overall = float(won.mean())
        self._rates = won.groupby(rows["age_days"] // 20).mean()
        self._codes = codes or {}

    def predict(self, frame: pd.DataFrame) -> Floats:
        by_age = (frame["age_days"] // 20).map(self._rates).fillna(self._overall)
        by_agent = frame["sales_agent"].map(self._codes).fillna(self._overall)
        return np.asarray(0.8 * by_age + 0.2 * by_agent, dtype=np.float64)


AGES = Learner(lambda known: AgeModel(known.rows))


def honest_training(history: TrainingHistory) -> RollingOrigin:
    return RollingOrigin(history, [AGES], min_wins=10)


SHORT_HAZARD = HazardCandidate(after_days=10_000)
"""The cure-hazard model without recalibration, which takes most of its time."""


def platform_candidates() -> list[Candidate]:
    """Those of the platform; what they read does not depend on how many trees they grow."""
    hazard, trees = HazardCandidate(every_days=14), LightGBM(iterations=10)
    return [blend_of(hazard, trees), hazard, trees]


def platform_training(history: TrainingHistory) -> RollingOrigin:
    """The candidates of the platform, and the choice among them."""
    return RollingOrigin(history, platform_candidates(), min_wins=20)


def encoded_on_all_months(history: TrainingHistory) -> RollingOrigin:
    """The agent's win rate over all months, handed to each month's model."""
    rows = history.rows
    rates = (rows["outcome"] == "won").groupby(rows["sales_agent"]).mean()
    codes = {str(agent): float(rate) for agent, rate in rates.items()}
    return RollingOrigin(history, [Learner(lambda known: AgeModel(known.rows, codes))], min_wins=10)


class ScaledAgeModel(Plain):
    """Win rates by tenth of an age range that was measured over all months."""

    def __init__(self, rows: pd.DataFrame, low: float, high: float) -> None:
        self._low, self._span = low, high - low
        won = (rows["outcome"] == "won").astype(float)
        self._overall = float(won.mean())
        self._rates = won.groupby(self._tenths(rows)).mean()

    def _tenths(self, rows: pd.DataFrame) -> pd.Series[float]:
        return np.floor(10 * (rows["age_days"] - self._low) / self._span)  # type: ignore[no-any-return]  # a Series

    def predict(self, frame: pd.DataFrame) -> Floats:
        return np.asarray(self._tenths(frame).map(self._rates).fillna(self._overall), dtype=np.float64)


def scaled_over_all_months(history: TrainingHistory) -> RollingOrigin:
    """A scaler fitted on all months reads no outcome, and yet the future."""
    ages = history.rows["age_days"]
    low, high = float(ages.min()), float(ages.max())
    return RollingOrigin(history, [Learner(lambda known: ScaledAgeModel(known.rows, low, high))], min_wins=10)


def _with_outcome(history: TrainingHistory) -> pd.DataFrame:
    """Every row with an outcome, whatever its month."""
    found: pd.DataFrame = history.rows[history.rows["outcome"].notna()]
    return found


class FakedBacktest(RollingOrigin):
    """Trained as it should, but the backtest's months are all predicted by the newest model."""

    def predictions(self, month: Month) -> pd.DataFrame:
        known = _with_outcome(self.history)
        book = known[known["snapshot_month"] == str(month)]
        return book[["opportunity_id", "snapshot_month"]].assign(probability=AgeModel(known).predict(book))


class ShorterBacktest(RollingOrigin):
    """Leaves out of the backtest whoever had a row in a later month: what became of it is known by then."""

    def predictions(self, month: Month) -> pd.DataFrame:
        found, rows = super().predictions(month), self.history.rows
        later = rows.loc[rows["snapshot_month"] > str(month), "opportunity_id"]
        return found[~found["opportunity_id"].isin(later)]


class RandomSplit(RollingOrigin):
    """Trained on half of all rows with an outcome, drawn at random, whatever their month."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        return _with_outcome(self.history).sample(frac=0.5, random_state=1)


class UnmaturedToo(RollingOrigin):
    """Trained on the book of the month itself, whose outcomes a backfill happens to know."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        known = _with_outcome(self.history)
        return known[known["snapshot_month"] <= str(month)]


def _last_of(history: TrainingHistory) -> Deals:
    """The deals of the last month whose deals are there: a probe may add a book, and no deals for it."""
    last = Month.parse(history.rows["snapshot_month"].max())
    try:
        return history.deals(last)
    except LookupError:
        return history.deals(last.previous)


class DealsOfTheLastMonth(RollingOrigin):
    """The deals as they are in the newest month, for the model of every month."""

    def known(self, month: Month) -> Known:
        return replace(super().known(month), deals=_last_of(self.history))


class FinalOutcomes(RollingOrigin):
    """The deals that were engaged by the month-end with what became of them in the end, dated as if known by then."""

    def known(self, month: Month) -> Known:
        known = super().known(month)
        deals = _last_of(self.history)
        deals = deals.only(deals.engaged <= known.deals.as_of)
        closed = np.where(deals.closed == OPEN, OPEN, np.minimum(deals.closed, known.deals.as_of))
        return replace(known, deals=replace(deals, as_of=known.deals.as_of, closed=closed))


@dataclass(frozen=True)
class Recalibrated:
    """A fitted candidate whose probabilities are recalibrated."""

    fitted: Fitted
    recalibration: Recalibration

    @property
    def candidate(self) -> str:
        return self.fitted.candidate

    @property
    def features(self) -> tuple[str, ...]:
        return self.fitted.features

    def predict(self, frame: pd.DataFrame) -> Floats:
        return self.recalibration(self.fitted.predict(frame))

    def importance(self) -> dict[str, float]:
        return self.fitted.importance()

    def to_dict(self) -> dict[str, Any]:
        return self.fitted.to_dict()


class RecalibratedOnAll(RollingOrigin):
    """Fitted to what was known, and recalibrated on every outcome there is."""

    def fitted(self, name: str, month: Month) -> Fitted:
        found, rows = super().fitted(name, month), _with_outcome(self.history)
        won = np.asarray(rows["outcome"] == "won", dtype=np.float64)
        return Recalibrated(found, Recalibration.fit(found.predict(rows), won))


class ChosenOnAllMonths(RollingOrigin):
    """The candidate that does best over all months, those ahead among them, is the model of each."""

    def chosen(self, month: Month) -> str:
        rows = _with_outcome(self.history)
        ahead = rows[rows["snapshot_month"] >= str(month)]
        briers = {
            candidate.name: measure(ahead["outcome"] == "won", self.fitted(candidate.name, month).predict(ahead)).brier
            for candidate in self.candidates
        }
        return min(briers, key=lambda name: briers[name] or 0.0)


LEAKY_TRAININGS: dict[str, Callable[[TrainingHistory], RollingOrigin]] = {
    "encoder fitted on all months": encoded_on_all_months,
    "scaler fitted on all months": scaled_over_all_months,
    "backtest without what stays open": lambda history: ShorterBacktest(history, [AGES], min_wins=10),
    "backtest by the newest model": lambda history: FakedBacktest(history, [AGES], min_wins=10),
    "random split across months": lambda history: RandomSplit(history, [AGES], min_wins=10),
    "outcomes that had not matured": lambda history: UnmaturedToo(history, [AGES], min_wins=10),
    "deals of the last month": lambda history: DealsOfTheLastMonth(history, [SHORT_HAZARD], min_wins=20),
    "final outcomes of deals": lambda history: FinalOutcomes(history, [SHORT_HAZARD], min_wins=20),
    "recalibrated on all outcomes": lambda history: RecalibratedOnAll(history, [AGES], min_wins=10),
    "chosen on all months": lambda history: ChosenOnAllMonths(history, platform_candidates(), min_wins=20),
}
