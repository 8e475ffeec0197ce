from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import get_args

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.engines import Engine, EngineChoice, choose_engine, open_engine
from crm_assets.engines.dialect import days_between
from crm_assets.engines.duckdb_engine import DuckDBEngine
from crm_assets.errors import EngineError, SettingsError
from crm_assets.settings import Settings


@pytest.fixture(scope="module", params=["polars", "duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "spark":
        pytest.importorskip("pyspark", reason="needs the spark extra")
    return open_engine(request.param)


@pytest.mark.parametrize(
    ("choice", "rows", "expected"),
    [
        ("auto", 0, "polars"),
        ("auto", 999, "polars"),
        ("auto", 1000, "duckdb"),
        ("polars", 10**9, "polars"),
        ("duckdb", 0, "duckdb"),
        ("spark", 0, "spark"),
    ],
)
def test_choose_engine(choice: EngineChoice, rows: int, expected: str) -> None:
    assert choose_engine(choice, rows, duckdb_from_rows=1000) == expected


def test_choices_are_those_of_the_setting() -> None:
    assert get_args(EngineChoice) == get_args(Settings.model_fields["engine"].annotation)


def test_one_engine_a_process(engine: Engine) -> None:
    assert open_engine(engine.name) is engine


def test_without_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "crm_assets.engines.spark_engine", raising=False)
    said = r"CRM_ENGINE is 'spark', but pyspark(\.sql)? is not installed: pip install 'crm-assets\[spark\]'"
    with pytest.raises(SettingsError, match=said):
        open_engine.__wrapped__("spark")


def test_memory_limit_of_duckdb() -> None:
    connection = DuckDBEngine("123MiB")._connection
    assert connection.sql("SELECT current_setting('memory_limit')").fetchall() == [("123.0 MiB",)]


def test_what_cannot_be_written_is_told_with_a_remedy(engine: Engine, tmp_path: Path) -> None:
    pl.DataFrame({"number": [1]}).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(EngineError, match=r"(?i)no such file or directory.*TMPDIR"):
        engine.sink(engine.scan(tmp_path / "in.parquet"), tmp_path / "missing" / "out.parquet")


def test_what_cannot_be_computed_is_told_with_a_remedy(engine: Engine, tmp_path: Path) -> None:
    pl.DataFrame({"text": ["1", "one"]}).write_parquet(tmp_path / "in.parquet")
    frame = engine.scan(tmp_path / "in.parquet").select(nw.col("text").cast(nw.Int64()))
    with pytest.raises(EngineError, match=r"(?i)could not compute.*; .*TMPDIR"):
        engine.sink(frame, tmp_path / "out.parquet")


@pytest.mark.parametrize("folder", ["the lake, ñ", "q*", "[1]", "what?", "{a,b}", "month=2017-05"])
def test_a_file_is_read_and_written_wherever_it_is(engine: Engine, tmp_path: Path, folder: str) -> None:
    """Though other folders are there whose names would fit if it were a pattern."""
    for name in (folder, "qx", "1", "whatX", "a"):
        (tmp_path / name).mkdir()
        pl.DataFrame({"folder": [name]}).write_parquet(tmp_path / name / "in.parquet")
    target = tmp_path / folder / "out.parquet"
    engine.sink(engine.scan(tmp_path / folder / "in.parquet"), target)
    assert pl.read_parquet(target, glob=False, hive_partitioning=False).to_dict(as_series=False) == {"folder": [folder]}
    assert {file.name for file in target.parent.iterdir()} == {"in.parquet", "out.parquet"}


def test_many_sorted_rows_are_written_in_order_and_to_the_same_bytes(engine: Engine, tmp_path: Path) -> None:
    """More rows than an engine handles in one piece, with a column added after they were sorted."""
    source, targets = tmp_path / "in.parquet", [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    numbers = pl.DataFrame({"number": pl.int_range(300_000, eager=True)})
    numbers.sample(fraction=1, shuffle=True, seed=1).write_parquet(source, row_group_size=50_000)
    for target in targets:
        odd = engine.scan(source).filter(nw.col("number") % 2 == 1).sort("number")
        engine.sink(odd.with_columns(next=nw.col("number") + 1).select("next", "number"), target)
    expected = pl.int_range(1, 300_000, 2, eager=True)
    assert pl.read_parquet(targets[0]).equals(pl.DataFrame({"next": expected + 1, "number": expected}))
    assert targets[0].read_bytes() == targets[1].read_bytes()


def test_what_is_sunk_takes_the_place_of_what_was(engine: Engine, tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    for value in (1, 2):
        pl.DataFrame({"a": [value]}).write_parquet(source)
        engine.sink(engine.scan(source).with_columns(b=nw.col("a") + 1), target)
        assert pl.read_parquet(target).rows() == [(value, value + 1)]


def test_nulls_come_first_and_text_is_sorted_by_code_point(engine: Engine, tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pl.DataFrame({"a": ["b", None, "é", "B", "", "z", "a", "Z"]}).write_parquet(source)
    engine.sink(engine.scan(source).sort("a"), target)
    assert pl.read_parquet(target)["a"].to_list() == [None, "", "B", "Z", "a", "b", "z", "é"]


days = st.none() | st.dates(date(1900, 1, 1), date(2199, 12, 31))


@settings(derandomize=True, database=None, deadline=None, max_examples=1)
@given(pairs=st.lists(st.tuples(days, days), min_size=50, max_size=50))
def test_days_between(engine: Engine, tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[date, date]]) -> None:
    folder = tmp_path_factory.mktemp("days")
    source, target = folder / "in.parquet", folder / "out.parquet"
    pl.DataFrame(pairs, {"later": pl.Date, "earlier": pl.Date}, orient="row").write_parquet(source)
    frame = engine.scan(source)
    apart = {
        "days": days_between(frame, nw.col("later"), nw.col("earlier")),
        "from_a_day": days_between(frame, nw.col("later"), nw.lit(date(1970, 1, 5))),
    }
    engine.sink(frame.select(**apart), target)
    found = pl.read_parquet(target)
    assert found.schema == pl.Schema(dict.fromkeys(apart, pl.Int64()))
    monday = date(1970, 1, 5)
    assert found["days"].to_list() == [None if None in pair else (pair[0] - pair[1]).days for pair in pairs]
    assert found["from_a_day"].to_list() == [None if later is None else (later - monday).days for later, _ in pairs]
