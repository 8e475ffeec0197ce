from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.reference import REFERENCE, reference_for, reference_set


def backtest_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": ["B", "A", "A", "C"],
            "snapshot_month": ["2017-05", "2017-05", "2017-04", "2017-04"],
            "next_quarter_position": [3, 3, 2, 2],
            "probability": [0.1, 0.2, 0.3, 0.4],
            "won": [1, 0, 0, 0],
            "list_price": [55.0, 550.0, 550.0, None],
            "product": ["MG", "GTX", "GTX", None],
            "regional_office": ["East", "West", "West", "West"],
            "manager": ["Eve", "Max", "Max", None],
        }
    )


def test_every_backtest_row_is_kept_and_sorted() -> None:
    found = reference_set(backtest_rows(), model_version="3")
    assert list(found.columns) == REFERENCE.column_names
    assert list(zip(found["snapshot_month"], found["opportunity_id"], found["probability"], strict=True)) == [
        ("2017-04", "A", 0.3),
        ("2017-04", "C", 0.4),
        ("2017-05", "A", 0.2),
        ("2017-05", "B", 0.1),
    ]
    assert set(found["model_version"]) == {"3"}
    assert list(found.index) == [0, 1, 2, 3]


def test_the_order_and_index_of_the_rows_do_not_matter() -> None:
    shuffled = backtest_rows().sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        reference_set(shuffled, model_version="3"),
        reference_set(backtest_rows(), model_version="3"),
    )


def test_the_handed_rows_stay_as_they_are() -> None:
    rows = backtest_rows()
    reference_set(rows, model_version="3")
    pd.testing.assert_frame_equal(rows, backtest_rows())


def test_only_rows_of_the_quarter_position_are_compared_with() -> None:
    reference = reference_set(backtest_rows(), model_version="3")
    rows, reason = reference_for(reference, 3)
    assert reason is None
    assert list(rows["snapshot_month"]) == ["2017-05", "2017-05"]


def test_a_quarter_position_without_rows_says_so() -> None:
    reference = reference_set(backtest_rows(), model_version="3")
    rows, reason = reference_for(reference, 1)
    assert rows.empty
    assert reason == (
        "the reference holds no book that precedes the first month of a quarter, only the second and third"
    )
    assert reference_for(reference.iloc[:0], 1)[1] == (
        "the reference holds no book that precedes the first month of a quarter, it is empty"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": [0.1, None, 0.2, 0.3]}, "1 of 4 rows whose probability is not between 0 and 1"),
        ({"probability": [0.1, 1.5, 0.2, 0.3]}, "for example 1.5"),
        ({"next_quarter_position": [3, 4, 2, 2]}, "next_quarter_position 4; it is 1, 2 or 3"),
        ({"opportunity_id": ["A", "A", "A", "C"]}, "repeat opportunity 'A' in 2017-05; 1 rows are repeats"),
        ({"model_version": ["3", "3", "2", "3"]}, "have model_version 2, 3, not 3: use the champion's own backtest"),
    ],
)
def test_malformed_rows_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MonitoringError, match=message):
        reference_set(backtest_rows().assign(**change), model_version="3")


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(MonitoringError, match="lack the column manager"):
        reference_set(backtest_rows().drop(columns="manager"), model_version="3")
