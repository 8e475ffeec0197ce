from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from crm_assets.contracts import (
    ACCOUNTS,
    CRM_TABLES,
    FIELD_HISTORY_TABLES,
    HISTORY_FIELDS,
    OPPORTUNITY_HISTORY,
    PRODUCTS,
    SALES_PIPELINE,
    SALES_TEAMS,
    STAGES,
    Column,
    Kind,
    Known,
    Table,
)
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import QUARANTINE, SNAPSHOTS

TABLES = (*CRM_TABLES, OPPORTUNITY_HISTORY, SNAPSHOTS, QUARANTINE, DAILY_CLOSINGS, OUTCOMES, FEATURE_TABLE)
BY_NAME = {table.name: table for table in CRM_TABLES}
DEALS = Table(
    "deals",
    "One row per deal.",
    (
        Column("deal", Kind.STRING, "Identifier", required=True),
        Column("stage", Kind.STRING, "Stage", allowed=("Open", "Won"), aliases={"Wno": "Won"}),
        Column("size", Kind.INTEGER, "Size", minimum=1),
        Column("value", Kind.FLOAT, "Value", minimum=0),
        Column("hot", Kind.BOOLEAN, "Whether it is hot"),
        Column("closed", Kind.DATE, "Day it closed"),
    ),
    key=("deal",),
)


def deals(**changed: list[Any]) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {
        "deal": ["a", "b"],
        "stage": ["Won", "Open"],
        "size": [1, 2],
        "value": [0.0, 5.5],
        "hot": [True, None],
        "closed": [date(2017, 5, 1), None],
    }
    return pl.DataFrame({**columns, **changed}, DEALS.polars_schema())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_are_well_formed(table: Table) -> None:
    names = table.column_names
    assert len(set(names)) == len(names)
    assert table.description
    assert set(table.key) <= set(names)
    assert all(table.column(name).required for name in table.key)
    for column in table.columns:
        assert column.description
        assert set(column.aliases.values()).isdisjoint(column.aliases)
        assert not column.allowed or set(column.aliases.values()) <= set(column.allowed)
        assert column.minimum is None or column.kind in {Kind.INTEGER, Kind.FLOAT}


@pytest.mark.parametrize("table", CRM_TABLES, ids=lambda table: table.name)
def test_references_are_to_a_key_of_the_same_type(table: Table) -> None:
    for column in table.columns:
        if column.references:
            other, key = column.references
            assert BY_NAME[other].key == (key,)
            assert BY_NAME[other].column(key).kind is column.kind


def test_when_the_pipeline_is_known() -> None:
    known = {column.name: column.known for column in SALES_PIPELINE.columns}
    assert known == {
        "opportunity_id": Known.CREATED,
        "sales_agent": Known.CREATED,
        "product": Known.CREATED,
        "account": Known.LATE,
        "deal_stage": Known.CLOSED,
        "engage_date": Known.ENGAGED,
        "close_date": Known.CLOSED,
        "close_value": Known.CLOSED,
    }
    assert SALES_PIPELINE.column("deal_stage").allowed == STAGES == ("Prospecting", "Engaging", "Won", "Lost")


def test_field_history_stands_in_place_of_the_pipeline() -> None:
    names = [table.name for table in CRM_TABLES]
    kept = [table.name for table in FIELD_HISTORY_TABLES]
    assert kept == [name.replace("sales_pipeline", "opportunity_history") for name in names]
    assert {"opportunity_id", *HISTORY_FIELDS} == set(SALES_PIPELINE.column_names)
    assert OPPORTUNITY_HISTORY.column("field").allowed == HISTORY_FIELDS


def test_wrong_spellings_that_are_mended() -> None:
    assert SALES_PIPELINE.column("product").aliases == {"GTXPro": "GTX Pro"}
    assert ACCOUNTS.column("sector").aliases == {"technolgy": "technology"}
    assert ACCOUNTS.column("office_location").aliases == {"Philipines": "Philippines"}


def test_column_by_name() -> None:
    assert PRODUCTS.column("sales_price").unit == "USD"
    with pytest.raises(KeyError, match="table products has no column 'price'"):
        PRODUCTS.column("price")


def test_polars_schema() -> None:
    assert DEALS.polars_schema() == pl.Schema(
        {
            "deal": pl.String(),
            "stage": pl.String(),
            "size": pl.Int64(),
            "value": pl.Float64(),
            "hot": pl.Boolean(),
            "closed": pl.Date(),
        }
    )
    assert DEALS.polars_schema().names() == DEALS.column_names


class TestPanderaSchema:
    def test_valid_rows_pass_unchanged(self) -> None:
        for frame in (deals(), deals(stage=["Wno", None]), deals().clear()):
            assert DEALS.pandera_schema().validate(frame, lazy=True).equals(frame)

    @pytest.mark.parametrize(
        ("frame", "column"),
        [
            pytest.param(deals(deal=["a", None]), "deal", id="required value missing"),
            pytest.param(deals(deal=["a", "a"]), "deal", id="key twice"),
            pytest.param(deals(stage=["Won", "Lost"]), "stage", id="value not allowed"),
            pytest.param(deals(size=[0, 1]), "size", id="below the minimum"),
            pytest.param(deals(value=[-0.01, 1.0]), "value", id="negative"),
            pytest.param(deals().cast({"size": pl.Float64}), "size", id="type"),
            pytest.param(deals().drop("hot"), "hot", id="column missing"),
            pytest.param(deals().with_columns(more=pl.lit(1)), "more", id="column too many"),
            pytest.param(deals().select(*reversed(DEALS.column_names)), "closed", id="order"),
        ],
    )
    def test_refuses(self, frame: pl.DataFrame, column: str) -> None:
        import pandera.errors

        with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors)) as caught:
            DEALS.pandera_schema().validate(frame, lazy=True)
        assert column in str(caught.value)

    def test_of_the_sales_teams_wants_one_row_per_agent(self) -> None:
        import pandera.errors

        twice = pl.DataFrame([("Anna", "Elke", "West")] * 2, SALES_TEAMS.polars_schema(), orient="row")
        SALES_TEAMS.pandera_schema().validate(twice.head(1), lazy=True)
        with pytest.raises(pandera.errors.SchemaErrors, match="sales_agent"):
            SALES_TEAMS.pandera_schema().validate(twice, lazy=True)


def test_pandas_types_hold_empty_values_where_the_contract_does() -> None:
    assert DEALS.pandas_types() == {
        "deal": "object",
        "stage": "object",
        "size": "Int64",
        "value": "float64",
        "hot": "boolean",
        "closed": "object",
    }
    required = Table(
        "t", "", (Column("n", Kind.INTEGER, "", required=True), Column("b", Kind.BOOLEAN, "", required=True))
    )
    assert required.pandas_types() == {"n": "int64", "b": "bool"}
