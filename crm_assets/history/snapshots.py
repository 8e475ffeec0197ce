"""Opportunity snapshots: what the CRM knew of every opportunity at a month-end, cleaned; and the rows kept out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from crm_assets.calendar import Month
from crm_assets.contracts import (
    ENGAGING,
    LOST,
    PRODUCTS,
    PROSPECTING,
    SALES_PIPELINE,
    SALES_TEAMS,
    STAGES,
    WON,
    Column,
    Kind,
    Known,
    Table,
)
from crm_assets.engines.dialect import days_between

_MONTH = Column("snapshot_month", Kind.STRING, "Month at whose end the row was known, YYYY-MM", required=True)
_PIPELINE = {column.name: column for column in SALES_PIPELINE.columns}

SNAPSHOTS = Table(
    "opportunity_snapshots",
    "One row per opportunity known at the month-end, with its stage as of then.",
    (
        _PIPELINE["opportunity_id"],
        _MONTH,
        Column("as_of", Kind.DATE, "Last day of the snapshot month", required=True),
        _PIPELINE["sales_agent"],
        Column("manager", Kind.STRING, "Manager of the agent", required=True),
        Column("regional_office", Kind.STRING, "Office of the agent", required=True),
        _PIPELINE["product"],
        Column("series", Kind.STRING, "Family of the product", required=True),
        Column("list_price", Kind.FLOAT, "List price of the product", unit="USD", required=True, minimum=0),
        _PIPELINE["account"],
        _PIPELINE["deal_stage"],
        Column("in_book", Kind.BOOLEAN, "Whether it is engaged and not closed", required=True),
        _PIPELINE["engage_date"],
        _PIPELINE["close_date"],
        _PIPELINE["close_value"],
        Column(
            "age_days",
            Kind.INTEGER,
            "Days from engagement to the month-end; empty while prospecting",
            unit="days",
            known=Known.ENGAGED,
        ),
        Column(
            "days_to_close",
            Kind.INTEGER,
            "Days from engagement to close; empty while open",
            unit="days",
            known=Known.CLOSED,
        ),
    ),
    key=("opportunity_id",),
)

QUARANTINE = Table(
    "quarantined_opportunities",
    "One row per row of sales_pipeline that was kept out of the snapshot, with the reasons.",
    (
        Column("opportunity_id", Kind.STRING, "As in the CRM"),
        _MONTH,
        Column("reasons", Kind.STRING, "Every broken rule, separated by `; `", required=True),
        *(
            Column(column.name, column.kind, f"As in the CRM: {column.description}", unit=column.unit)
            for column in SALES_PIPELINE.columns
            if column.name != "opportunity_id"
        ),
    ),
)


@dataclass(frozen=True)
class Rule:
    """What makes a row of `sales_pipeline` bad.

    Attributes:
        reason: what is wrong, as it stands in the quarantine table.
        broken: true for a bad row; null counts as false.
    """

    reason: str
    broken: nw.Expr


def _rules() -> tuple[Rule, ...]:
    stage, engaged, closed = nw.col("deal_stage"), nw.col("engage_date"), nw.col("close_date")
    is_closed, value = stage.is_in([WON, LOST]), nw.col("close_value")
    required = [
        Rule(f"no {column.name}", nw.col(column.name).is_null()) for column in SALES_PIPELINE.columns if column.required
    ]
    return (
        *required,
        Rule("duplicate opportunity_id", nw.col("copies") > 1),
        Rule("unknown deal_stage", ~stage.is_in(list(STAGES))),
        Rule("unknown sales_agent", nw.col("manager").is_null() & ~nw.col("sales_agent").is_null()),
        Rule("unknown product", nw.col("list_price").is_null() & ~nw.col("product").is_null()),
        Rule("closed before it was engaged", closed < engaged),
        Rule("closed without close_date", is_closed & closed.is_null()),
        Rule("engaged or closed without engage_date", (is_closed | (stage == ENGAGING)) & engaged.is_null()),
        Rule("open with a close_date", stage.is_in([PROSPECTING, ENGAGING]) & ~closed.is_null()),
        Rule("prospecting with an engage_date", (stage == PROSPECTING) & ~engaged.is_null()),
        Rule("negative close_value", value < 0),
        Rule("won without close_value", (stage == WON) & value.is_null()),
        Rule("dated after the snapshot", (engaged > nw.col("as_of")) | (closed > nw.col("as_of"))),
    )


RULES: tuple[Rule, ...] = _rules()


def mend(column: Column) -> nw.Expr:
    """The column with its known wrong spellings replaced by the right ones."""
    value = nw.col(column.name)
    for wrong, right in column.aliases.items():
        value = nw.when(nw.col(column.name) == wrong).then(nw.lit(right)).otherwise(value)
    return value.alias(column.name)


def named_agents(sales_teams: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Per sales_agent the manager and regional_office, from the raw table, as snapshots have them."""
    return sales_teams.select(*(mend(column) for column in SALES_TEAMS.columns))


