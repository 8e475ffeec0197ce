"""Drift column by column: one row of a table for each monitored column and for the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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

COLUMN_TABLE = {
    "column": "object",
    "kind": "object",
    "test": "object",
    "statistic": "float64",
    "p_value": "float64",
    "p_missing": "float64",
    "psi": "float64",
    "drifted": "boolean",
    "missing_current": "float64",
    "missing_reference": "float64",
    "new_categories": "object",
    "reason": "object",
}
"""Columns of a column table and their pandas types.

`kind` is numeric, categorical or prediction. `test` is the test of the values, `statistic` and `p_value` what it
gave. `p_missing` is the p-value of Fisher's test on the share of missing values, made where a numeric column has any;
a category counts them as one of its own. `drifted` is whether either p-value is at most the threshold, null when
neither test could be made. `missing_current` and `missing_reference` are shares of rows. `new_categories` names those
that the reference lacks, with their rows, and is empty when there are none. `reason` says why the values were not
tested, null when they were.
"""

_NEW_CATEGORIES_NAMED = 10


def compare_columns(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    prediction: str,
    min_rows: int,
    alpha: float,
) -> tuple[pd.DataFrame, int]:
    """Test and measure every column of two non-empty frames.

    Args:
        current, reference: frames with all the columns.
        numeric, categorical, prediction: the columns, of each kind.
        min_rows: values a numeric column must have on each side for its values to be tested.
        alpha: significance level of all tests together.

    Returns:
        (a row of COLUMN_TABLE per column in the order given, the prediction last; the number of tests made). A column
        has drifted when a p-value is at most alpha / tests, Bonferroni's correction.

    Raises MonitoringError when a numeric column does not hold finite numbers, or the prediction no probabilities.
    """
    import pandas as pd

    rows = [
        *(_compare_numbers(name, current[name], reference[name], min_rows) for name in numeric),
        *(_compare_labels(name, current[name], reference[name]) for name in categorical),
        _compare_probabilities(prediction, current[prediction], reference[prediction]),
    ]
    table = pd.DataFrame(rows, columns=list(COLUMN_TABLE)).astype(COLUMN_TABLE)
    smallest = table[["p_value", "p_missing"]].min(axis="columns")
    tests = int(table[["p_value", "p_missing"]].notna().sum().sum())
    table["drifted"] = (smallest <= alpha / max(tests, 1)).astype("boolean").mask(smallest.isna())
    return table, tests


def no_columns() -> pd.DataFrame:
    """A column table without rows."""
    import pandas as pd

    return pd.DataFrame(columns=list(COLUMN_TABLE)).astype(COLUMN_TABLE)


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
