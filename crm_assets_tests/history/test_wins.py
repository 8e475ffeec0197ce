from __future__ import annotations

from datetime import date

from hypothesis import given

from crm_assets.calendar import Month
from crm_assets.history.wins import WINS, won_deals
from crm_assets_tests.history.lives import LAST, Life, by, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import collected, lazy, month_tables, replayed

MAY = Month(2017, 5)


def life(name: str, engaged: date, closed: date | None, *, won: bool = True, product: str = "GTX Pro") -> Life:
    return Life(name, "Anna", product, engaged, engaged, closed, won, 10.0)


def test_counts_by_month_group_and_price_and_tells_new_business() -> None:
    lives = [
        life("a", date(2017, 4, 30), date(2017, 5, 1)),
        life("b", date(2017, 5, 1), date(2017, 5, 31)),
        life("c", date(2017, 5, 31), date(2017, 5, 31), product="GTXPro"),
        life("d", date(2016, 5, 10), date(2017, 5, 10)),
        life("e", date(2016, 12, 1), date(2016, 12, 31)),
        life("f", date(2017, 5, 1), date(2017, 5, 2), won=False),
        life("g", date(2017, 5, 1), date(2017, 6, 1)),
        life("h", date(2017, 5, 1), None),
        life("i", date(2017, 5, 3), date(2017, 5, 4), product="MG Special"),
    ]
    tables = month_tables(export(lives, MAY.end), MAY)
    found = collected(won_deals(lazy(tables.snapshots)))
    assert found.schema == WINS.polars_schema()
    prices = {row["product"]: row["list_price"] for row in tables.snapshots.iter_rows(named=True)}
    assert found.rows() == [
        ("2016-12", True, "Central", "GTX Pro", "Anna", prices["GTX Pro"], 1, 10.0),
        ("2017-05", False, "Central", "GTX Pro", "Anna", prices["GTX Pro"], 2, 20.0),
        ("2017-05", True, "Central", "GTX Pro", "Anna", prices["GTX Pro"], 2, 20.0),
        ("2017-05", True, "Central", "MG Special", "Anna", prices["MG Special"], 1, 10.0),
    ]


def test_of_nothing_won() -> None:
    for lives in ([], [life("a", date(2017, 3, 1), None)]):
        found = collected(won_deals(lazy(month_tables(export(lives, MAY.end), MAY).snapshots)))
        assert found.is_empty()
        assert found.schema == WINS.polars_schema()


@fixed
@given(some_lives(), months())
def test_every_deal_won_by_the_month_end_is_counted_once(lives: list[Life], month: Month) -> None:
    won = [life for life in lives if life.won and life.engaged and life.closed and by(life.closed, month.end)]
    new = [life for life in won if life.engaged and life.closed and Month.of(life.engaged) == Month.of(life.closed)]
    for pipeline in (export(lives, month.end), replayed(export(lives, LAST.end), month)):
        found = collected(won_deals(lazy(month_tables(pipeline, month).snapshots)))
        assert found["wins"].sum() == len(won)
        assert found.filter("is_new")["wins"].sum() == len(new)
        assert sorted(set(found["won_month"])) == sorted({str(Month.of(life.closed)) for life in won if life.closed})
