"""Drift of a month: its scored book against the champion's reference, as a table, a level and a page to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_assets.calendar import Month
from crm_assets.monitoring.drift_columns import PREDICTION, compare_columns, no_columns
from crm_assets.monitoring.drift_level import RULES_OF_THUMB, DriftThresholds, drift_level
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.reference import reference_for
from crm_assets.monitoring.rows import as_probabilities, require_columns, require_one

if TYPE_CHECKING:
    import pandas as pd

COMPARED, NOT_COMPARED = "compared", "not compared"


@dataclass(frozen=True)
class DriftReport:
    """How one month's book compares with the reference. What is None or empty by default stays so when not compared.

    Attributes:
        month: the snapshot month.
        model_version: version of the model that scored it.
        status: "compared" or "not compared".
        rows_current, rows_reference: rows on each side, the reference's of the same quarter position only.
        reference_months: the snapshot months of those, "2017-02", oldest first.
        alpha: significance level of all tests together.
        thresholds: where the levels begin.
        reason: why it was not compared; None when it was.
        level: NONE, LOW, MEDIUM or HIGH by `drift_level.drift_level`.
        tests: number of tests made.
        share_drifted: share of the monitored columns, without the prediction, that drifted.
        prediction_psi, prediction_drifted: the same for the scores themselves.
        columns: a row of `drift_columns.DRIFT` per monitored column and one for the prediction.
        html: a page of its own that loads nothing from elsewhere.
    """

    month: Month
    model_version: str
    status: str
    rows_current: int
    rows_reference: int
    reference_months: tuple[str, ...]
    alpha: float
    thresholds: DriftThresholds
    reason: str | None = None
    level: str | None = None
    tests: int = 0
    share_drifted: float | None = None
    prediction_psi: float | None = None
    prediction_drifted: bool | None = None
    columns: pd.DataFrame = field(default_factory=no_columns, repr=False, compare=False)
    html: str = field(default="", repr=False, compare=False)

    @property
    def p_threshold(self) -> float | None:
        """The p-value at or below which a test says that a column drifted: alpha / tests; None without tests."""
        return self.alpha / self.tests if self.tests else None

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Names of what drifted, the prediction among them."""
        return tuple(self.columns.loc[self.columns["drifted"].fillna(value=False).astype(bool), "column"])

    @property
    def untested_columns(self) -> tuple[str, ...]:
        """Names of the columns whose values could not be tested, for the `reason` in `columns`."""
        return tuple(self.columns.loc[self.columns["reason"].notna(), "column"])

    @property
    def new_category_columns(self) -> tuple[str, ...]:
        """Names of the columns with categories that the reference lacks."""
        return tuple(self.columns.loc[self.columns["new_categories"] != "", "column"])

    def summary(self) -> dict[str, Any]:
        """The figures as one flat row of plain values, with the same names for every month."""
        return {
            "snapshot_month": str(self.month),
            "model_version": self.model_version,
            "status": self.status,
            "reason": self.reason,
            "level": self.level,
            "rows_current": self.rows_current,
            "rows_reference": self.rows_reference,
            "reference_months": ", ".join(self.reference_months),
            "tests": self.tests,
            "p_threshold": self.p_threshold,
            "share_drifted": self.share_drifted,
            "prediction_psi": self.prediction_psi,
            "prediction_drifted": self.prediction_drifted,
            "drifted_columns": ", ".join(self.drifted_columns),
            "untested_columns": ", ".join(self.untested_columns),
            "new_category_columns": ", ".join(self.new_category_columns),
        }


