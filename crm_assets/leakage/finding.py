"""What a probe looks for and what it found: one row of the leakage report."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from crm_assets.contracts import Column, Kind, Table


class Probe(enum.StrEnum):
    """A question about time that honest features and models answer alike; see `docs/time.md`."""

    STORED = "stored features"
    """Are the stored features those that the definitions give for the source as it is?"""
    TRUNCATION = "truncation"
    """Are they the same when all that came later is cut off the source?"""
    ANOTHER_FUTURE = "another future"
    """Are they the same when open opportunities end otherwise?"""
    IRRELEVANCE = "irrelevance"
    """Are they the same when later rows are appended, ids renamed and rows shuffled?"""
    WON_FROM_LOST = "won from lost"
    """Does a single feature tell won from lost deals better than the deals' own history does?"""
    CLOSED_FROM_OPEN = "closed from open"
    """Does a single feature tell which deals close better than their age does?"""
    MISSINGNESS = "missingness"
    """Is a feature missing more often for one outcome than for the other?"""
    CUT_OFF = "training cut-off"
    """Had every training outcome matured by the training month, and is it the stored one?"""
    BOTH_SIDES = "both sides"
    """Does a row stand in the training and in the test of one model?"""
    LATER_ROWS = "later rows"
    """Is the model the same when rows that were not known at its month change?"""


class Verdict(enum.StrEnum):
    """What a probe says."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Finding:
    """What one probe says of one column, or of a whole table.

    Attributes:
        probe: which.
        month: the month that was examined, `2017-05`.
        table: name of the table.
        column: name of the column; `*` for all of them.
        verdict: passed, failed or not run.
        detail: what was compared, or what is wrong with an example, or why it was not run.
        rows: rows at fault; None where no rows are counted.
        measured: what the probe measured; None where it does not measure.
        limit: the largest value of `measured` that passes; None where it does not measure.
    """

    probe: Probe
    month: str
    table: str
    column: str
    verdict: Verdict
    detail: str
    rows: int | None = None
    measured: float | None = None
    limit: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it keeps a model from becoming champion."""
        return self.verdict is Verdict.FAILED


LEAKAGE_REPORT = Table(
    "leakage_report",
    "One row per probe and column: whether the features and the training of the month use only what was known.",
    (
        Column("snapshot_month", Kind.STRING, "Month whose model is judged, YYYY-MM", required=True),
        Column("probe", Kind.STRING, "What was tried", required=True, allowed=tuple(Probe)),
        Column("examined_month", Kind.STRING, "Month whose rows were examined, YYYY-MM", required=True),
        Column("table", Kind.STRING, "Table that was examined", required=True),
        Column("column", Kind.STRING, "Column that was examined; `*` for all", required=True),
        Column("verdict", Kind.STRING, "Whether it passed", required=True, allowed=tuple(Verdict)),
        Column("rows", Kind.INTEGER, "Rows at fault", unit="rows", minimum=0),
        Column("measured", Kind.FLOAT, "What the probe measured: an AUC, or a z-value of missingness"),
        Column("limit", Kind.FLOAT, "Largest measured value that passes"),
        Column("detail", Kind.STRING, "What was compared, what is wrong, or why it was not run", required=True),
    ),
    key=("probe", "examined_month", "table", "column"),
)


def report(findings: Iterable[Finding], month: str) -> pl.DataFrame:
    """Rows of `LEAKAGE_REPORT` for the model of `month`: failed ones first, then in the order of the probes."""
    rank = {Verdict.FAILED: 0, Verdict.NOT_RUN: 1, Verdict.PASSED: 1}
    order = list(Probe)
    ranked = sorted(findings, key=lambda found: (rank[found.verdict], order.index(found.probe), found.column))
    rows = [
        (
            month,
            str(found.probe),
            found.month,
            found.table,
            found.column,
            str(found.verdict),
            found.rows,
            found.measured,
            found.limit,
            found.detail,
        )
        for found in ranked
    ]
    return pl.DataFrame(rows, schema=LEAKAGE_REPORT.polars_schema(), orient="row")


def faults_of(rows: pl.DataFrame) -> list[str]:
    """One sentence per failed row of `LEAKAGE_REPORT`: which column of which table, which probe, and what it saw."""
    return [
        f"{row['table']}.{row['column']} of {row['examined_month']} fails the probe {row['probe']!r}: {row['detail']}"
        for row in rows.filter(pl.col("verdict") == Verdict.FAILED).iter_rows(named=True)
    ]


def worst(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of `LEAKAGE_REPORT` that people should look at: all that failed or were not run, and per probe and month
    the one that came closest to its limit, or the first."""
    passed = rows.filter(pl.col("verdict") == Verdict.PASSED)
    closest = (
        passed.with_columns(closeness=(pl.col("measured") / pl.col("limit")).fill_null(0))
        .sort("closeness", descending=True, maintain_order=True)
        .unique(["probe", "examined_month"], keep="first", maintain_order=True)
        .drop("closeness")
    )
    others = rows.filter(pl.col("verdict") != Verdict.PASSED)
    order = pl.col("probe").replace_strict({str(p): n for n, p in enumerate(Probe)}, return_dtype=pl.Int64)
    return pl.concat([others, closest.sort(order)])
