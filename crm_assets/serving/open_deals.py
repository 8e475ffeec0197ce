"""The open deals as they are told: scores with what is stored about them, and those of the month before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.scoring import SCORES
from crm_assets.lake import Lake
from crm_assets.modelling.movement import PLAYERS, SCORE_CHANGES
from crm_assets.modelling.reasons import PARTS, SCORE_REASONS, WORDED, main_parts
from crm_assets.modelling.risk import RiskThresholds
from crm_assets.serving.book import Book, marks
from crm_assets.settings import Settings

ID = "opportunity_id"
SOUGHT = "sought"
"""Column of the text that a search looks through."""

_ALIKE = 1e-9
"""Distance up to which two probabilities are of the same score."""
_BEFORE = "probability_before"
_OF_SCORES = (
    ID,
    "sales_agent",
    "manager",
    "regional_office",
    "product",
    "list_price",
    "age_days",
    "probability",
    "expected_value",
    "probability_abandoned",
)
_FIGURE = r" \([+-]?\d+\)$"
"""Percentage points behind a reason."""
_WORDS = {**PLAYERS, "nothing": "nothing changed"}


@dataclass(frozen=True, eq=False)
class OpenDeals:
    """The book of a month as it is told.

    Attributes:
        month: at whose end.
        rows: one per open deal: what the champion gives, `account`, `engage_date`, `risk`, `is_abandoned`, `previous`
            (the stored probability of the month before), `change`, `main_cause`, `cause_in_words`, `main_reason`,
            `main_subject`, `main_part`, `raises`, `lowers` and SOUGHT. What is not stored of the very score is empty.
        before: rows of the month before, with as much of it as filters and sums need; None where it has no scores.
        marks: content hashes of the stored tables that it was read from.
    """

    month: Month
    rows: pl.DataFrame
    before: pl.DataFrame | None
    marks: tuple[str | None, ...]

    @classmethod
    def read(cls, lake: Lake, book: Book, scored: pl.DataFrame, settings: Settings) -> Self:
        """The book with what the lake holds about its scores.

        Args:
            lake: that holds `score_changes` and `score_reasons` of the month and `scores` of the one before, or not.
            book, scored, settings: see `of`.

        Raises LakeError when a file is not the one that its manifest describes.
        """
        mark = stored_marks(lake, book.month)
        changes, reasons, past = (
            None if sha256 is None else pl.read_parquet(lake.table_path(asset, month))
            for sha256, (asset, month) in zip(mark, _stored(book.month), strict=True)
        )
        return cls.of(book, scored, settings, changes=changes, reasons=reasons, past=past, mark=mark)

    @classmethod
    def of(
        cls,
        book: Book,
        scored: pl.DataFrame,
        settings: Settings,
        *,
        changes: pl.DataFrame | None = None,
        reasons: pl.DataFrame | None = None,
        past: pl.DataFrame | None = None,
        mark: tuple[str | None, ...] = (None, None, None),
    ) -> Self:
        """The book with what is known about its scores.

        Args:
            book: of the month.
            scored: its rows with what the champion gives.
            settings: thresholds of risk and abandonment.
            changes, reasons: rows of `SCORE_CHANGES` and `SCORE_REASONS` of the month.
            past: rows of `SCORES` of the month before.
            mark: content hashes of these three.
        """
        before = None
        if past is not None and not past.is_empty():
            before = _classed(past.select(_OF_SCORES).join(book.known, on=ID, how="left"), settings)
        rows = scored.drop("account", "engage_date", strict=False)
        rows = _classed(rows.join(book.known, on=ID, how="left", maintain_order="left"), settings)
        return cls(book.month, _with_reasons(_with_change(rows, before, changes), reasons), before, mark)


def stored_marks(lake: Lake, month: Month) -> tuple[str | None, ...]:
    """Content hashes of what `OpenDeals.read` reads; None for what is not stored. Raises LakeError as `marks` does."""
    return tuple(marks(lake, of, [asset])[0] for asset, of in _stored(month))


def _stored(month: Month) -> tuple[tuple[str, Month], ...]:
    return ((SCORE_CHANGES.name, month), (SCORE_REASONS.name, month), (SCORES.name, month.previous))


def _classed(rows: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    thresholds = RiskThresholds(settings.risk_low_from, settings.risk_high_below)
    return rows.with_columns(
        pl.Series("risk", thresholds.of_all(rows["probability"].to_numpy()).tolist(), dtype=pl.String),
        (pl.col("probability_abandoned") >= settings.abandoned_from).alias("is_abandoned"),
        pl.concat_str(ID, pl.col("account").fill_null(""), "sales_agent", separator="\n")
        .str.to_lowercase()
        .alias(SOUGHT),
    )


def _with_change(rows: pl.DataFrame, before: pl.DataFrame | None, changes: pl.DataFrame | None) -> pl.DataFrame:
    """With the probability of the month before, and why it is another now where that is stored of these two scores."""
    if before is None:
        rows = rows.with_columns(pl.lit(None, pl.Float64).alias("previous"))
    else:
        rows = rows.join(
            before.select(ID, pl.col("probability").alias("previous")), on=ID, how="left", maintain_order="left"
        )
    rows = rows.with_columns((pl.col("probability") - pl.col("previous")).alias("change"))
    if changes is None:
        return rows.with_columns(pl.lit(None, pl.String).alias(name) for name in ("main_cause", "cause_in_words"))
    stored = changes.select(ID, pl.col("probability").alias("_now"), pl.col(_BEFORE).alias("_then"), "main_cause")
    rows = rows.join(stored, on=ID, how="left", maintain_order="left")
    same = _alike("probability", "_now") & _alike("previous", "_then")
    return (
        rows.with_columns(pl.when(same).then("main_cause").alias("main_cause"))
        .with_columns(
            pl.col("main_cause").replace_strict(_WORDS, default=None, return_dtype=pl.String).alias("cause_in_words")
        )
        .drop("_now", "_then")
    )


def _with_reasons(rows: pl.DataFrame, reasons: pl.DataFrame | None) -> pl.DataFrame:
    told = ("main_reason", "main_subject", *WORDED)
    if reasons is None:
        empty = [pl.lit(None, pl.String).alias(name) for name in told]
        return rows.with_columns(*empty, pl.lit(None, pl.Float64).alias("main_part"))
    subjects, part = main_parts(reasons.select(PARTS).to_numpy())
    main = [None if subject is None else subject.value for subject in subjects]
    first = {name: pl.col(name).str.split("; ").list.first().str.replace(_FIGURE, "") for name in WORDED}
    stored = reasons.select(
        ID,
        *WORDED,
        pl.col("probability").alias("_now"),
        pl.Series("main_subject", main, pl.String),
        pl.Series("main_part", part, pl.Float64).fill_nan(None),
    ).with_columns(
        pl.when(pl.col("main_part") > 0).then(first["raises"]).otherwise(first["lowers"]).alias("main_reason")
    )
    rows = rows.join(stored, on=ID, how="left", maintain_order="left")
    same = _alike("probability", "_now")
    return rows.with_columns(pl.when(same).then(name).alias(name) for name in (*told, "main_part")).drop("_now")


def _alike(one: str, other: str) -> pl.Expr:
    return (pl.col(one) - pl.col(other)).abs() <= _ALIKE
