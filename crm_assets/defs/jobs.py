"""One job per purpose, and the schedule of the monthly one."""

from __future__ import annotations

import dagster as dg

MONTHLY = dg.define_asset_job(
    "monthly",
    dg.AssetSelection.all(),
    description="A month from raw tables to scores, forecast and monitoring; runs on the 2nd for the month that ended.",
)
RETRAIN = dg.define_asset_job(
    "retrain",
    dg.AssetSelection.assets("backtest_predictions").downstream(),
    description="A month's model anew, with what depends on it, from features that are in the lake already.",
)
BACKFILL = dg.define_asset_job(
    "backfill",
    dg.AssetSelection.all(),
    description="A range of months in one process: set the tags dagster/asset_partition_range_start and _end.",
)
JOBS = (MONTHLY, RETRAIN, BACKFILL)

MONTHLY_SCHEDULE = dg.build_schedule_from_partitioned_job(
    MONTHLY,
    name="monthly_schedule",
    day_of_month=2,
    hour_of_day=4,
    minute_of_hour=0,
    description="The 2nd of each month at 04:00, for the month that ended.",
)
