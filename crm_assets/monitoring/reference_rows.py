"""From a month's snapshot and features to its intake, book and closings; and from those to the champion's reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import WON
from crm_assets.monitoring.reference import (
    BOOK,
    BOOK_NUMBERS,
    CLOSINGS,
    INTAKE,
    INTAKE_COLUMNS,
    INTAKE_READ,
    REFERENCE_MONTHS,
    months_wanted,
    reference_set,
)

if TYPE_CHECKING:
    import pandas as pd

SNAPSHOT_COLUMNS = ("opportunity_id", "snapshot_month", "deal_stage", "engage_date", "close_date", *INTAKE_COLUMNS)
"""Columns of a snapshot that intake and closings are made of."""

ReadMonth = Callable[[Month], pl.DataFrame]


@dataclass(frozen=True)
class MonthTables:
    """Where the months' tables come from.

    Attributes:
        features: month -> its book, with every column that the champion reads and those of the reference.
        snapshot: month -> SNAPSHOT_COLUMNS of it.
        months: those that there are, in order and without a gap.
    """

    features: ReadMonth
    snapshot: ReadMonth
    months: Sequence[Month]


@dataclass(frozen=True)
class Champion:
    """What a reference stands for.

    Attributes:
        version: in the registry.
        trained_at: month at whose end it was trained.
        predict: its probabilities for the rows of a book.
        out_of_sample: months whose outcomes it has learnt from -> their books as its recipe predicts them without
            having seen them: `snapshot_month`, `opportunity_id`, `probability`. It may leave months out.
    """

    version: str
    trained_at: Month
    predict: Callable[[pd.DataFrame], NDArray[np.float64]]
    out_of_sample: Callable[[Sequence[Month]], pl.DataFrame]


def intake_rows(features: pl.DataFrame, snapshot: pl.DataFrame, month: Month) -> pl.DataFrame:
    """The deals engaged in the month, each once: as the features have them, or the snapshot if closed already.

    Those that closed within the month belong to it: they are more in some regions and months than in others, so that
    the rest alone would differ where nothing is wrong. Of them only INTAKE_COLUMNS are known.
    """
    new = snapshot.filter(pl.col("engage_date").is_between(month.start, month.end))
    rows = features.join(new, on="opportunity_id", how="semi", maintain_order="left")
    closed = new.join(features, on="opportunity_id", how="anti", maintain_order="left")
    both = pl.concat(
        [rows.select("opportunity_id", *INTAKE_READ), closed.select("opportunity_id", *INTAKE_COLUMNS)],
        how="diagonal_relaxed",
    )
    return both.with_columns(pl.lit(str(month)).alias("snapshot_month"))


def closing_rows(snapshot: pl.DataFrame, month: Month) -> pl.DataFrame:
    """The deals that closed in the month, won or lost."""
    closed = snapshot.filter(pl.col("close_date").is_between(month.start, month.end))
    won = (pl.col("deal_stage") == WON).cast(pl.Int64).alias("won")
    return closed.select("opportunity_id", pl.lit(str(month)).alias("snapshot_month"), "regional_office", won)


def comparable(reference: pl.DataFrame, month: Month) -> pd.DataFrame:
    """The reference rows that a month is compared with, without what only identifies them, for large references."""
    positions = {text: Month.parse(text).quarter_position for text in reference["snapshot_month"].unique()}
    wanted = [text for text, position in positions.items() if position == month.quarter_position]
    rows = reference.filter((pl.col("part") != BOOK) | pl.col("snapshot_month").is_in(wanted))
    texts = rows.select(pl.col(pl.String)).columns
    return (
        rows.drop("opportunity_id", "made_in")
        .with_columns(pl.col(name).cast(pl.Categorical) for name in texts if name not in ("opportunity_id", "made_in"))
        .to_pandas()
    )


def book_rows(features: pl.DataFrame, probability: pl.DataFrame) -> pl.DataFrame:
    """The rows of books that have a probability, with it."""
    keys = ["opportunity_id", "snapshot_month"]
    return features.select(*keys, *BOOK_NUMBERS).join(
        probability.select(*keys, "probability"), on=keys, how="inner", maintain_order="left"
    )


def reference_as_of(
    month: Month, champion: Champion, tables: MonthTables, before: pd.DataFrame | None
) -> tuple[pd.DataFrame, str]:
    """The reference of a month, and in words why it is what it is.

    While the champion stays, that of the month before is kept, and takes in only months at quarter positions it lacks,
    scored by the champion itself. With another champion it is made anew: of the newest REFERENCE_MONTHS before its
    training, books by predictions out of sample. Books that preceded the first close are never taken.

    Args:
        month: whose reference it is; every row is of an earlier month.
        champion: of that month.
        tables: the months up to `month` at least.
        before: reference of the month before; None or empty where there is none.

    Raises what `reference.reference_set` raises.
    """
    first_close = _first_close(tables.snapshot(champion.trained_at), tables.snapshot(month))
    version = None if before is None or before.empty else str(before["model_version"].iloc[0])
    if version == champion.version:
        kept, why = before, f"kept: version {champion.version} stays champion"
    else:
        kept = _new_reference(champion, tables, first_close)
        why = f"version {champion.version} became champion at {month}" + (f", after {version}" if version else "")
    assert kept is not None
    later = [m for m in month_range(champion.trained_at, month.previous) if m in tables.months]
    wanted = months_wanted(kept, later, first_close)
    parts: dict[str, pd.DataFrame] = {}
    if wanted[INTAKE]:
        made = [intake_rows(tables.features(m), tables.snapshot(m), m) for m in wanted[INTAKE]]
        parts[INTAKE] = pl.concat(made).to_pandas()
    if wanted[CLOSINGS]:
        parts[CLOSINGS] = pl.concat([closing_rows(tables.snapshot(m), m) for m in wanted[CLOSINGS]]).to_pandas()
    if wanted[BOOK]:
        parts[BOOK] = pl.concat([_scored(tables.features(m), champion) for m in wanted[BOOK]]).to_pandas()
    added = "; ".join(
        f"{part} of {', '.join(map(str, months))} added" for part, months in wanted.items() if months and part in parts
    )
    made_now = reference_set(parts, model_version=champion.version, made_in=month, before=kept)
    return made_now, f"{why}; {added}" if added else why


def _new_reference(champion: Champion, tables: MonthTables, first_close: Month | None) -> pd.DataFrame:
    oldest = champion.trained_at.shift(-REFERENCE_MONTHS)
    months = [m for m in tables.months if oldest <= m < champion.trained_at]
    parts: dict[str, pd.DataFrame] = {}
    if months:
        made = [intake_rows(tables.features(m), tables.snapshot(m), m) for m in months]
        parts[INTAKE] = pl.concat(made).to_pandas()
    normal = [m for m in months if first_close is not None and m >= first_close]
    if normal:
        parts[CLOSINGS] = pl.concat([closing_rows(tables.snapshot(m), m) for m in normal]).to_pandas()
        probability = champion.out_of_sample(normal)
        books = pl.concat(
            [tables.features(m).select("opportunity_id", "snapshot_month", *BOOK_NUMBERS) for m in normal]
        )
        parts[BOOK] = book_rows(books, probability).to_pandas()
    return reference_set(parts, model_version=champion.version, made_in=champion.trained_at)


def _scored(features: pl.DataFrame, champion: Champion) -> pl.DataFrame:
    probability = pl.Series("probability", champion.predict(features.to_pandas()), dtype=pl.Float64)
    return features.select("opportunity_id", "snapshot_month", *BOOK_NUMBERS).with_columns(probability)


def _first_close(*snapshots: pl.DataFrame) -> Month | None:
    for snapshot in snapshots:
        first = snapshot["close_date"].min()
        if first is not None:
            return Month.of(first)  # type: ignore[arg-type]  # a date
    return None
