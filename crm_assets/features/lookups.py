"""The counts of a month that the features of any opportunity are made of, one row per subject.

Features of an opportunity that stands in no snapshot, as one that is only thought of, are computed from them by the
expressions of the registry.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.features.counts import ALL, CLOSED, ENGAGED, GROUPS, cohort_counts, last_closes, with_counts
from crm_assets.history.snapshots import SNAPSHOTS, named_agents, priced_products

COHORT = "cohort"
SUBJECTS = (*GROUPS, ALL, COHORT)
"""What a row may be about: an agent, a manager, a region, a product, all deals or a cohort."""

_COUNTED = {
    "won": ("Deals won", "deals"),
    "lost": ("Deals lost", "deals"),
    "won_recent": ("Deals won in the last 90 days", "deals"),
    "lost_recent": ("Deals lost in the last 90 days", "deals"),
    "days_to_close": ("Days from engagement to close, summed over the closed deals", "days"),
    "open": ("Opportunities in the book", "opportunities"),
    "engaged_100": ("Opportunities engaged 100 days ago or earlier", "opportunities"),
    "open_100": ("Those of them still open", "opportunities"),
    "engaged_138": ("Opportunities engaged 138 days ago or earlier", "opportunities"),
    "open_138": ("Those of them still open", "opportunities"),
    "engaged": ("Of a cohort: opportunities engaged from the week before to the week after", "opportunities"),
}

FEATURE_LOOKUPS = Table(
    "feature_lookups",
    "One row per agent, manager, region, product and cohort known at the month-end, and one for all deals: the counts "
    "that features are made of.",
    (
        Column("subject", Kind.STRING, "What the row is about", required=True, allowed=SUBJECTS),
        Column("name", Kind.STRING, "Its name, of a cohort the region's", required=True),
        Column("week", Kind.INTEGER, "Of a cohort: weeks from 1970-01-05 to its engagement", unit="weeks"),
        SNAPSHOTS.column("snapshot_month"),
        SNAPSHOTS.column("as_of"),
        Column("manager", Kind.STRING, "Of an agent: the manager"),
        Column("regional_office", Kind.STRING, "Of an agent: the office"),
        Column("series", Kind.STRING, "Of a product: its family"),
        Column("list_price", Kind.FLOAT, "Of a product: its list price", unit="USD", minimum=0),
        *(Column(name, Kind.INTEGER, told, unit=unit, minimum=0) for name, (told, unit) in _COUNTED.items()),
        Column("last_close", Kind.DATE, "Of an agent: day of the last deal closed"),
    ),
    key=("subject", "name", "week"),
)

_TYPES = {Kind.STRING: nw.String(), Kind.INTEGER: nw.Int64(), Kind.FLOAT: nw.Float64(), Kind.DATE: nw.Date()}


def feature_lookups(
    snapshots: nw.LazyFrame[Any],
    closings: nw.LazyFrame[Any],
    products: nw.LazyFrame[Any],
    sales_teams: nw.LazyFrame[Any],
    month: Month,
) -> nw.LazyFrame[Any]:
    """Rows of `FEATURE_LOOKUPS`, sorted by their key.

    Args:
        snapshots: rows of `SNAPSHOTS` of that month.
        closings: rows of `DAILY_CLOSINGS` of that month.
        products, sales_teams: the raw tables of that month; each agent and product has a row, also one without deals.
        month: the snapshot month.

    A count is empty where the features of the book would have found none.
    """
    agents = named_agents(sales_teams)
    named = {
        "agent": agents,
        "manager": agents.select("manager").unique(),
        "region": agents.select("regional_office").unique(),
        "product": priced_products(products),
    }
    parts = []
    for prefix, by in GROUPS.items():
        rows = with_counts(named[prefix], snapshots, closings, month, prefix=prefix, by=by)
        if prefix == "agent":
            rows = rows.join(last_closes(closings), on=by, how="left").rename({"agent_last_close": "last_close"})
        parts.append(_as_contract(_counts_named(rows.rename({by: "name"}), prefix), prefix, month))
    whole = with_counts(
        named["region"].select(nw.len().alias("regions")), snapshots, closings, month, prefix=ALL, by=None
    )
    parts.append(_as_contract(_counts_named(whole.with_columns(nw.lit(ALL).alias("name")), ALL), ALL, month))
    cohorts = cohort_counts(snapshots).rename(
        {"regional_office": "name", "cohort_engaged": "engaged", "cohort_open": "open"}
    )
    parts.append(_as_contract(cohorts, COHORT, month))
    return nw.concat(parts).sort("subject", "name", "week")


def _counts_named(rows: nw.LazyFrame[Any], prefix: str) -> nw.LazyFrame[Any]:
    """Counts without their prefix."""
    return rows.rename({f"{prefix}_{name}": name for name in (*CLOSED, *ENGAGED)})


def _as_contract(rows: nw.LazyFrame[Any], subject: str, month: Month) -> nw.LazyFrame[Any]:
    """The columns of the contract in their order, empty where `rows` has none."""
    given = {
        "subject": nw.lit(subject),
        "snapshot_month": nw.lit(str(month)),
        "as_of": nw.lit(month.end),
    }
    held = set(rows.collect_schema().names())
    columns = []
    for column in FEATURE_LOOKUPS.columns:
        kind = _TYPES[column.kind]
        value = given.get(column.name, nw.col(column.name) if column.name in held else nw.lit(None, dtype=kind))
        columns.append(value.cast(kind).alias(column.name))
    return rows.select(*columns)
