"""Everything Dagster runs, composed for one deployment's settings."""

from __future__ import annotations

import warnings

import dagster as dg

from crm_assets.defs.alerting import alerts_sensor, freshness_policy
from crm_assets.defs.assets import ASSETS, dagster_asset
from crm_assets.defs.automation import conditions_sensor
from crm_assets.defs.checks import CHECKS, asset_check
from crm_assets.defs.interrupted import interrupted_runs
from crm_assets.defs.io_manager import lake_io
from crm_assets.defs.jobs import JOBS, drift_schedule, monthly_schedule, online_schedule
from crm_assets.defs.landing import landing_sensor
from crm_assets.defs.partitions import monthly_partitions
from crm_assets.defs.planning import planning_sensor
from crm_assets.defs.platform import Platform
from crm_assets.defs.retraining import retraining_sensor
from crm_assets.settings import Settings


def build_definitions(settings: Settings, platform: Platform | None = None) -> dg.Definitions:
    """Everything Dagster runs, for a deployment with these settings. Opens neither the source nor the lake.

    Args:
        settings: the deployment's settings.
        platform: its parts, where they are open already.
    """
    platform = platform or Platform(settings)
    partitions = monthly_partitions(settings)
    with warnings.catch_warnings():
        # Single-run backfills and mappings that reach before the first partition are beta, and needed: without them a
        # backfill is one process a month, and the first months could not be made.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [dagster_asset(asset, partitions, freshness_policy(partitions)) for asset in ASSETS]
    return dg.Definitions(
        assets=assets,
        asset_checks=[asset_check(check) for check in CHECKS],
        jobs=JOBS,
        schedules=[
            monthly_schedule(partitions),
            drift_schedule(settings, partitions),
            online_schedule(settings, partitions),
        ],
        sensors=[
            landing_sensor(settings, partitions),
            conditions_sensor(partitions),
            alerts_sensor(settings, partitions),
            retraining_sensor(settings, partitions),
            interrupted_runs,
            planning_sensor(settings, partitions),
        ],
        resources={"platform": platform, "lake_io": lake_io},
        # A process per step costs two to three seconds, more than most steps take.
        executor=dg.in_process_executor,
    )
