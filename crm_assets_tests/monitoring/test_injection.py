from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError
from crm_assets.monitoring.injection import NEW_NAME, inject

MONTH, ROWS = Month(2017, 8), 1000
FEATURES = pl.DataFrame(
    {
        "opportunity_id": [f"O{number:04d}" for number in range(ROWS)],
        "regional_office": ["West"] * 500 + ["East"] * 500,
        "manager": ["Ada", "Ben"] * 250 + ["Cem"] * 500,
        "product": ["GTX"] * ROWS,
        "list_price": [550.0] * ROWS,
        "age_days": list(range(ROWS)),
        "cohort_share_open": [0.5] * ROWS,
    }
)
SNAPSHOT = FEATURES.select("opportunity_id", "regional_office", "manager").with_columns(
    pl.lit("Won").alias("deal_stage"),
    pl.Series("engage_date", [date(2017, 8, 1), date(2017, 5, 1)] * (ROWS // 2)),
    pl.Series("close_date", [date(2017, 8, 5), date(2017, 7, 5)] * (ROWS // 2)),
)


def test_each_kind_changes_what_it_says_and_nothing_else() -> None:
    price, _ = inject("price", FEATURES, SNAPSHOT, MONTH)
    assert price["list_price"].unique().to_list() == [660.0]
    region, known = inject("region_mix", FEATURES, SNAPSHOT, MONTH, column="West")
    assert (region["regional_office"] == "West").mean() == pytest.approx(0.65, abs=0.03)
    assert set(region.filter(pl.col("regional_office") == "West")["manager"]) == {"Ada", "Ben"}
    assert set(region.filter(pl.col("regional_office") == "East")["manager"]) == {"Cem"}
    new = known.filter(pl.col("engage_date") == date(2017, 8, 1))
    assert (new["regional_office"] == "West").mean() == pytest.approx(0.65, abs=0.04)
    assert known.filter(pl.col("engage_date") < date(2017, 8, 1)).equals(
        SNAPSHOT.filter(pl.col("engage_date") < date(2017, 8, 1))
    )
    product, _ = inject("new_product", FEATURES, SNAPSHOT, MONTH)
    assert (product["product"] == NEW_NAME).mean() == pytest.approx(0.1, abs=0.03)
    nulls, _ = inject("nulls", FEATURES, SNAPSHOT, MONTH, column="list_price")
    assert nulls["list_price"].null_count() == pytest.approx(100, abs=30)
    units, _ = inject("units", FEATURES, SNAPSHOT, MONTH)
    assert units["age_days"].to_list() == [24 * number for number in range(ROWS)]
    for changed, column in ((price, "list_price"), (product, "product"), (nulls, "list_price"), (units, "age_days")):
        assert changed.drop(column).equals(FEATURES.drop(column))
        assert changed.schema == FEATURES.schema


def test_a_third_of_a_regions_wins_of_the_month_are_lost() -> None:
    features, snapshot = inject("win_rate", FEATURES, SNAPSHOT, MONTH, column="East")
    assert features.equals(FEATURES)
    lost = snapshot.filter(pl.col("deal_stage") == "Lost")
    assert lost.height == pytest.approx(250 / 3, abs=20)
    assert lost["regional_office"].unique().to_list() == ["East"]
    assert lost["close_date"].min() == date(2017, 8, 5)


def test_the_order_of_rows_does_not_matter() -> None:
    backwards, _ = inject("nulls", FEATURES.reverse(), SNAPSHOT, MONTH)
    forwards, _ = inject("nulls", FEATURES, SNAPSHOT, MONTH)
    assert backwards.reverse().equals(forwards)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="'weather' is unknown: choose among price"):
        inject("weather", FEATURES, SNAPSHOT, MONTH)
