"""The monthly partitions, and how an asset's month maps to the months it reads."""

from __future__ import annotations

import dagster as dg

from crm_assets.calendar import Month
from crm_assets.defs.monthly import Needs
from crm_assets.settings import Settings
from crm_assets.simulator.config import SimulationConfig

FIRST_MONTH = Month(2016, 10)
"""First partition where neither a setting nor the simulator says another."""


def monthly_partitions(settings: Settings) -> dg.MonthlyPartitionsDefinition:
    """One partition per month; by default the simulator's months, else every month that has ended since 2016-10."""
    first, last = settings.first_month, settings.last_month
    if settings.source_url.startswith("simulator:"):
        config = SimulationConfig.from_url(settings.source_url)
        first, last = first or config.first, last or config.last
    return dg.MonthlyPartitionsDefinition(
        start_date=str(first or FIRST_MONTH), end_date=str(last.next) if last else None, fmt="%Y-%m"
    )


def outside_partitions(partitions: dg.MonthlyPartitionsDefinition, month: Month) -> str | None:
    """Why a month is none of the partitions, in words; None when it is one."""
    if partitions.has_partition_key(str(month)):
        return None
    keys = partitions.get_partition_keys()
    if not keys or str(month) < keys[0]:
        return f"{month} is before the first month: set CRM_FIRST_MONTH to have it made"
    if partitions.end is None:
        return f"{month} has not ended and waits until it has"
    return f"{month} is after the last month, {keys[-1]}: unset CRM_LAST_MONTH to have it made"


def partition_mapping(needs: Needs) -> dg.TimeWindowPartitionMapping:
    """The declared months as Dagster's mapping; months before the first partition are left out."""
    if needs.first == needs.last == 0:
        return dg.TimeWindowPartitionMapping()
    return dg.TimeWindowPartitionMapping(
        start_offset=needs.first, end_offset=needs.last, allow_nonexistent_upstream_partitions=True
    )
