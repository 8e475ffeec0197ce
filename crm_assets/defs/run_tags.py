"""Tags of runs that operators filter by, and what is going on, which sensors look at before they ask for more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from crm_assets.calendar import Month
from crm_assets.process import Process

if TYPE_CHECKING:
    import dagster as dg

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

LAKE_POOL = "lake"
"""Pool of all that writes to the lake, of which one run at a time may go on: the lake has one lock."""

MONTHS_TAG = "crm_assets/months"
"""The months of a run: `2017-05`, or `2017-05:2017-07`."""
TRIGGER_TAG = "crm_assets/trigger"
"""Who asked for a run, a `Trigger`; one started from an asset's page in Dagster has none."""
REASON_TAG = "crm_assets/reason"
"""Why a run was asked for, in words."""
COMPLETE_TAG = "crm_assets/complete"
"""Tag of a run that makes all that follows from what it makes, so that nobody needs to ask for that."""
ONLY_OUT_OF_DATE_TAG = "crm_assets/only_out_of_date"
"""Tag of a run, `true`, that keeps what is up to date in its months, such as what a run that was cut off had made."""
PROCESS_TAG = "crm_assets/process"
"""Tag of a run: its id and the process that executes it. Dagster copies it to a retry, whose id is another."""

GOING_ON = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
"""Dagster's statuses of runs that are not over."""
_LONGEST_RUN = timedelta(days=1)
"""A run that has been going on for longer belongs to a process that was killed."""


class Trigger(StrEnum):
    """Who asked for a run."""

    LANDING = "landing"
    """The sensor `landing`: an extract is new or has changed."""
    SCHEDULE = "schedule"
    """A schedule."""
    RETRAIN = "retrain"
    """The sensor `retraining`: monitoring calls for a model trained anew, with tuned candidates."""
    CONDITION = "condition"
    """An automation condition."""
    BACKFILL = "backfill"
    """The job `backfill`, launched in Dagster or by a client."""
    MANUAL = "manual"
    """A person: `crm-assets run`, or another job launched in Dagster."""


def months_tag(first: Month, last: Month) -> dict[str, str]:
    """`MONTHS_TAG` of a run over the months from `first` to `last`."""
    return {MONTHS_TAG: str(first) if first == last else f"{first}:{last}"}


def range_tags(first: Month, last: Month) -> dict[str, str]:
    """Tags that have one run make every month from `first` to `last`."""
    return {RANGE_START_TAG: str(first), RANGE_END_TAG: str(last), **months_tag(first, last)}


def backfill_tags(first: Month, last: Month, *, all_assets: bool) -> dict[str, str]:
    """Tags of a backfill that a client asks for."""
    return {
        **range_tags(first, last),
        TRIGGER_TAG: str(Trigger.BACKFILL),
        COMPLETE_TAG: "true" if all_assets else "false",
    }


def asked_by(trigger: Trigger, reason: str) -> dict[str, str]:
    """Tags of a run that a sensor or schedule asks for."""
    return {TRIGGER_TAG: str(trigger), REASON_TAG: reason}


def process_tags(run_id: str) -> dict[str, str]:
    """Tag of a run that this process executes."""
    return {PROCESS_TAG: f"{run_id} {Process.current()}"}


def process_of(run_id: str, tags: Mapping[str, str]) -> Process | None:
    """The process that executes a run, by the run's tags; None where they do not tell, as before it has started."""
    named, _, process = tags.get(PROCESS_TAG, "").partition(" ")
    return Process.parse(process) if named == run_id else None


def retrained_for(tags: Mapping[str, str]) -> str | None:
    """Why a run with these tags trains models anew with tuned candidates; None when it trains as ever."""
    if tags.get(TRIGGER_TAG) != Trigger.RETRAIN:
        return None
    return tags.get(REASON_TAG) or "it was asked for"


def run_going_on(instance: dg.DagsterInstance) -> str | None:
    """Id of a run that is queued or going on; None when there is none."""
    import dagster as dg

    statuses = [dg.DagsterRunStatus[name] for name in GOING_ON]
    since = datetime.now(UTC) - _LONGEST_RUN
    found = instance.get_run_records(dg.RunsFilter(statuses=statuses, created_after=since), limit=1)
    return found[0].dagster_run.run_id if found else None
