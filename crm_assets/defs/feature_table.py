"""Features: what is known of each open opportunity at the month-end."""

from __future__ import annotations

from crm_assets.calendar import Month
from crm_assets.contracts import PRODUCTS, SALES_TEAMS
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.feature_job import FEATURE_CODE
from crm_assets.features.lookups import FEATURE_LOOKUPS, feature_lookups
from crm_assets.features.registry import FEATURE_TABLE, features
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.snapshots import SNAPSHOTS

_NAMED = (PRODUCTS, SALES_TEAMS)
"""The raw tables that name products and agents, also those without deals."""


@monthly_asset(
    FEATURE_TABLE,
    group="features",
    needs=(Needs(SNAPSHOTS.name), Needs(DAILY_CLOSINGS.name)),
    kinds=("parquet",),
    code=(*FEATURE_CODE, "defs/feature_table"),
)
def opportunity_features(inputs: Inputs, month: Month) -> Made:
    """One row per opportunity in the book, with features that read nothing later than the month-end."""
    # Outside of a run, as when a stored month is verified, it is computed here.
    if inputs.settings.features_on == "emr-serverless" and inputs.step is not None:
        from crm_assets.defs.spark_features import computed_by_job

        return computed_by_job(inputs, inputs.step, month)
    snapshots, closings = inputs.engine_frames(SNAPSHOTS.name, DAILY_CLOSINGS.name, month=month)
    return Made(features(snapshots, closings, month))


@monthly_asset(
    FEATURE_LOOKUPS,
    group="features",
    needs=(Needs(SNAPSHOTS.name), Needs(DAILY_CLOSINGS.name), *(Needs(f"raw/{table.name}") for table in _NAMED)),
    kinds=("parquet",),
    code=(*FEATURE_CODE, "defs/feature_table"),
)
def lookups(inputs: Inputs, month: Month) -> Made:
    """Counts by agent, manager, region, product and cohort, from which the API computes features of any opportunity."""
    raw = (f"raw/{table.name}" for table in _NAMED)
    frames = inputs.engine_frames(SNAPSHOTS.name, DAILY_CLOSINGS.name, *raw, month=month)
    snapshots, closings, products, sales_teams = frames
    return Made(feature_lookups(snapshots, closings, products, sales_teams, month))


FEATURE_ASSETS = (opportunity_features, lookups)
