from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from crm_assets.calendar import Month, month_range
from crm_assets.monitoring.reference import BOOK, BOOK_NUMBERS, CLOSINGS, INTAKE, INTAKE_COLUMNS, months_held
from crm_assets.monitoring.reference_rows import Champion, MonthTables, closing_rows, intake_rows, reference_as_of

FIRST, FIRST_CLOSE = Month(2016, 10), Month(2017, 3)
OUT_OF_SAMPLE, SCORED = 0.25, 0.75


def day(month: Month, number: int) -> date:
    return date(month.year, month.number, number)


def snapshot(month: Month) -> pl.DataFrame:
    """Each month three deals are engaged; one closes at once, one in the next month, one never; none before 2017-03."""
    rows = []
    for engaged in month_range(FIRST, month):
        for number, wait in enumerate((0, 1, None)):
            closed = None if wait is None else max(engaged.shift(wait), FIRST_CLOSE)
            shut = closed is not None and closed <= month
            rows.append(
                {
                    "opportunity_id": f"{engaged}-{number}",
                    "snapshot_month": str(month),
                    "deal_stage": "Won" if shut else "Engaging",
                    "engage_date": day(engaged, 5),
                    "close_date": day(closed, 20) if shut and closed else None,
                    "list_price": 550.0,
                    "product": "GTX",
                    "regional_office": "East",
                    "manager": "Cara",
                }
            )
    return pl.DataFrame(rows, schema_overrides={"close_date": pl.Date})


def features(month: Month) -> pl.DataFrame:
    book = snapshot(month).filter(pl.col("close_date").is_null())
    numbers = [pl.lit(1.0).alias(name) for name in BOOK_NUMBERS if name != "list_price"]
    return book.select("opportunity_id", "snapshot_month", *INTAKE_COLUMNS).with_columns(*numbers)


def champion(version: str, trained_at: Month) -> Champion:
    def predict(frame: pd.DataFrame) -> NDArray[np.float64]:
        return np.full(len(frame), SCORED)

    def out_of_sample(months: Sequence[Month]) -> pl.DataFrame:
        keys = [features(m).select("opportunity_id", "snapshot_month") for m in months]
        return pl.concat(keys).with_columns(pl.lit(OUT_OF_SAMPLE).alias("probability"))

    return Champion(version, trained_at, predict, out_of_sample)


def tables(last: Month) -> MonthTables:
    return MonthTables(features, snapshot, month_range(FIRST, last))


def test_the_intake_takes_deals_that_closed_within_the_month_too() -> None:
    month = Month(2017, 5)
    found = intake_rows(features(month), snapshot(month), month)
    assert sorted(found["opportunity_id"]) == ["2017-05-0", "2017-05-1", "2017-05-2"]
    assert found.filter(pl.col("age_days").is_null())["opportunity_id"].to_list() == ["2017-05-0"]
    assert found["product"].null_count() == 0


def test_closings_are_those_of_the_month() -> None:
    month = Month(2017, 5)
    found = closing_rows(snapshot(month), month)
    assert sorted(found["opportunity_id"]) == ["2017-04-1", "2017-05-0"]
    assert found["won"].to_list() == [1, 1]


def test_a_new_champion_makes_the_reference_anew_of_months_before_its_training() -> None:
    month = Month(2017, 6)
    found, why = reference_as_of(month, champion("5", month), tables(month), None)
    assert why == "version 5 became champion at 2017-06"
    assert months_held(found, INTAKE) == month_range(FIRST, Month(2017, 5))
    assert months_held(found, BOOK) == month_range(FIRST_CLOSE, Month(2017, 5))
    assert months_held(found, CLOSINGS) == month_range(FIRST_CLOSE, Month(2017, 5))
    assert set(found.loc[found["part"] == BOOK, "probability"]) == {OUT_OF_SAMPLE}


def test_it_is_kept_while_the_champion_stays() -> None:
    first, _ = reference_as_of(Month(2017, 6), champion("5", Month(2017, 6)), tables(Month(2017, 6)), None)
    later, why = reference_as_of(Month(2017, 9), champion("5", Month(2017, 6)), tables(Month(2017, 9)), first)
    pd.testing.assert_frame_equal(later, first)
    assert why == "kept: version 5 stays champion"


def test_a_position_it_lacks_is_taken_in_once_scored_by_the_champion() -> None:
    held = champion("3", Month(2017, 4))
    first, _ = reference_as_of(Month(2017, 4), held, tables(Month(2017, 4)), None)
    assert months_held(first, BOOK) == [FIRST_CLOSE]
    later, why = reference_as_of(Month(2017, 9), held, tables(Month(2017, 9)), first)
    assert months_held(later, BOOK) == month_range(FIRST_CLOSE, Month(2017, 5))
    assert "book of 2017-04, 2017-05 added" in why
    added = later[(later["part"] == BOOK) & (later["snapshot_month"] != str(FIRST_CLOSE))]
    assert set(added["probability"]) == {SCORED}


def test_another_champion_replaces_it_with_the_reason() -> None:
    first, _ = reference_as_of(Month(2017, 6), champion("5", Month(2017, 6)), tables(Month(2017, 6)), None)
    found, why = reference_as_of(Month(2017, 9), champion("9", Month(2017, 9)), tables(Month(2017, 9)), first)
    assert why == "version 9 became champion at 2017-09, after 5"
    assert set(found["model_version"]) == {"9"}
    assert months_held(found, BOOK)[-1] == Month(2017, 8)
