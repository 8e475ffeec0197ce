"""The tables: columns, types, units, allowed values, keys between them, and when each value becomes known.

The five CRM tables are defined here and nowhere else. Tables that the platform derives use the same `Table` and
`Column` and stand beside the code that makes them. Schemas for pandera, Polars and Dagster, the page `docs/tables.md`
and the replay rules are all made from these definitions.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandera.polars as pandera
    import polars as pl


class Kind(enum.Enum):
    """Logical type of a column."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"


class Known(enum.Enum):
    """When the value of a column becomes known to whoever looks into the CRM."""

    ALWAYS = "always"
    CREATED = "when the opportunity is created"
    ENGAGED = "at engagement"
    CLOSED = "at close"
    LATE = "late, unknown when"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as in the file.
        kind: logical type.
        description: what it means, for readers.
        unit: unit of a number, None where it has none.
        required: whether an empty value is a fault.
        known: when the value becomes known.
        allowed: the only values that may occur, empty for any.
        aliases: wrong spelling -> right one, mended in the snapshots and counted in their metadata.
        minimum: the smallest allowed number.
        references: (table, column) that must hold the value.
    """

    name: str
    kind: Kind
    description: str
    unit: str | None = None
    required: bool = False
    known: Known = Known.ALWAYS
    allowed: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    minimum: float | None = None
    references: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: name of the file without its ending, and of the asset.
        description: what one row is.
        columns: in order.
        key: columns that identify a row; empty where none do.
        optional: whether a source may lack the table.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    optional: bool = False

    @property
    def column_names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """The column called `name`. Raises KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name!r}")

    def polars_schema(self) -> pl.Schema:
        """Column name -> Polars type: String, Int64, Float64, Boolean or Date."""
        import polars as pl

        types = {
            Kind.STRING: pl.String(),
            Kind.INTEGER: pl.Int64(),
            Kind.FLOAT: pl.Float64(),
            Kind.BOOLEAN: pl.Boolean(),
            Kind.DATE: pl.Date(),
        }
        return pl.Schema({column.name: types[column.kind] for column in self.columns})

    def pandas_types(self) -> dict[str, str]:
        """Column name -> pandas type; numbers that may be empty are float64, booleans and whole ones nullable."""
        types = {
            Kind.STRING: "object",
            Kind.INTEGER: "Int64",
            Kind.FLOAT: "float64",
            Kind.BOOLEAN: "boolean",
            Kind.DATE: "object",
        }
        whole = {Kind.INTEGER: "int64", Kind.BOOLEAN: "bool"}
        return {
            column.name: whole[column.kind] if column.required and column.kind in whole else types[column.kind]
            for column in self.columns
        }

    def pandera_schema(self) -> pandera.DataFrameSchema:
        """The pandera schema (Polars backend): names, order, types, nulls, allowed values, minima and a unique key."""
        import pandera.polars as pandera

        types = self.polars_schema()
        columns: dict[str, Any] = {}
        for column in self.columns:
            checks = []
            if column.allowed:
                checks.append(pandera.Check.isin([*column.allowed, *column.aliases]))
            if column.minimum is not None:
                checks.append(pandera.Check.ge(column.minimum))
            columns[column.name] = pandera.Column(
                types[column.name],
                checks=checks,
                nullable=not column.required,
                description=column.description,
            )
        return pandera.DataFrameSchema(
            columns,
            strict=True,
            ordered=True,
            unique=list(self.key) or None,
            name=self.name,
            description=self.description,
        )


ACCOUNTS = Table(
    "accounts",
    "One row per company that buys or may buy.",
    (
        Column("account", Kind.STRING, "Company name", required=True),
        Column("sector", Kind.STRING, "Industry", aliases={"technolgy": "technology"}),
        Column("year_established", Kind.INTEGER, "Year the company was founded", unit="year", minimum=1000),
        Column("revenue", Kind.FLOAT, "Annual revenue", unit="million USD", minimum=0),
        Column("employees", Kind.INTEGER, "Number of employees", unit="people", minimum=0),
        Column("office_location", Kind.STRING, "Country of the headquarters", aliases={"Philipines": "Philippines"}),
        Column("subsidiary_of", Kind.STRING, "Parent company, empty for independent ones"),
    ),
    key=("account",),
)

