"""Leaks as people build them, planted into the making of a month's tables or into the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl

from crm_assets.calendar import FIRST_MONDAY, Month
from crm_assets.leakage.rebuild import Rebuild, Rebuilt, rebuilt
from crm_assets.leakage.worlds import World
from crm_assets.modelling.backtest import RollingOrigin

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


class AgeModel:
    """Win rates by ten age groups and a code of the agent; quick to train, and plain to see through."""

    def __init__(self, rows: pd.DataFrame, codes: dict[str, float] | None = None) -> None:
        won = (rows["outcome"] == "won").astype(float)
        self._overall = float(won.mean())
        self._rates = won.groupby(rows["age_days"] // 20).mean()
        self._codes = codes or {}

    def predict(self, rows: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        by_age = (rows["age_days"] // 20).map(self._rates).fillna(self._overall)
        by_agent = rows["sales_agent"].map(self._codes).fillna(self._overall)
        return np.asarray(0.8 * by_age + 0.2 * by_agent, dtype=np.float64)


def honest_training(rows: pd.DataFrame) -> RollingOrigin:
    return RollingOrigin(rows, AgeModel, min_wins=10)


def encoded_on_all_months(rows: pd.DataFrame) -> RollingOrigin:
    """The agent's win rate over all months, handed to each month's model."""
    rates = (rows["outcome"] == "won").groupby(rows["sales_agent"]).mean()
    codes = {str(agent): float(rate) for agent, rate in rates.items()}
    return RollingOrigin(rows, lambda matured: AgeModel(matured, codes), min_wins=10)


class ScaledAgeModel:
    """Win rates by tenth of an age range that was measured over all months."""

    def __init__(self, rows: pd.DataFrame, low: float, high: float) -> None:
        self._low, self._span = low, high - low
        won = (rows["outcome"] == "won").astype(float)
        self._overall = float(won.mean())
        self._rates = won.groupby(self._tenths(rows)).mean()

    def _tenths(self, rows: pd.DataFrame) -> pd.Series[float]:
        return np.floor(10 * (rows["age_days"] - self._low) / self._span)  # type: ignore[no-any-return]  # a Series

    def predict(self, rows: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(self._tenths(rows).map(self._rates).fillna(self._overall), dtype=np.float64)


def scaled_over_all_months(rows: pd.DataFrame) -> RollingOrigin:
    """A scaler fitted on all months reads no outcome, and yet the future."""
    low, high = float(rows["age_days"].min()), float(rows["age_days"].max())
    return RollingOrigin(rows, lambda matured: ScaledAgeModel(matured, low, high), min_wins=10)


class FakedBacktest(RollingOrigin):
    """Trained as it should, but the backtest's months are all predicted by the newest model."""

    def predictions(self, month: Month) -> pd.DataFrame:
        book = self.rows[(self.rows["snapshot_month"] == str(month)) & self.rows["outcome"].notna()]
        newest = AgeModel(self.rows[self.rows["outcome"].notna()])
        return book[["opportunity_id", "snapshot_month"]].assign(probability=newest.predict(book))


class ShorterBacktest(RollingOrigin):
    """Leaves out of the backtest whoever had a row in a later month: what became of it is known by then."""

    def predictions(self, month: Month) -> pd.DataFrame:
        found = super().predictions(month)
        later = self.rows.loc[self.rows["snapshot_month"] > str(month), "opportunity_id"]
        return found[~found["opportunity_id"].isin(later)]


class RandomSplit(RollingOrigin):
    """Trained on half of all rows with an outcome, drawn at random, whatever their month."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        known = self.rows[self.rows["outcome"].notna()]
        return known.sample(frac=0.5, random_state=1)


class UnmaturedToo(RollingOrigin):
    """Trained on the book of the month itself, whose outcomes a backfill happens to know."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        known = self.rows[self.rows["outcome"].notna()]
        return known[known["snapshot_month"] <= str(month)]


LEAKY_TRAININGS: dict[str, Callable[[pd.DataFrame], RollingOrigin]] = {
    "encoder fitted on all months": encoded_on_all_months,
    "scaler fitted on all months": scaled_over_all_months,
    "backtest without what stays open": lambda rows: ShorterBacktest(rows, AgeModel, min_wins=10),
    "backtest by the newest model": lambda rows: FakedBacktest(rows, AgeModel, min_wins=10),
    "random split across months": lambda rows: RandomSplit(rows, AgeModel, min_wins=10),
    "outcomes that had not matured": lambda rows: UnmaturedToo(rows, AgeModel, min_wins=10),
}
