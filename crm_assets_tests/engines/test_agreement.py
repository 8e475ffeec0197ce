"""Every engine makes the same tables: the same rows in the same order, equal to the last bit, typed as agreed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import ACCOUNTS, HISTORY_FIELDS, OPPORTUNITY_HISTORY, SALES_PIPELINE, STAGES
from crm_assets.engines import Engine, open_engine
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.field_history import pipeline_as_of
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.quality import pipeline_quality
from crm_assets.history.snapshots import QUARANTINE, RULES, SNAPSHOTS, reason_counts
from crm_assets.simulator import Simulation, SimulationConfig, simulate
from crm_assets_tests.engines.month_files import MADE, MonthFiles
from crm_assets_tests.history.lives import PRICES, TEAMS, Life, export

Compare = Callable[..., dict[str, pl.DataFrame]]
Tried = Callable[[list[Month]], list[Month]]
SIMULATED, REAL = month_range(Month(2017, 1), Month(2017, 5)), month_range(Month(2016, 10), Month(2017, 12))
MAY = Month(2017, 5)


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def other(request: pytest.FixtureRequest) -> Engine:
    """Every engine but Polars, which the tests of history and features run on."""
    if request.param == "spark":
        pytest.importorskip("pyspark", reason="needs the spark extra")
    return open_engine(request.param)


@pytest.fixture(scope="module")
def compared(other: Engine, tmp_path_factory: pytest.TempPathFactory) -> Compare:
    """Makes a month of the CRM called `crm` on Polars and on the other engine, and gives it back if both agree."""
    folder = tmp_path_factory.mktemp("months")

    def compare(
        crm: str, raw: Mapping[str, pl.DataFrame], month: Month, *, roll_back: bool = False
    ) -> dict[str, pl.DataFrame]:
        expected, found = (
            MonthFiles(engine, folder / crm / engine.name).make(raw, month, roll_back=roll_back)
            for engine in (open_engine("polars"), other)
        )
        assert list(found) == list(expected)
        for table in MADE:
            if table.name in found:
                assert found[table.name].schema == expected[table.name].schema == table.polars_schema()
                assert_frame_equal(found[table.name], expected[table.name], check_exact=True)
        return found

    return compare


@pytest.fixture(scope="module")
def tried(other: Engine) -> Tried:
    """Which of some months are made: all, but of Spark, which takes many seconds a month, the last two."""
    return lambda months: months[-2:] if other.name == "spark" else months


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(SimulationConfig(opportunities=600, first=SIMULATED[0], last=SIMULATED[-1]))


def faulty() -> pl.DataFrame:
    """Every combination of a good and several bad values of some columns, in an order of no meaning."""
    days = pl.Series("day", [None, date(2017, 5, 1), date(2017, 6, 1)], pl.Date)
    columns = {
        "sales_agent": pl.Series(["Anna", "Cecily", "Zoe", None]),
        "product": pl.Series(["GTX Pro", "GTXPro", "gtx pro", "", None]),
        "account": pl.Series([None], dtype=pl.String),
        "deal_stage": pl.Series([*STAGES, "won", None]),
        "engage_date": days,
        "close_date": days,
        "close_value": pl.Series([None, -1.0, 4800.0]),
    }
    rows = pl.DataFrame({"opportunity_id": [None]}, {"opportunity_id": pl.String})
    for name, values in columns.items():
        rows = rows.join(values.to_frame(name), how="cross")
    number = pl.int_range(pl.len())
    # Some ids stand for two rows, some for none; the quarter without one is null.
    named = pl.when(number % 4 > 0).then(pl.format("Ä{}", number // 2 * 7919 % 3001))
    return (
        rows.with_columns(opportunity_id=named)
        .sample(fraction=1, shuffle=True, seed=1)
        .select(SALES_PIPELINE.column_names)
    )


def test_on_extracts(compared: Compare, tried: Tried, simulation: Simulation) -> None:
    for month in tried(SIMULATED):
        made = compared("simulated", simulation.tables(month), month)
        assert made[SNAPSHOTS.name].height
        assert made[QUARANTINE.name].is_empty()
    assert made[OUTCOMES.name].height


def test_on_the_real_export(compared: Compare, tried: Tried, real_crm: dict[str, pl.DataFrame]) -> None:
    for month in tried(REAL):
        made = compared("real", real_crm, month, roll_back=month < REAL[-1])
        assert made[SNAPSHOTS.name].height
        assert made[QUARANTINE.name].is_empty()
    assert made[OUTCOMES.name].height


def test_on_bad_rows(compared: Compare) -> None:
    pipeline = faulty()
    made = compared("bad rows", {"sales_pipeline": pipeline, "products": PRICES, "sales_teams": TEAMS}, MAY)
    assert made[QUARANTINE.name].height > made[SNAPSHOTS.name].height > 0
    assert set(reason_counts(made[QUARANTINE.name]["reasons"])) == {rule.reason for rule in RULES}


def test_on_bad_rows_of_a_late_export(compared: Compare) -> None:
    raw = {"sales_pipeline": faulty(), "products": PRICES, "sales_teams": TEAMS}
    before, now = (compared("late", raw, month, roll_back=True) for month in (MAY, MAY.next))
    assert before[SNAPSHOTS.name].height
    assert now[OUTCOMES.name].height


@pytest.mark.parametrize("rows", [0, 1])
def test_on_next_to_nothing(compared: Compare, rows: int) -> None:
    """Nothing closed, no accounts, at most one opportunity."""
    month = Month(2017 + rows, 5)
    life = Life("a", "Anna", "GTX Pro", month.start, month.start)
    raw = {"sales_pipeline": export([life][:rows], month.end), "products": PRICES, "sales_teams": TEAMS}
    made = compared("next to nothing", raw, month)
    assert made[FEATURE_TABLE.name].height == rows


def test_on_weeks_before_1970(compared: Compare) -> None:
    month = Month(1969, 12)
    days = [month.start + timedelta(days=number) for number in range(month.days)]
    lives = [Life(f"{day.day:02d}", "Anna", "GTX Pro", day, day) for day in days]
    raw = {"sales_pipeline": export(lives, month.end), "products": PRICES, "sales_teams": TEAMS}
    # December 1969 began on a Monday: all but its first and last week are in three whole weeks.
    made = compared("before 1970", raw, month)
    assert made[FEATURE_TABLE.name]["cohort_size"].to_list() == [14] * 7 + [21] * 14 + [17] * 7 + [10] * 3


_COMPANIES = pl.DataFrame([("Acme", "technolgy", None, None, None, None, None)], ACCOUNTS.polars_schema(), orient="row")


def test_faults_are_counted_alike(other: Engine, tmp_path: Path) -> None:
    for name, pipeline in (("faulty", faulty()), ("empty", faulty().clear())):
        path = tmp_path / f"{name}.parquet"
        pipeline.write_parquet(path)
        companies = tmp_path / "accounts.parquet"
        _COMPANIES.write_parquet(companies)
        expected, found = (
            pipeline_quality(engine.scan(path), engine.scan(companies), {}, quarantined=0, account_known=True)
            for engine in (open_engine("polars"), other)
        )
        assert found == expected
        assert found.rows == pipeline.height


def changes_without_sense(rows: int) -> pl.DataFrame:
    """Field history in which every field goes anywhere on any day, corrected, repeated, cleared and out of order."""
    random = np.random.default_rng(1)
    values = dict.fromkeys(HISTORY_FIELDS, ("Anna", "Äna", "Z", "", None)) | {
        "deal_stage": (*STAGES, "Parked", None),
        "engage_date": ("2017-05-02", "2017-05-09", None),
        "close_date": ("2017-05-04", "2017-06-01", None),
        "close_value": ("0.0", "4800.0", "1e3", None),
    }

    def change() -> tuple[object, ...]:
        name = str(random.choice(["deal_stage", *HISTORY_FIELDS]))
        old, new = (values[name][random.integers(len(values[name]))] for _ in range(2))
        day = MAY.start + timedelta(int(random.integers(12)))
        return (f"A{random.integers(200)}", name, old, new, day, day + timedelta(int(random.integers(6))))

    return pl.DataFrame([change() for _ in range(rows)], OPPORTUNITY_HISTORY.polars_schema(), orient="row")


def test_on_field_history(other: Engine, tmp_path: Path, tried: Tried, simulation: Simulation) -> None:
    histories = {
        "simulated": (simulation.events().cast({"field": pl.String}), [month.end for month in tried(SIMULATED)]),
        "senseless": (changes_without_sense(6000), [MAY.start + timedelta(days) for days in (0, 4, 8, 30)]),
        "empty": (changes_without_sense(0), [MAY.end]),
    }
    for name, (events, days) in histories.items():
        events.write_parquet(tmp_path / f"{name}.parquet")
        for day in days:
            expected, found = (tmp_path / f"{name}.{engine}.parquet" for engine in ("expected", "found"))
            for engine, file in ((open_engine("polars"), expected), (other, found)):
                engine.sink(pipeline_as_of(engine.scan(tmp_path / f"{name}.parquet"), day), file)
            assert_frame_equal(pl.read_parquet(found), pl.read_parquet(expected), check_exact=True)
            assert pl.read_parquet(found).schema == SALES_PIPELINE.polars_schema()
            assert pl.read_parquet(found).height or events.is_empty()
