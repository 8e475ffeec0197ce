"""Reading the columns of the rows that monitoring was handed, whatever their pandas type; what is malformed is refused.

In every function `place` says what the rows are, as a plural for the message: "the scores of 2017-05".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crm_assets.monitoring.errors import MonitoringError

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"
"""Category of the rows that have no value."""

_LARGEST = float(np.finfo(np.float32).max)
_NUMBERS = frozenset({"integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"})


def require_columns(frame: pd.DataFrame, names: Iterable[str], place: str) -> None:
    """Raise MonitoringError naming the columns of `names` that `frame` lacks or has twice."""
    counts = {name: int((frame.columns == name).sum()) for name in names}
    for fault, wrong in (
        ("lack", [name for name, count in counts.items() if count == 0]),
        ("repeat", [name for name, count in counts.items() if count > 1]),
    ):
        if wrong:
            held = ", ".join(map(str, frame.columns)) or "none"
            raise MonitoringError(f"{place} {fault} the column {', '.join(wrong)}; their columns are: {held}")


def require_one(frame: pd.DataFrame, name: str, expected: str, place: str, remedy: str) -> None:
    """Raise MonitoringError unless every value of column `name` is `expected`, compared as text."""
    found = sorted({str(value) for value in frame[name].unique()})
    if found not in ([], [expected]):
        raise MonitoringError(f"{place} have {name} {', '.join(found[:5])}, not {expected}: {remedy}")


def as_numbers(values: pd.Series, place: str) -> NDArray[np.float64]:
    """The values as float64 of the same length, NaN where missing.

    Raises MonitoringError when they are not numbers, or one is infinite or beyond what a float32 can hold (3e38).
    """
    import pandas as pd

    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind not in _NUMBERS:
        raise MonitoringError(f"{place} have {values.name} of type {kind}, not numbers")
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    huge = int((np.abs(numbers) > _LARGEST).sum())
    if huge:
        raise MonitoringError(f"{place} have {huge} infinite or huge values of {values.name}: mend what makes them")
    return numbers


def as_probabilities(values: pd.Series, place: str) -> NDArray[np.float64]:
    """The values as float64 of the same length. Raises MonitoringError unless each is a number between 0 and 1."""
    numbers = as_numbers(values, place)
    wrong = numbers[~((numbers >= 0) & (numbers <= 1))]
    if wrong.size:
        raise MonitoringError(
            f"{place} have {wrong.size} of {numbers.size} rows whose {values.name} is not between 0 and 1, "
            f"for example {wrong[0]}: score them again"
        )
    return numbers


def as_flags(values: pd.Series, place: str) -> NDArray[np.int64]:
    """The values as 0 or 1, of the same length. Raises MonitoringError unless each is one of them."""
    numbers = as_numbers(values, place)
    wrong = numbers[~np.isin(numbers, (0, 1))]
    if wrong.size:
        raise MonitoringError(
            f"{place} have {wrong.size} of {numbers.size} rows whose {values.name} is neither 0 nor 1, for example "
            f"{wrong[0]}: mend what makes them"
        )
    return numbers.astype(np.int64)


def as_labels(values: pd.Series) -> NDArray[np.str_]:
    """The values as text of the same length, MISSING where missing; a whole number is the same as integer or float."""
    codes, found = values.factorize()
    names = np.array([*(_label(value) for value in found), MISSING], dtype=np.str_)
    labels: NDArray[np.str_] = names[codes]
    return labels


def _label(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
