from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.rows import MISSING, as_labels, as_numbers, as_probabilities, require_columns, require_one

PLACE = "the scores of 2017-05"


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="Float64"),
        pd.Series([1, None, 3], dtype="int64[pyarrow]"),
        pd.Series([1.0, None, 3.0]),
        pd.Series([1, None, 3], dtype=object),
        pd.Series([Decimal(1), None, Decimal(3)]),
    ],
    ids=lambda values: str(values.dtype),
)
def test_numbers_of_every_type_read_the_same(values: pd.Series[Any]) -> None:
    np.testing.assert_array_equal(as_numbers(values, PLACE), [1.0, math.nan, 3.0])


@pytest.mark.parametrize("dtype", ["object", "float64", "Int64", "boolean"])
def test_a_column_without_any_value_is_all_missing(dtype: str) -> None:
    assert np.isnan(as_numbers(pd.Series([None, None], dtype=dtype), PLACE)).all()


@pytest.mark.parametrize("values", [["a", "b"], [1, "a"], [pd.Timestamp("2017-05-31")], [1 + 2j]])
def test_what_is_no_number_is_refused_by_name(values: list[Any]) -> None:
    with pytest.raises(MonitoringError, match=r"the scores of 2017-05 have age of type [\w-]+, not numbers"):
        as_numbers(pd.Series(values, name="age"), PLACE)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300])
def test_infinite_and_huge_numbers_are_refused_by_name(value: float) -> None:
    with pytest.raises(MonitoringError, match="have 1 infinite or huge values of age"):
        as_numbers(pd.Series([1.0, value], name="age"), PLACE)


@pytest.mark.parametrize("values", [[0.5, None], [0.5, 1.01], [-0.01]])
def test_a_probability_that_is_none_is_refused(values: list[Any]) -> None:
    with pytest.raises(MonitoringError, match="probability is not between 0 and 1"):
        as_probabilities(pd.Series(values, name="probability"), PLACE)


def test_labels_of_whole_numbers_read_the_same_as_integer_or_float() -> None:
    assert list(as_labels(pd.Series([1, None], dtype="Int64"))) == ["1", MISSING]
    assert list(as_labels(pd.Series([1.0, None]))) == ["1", MISSING]
    assert list(as_labels(pd.Series([1.5, 1.0], dtype="float32"))) == ["1.5", "1"]
    assert list(as_labels(pd.Series(["a", None, np.nan, pd.NA], dtype=object))) == ["a", MISSING, MISSING, MISSING]


def test_missing_and_repeated_columns_are_named() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "b"])
    with pytest.raises(MonitoringError, match="lack the column c, d; their columns are: a, b, b"):
        require_columns(frame, ["a", "c", "d"], PLACE)
    with pytest.raises(MonitoringError, match="repeat the column b"):
        require_columns(frame, ["a", "b"], PLACE)


def test_one_value_is_required_and_none_is_as_good() -> None:
    require_one(pd.DataFrame({"month": ["2017-05", "2017-05"]}), "month", "2017-05", PLACE, "mend it")
    require_one(pd.DataFrame({"month": []}), "month", "2017-05", PLACE, "mend it")
    with pytest.raises(MonitoringError, match="have month 2017-04, 2017-05, not 2017-05: mend it"):
        require_one(pd.DataFrame({"month": ["2017-05", "2017-04"]}), "month", "2017-05", PLACE, "mend it")
