from __future__ import annotations

import narwhals as nw
import pytest

from crm_assets.contracts import Column, Kind, Known, Table
from crm_assets.errors import CrmAssetsError
from crm_assets.features.feature import READABLE, Cause, Feature, FeatureError, check_features
from crm_assets.features.registry import CATEGORICAL, CAUSES, FEATURE_NAMES, FEATURE_TABLE, FEATURES, WIN_MODEL_FEATURES


def feature(name: str = "size", *reads: str, kind: Kind = Kind.FLOAT) -> Feature:
    places = reads or ("opportunity_snapshots.list_price",)
    return Feature(name, "How large it is", kind, Cause.DEAL, places, nw.col(name), "USD")


def refused(*features: Feature) -> str:
    with pytest.raises(FeatureError) as caught:
        check_features(features)
    return str(caught.value)


def test_good_features_come_back_in_their_order() -> None:
    features = (feature("b"), feature("a", "daily_closings.won", "opportunity_snapshots.sales_agent"))
    assert check_features(iter(features)) == features


@pytest.mark.parametrize("column", ["account", "close_value", "close_date", "days_to_close", "deal_stage"])
def test_what_is_not_known_while_open_is_refused(column: str) -> None:
    said = refused(feature("ok"), feature("leak", "opportunity_snapshots.age_days", f"opportunity_snapshots.{column}"))
    when = "late, unknown when" if column == "account" else "at close"
    assert said == (
        f"feature 'leak' reads 'opportunity_snapshots.{column}', which becomes known {when}: it would tell the outcome "
        f"of an opportunity that is still open. Read it through daily_closings, or leave it out"
    )


def test_every_column_of_the_snapshot_is_known_while_open_or_refused() -> None:
    refused_columns = set()
    for column in READABLE["opportunity_snapshots"].columns:
        try:
            check_features([feature("one", f"opportunity_snapshots.{column.name}")])
        except FeatureError:
            refused_columns.add(column.name)
    assert refused_columns == {"account", "close_value", "close_date", "days_to_close", "deal_stage"}


def test_closings_of_others_may_be_read() -> None:
    for column in READABLE["daily_closings"].column_names:
        check_features([feature("one", f"daily_closings.{column}")])


def test_a_new_column_is_refused_by_its_contract() -> None:
    column = Column("signed", Kind.BOOLEAN, "Whether it was signed", known=Known.CLOSED)
    with pytest.raises(FeatureError, match="becomes known at close"):
        check_features([feature("one", "deals.signed")], {"deals": Table("deals", "One row per deal.", (column,))})


def test_name_twice() -> None:
    assert refused(feature("size"), feature("age"), feature("size")) == (
        "feature 'size' is defined twice: rename one of them"
    )


@pytest.mark.parametrize(
    "place", ["opportunity_snapshots.price", "sales_pipeline.product", "list_price", "opportunity_snapshots", ""]
)
def test_unknown_column(place: str) -> None:
    assert refused(feature("size", place)) == (
        f"feature 'size' reads {place!r}, which does not exist; readable tables are opportunity_snapshots, "
        "daily_closings"
    )


def test_reading_nothing() -> None:
    nothing = Feature("size", "How large it is", Kind.FLOAT, Cause.DEAL, (), nw.col("size"))
    assert refused(nothing) == "feature 'size' does not say what it reads: list `table.column` in reads"


def test_error_is_one_that_the_command_line_shows() -> None:
    assert issubclass(FeatureError, CrmAssetsError)


def test_as_a_column_of_the_contract() -> None:
    assert feature().column() == Column("size", Kind.FLOAT, "How large it is", unit="USD")
    assert not feature().categorical
    assert feature(kind=Kind.STRING).categorical


class TestRegistry:
    def test_its_features_are_allowed(self) -> None:
        assert check_features(FEATURES) == FEATURES

    def test_its_names(self) -> None:
        assert [feature.name for feature in FEATURES] == list(FEATURE_NAMES)
        assert FEATURE_TABLE.column_names == ["opportunity_id", "snapshot_month", "as_of", *FEATURE_NAMES]
        assert CATEGORICAL == ("product", "series", "sales_agent", "manager", "regional_office")
        assert set(WIN_MODEL_FEATURES) <= set(FEATURE_NAMES)

    def test_numbers_have_units_and_categories_have_none(self) -> None:
        assert [feature.name for feature in FEATURES if (feature.unit is None) != feature.categorical] == []

    def test_what_reads_other_opportunities_is_the_worlds(self) -> None:
        """Whatever a feature is declared to be, closings and other deals of a group move without the deal."""
        others = {"daily_closings", "opportunity_snapshots.in_book"}
        counted = {
            feature.name
            for feature in FEATURES
            if any(place in others or place.partition(".")[0] in others for place in feature.reads)
        }
        worlds = {name for name, cause in CAUSES.items() if cause is Cause.WORLD}
        assert worlds == counted | {"cohort_size"}

    def test_what_moves_by_itself_is_times(self) -> None:
        assert {name for name, cause in CAUSES.items() if cause is Cause.TIME} == {
            "age_days",
            "next_quarter_position",
            "next_month_days",
            "as_of",
        }

    def test_the_deals_own_columns_are_the_deals(self) -> None:
        assert {name for name, cause in CAUSES.items() if cause is Cause.DEAL} == {
            "engage_quarter_position",
            "engage_fortnight",
            "list_price",
            *CATEGORICAL,
        }
