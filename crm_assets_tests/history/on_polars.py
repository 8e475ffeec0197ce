"""The table expressions of history and features, run on Polars frames in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.features.registry import features
from crm_assets.history.closings import daily_closings
from crm_assets.history.field_history import pipeline_as_of
from crm_assets.history.outcomes import outcomes
from crm_assets.history.replay import replay, without_days_late
from crm_assets.history.snapshots import snapshot
from crm_assets_tests.history.lives import PRICES, TEAMS


def lazy(frame: pl.DataFrame) -> nw.LazyFrame[Any]:
    return nw.from_native(frame.lazy())


def collected(frame: nw.LazyFrame[Any]) -> pl.DataFrame:
    native: pl.LazyFrame = frame.to_native()
    return native.collect()


def replayed(late: pl.DataFrame, month: Month, taken_on: date = date(2017, 12, 31)) -> pl.DataFrame:
    return collected(replay(lazy(late), month.end, taken_on))


def in_time(extract: pl.DataFrame, month: Month, days_late: int) -> pl.DataFrame:
    return collected(without_days_late(lazy(extract), month.end, month.end + timedelta(days=days_late)))


def as_of(events: pl.DataFrame, day: date) -> pl.DataFrame:
    return collected(pipeline_as_of(lazy(events), day))


@dataclass(frozen=True)
class MonthTables:
    """What is made of one month's raw tables."""

    month: Month
    snapshots: pl.DataFrame
    quarantine: pl.DataFrame

    @cached_property
    def closings(self) -> pl.DataFrame:
        return collected(daily_closings(lazy(self.snapshots)))

    @property
    def book(self) -> pl.DataFrame:
        return self.snapshots.filter("in_book")

    @cached_property
    def features(self) -> pl.DataFrame:
        return collected(features(lazy(self.snapshots), lazy(self.closings), self.month))

    def outcomes(self, previous: MonthTables) -> pl.DataFrame:
        return collected(outcomes(lazy(previous.snapshots), lazy(self.snapshots)))


def month_tables(
    pipeline: pl.DataFrame, month: Month, products: pl.DataFrame = PRICES, sales_teams: pl.DataFrame = TEAMS
) -> MonthTables:
    good, bad = (collected(part) for part in snapshot(lazy(pipeline), lazy(products), lazy(sales_teams), month))
    return MonthTables(month, good, bad)
