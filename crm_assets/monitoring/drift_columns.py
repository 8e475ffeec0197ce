"""Drift column by column: one row of a table for each monitored column and for the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.monitoring.rows import MISSING, as_labels, as_numbers, as_probabilities
from crm_assets.monitoring.two_samples import (
    Difference,
    chi_square,
    kolmogorov_smirnov,
    missing_share_p_value,
    new_labels,
    psi_of_labels,
    psi_of_numbers,
)

if TYPE_CHECKING:
    import pandas as pd

NUMERIC, CATEGORICAL, PREDICTION = "numeric", "categorical", "prediction"
KS, CHI_SQUARE = "Kolmogorov-Smirnov", "chi-square"

DRIFT = Table(
    "drift_report",
    "One row per monitored column and one for the prediction: how this month's book compares with the reference.",
    (
        Column("snapshot_month", Kind.STRING, "Month that was compared, YYYY-MM", required=True),
        Column("column", Kind.STRING, "Column of the scores or features", required=True),
        Column("kind", Kind.STRING, "numeric, categorical or prediction", required=True),
        Column("test", Kind.STRING, "Test of the values"),
        Column("statistic", Kind.FLOAT, "What the test measured"),
        Column("p_value", Kind.FLOAT, "What the test of the values gave", unit="probability"),
        Column(
            "p_missing",
            Kind.FLOAT,
            "What Fisher's test of the missing share gave, made where numbers are missing",
            unit="probability",
        ),
        Column("psi", Kind.FLOAT, "Population stability index: how far it moved"),
        Column(
            "drifted", Kind.BOOLEAN, "Whether either test says so, corrected for their number; empty without a test"
        ),
        Column("missing_current", Kind.FLOAT, "Rows of this month without a value", unit="share"),
        Column("missing_reference", Kind.FLOAT, "Rows of the reference without a value", unit="share"),
        Column("new_categories", Kind.STRING, "Categories that the reference lacks, with their rows; blank if none"),
        Column("reason", Kind.STRING, "Why the values could not be tested; empty if they were"),
    ),
    key=("column",),
)

_NEW_CATEGORIES_NAMED = 10


def compare_columns(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    prediction: str,
    month: Month,
    min_rows: int,
    alpha: float,
) -> tuple[pd.DataFrame, int]:
    """Test and measure every column of two non-empty frames.

    Args:
        current, reference: frames with all the columns.
        numeric, categorical, prediction: the columns, of each kind.
        month: snapshot month of `current`.
        min_rows: values a numeric column must have on each side for its values to be tested.
        alpha: significance level of all tests together.

    Returns:
        (a row of DRIFT per column in the order given, the prediction last; the number of tests made). A column has
        drifted when a p-value is at most alpha / tests, Bonferroni's correction.

    Raises MonitoringError when a numeric column does not hold finite numbers, or the prediction no probabilities.
    """
    import pandas as pd

    rows = [
        *(_compare_numbers(name, current[name], reference[name], min_rows) for name in numeric),
        *(_compare_labels(name, current[name], reference[name]) for name in categorical),
        _compare_probabilities(prediction, current[prediction], reference[prediction]),
    ]
    table = pd.DataFrame([{"snapshot_month": str(month), **row} for row in rows], columns=DRIFT.column_names)
    table = table.astype(DRIFT.pandas_types())
    smallest = table[["p_value", "p_missing"]].min(axis="columns")
    tests = int(table[["p_value", "p_missing"]].notna().sum().sum())
    table["drifted"] = (smallest <= alpha / max(tests, 1)).astype("boolean").mask(smallest.isna())
    return table, tests


def no_columns() -> pd.DataFrame:
    """Rows of DRIFT, none."""
    import pandas as pd

    return pd.DataFrame(columns=DRIFT.column_names).astype(DRIFT.pandas_types())


def as_model_numbers(values: pd.Series, place: str) -> NDArray[np.float64]:
    """The values as `rows.as_numbers` reads them, rounded to what a float32 can hold (7 digits).

    The models read no more digits, and engines agree on no more than 9: finer differences are not drift.
    """
    return as_numbers(values, place).astype(np.float32).astype(np.float64)


def _compare_numbers(name: str, current: pd.Series, reference: pd.Series, min_rows: int) -> dict[str, Any]:
    now, before = as_model_numbers(current, "the scores"), as_model_numbers(reference, "the reference rows")
    present_now, present_before = now[~np.isnan(now)], before[~np.isnan(before)]
    missing_now, missing_before = now.size - present_now.size, before.size - present_before.size
    fewest = min(present_now.size, present_before.size)
    if fewest >= min_rows:
        difference = kolmogorov_smirnov(present_before, present_now)
    else:
        side = "the scores" if fewest == present_now.size else "the reference rows"
        difference = Difference(None, None, f"{side} have {fewest} values, at least {min_rows} are needed")
    p_missing = None
    if missing_now + missing_before > 0:
        p_missing = missing_share_p_value(missing_before, before.size, missing_now, now.size)
    return {
        "column": name,
        "kind": NUMERIC,
        "test": KS,
        **asdict(difference),
        "p_missing": p_missing,
        "psi": psi_of_numbers(before, now),
        "missing_current": missing_now / now.size,
        "missing_reference": missing_before / before.size,
        "new_categories": "",
    }


def _compare_labels(name: str, current: pd.Series, reference: pd.Series) -> dict[str, Any]:
    now, before = as_labels(current), as_labels(reference)
    missing_now, missing_before = float(np.mean(now == MISSING)), float(np.mean(before == MISSING))
    if missing_now == missing_before == 1:
        difference = Difference(None, None, "all values are missing on both sides")
    else:
        difference = chi_square(before, now)
    return {
        "column": name,
        "kind": CATEGORICAL,
        "test": CHI_SQUARE,
        **asdict(difference),
        "psi": psi_of_labels(before, now),
        "missing_current": missing_now,
        "missing_reference": missing_before,
        "new_categories": _named(new_labels(before, now)),
    }


def _compare_probabilities(name: str, current: pd.Series, reference: pd.Series) -> dict[str, Any]:
    as_probabilities(current, "the scores")
    as_probabilities(reference, "the reference rows")
    return _compare_numbers(name, current, reference, min_rows=1) | {"kind": PREDICTION}


def _named(labels: dict[str, int]) -> str:
    named = [f"{label} ({count})" for label, count in labels.items()]
    more = len(named) - _NEW_CATEGORIES_NAMED
    return ", ".join(named[:_NEW_CATEGORIES_NAMED]) + (f", and {more} more" if more > 0 else "")
