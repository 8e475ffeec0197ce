from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import LakeError
from crm_assets.lake.enforcement import checked_rows, fitted_to
from crm_assets_tests.lake.tables import DEALS, deals, duckdb_sink, lazy, polars_sink

PLACE = "/lake/deals/2017-05.parquet"
FIRST = pa.schema(
    [("id", pa.string()), ("days", pa.int64()), ("value", pa.float64()), ("won", pa.bool_()), ("closed", pa.date32())]
)


def test_other_columns_are_left_out_and_the_order_is_the_contracts(tmp_path: Path) -> None:
    frame = deals(extra=pl.lit(1)).select("extra", "closed", "won", "value", "days", "id")
    polars_sink(fitted_to(lazy(frame), DEALS, PLACE), tmp_path / "a")
    assert checked_rows(tmp_path / "a", DEALS, PLACE) == 3
    assert pl.read_parquet(tmp_path / "a").equals(deals())


def test_types_of_polars_are_cast(tmp_path: Path) -> None:
    frame = deals(
        id=pl.col("id").cast(pl.Categorical),
        days=pl.col("days").cast(pl.UInt32),
        value=pl.lit(None),
        won=pl.lit(None),
        closed=pl.lit(None),
    )
    polars_sink(fitted_to(lazy(frame), DEALS, PLACE), tmp_path / "a")
    assert checked_rows(tmp_path / "a", DEALS, PLACE) == 3
    assert pl.read_parquet(tmp_path / "a").schema == DEALS.polars_schema()


def test_types_of_duckdb_are_cast(tmp_path: Path) -> None:
    connection = duckdb.connect()
    relation = connection.sql(
        "select id::enum('A', 'B') as id, sum(days) as days, sum(value) as value, null as won, null::integer as closed "
        "from (values ('A', 1, 1.5::decimal(10, 2)), ('B', 2, 2.25), ('A', 4, 0.25)) t(id, days, value) group by id "
        "order by id"
    )
    assert [str(found) for found in relation.types[1:4]] == ["HUGEINT", "DECIMAL(38,2)", '"NULL"']
    duckdb_sink(fitted_to(nw.from_native(relation), DEALS, PLACE), tmp_path / "a")
    assert checked_rows(tmp_path / "a", DEALS, PLACE) == 2
    stored = pl.read_parquet(tmp_path / "a")
    assert stored.schema == DEALS.polars_schema()
    assert stored.rows() == [("A", 5, 1.75, None, None), ("B", 2, 2.25, None, None)]


@pytest.mark.parametrize(
    ("column", "wrong", "message"),
    [
        ("id", pl.col("days"), r"column id of table deals is Int64 \(1, 2, 3\), not String"),
        ("days", pl.col("value"), r"column days of table deals is Float64 \(1\.5, 0\.0\), not Int64"),
        ("days", pl.col("id"), r"column days of table deals is String \('A', 'B', 'C'\), not Int64"),
        ("value", pl.lit("1.5"), "column value of table deals is String"),
        ("won", pl.col("days"), "column won of table deals is Int64"),
        ("closed", pl.col("closed").cast(pl.Datetime), "column closed of table deals is Datetime"),
        ("closed", pl.col("closed").cast(pl.String), "column closed of table deals is String"),
    ],
)
def test_another_type_is_refused_with_examples(column: str, wrong: pl.Expr, message: str) -> None:
    with pytest.raises(LakeError, match=f"^{PLACE}: {message}"):
        fitted_to(lazy(deals(**{column: wrong})), DEALS, PLACE)


def test_a_fraction_of_duckdb_is_no_integer() -> None:
    relation = duckdb.connect().sql("select 'A' id, 1.5 as days, 1.0 as value, true as won, current_date as closed")
    with pytest.raises(LakeError, match=r"column days of table deals is Decimal\(.*not Int64"):
        fitted_to(nw.from_native(relation), DEALS, PLACE)


def test_missing_columns_are_named() -> None:
    with pytest.raises(LakeError, match="table deals lacks days, won; it has id, value, closed"):
        fitted_to(lazy(deals().drop("won", "days")), DEALS, PLACE)


@pytest.mark.parametrize("statistics", [True, False])
def test_nulls_in_a_required_column_are_counted(tmp_path: Path, statistics: bool) -> None:
    frame = deals(days=pl.Series([1, None, None], dtype=pl.Int64))
    pq.write_table(frame.to_arrow().cast(FIRST), tmp_path / "a", write_statistics=statistics, row_group_size=1)
    with pytest.raises(LakeError, match=rf"^{PLACE}: required column days of table deals is empty in 2 rows \(B, C\)"):
        checked_rows(tmp_path / "a", DEALS, PLACE)


def test_nulls_are_counted_without_a_key_too(tmp_path: Path) -> None:
    table = Table("t", "One row.", (Column("n", Kind.INTEGER, "Number", required=True),))
    pl.DataFrame({"n": [1, None]}).write_parquet(tmp_path / "a")
    with pytest.raises(LakeError, match="column n of table t is empty in 1 rows; mend"):
        checked_rows(tmp_path / "a", table, PLACE)


def test_a_table_without_rows_fits(tmp_path: Path) -> None:
    polars_sink(fitted_to(lazy(deals().clear()), DEALS, PLACE), tmp_path / "a")
    assert checked_rows(tmp_path / "a", DEALS, PLACE) == 0


@pytest.mark.parametrize(
    ("index", "kind", "message"),
    [
        (0, pa.binary(), "wrote column id as binary, not as String"),
        (1, pa.int32(), "wrote column days as int32, not as Int64"),
        (1, pa.uint64(), "wrote column days as uint64, not as Int64"),
        (2, pa.float32(), "wrote column value as float, not as Float64"),
        (3, pa.int8(), "wrote column won as int8, not as Boolean"),
        (4, pa.timestamp("ms"), "wrote column closed as timestamp.*, not as Date"),
    ],
)
def test_an_engine_that_writes_another_type_is_found_out(
    tmp_path: Path, index: int, kind: pa.DataType, message: str
) -> None:
    schema = FIRST.set(index, pa.field(FIRST.names[index], kind))
    pq.write_table(schema.empty_table(), tmp_path / "a")
    with pytest.raises(LakeError, match=f"^{PLACE}: the engine {message}.*; choose another CRM_ENGINE"):
        checked_rows(tmp_path / "a", DEALS, PLACE)


def test_an_engine_that_writes_other_columns_is_found_out(tmp_path: Path) -> None:
    deals().select("days", "id").write_parquet(tmp_path / "a")
    with pytest.raises(LakeError, match="the engine wrote columns days, id, not id, days, value, won, closed"):
        checked_rows(tmp_path / "a", DEALS, PLACE)


def test_a_broken_file_is_found_out(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    deals().write_parquet(whole)
    (tmp_path / "half").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "empty").write_bytes(b"")
    for name in ("half", "empty", "missing"):
        with pytest.raises(LakeError, match="the engine wrote no readable Parquet file"):
            checked_rows(tmp_path / name, DEALS, PLACE)


def test_large_strings_and_dates_of_any_engine_fit(tmp_path: Path) -> None:
    row = {"id": ["é"], "days": [2**40], "value": [-0.5], "won": [True], "closed": [date(1, 1, 1)]}
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        schema = FIRST.set(0, pa.field("id", kind))
        pq.write_table(pa.table(row, schema=schema), tmp_path / "a")
        assert checked_rows(tmp_path / "a", DEALS, PLACE) == 1
