"""Features: what is known of each open opportunity at the month-end."""

from __future__ import annotations

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.features.registry import FEATURE_TABLE, features
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.snapshots import SNAPSHOTS


@monthly_asset(
    FEATURE_TABLE,
    group="features",
    needs=(Needs(SNAPSHOTS.name), Needs(DAILY_CLOSINGS.name)),
    kinds=("parquet",),
    code=("history", "engines", "features", "defs/feature_table"),
)
def opportunity_features(inputs: Inputs, month: Month) -> Made:
    """One row per opportunity in the book, with features that read nothing later than the month-end."""
    snapshots, closings = inputs.engine_frames(SNAPSHOTS.name, DAILY_CLOSINGS.name, month=month)
    return Made(features(snapshots, closings, month))


FEATURE_ASSETS = (opportunity_features,)