PRODUCTS = Table(
    "products",
    "One row per product on the price list.",
    (
        Column("product", Kind.STRING, "Product name", required=True),
        Column("series", Kind.STRING, "Product family", required=True),
        Column("sales_price", Kind.FLOAT, "List price", unit="USD", required=True, minimum=0),
    ),
    key=("product",),
)

SALES_TEAMS = Table(
    "sales_teams",
    "One row per sales agent.",
    (
        Column("sales_agent", Kind.STRING, "Name of the agent", required=True),
        Column("manager", Kind.STRING, "The agent's manager", required=True),
        Column("regional_office", Kind.STRING, "Office the agent belongs to", required=True),
    ),
    key=("sales_agent",),
)

PROSPECTING, ENGAGING, WON, LOST = STAGES = ("Prospecting", "Engaging", "Won", "Lost")

SALES_PIPELINE = Table(
    "sales_pipeline",
    "One row per sales opportunity.",
    (
        Column("opportunity_id", Kind.STRING, "Identifier of the opportunity", required=True, known=Known.CREATED),
        Column(
            "sales_agent",
            Kind.STRING,
            "Agent who owns the opportunity",
            required=True,
            known=Known.CREATED,
            references=("sales_teams", "sales_agent"),
        ),
        Column(
            "product",
            Kind.STRING,
            "Product on offer",
            required=True,
            known=Known.CREATED,
            aliases={"GTXPro": "GTX Pro"},
            references=("products", "product"),
        ),
        Column(
            "account",
            Kind.STRING,
            "Company that may buy; often filled in after the fact",
            known=Known.LATE,
            references=("accounts", "account"),
        ),
        Column(
            "deal_stage",
            Kind.STRING,
            "Prospecting, then Engaging, then Won or Lost",
            required=True,
            known=Known.CLOSED,
            allowed=STAGES,
        ),
        Column(
            "engage_date",
            Kind.DATE,
            "Day the opportunity was engaged; empty while prospecting",
            known=Known.ENGAGED,
        ),
        Column("close_date", Kind.DATE, "Day it was won or lost; empty while open", known=Known.CLOSED),
        Column(
            "close_value",
            Kind.FLOAT,
            "Revenue of the deal; 0 when lost, empty while open",
            unit="USD",
            known=Known.CLOSED,
            minimum=0,
        ),
    ),
    key=("opportunity_id",),
)

DATA_DICTIONARY = Table(
    "data_dictionary",
    "One row per field that the CRM's own documentation describes.",
    (
        Column("Table", Kind.STRING, "Table the field is in", required=True),
        Column("Field", Kind.STRING, "Name of the field", required=True),
        Column("Description", Kind.STRING, "What the CRM's owner says it means"),
    ),
    key=("Table", "Field"),
    optional=True,
)

CRM_TABLES: tuple[Table, ...] = (ACCOUNTS, PRODUCTS, SALES_TEAMS, SALES_PIPELINE, DATA_DICTIONARY)
"""The tables a source provides."""

HISTORY_FIELDS = tuple(column.name for column in SALES_PIPELINE.columns if column.name not in SALES_PIPELINE.key)
"""Columns of an opportunity whose changes a field history tells."""

OPPORTUNITY_HISTORY = Table(
    "opportunity_history",
    "One row per change of a field of an opportunity, with the day it happened and the day it was recorded.",
    (
        Column("object_id", Kind.STRING, "Identifier of the opportunity", required=True),
        Column(
            "field",
            Kind.STRING,
            "Column of `sales_pipeline` that changed; dates only where they were corrected by hand",
            required=True,
            allowed=HISTORY_FIELDS,
        ),
        Column("old_value", Kind.STRING, "Value before; empty at the first, or where there was none"),
        Column("new_value", Kind.STRING, "Value after; empty where it was cleared"),
        Column("changed_at", Kind.DATE, "Day it happened", required=True),
        Column("recorded_at", Kind.DATE, "Day the CRM learnt of it, never before it happened", required=True),
    ),
)

FIELD_HISTORY_TABLES: tuple[Table, ...] = tuple(
    OPPORTUNITY_HISTORY if table is SALES_PIPELINE else table for table in CRM_TABLES
)
"""The tables of a source that keeps field history: the pipeline of a month is made from it."""