def priced_products(products: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Per product the series and list_price, from the raw table, as snapshots have them."""
    return products.select(*(mend(column) for column in PRODUCTS.columns)).rename({"sales_price": "list_price"})


def _dated(frame: nw.LazyFrame[Any], month: Month) -> nw.LazyFrame[Any]:
    return frame.with_columns(nw.lit(month.end).alias("as_of"), nw.lit(str(month)).alias("snapshot_month"))


def _examined(
    pipeline: nw.LazyFrame[Any], products: nw.LazyFrame[Any], sales_teams: nw.LazyFrame[Any], month: Month
) -> nw.LazyFrame[Any]:
    """The pipeline with spellings mended, agent and product joined, and a `reasons` column (empty on good rows)."""
    copies = (
        pipeline.group_by("opportunity_id").agg(nw.len().cast(nw.Int64()).alias("copies")).filter(nw.col("copies") > 1)
    )
    # Parts that are never null: engines differ in how they concatenate nulls.
    reasons = nw.concat_str(
        *(nw.when(rule.broken).then(nw.lit(f"; {rule.reason}")).otherwise(nw.lit("")) for rule in RULES)
    )
    return (
        _dated(pipeline.select(*(mend(column) for column in SALES_PIPELINE.columns)), month)
        .join(copies, on="opportunity_id", how="left")
        .join(named_agents(sales_teams), on="sales_agent", how="left")
        .join(priced_products(products), on="product", how="left")
        .with_columns(reasons.alias("reasons"))
    )


def snapshot(
    pipeline: nw.LazyFrame[Any], products: nw.LazyFrame[Any], sales_teams: nw.LazyFrame[Any], month: Month
) -> tuple[nw.LazyFrame[Any], nw.LazyFrame[Any]]:
    """Split the pipeline as of the end of `month` into its snapshot and its quarantine.

    Args:
        pipeline, products, sales_teams: the raw tables as known at the month-end, by their contracts.
        month: the snapshot month.

    Returns:
        (rows of `SNAPSHOTS`, rows of `QUARANTINE`), each sorted by opportunity_id, the second by all else after it, so
        that every engine orders rows of one id alike. Every row of `pipeline` is in one of the two.
    """
    examined = _examined(pipeline, products, sales_teams, month)
    # Sorted before the derived columns are added: sorting costs by the width of the rows it moves.
    good = examined.filter(nw.col("reasons") == "").sort("opportunity_id")
    in_book = nw.col("deal_stage") == ENGAGING
    taken = _dated(good, month).with_columns(
        in_book.alias("in_book"),
        days_between(good, nw.col("as_of"), nw.col("engage_date")).alias("age_days"),
        days_between(good, nw.col("close_date"), nw.col("engage_date")).alias("days_to_close"),
    )
    bad = (
        examined.filter(nw.col("reasons") != "")
        .with_columns(nw.col("reasons").str.slice(2).alias("reasons"))
        .select(*QUARANTINE.column_names)
    )
    return taken.select(*SNAPSHOTS.column_names), bad.sort(*QUARANTINE.column_names)


def book(snapshots: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The opportunities that are engaged and not closed."""
    return snapshots.filter(nw.col("in_book"))


def reason_counts(reasons: Iterable[str]) -> dict[str, int]:
    """How many quarantined rows broke each rule, most first; a row that broke two counts for both."""
    counts: dict[str, int] = {}
    for text in reasons:
        for reason in text.split("; "):
            counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
