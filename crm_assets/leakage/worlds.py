"""Other worlds: a month's source tables in which only what could not be known at its end is different.

Honest features are the same in all of them. Each world is made from the tables as the source gives them for the month,
one late export or an extract that may have been taken some days late, with `taken_on` its last possible day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import ENGAGING, LOST, SALES_PIPELINE, WON, Known

Tables = Mapping[str, pl.DataFrame]
_PIPELINE = SALES_PIPELINE.name
_APPENDED_SHARE = 0.02


@dataclass(frozen=True)
class World:
    """What a source gives for a month, and when it was taken.

    Attributes:
        tables: name -> rows of the CRM tables, by their contracts.
        month: the month-end they are asked about.
        exported_on: day the one late export was taken; None for an extract of the month.
        days_late: days after the month-end by which an extract may have been taken.
    """

    tables: Tables
    month: Month
    exported_on: date | None
    days_late: int

    @property
    def taken_on(self) -> date:
        """The last day whose events the tables may hold."""
        return self.exported_on or self.month.end + timedelta(days=self.days_late)

    @property
    def pipeline(self) -> pl.DataFrame:
        """The rows of `sales_pipeline`."""
        return self.tables[_PIPELINE]

    def with_pipeline(self, pipeline: pl.DataFrame) -> World:
        """The same world with other opportunities, of the same columns and types."""
        return replace(self, tables={**self.tables, _PIPELINE: pipeline.select(self.pipeline.columns)})


def _later(column: str, end: date) -> pl.Expr:
    """Whether a date is after `end`; false where it is empty."""
    return (pl.col(column) > end).fill_null(value=False)


def _among(book: pl.Series) -> pl.Expr:
    return pl.col("opportunity_id").is_in(book.implode()).fill_null(value=False)


def truncated(world: World, book: pl.Series) -> World:
    """The source cut off at the month-end: later rows gone, later closings reopened, late columns blank while open.

    Args:
        world: as the source has it.
        book: ids of the opportunities that were open at the month-end.
    """
    end, taken = world.month.end, world.taken_on
    reopened = _later("close_date", end) & (pl.col("close_date") <= taken)
    cut = world.pipeline.filter(~(_later("engage_date", end) & (pl.col("engage_date") <= taken)))
    blank = {Known.CLOSED: reopened, Known.LATE: _among(book)}
    columns = [
        pl.when(reopened).then(pl.lit(ENGAGING)).otherwise("deal_stage").alias("deal_stage")
        if column.name == "deal_stage"
        else pl.when(~blank[column.known]).then(column.name).alias(column.name)
        for column in SALES_PIPELINE.columns
        if column.known in blank
    ]
    return world.with_pipeline(cut.with_columns(columns))


def another_future(world: World, book: pl.Series, seed: int) -> World:
    """The source in which every open opportunity ends otherwise, and whoever came later comes otherwise.

    Each opportunity that was open at the month-end gets another stage than it has, a close date between the month-end
    and the day the tables were taken, a value, and another account or none, all at random. Where there is no day in
    between, as in an export taken at the month-end, only the account changes.

    Args:
        world: as the source has it.
        book: ids of the opportunities that were open at the month-end. Rows that no snapshot holds, because they break
            a rule, stay as they are: mended by chance they would enter the history.
        seed: of the random draws; equal seeds give equal worlds.
    """
    end, days = world.month.end, (world.taken_on - world.month.end).days
    random = np.random.default_rng(seed)
    rows = world.pipeline.height
    accounts = [*world.tables["accounts"]["account"].drop_nulls().to_list(), None]
    drawn = pl.DataFrame(
        {
            "shift": random.integers(1, 3, rows),
            "after": random.integers(1, max(days, 1) + 1, rows),
            "new_value": np.round(random.uniform(1, 10_000, rows), 2),
            "new_account": pl.Series(accounts, dtype=pl.String()).gather(random.integers(0, len(accounts), rows)),
        }
    )
    stages = [WON, LOST, ENGAGING]
    # Another stage than the one it has, so that no outcome stays by chance.
    other = pl.col("deal_stage").replace_strict(
        {stage: number for number, stage in enumerate(stages)}, default=0, return_dtype=pl.Int64
    )
    stage = ((other + pl.col("shift")) % 3).replace_strict(dict(enumerate(stages)), return_dtype=pl.String())
    frame = pl.concat([world.pipeline, drawn], how="horizontal").with_columns(is_open=_among(book), other=stage)
    closes = pl.col("is_open") & pl.col("other").is_in([WON, LOST])
    # Shuffled within the days left, for whoever engaged later.
    newcomer = _later("engage_date", end) & (pl.col("engage_date") <= world.taken_on)
    changes = [pl.when(pl.col("is_open")).then("new_account").otherwise("account").alias("account")]
    if days > 0:
        closed_on = pl.lit(end) + pl.duration(days=pl.col("after"))
        changes += [
            pl.when(pl.col("is_open"))
            .then("other")
            .when(newcomer)
            .then(pl.lit(ENGAGING))
            .otherwise("deal_stage")
            .alias("deal_stage"),
            pl.when(closes).then(closed_on).when(~pl.col("is_open") & ~newcomer).then("close_date").alias("close_date"),
            pl.when(closes)
            .then(pl.when(pl.col("other") == WON).then("new_value").otherwise(0.0))
            .when(~pl.col("is_open") & ~newcomer)
            .then("close_value")
            .alias("close_value"),
            pl.when(newcomer).then(closed_on).otherwise("engage_date").alias("engage_date"),
        ]
    return world.with_pipeline(frame.with_columns(changes))


def other_ids(worlds: Iterable[World], seed: int) -> dict[str, str]:
    """Old id -> new id of every opportunity, in an order that has nothing to do with the old one."""
    pipelines = [world.pipeline["opportunity_id"].drop_nulls() for world in worlds]
    ids = pl.concat(pipelines).unique(maintain_order=True).to_list()
    numbers = np.random.default_rng(seed).permutation(len(ids))
    return dict(zip(ids, (f"{number:012d}" for number in numbers), strict=True))


def irrelevant(world: World, renamed: Mapping[str, str], seed: int) -> World:
    """The source with later rows appended, ids renamed and rows shuffled.

    Args:
        world: as the source has it.
        renamed: old id -> new id.
        seed: of the random draws.
    """
    random = np.random.default_rng(seed)
    pipeline = world.pipeline.with_columns(
        pl.col("opportunity_id").replace_strict(renamed, default=None, return_dtype=pl.String())
    )
    days = (world.taken_on - world.month.end).days
    if days > 0 and pipeline.height:
        count = max(1, int(_APPENDED_SHARE * pipeline.height))
        late = pipeline.sample(count, with_replacement=True, seed=seed).with_columns(
            opportunity_id=pl.format("later-{}", pl.int_range(pl.len())),
            engage_date=pl.lit(world.month.end)
            + pl.duration(days=pl.lit(pl.Series(random.integers(1, days + 1, count), dtype=pl.Int64))),
            deal_stage=pl.lit(ENGAGING),
            close_date=pl.lit(None, pl.Date),
            close_value=pl.lit(None, pl.Float64),
        )
        pipeline = pl.concat([pipeline, late.select(pipeline.columns)])
    shuffled = pipeline.sample(fraction=1, shuffle=True, seed=seed)
    return world.with_pipeline(shuffled)