def drift_report(
    current: pd.DataFrame,
    reference: pd.DataFrame | None,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    month: Month,
    model_version: str,
    prediction: str = "probability",
    min_rows: int = 30,
    alpha: float = 0.05,
    thresholds: DriftThresholds = RULES_OF_THUMB,
) -> DriftReport:
    """Compare the scored book of `month` with the reference rows of the same quarter position.

    Whether a column differs is tested: Kolmogorov-Smirnov for numbers and the prediction, chi-square for categories,
    Fisher for the share of missing numbers, Bonferroni over all of them. How much it differs is the PSI. The tests take
    rows for independent, but an opportunity stands in several months and features of its agent or cohort repeat over
    many rows: between real months they reject more often than `alpha`.

    Args:
        current: one row per scored opportunity, with `numeric`, `categorical` and `prediction`. Where it has
            `snapshot_month` or `model_version`, they are checked.
        reference: a set made by `reference.reference_set`, of any quarter positions; None where there is none.
        numeric, categorical: the monitored columns. Leave out the calendar, running totals and columns of many
            categories: they differ every month.
        month: snapshot month of `current`.
        model_version: version of the model that scored it.
        prediction: column of the probabilities, in both frames.
        min_rows: rows each side must have to be compared, and values of a numeric column to be tested; at least 2.
        alpha: chance that a test flags any column of a month that does not differ, between 0 and 1.
        thresholds: where the levels begin.

    Raises:
        MonitoringError: a column is missing or of the wrong type, a probability is missing or out of range, or the
            reference is of another model version, or holds the month itself or a later one.
    """
    from crm_assets.monitoring.drift_page import compared_page, not_compared_page

    names = [*numeric, *categorical]
    _check_arguments([*names, prediction], min_rows, alpha)
    _check_scores(current, [*names, prediction], prediction, month, model_version)
    rows, reason = _matching(reference, [*names, prediction], month, model_version)
    if reason is None and min(len(current), len(rows)) < min_rows:
        reason = f"{len(current)} scores against {len(rows)} reference rows: each side needs at least {min_rows}"
    report = DriftReport(
        month=month,
        model_version=model_version,
        status=COMPARED if reason is None else NOT_COMPARED,
        reason=reason,
        rows_current=len(current),
        rows_reference=len(rows),
        reference_months=tuple(sorted(rows["snapshot_month"].unique())) if len(rows) else (),
        alpha=alpha,
        thresholds=thresholds,
    )
    if reason is not None:
        return dataclasses.replace(report, html=not_compared_page(report))
    columns, tests = compare_columns(
        current,
        rows,
        numeric=numeric,
        categorical=categorical,
        prediction=prediction,
        month=month,
        min_rows=min_rows,
        alpha=alpha,
    )
    monitored = columns.loc[columns["kind"] != PREDICTION, "drifted"].fillna(value=False).astype(bool)
    predicted = columns[columns["kind"] == PREDICTION].iloc[0]
    report = dataclasses.replace(
        report,
        level=drift_level(columns, thresholds),
        tests=tests,
        share_drifted=float(monitored.mean()),
        prediction_psi=float(predicted["psi"]),
        prediction_drifted=bool(predicted["drifted"]),
        columns=columns,
    )
    return dataclasses.replace(report, html=compared_page(report, current, rows))


def _check_arguments(names: Sequence[str], min_rows: int, alpha: float) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise MonitoringError(f"{', '.join(repeated)} is to be monitored twice: name each column once")
    if len(names) < 2:
        raise MonitoringError("no column is to be monitored besides the prediction: name at least one")
    if min_rows < 2 or not 0 < alpha < 1:
        raise ValueError(f"min_rows {min_rows} must be at least 2 and alpha {alpha} between 0 and 1")


def _check_scores(
    current: pd.DataFrame, names: Sequence[str], prediction: str, month: Month, model_version: str
) -> None:
    place = f"the scores of {month}"
    require_columns(current, names, place)
    if "snapshot_month" in current:
        require_one(current, "snapshot_month", str(month), place, "hand in the rows of that month alone")
    if "model_version" in current:
        require_one(current, "model_version", model_version, place, "score the month again with one version")
    as_probabilities(current[prediction], place)


def _matching(
    reference: pd.DataFrame | None, names: Sequence[str], month: Month, model_version: str
) -> tuple[pd.DataFrame, str | None]:
    """The reference rows to compare `month` with, and why there are none."""
    if reference is None or reference.empty:
        return no_columns(), f"model version {model_version} has no reference rows"
    place = "the reference rows"
    require_columns(reference, ["snapshot_month", "next_quarter_position", "model_version", *names], place)
    require_one(reference, "model_version", model_version, place, f"make the reference of version {model_version}")
    latest = str(reference["snapshot_month"].max())
    if latest >= str(month):
        raise MonitoringError(
            f"the reference rows reach {latest}, but {month} can be compared only with earlier months: make the "
            "reference from what had matured when the model was trained"
        )
    return reference_for(reference, month.next.quarter_position)
