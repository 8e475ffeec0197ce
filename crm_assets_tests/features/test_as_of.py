from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month
from crm_assets.contracts import Kind
from crm_assets.features.as_of import AsOfFeatures, Fields
from crm_assets.features.feature import Cause, Feature
from crm_assets.features.lookups import feature_lookups
from crm_assets.features.registry import AS_OF, FEATURE_NAMES, FEATURE_TABLE, FEATURES
from crm_assets_tests.history.lives import FIRST, PRICES, TEAMS, Life, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import MonthTables, collected, lazy, month_tables

MAY = Month(2017, 5)
AGED = Feature(
    "price_by_age",
    "A feature of two subjects",
    Kind.FLOAT,
    Cause.WORLD,
    ("opportunity_snapshots.list_price", "opportunity_snapshots.age_days"),
    nw.col("list_price") * nw.col("age_days") * nw.col("cohort_engaged") + nw.col("agent_open").fill_null(0),
)


def tables(lives: Iterable[Life], month: Month) -> MonthTables:
    return month_tables(export(lives, month.end), month)


def counts(made: MonthTables) -> pl.DataFrame:
    snapshots, closings, prices, teams = map(lazy, (made.snapshots, made.closings, PRICES, TEAMS))
    return collected(feature_lookups(snapshots, closings, prices, teams, made.month))


def as_of(lives: Iterable[Life], month: Month = MAY) -> AsOfFeatures:
    return AsOfFeatures(counts(tables(lives, month)), month)


def fields_of(row: dict[str, object]) -> Fields:
    return Fields(str(row["sales_agent"]), str(row["product"]), row["engage_date"])  # type: ignore[arg-type]  # a date


@fixed
@given(some_lives(), months())
def test_fields_of_the_book_give_the_features_of_the_batch(lives: list[Life], month: Month) -> None:
    made = tables(lives, month)
    book = made.book.sort("opportunity_id").to_dicts()
    rows = AsOfFeatures(counts(made), month).rows([fields_of(row) for row in book], [AS_OF, *FEATURE_NAMES])
    found = pl.DataFrame(rows, schema={name: FEATURE_TABLE.polars_schema()[name] for name in (AS_OF, *FEATURE_NAMES)})
    assert_frame_equal(found, made.features.select(found.columns), check_exact=True)


def test_every_feature_of_the_registry_is_looked_up() -> None:
    assert None not in as_of([]).subjects.values()


def test_one_of_several_subjects_is_evaluated_when_it_is_asked_for() -> None:
    lives = [Life("a", "Anna", "GTX Pro", FIRST.start, date(2017, 4, 3)), Life("b", "Boris", "GTX Pro", FIRST.start)]
    month = AsOfFeatures(counts(tables(lives, MAY)), MAY, (*FEATURES, AGED))
    asked = [Fields("Anna", "GTX Pro", date(2017, 4, 3)), Fields("Zoe", "None such", date(2017, 5, 31), 10.0)]
    assert [row["price_by_age"] for row in month.rows(asked, ["price_by_age"])] == [4821.0 * 58 + 1, 0.0]


def test_one_that_is_thought_of_does_not_count_itself() -> None:
    lives = [Life(name, "Anna", "GTX Pro", FIRST.start, date(2017, 4, 3)) for name in "ab"]
    found = as_of(lives).of(Fields("Boris", "MG Special", date(2017, 4, 4)))
    assert (found["cohort_size"], found["agent_open"], found["list_price"]) == (2, 0, 55.0)


def test_it_counts_itself_where_nobody_else_is_in_its_cohort() -> None:
    found = as_of([]).of(Fields("Anna", "GTX Pro", MAY.end))
    assert (found["cohort_size"], found["cohort_share_open"], found["engage_fortnight"]) == (1, 1.0, 1236)


def test_who_is_not_known_has_the_rate_of_all() -> None:
    closed = [
        Life(str(number), "Anna", "GTX Pro", FIRST.start, FIRST.start, MAY.start, number < 3) for number in range(4)
    ]
    found = as_of(closed).of(Fields("Zoe", "None such", MAY.start))
    assert (found["agent_win_rate"], found["product_win_rate"]) == (0.75, 0.75)
    assert (found["sales_agent"], found["manager"], found["product"], found["list_price"]) == (
        "Zoe",
        None,
        "None such",
        None,
    )


@pytest.mark.parametrize("product", ["GTX Pro", "None such"])
def test_a_price_of_its_own_changes_the_price_alone(product: str) -> None:
    asked = Fields("Anna", product, MAY.start)
    usual, dearer = (as_of([]).of(fields) for fields in (asked, replace(asked, list_price=9.5)))
    assert {name for name in usual if usual[name] != dearer[name]} == {"list_price"}
    assert dearer["list_price"] == 9.5


def test_days_long_ago_are_evaluated_when_they_are_asked_for() -> None:
    day = MAY.end - timedelta(days=9000)
    found = as_of([]).of(Fields("Anna", "GTX Pro", day))
    assert (found["age_days"], found["engage_quarter_position"]) == (9000, (day.month - 1) % 3 + 1)


def test_many_days_and_prices_are_evaluated_together_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    month = as_of([])
    names = ["age_days", "engage_quarter_position", "list_price", "product"]
    asked = [
        Fields("Anna", ("GTX Pro", "None such", "Nor this")[at % 3], MAY.end - timedelta(days=2000 + at), 1.0 + at)
        for at in range(3000)
    ]
    alone = [as_of([]).rows([fields], names)[0] for fields in asked[:6]]
    evaluated: list[str] = []
    evaluate = month._evaluated

    def counting(subject: str, *others: Any) -> Any:
        evaluated.append(subject)
        return evaluate(subject, *others)

    monkeypatch.setattr(month, "_evaluated", counting)
    assert month.rows(asked, names)[:6] == alone
    assert [row["age_days"] for row in month.rows(asked, names)] == [2000 + at for at in range(3000)]
    assert sorted(evaluated) == ["day", "product"]
    for more in (10_000, 20_000):
        month.rows([replace(each, engage_date=each.engage_date - timedelta(days=more)) for each in asked], names)
        month.rows([replace(each, list_price=float(more + at)) for at, each in enumerate(asked)], names)
    assert max(len(month._older), len(month._priced)) <= 4096


def test_rows_of_another_month_are_refused() -> None:
    with pytest.raises(ValueError, match="2017-06"):
        AsOfFeatures(counts(tables([], MAY)), MAY.next)
