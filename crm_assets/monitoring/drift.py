"""Drift of a month: its intake, book and closings against the champion's reference, as a table, a level and a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.monitoring.drift_columns import (
    ALL_CLOSINGS,
    MIN_ROWS,
    PREDICTION,
    PROBABILITY,
    SHARE_WON,
    compare_book,
    compare_closings,
    compare_intake,
    judged,
    no_columns,
)
from crm_assets.monitoring.drift_level import CALIBRATED, HIGH, MEDIUM, DriftThresholds, Evidence, drift_level
from crm_assets.monitoring.reference import (
    BOOK,
    BOOK_NUMBERS,
    CLOSING_COLUMNS,
    CLOSINGS,
    INTAKE,
    INTAKE_READ,
    check_reference,
    months_held,
    rows_of,
    why_no_book,
)
from crm_assets.monitoring.rows import as_flags, as_numbers, as_probabilities, require_columns, require_one
from crm_assets.monitoring.status import COMPARED, NOT_COMPARED

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MonthRows:
    """What is known of a month at its end.

    Attributes:
        intake: the deals engaged in it, each once, with INTAKE_READ.
        book: the open deals, with BOOK_NUMBERS and `probability`; checked where it has `snapshot_month` or
            `model_version`.
        closings: the deals closed in it, with CLOSING_COLUMNS; None of traffic (`traffic.traffic_rows`), in which
            nothing closes.
    """

    intake: pd.DataFrame
    book: pd.DataFrame
    closings: pd.DataFrame | None

    @property
    def parts(self) -> dict[str, pd.DataFrame]:
        """Part -> its rows."""
        both = {INTAKE: self.intake, BOOK: self.book}
        return both if self.closings is None else {**both, CLOSINGS: self.closings}


@dataclass(frozen=True)
class DriftReport:
    """How one month compares with the reference. What is None or empty by default stays so when not compared.

    Attributes:
        month: the snapshot month.
        model_version: version of the model that scored it.
        status: "compared" or "not compared".
        rows: part -> rows of the month.
        rows_reference: part -> reference rows they are compared with.
        reference_months: part -> the months of those, "2017-02", oldest first.
        thresholds: where the levels begin.
        reason: why it was not compared; None when it was.
        level: NONE, LOW, MEDIUM or HIGH by `drift_level.drift_level`.
        why: what the level comes from, in words.
        tests: part -> number of tests made.
        share_drifted: share of the intake columns that moved.
        prediction_psi: PSI of the scores at fixed age.
        quality: 1 less the largest share of bad values in any column.
        columns: rows of `drift_columns.DRIFT`.
        html: a page of its own that loads nothing from elsewhere.
    """

    month: Month
    model_version: str
    status: str
    rows: dict[str, int]
    rows_reference: dict[str, int]
    reference_months: dict[str, tuple[str, ...]]
    thresholds: DriftThresholds
    reason: str | None = None
    level: str | None = None
    why: tuple[str, ...] = ()
    tests: dict[str, int] = field(default_factory=dict)
    share_drifted: float | None = None
    prediction_psi: float | None = None
    quality: float | None = None
    columns: pd.DataFrame = field(default_factory=no_columns, repr=False, compare=False)
    html: str = field(default="", repr=False, compare=False)

    @property
    def of_traffic(self) -> bool:
        """Whether it compares what the API was asked about, and not the whole month."""
        return CLOSINGS not in self.rows

    def p_threshold(self, part: str) -> float | None:
        """The p-value at or below which a test of a part says that it drifted; None without tests."""
        return self.thresholds.p_value(part, self.tests[part]) if self.tests.get(part) else None

    def named(self, column: str) -> tuple[str, ...]:
        """Names of the rows of `columns` for which that column is true, or holds a text."""
        chosen = [value is True or (isinstance(value, str) and value != "") for value in self.columns[column].tolist()]
        return tuple(self.columns.loc[chosen, "column"])

    def summary(self) -> dict[str, Any]:
        """The figures as one flat row of plain values, with the same names for every month."""
        return {
            "snapshot_month": str(self.month),
            "model_version": self.model_version,
            "status": self.status,
            "reason": self.reason,
            "level": self.level,
            "why": "; ".join(self.why),
            "share_drifted": self.share_drifted,
            "prediction_psi": self.prediction_psi,
            "quality": self.quality,
            **{f"{part}_rows": self.rows.get(part, 0) for part in (INTAKE, BOOK, CLOSINGS)},
            **{f"{part}_reference_rows": self.rows_reference.get(part, 0) for part in (INTAKE, BOOK, CLOSINGS)},
            "reference_months": ", ".join(self.reference_months.get(BOOK, ())),
            "tests": sum(self.tests.values()),
            "drifted_columns": ", ".join(self.named("drifted")),
            "moved_columns": ", ".join(self.named("moved")),
            "bad_columns": ", ".join(self.named("bad")),
            "untested_columns": ", ".join(self.named("reason")),
        }


@dataclass(frozen=True)
class Sides:
    """The rows that a page draws.

    Attributes:
        month: the month's.
        intake, book: the reference rows they are compared with.
        weights: of the reference's book, which bring it to the month's ages, (n,).
    """

    month: MonthRows
    intake: pd.DataFrame
    book: pd.DataFrame
    weights: NDArray[np.float64]


def drift_report(
    rows: MonthRows,
    reference: pd.DataFrame | None,
    *,
    month: Month,
    model_version: str,
    thresholds: DriftThresholds = CALIBRATED,
    failed: Mapping[str, bool] | None = None,
) -> DriftReport:
    """Compare a month with the champion's reference.

    The intake, in which each deal stands once, is tested: Kolmogorov-Smirnov for numbers, chi-square for categories,
    Fisher for what is missing, Bonferroni over all of them; how much it differs is the PSI. The scores are compared at
    fixed age with books of the same quarter position. Wins among the closings are tested against those expected of the
    quarter position and the region. Numbers that models read are looked over for missing values, range and units.

    Args:
        rows: what is known of the month.
        reference: a set made by `reference.reference_set`; None where there is none.
        month: its month.
        model_version: version of the model that scored the book.
        thresholds: where the levels begin.
        failed: what `performance_comparison.failed_checks` tells of the scores that matured in the month; None when it
            is not known.

    Raises:
        MonitoringError: a column is missing or of the wrong type, a probability is missing or out of range, or the
            reference is of another model version, or holds the month itself or a later one.
    """
    from crm_assets.monitoring.drift_page import compared_page, not_compared_page

    report, sides = compare(
        rows,
        reference,
        month=month,
        model_version=model_version,
        thresholds=thresholds,
        failed=failed,
    )
    page = not_compared_page(report) if sides is None else compared_page(report, sides)
    return dataclasses.replace(report, html=page)


def compare(
    rows: MonthRows,
    reference: pd.DataFrame | None,
    *,
    month: Month,
    model_version: str,
    thresholds: DriftThresholds = CALIBRATED,
    failed: Mapping[str, bool] | None = None,
) -> tuple[DriftReport, Sides | None]:
    """A drift report without its page, and what the page is drawn from; None when the month was not compared.

    Takes and raises what `drift_report` does.
    """
    _check_rows(rows, month, model_version)
    reason = None
    held = {part: found.iloc[:0] for part, found in rows.parts.items()}
    months: dict[str, tuple[str, ...]] = {}
    if reference is None or reference.empty:
        reason = f"model version {model_version} has no reference rows"
    else:
        check_reference(reference, month, model_version)
        held = {part: rows_of(reference, part, month.quarter_position if part == BOOK else None) for part in rows.parts}
        if held[BOOK].empty:
            reason = why_no_book(month.quarter_position)
        months = {part: tuple(map(str, months_held(found, part))) for part, found in held.items()}
    book, intake = held[BOOK], held[INTAKE]
    if reason is None:
        for part, now, before in ((BOOK, rows.book, book), (INTAKE, rows.intake, intake)):
            if reason is None and min(len(now), len(before)) < MIN_ROWS:
                reason = f"the {part} has {len(now)} rows against {len(before)} of the reference: each side needs "
                reason += f"at least {MIN_ROWS}"
    report = DriftReport(
        month=month,
        model_version=model_version,
        status=COMPARED if reason is None else NOT_COMPARED,
        reason=reason,
        rows={part: len(found) for part, found in rows.parts.items()},
        rows_reference={part: len(found) for part, found in held.items()},
        reference_months=months,
        thresholds=thresholds,
    )
    if reason is not None:
        return report, None
    of_book, at_age = compare_book(rows.book, book, rows.intake, intake)
    compared = [*compare_intake(rows.intake, intake), *of_book]
    if rows.closings is not None:
        compared += compare_closings(rows.closings, held[CLOSINGS], month)
    columns, tests = judged(compared, month, thresholds)
    evidence = _evidence(columns, failed or {})
    level, why = drift_level(evidence, thresholds)
    untold = _untold(columns)
    if untold and level not in (MEDIUM, HIGH):
        # Nothing bad was found, but not everything was compared: no level that looks fine.
        report = dataclasses.replace(report, status=NOT_COMPARED, reason=untold, columns=columns, tests=tests)
        return report, None
    report = dataclasses.replace(
        report,
        level=level,
        why=why,
        tests=tests,
        share_drifted=len(evidence.moved) / evidence.columns,
        prediction_psi=evidence.prediction_psi,
        quality=evidence.quality,
        columns=columns,
    )
    return report, Sides(rows, intake, book, at_age.weights)


def _untold(columns: pd.DataFrame) -> str:
    """Why scores or whole columns could not be compared; blank when all were."""
    rows = columns[columns["part"].isin([INTAKE, BOOK]) & columns["reason"].notna()]
    told = rows[["kind", "column", "part", "reason"]].astype(str).itertuples(index=False)
    return "; ".join(why if kind == PREDICTION else f"{name} ({part}): {why}" for kind, name, part, why in told)


def _evidence(columns: pd.DataFrame, failed: Mapping[str, bool]) -> Evidence:
    intake = columns[columns["part"] == INTAKE]
    drifted = columns["drifted"].fillna(value=False).astype(bool)
    worst = columns.loc[columns["bad_share"].fillna(0).idxmax()]
    bad_share = float(worst["bad_share"]) if worst["bad"] else 0.0
    won = columns[(columns["kind"] == SHARE_WON) & columns["moved"]]
    psi = columns.loc[columns["kind"] == PREDICTION, "psi"].iloc[0]
    small = columns[drifted & ~columns["moved"]]
    noticed = [f"{row.column} differs, by little" for row in small.itertuples()]
    # Missing values come and go by single rows; that is worth a word only where tests find more of them.
    named = columns[(columns["bad_share"].fillna(0) > 0) & ((columns["new_categories"] != "") | drifted)]
    noticed += [f"{row.column}: {row.bad}" for row in named.itertuples()]
    closings = columns[(columns["column"] == ALL_CLOSINGS) & columns["reason"].notna()]
    noticed += [f"the share won was not compared: {row.reason}" for row in closings.itertuples()]
    return Evidence(
        moved=tuple(intake.loc[intake["moved"], "column"]),
        columns=len(intake),
        prediction_psi=None if np.isnan(psi) else float(psi),
        quality=1 - bad_share,
        worst=f"{worst['column']} ({worst['part']}) {worst['bad']}" if bad_share else "",
        win_changes=tuple(zip(won["column"].astype(str), won["change"].astype(float), strict=True)),
        noticed=tuple(noticed),
        failed=failed,
    )


def _check_rows(rows: MonthRows, month: Month, model_version: str) -> None:
    place = f"the scores of {month}"
    require_columns(rows.book, [*BOOK_NUMBERS, PROBABILITY], place)
    if "snapshot_month" in rows.book:
        require_one(rows.book, "snapshot_month", str(month), place, "hand in the rows of that month alone")
    if "model_version" in rows.book:
        require_one(rows.book, "model_version", model_version, place, "score the month again with one version")
    as_probabilities(rows.book[PROBABILITY], place)
    for name in BOOK_NUMBERS:
        as_numbers(rows.book[name], place)
    require_columns(rows.intake, INTAKE_READ, f"the intake of {month}")
    if rows.closings is not None:
        require_columns(rows.closings, CLOSING_COLUMNS, f"the closings of {month}")
        as_flags(rows.closings["won"], f"the closings of {month}")
