"""Other worlds: a month's source tables in which only what could not be known at its end is different.

Honest features are the same in all of them. Each world is made from the tables as the source gives them for the month:
one late export, field history, or an extract that may have been taken some days late, with `taken_on` the last possible
day. Of field history, what was recorded after the month-end is what could not be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import ENGAGING, LOST, OPPORTUNITY_HISTORY, PROSPECTING, SALES_PIPELINE, WON, Known

Tables = Mapping[str, pl.DataFrame]
_PIPELINE = SALES_PIPELINE.name
_APPENDED_SHARE = 0.02
_HALF = 0.5


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
    def is_replayed(self) -> bool:
        """Whether the tables are of a later day: nobody knows then since when prospects and accounts are there."""
        return self.exported_on is not None and self.exported_on > self.month.end

    @property
    def events(self) -> pl.DataFrame | None:
        """The rows of `opportunity_history` where the source gives field history, else None."""
        return self.tables.get(OPPORTUNITY_HISTORY.name)

    @property
    def ids(self) -> pl.Series:
        """Id of every row, null left out."""
        ids = self.pipeline["opportunity_id"] if self.events is None else self.events["object_id"]
        return ids.drop_nulls()

    @property
    def pipeline(self) -> pl.DataFrame:
        """The rows of `sales_pipeline`, which a source of field history does not give."""
        return self.tables[_PIPELINE]

    def with_events(self, events: pl.DataFrame) -> World:
        """The same world with another field history, of the same columns and types."""
        held = self.tables[OPPORTUNITY_HISTORY.name]
        return replace(self, tables={**self.tables, OPPORTUNITY_HISTORY.name: events.match_to_schema(held.schema)})

    def with_pipeline(self, pipeline: pl.DataFrame) -> World:
        """The same world with other opportunities, of the same columns and types."""
        return replace(self, tables={**self.tables, _PIPELINE: pipeline.select(self.pipeline.columns)})


def _later(column: str, end: date) -> pl.Expr:
    """Whether a date is after `end`; false where it is empty."""
    return (pl.col(column) > end).fill_null(value=False)


def _among(book: pl.Series) -> pl.Expr:
    return pl.col("opportunity_id").is_in(book.implode()).fill_null(value=False)


def _is_prospect() -> pl.Expr:
    undated = pl.col("engage_date").is_null() & pl.col("close_date").is_null()
    return (undated & (pl.col("deal_stage") == PROSPECTING)).fill_null(value=False)


def truncated(world: World, book: pl.Series) -> World:
    """The source cut off at the month-end: later rows gone, later closings reopened, late columns blank while open.

    Args:
        world: as the source has it.
        book: ids of the opportunities that were open at the month-end.
    """
    end, taken = world.month.end, world.taken_on
    if world.events is not None:
        return world.with_events(world.events.filter(pl.col("recorded_at") <= end))
    reopened = _later("close_date", end) & (pl.col("close_date") <= taken)
    cut = world.pipeline.filter(~(_later("engage_date", end) & (pl.col("engage_date") <= taken)))
    if world.is_replayed:
        cut = cut.filter(~_is_prospect())
    blank = {Known.CLOSED: reopened, Known.LATE: pl.lit(world.is_replayed) | _among(book)}
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
    between, as in an export taken at the month-end, only the account changes. In a month that is replayed half of the
    prospects are gone, and every deal has another account.

    Args:
        world: as the source has it.
        book: ids of the opportunities that were open at the month-end. Rows that no snapshot holds, because they break
            a rule, stay as they are: mended by chance they would enter the history.
        seed: of the random draws; equal seeds give equal worlds.
    """
    end, days = world.month.end, (world.taken_on - world.month.end).days
    random = np.random.default_rng(seed)
    if world.events is not None:
        return world.with_events(_recorded_otherwise(world.events, book, end, days, random))
    rows = world.pipeline.height
    accounts = [*world.tables["accounts"]["account"].drop_nulls().to_list(), None]
    drawn = pl.DataFrame(
        {
            "shift": random.integers(1, 3, rows),
            "after": random.integers(1, max(days, 1) + 1, rows),
            "new_value": np.round(random.uniform(1, 10_000, rows), 2),
            "gone": random.random(rows) < _HALF,
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
    unsure = pl.lit(world.is_replayed) | pl.col("is_open")
    changes = [pl.when(unsure).then("new_account").otherwise("account").alias("account")]
    if world.is_replayed:
        frame = frame.filter(~(pl.col("gone") & _is_prospect()))
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


def _recorded_otherwise(
    events: pl.DataFrame, book: pl.Series, end: date, days: int, random: np.random.Generator
) -> pl.DataFrame:
    """Field history that is the same up to what was recorded by `end`, and another one after it.

    All that was recorded later is forgotten. Every open opportunity is won or lost, half of the others are said to have
    ended the other way round all along, and accounts are filled in, all recorded on a random day that is left.
    """
    known = events.filter(pl.col("recorded_at") <= end)
    if days < 1:
        return known
    stages = known.filter(pl.col("field") == "deal_stage").unique("object_id", keep="last", maintain_order=True)
    size = stages.height
    recorded = pl.lit(pl.Series(random.integers(1, days + 1, size), dtype=pl.Int64))
    drawn = stages.with_columns(
        is_open=pl.col("object_id").is_in(book.implode()),
        won=pl.Series(random.random(size) < _HALF),
        chosen=pl.Series(random.random(size) < _HALF),
        recorded_at=pl.lit(end) + pl.duration(days=recorded),
    )
    outcome = pl.when("won").then(pl.lit(WON)).otherwise(pl.lit(LOST))
    closings = drawn.filter("is_open").with_columns(
        old_value=pl.lit(ENGAGING), new_value=outcome, changed_at=pl.col("recorded_at")
    )
    # A correction: it happened before the month-end, and nobody knew.
    corrections = drawn.filter(~pl.col("is_open") & pl.col("chosen") & pl.col("new_value").is_in([WON, LOST]))
    corrections = corrections.with_columns(
        old_value="new_value", new_value=pl.when(pl.col("new_value") == WON).then(pl.lit(LOST)).otherwise(pl.lit(WON))
    )
    accounts = drawn.filter("is_open").with_columns(
        field=pl.lit("account").cast(events.schema["field"]),
        old_value=pl.lit(None, pl.String),
        new_value=pl.lit("Another Future Ltd"),
        changed_at=pl.col("recorded_at"),
    )
    return pl.concat([part.select(events.columns) for part in (known, closings, corrections, accounts)])


def other_ids(worlds: Iterable[World], seed: int) -> dict[str, str]:
    """Old id -> new id of every opportunity, in an order that has nothing to do with the old one."""
    ids = pl.concat([world.ids for world in worlds]).unique(maintain_order=True).to_list()
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
    if world.events is not None:
        return world.with_events(_irrelevant_events(world, world.events, renamed, seed))
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


def _irrelevant_events(world: World, events: pl.DataFrame, renamed: Mapping[str, str], seed: int) -> pl.DataFrame:
    """The events of renamed opportunities in another order, and copies of some, recorded later, for new ones."""
    named = events.with_columns(pl.col("object_id").replace_strict(renamed, default=None, return_dtype=pl.String()))
    if (world.taken_on - world.month.end).days > 0 and named.height:
        later = named.sample(max(1, int(_APPENDED_SHARE * named.height)), seed=seed)
        day = pl.lit(world.month.next.start)
        appended = later.with_columns(
            object_id=pl.format("later-{}", "object_id"),
            changed_at=pl.max_horizontal("changed_at", day),
            recorded_at=day,
        ).with_columns(recorded_at=pl.max_horizontal("recorded_at", "changed_at"))
        named = pl.concat([named, appended])
    return named.sample(fraction=1, shuffle=True, seed=seed)
