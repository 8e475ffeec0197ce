"""Contracts as Dagster shows them: column schemas with descriptions, and which column comes from which."""

from __future__ import annotations

import dagster as dg

from crm_assets.contracts import CRM_TABLES, Column, Table
from crm_assets.features.registry import FEATURE_TABLE, FEATURES
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS


def table_schema(table: Table) -> dg.TableSchema:
    """The contract as a Dagster table schema."""
    of_crm = table.name in {crm_table.name for crm_table in CRM_TABLES}
    return dg.TableSchema(
        [
            dg.TableColumn(
                name=column.name,
                type=column.kind.value,
                description=_described(column, of_crm=of_crm),
                constraints=dg.TableColumnConstraints(nullable=not column.required, unique=table.key == (column.name,)),
            )
            for column in table.columns
        ]
    )


def _described(column: Column, *, of_crm: bool) -> str:
    text = column.description
    if column.unit and column.unit.lower() not in text.lower():
        text += f" ({column.unit})"
    # What is derived is all known at the month-end.
    return f"{text}. Known: {column.known.value}." if of_crm else f"{text}."


def _dep(asset: str, column: str) -> dg.TableColumnDep:
    return dg.TableColumnDep(asset_key=dg.AssetKey(asset.split("/")), column_name=column)


def _snapshot_lineage() -> dict[str, list[dg.TableColumnDep]]:
    pipeline = "raw/sales_pipeline"
    deps = {
        name: [_dep(pipeline, name)]
        for name in (
            *("opportunity_id", "sales_agent", "product", "account", "deal_stage"),
            *("engage_date", "close_date", "close_value"),
        )
    }
    for name, column in (("manager", "manager"), ("regional_office", "regional_office")):
        deps[name] = [_dep("raw/sales_teams", column), _dep(pipeline, "sales_agent")]
    for name, column in (("series", "series"), ("list_price", "sales_price")):
        deps[name] = [_dep("raw/products", column), _dep(pipeline, "product")]
    deps["in_book"] = [_dep(pipeline, "deal_stage")]
    deps["age_days"] = [_dep(pipeline, "engage_date")]
    deps["days_to_close"] = [_dep(pipeline, "engage_date"), _dep(pipeline, "close_date")]
    return deps


def column_lineage(table: Table) -> dg.TableColumnLineage | None:
    """Which columns each column is made from, for the tables between raw data and features; None for the others."""
    deps: dict[str, list[dg.TableColumnDep]]
    if table is SNAPSHOTS:
        deps = _snapshot_lineage()
    elif table is DAILY_CLOSINGS:
        own = ("close_date", "sales_agent", "manager", "regional_office", "product", "days_to_close")
        deps = {name: [_dep(SNAPSHOTS.name, name)] for name in own}
        deps |= {name: [_dep(SNAPSHOTS.name, "deal_stage")] for name in ("won", "lost")}
    elif table is OUTCOMES:
        deps = {name: [_dep(SNAPSHOTS.name, name)] for name in ("opportunity_id", "close_date", "close_value")}
        deps["outcome"] = [_dep(SNAPSHOTS.name, "deal_stage")]
    elif table is FEATURE_TABLE:
        deps = {feature.name: [_dep(*place.split(".", 1)) for place in feature.reads] for feature in FEATURES}
    else:
        return None
    return dg.TableColumnLineage(deps)
