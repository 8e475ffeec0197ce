"""One job per purpose, and the schedules that start them."""

import dagster as dg

from crm_assets.calendar import Month
from crm_assets.defs.online import ONLINE_ASSETS
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import stale_months
from crm_assets.defs.run_tags import (
    COMPLETE_TAG,
    ONLY_OUT_OF_DATE_TAG,
    TRIGGER_TAG,
    Trigger,
    asked_by,
    months_tag,
    range_tags,
    run_going_on,
)
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.settings import Settings
from crm_assets.storage import StorageError

_BY_HAND = {TRIGGER_TAG: str(Trigger.MANUAL), COMPLETE_TAG: "true"}
"""Tags of a job that a person launches; who else asks for it writes over the trigger."""

MONTHLY = dg.define_asset_job(
    "monthly",
    dg.AssetSelection.all(),
    tags=_BY_HAND,
    description="A month from raw tables to scores, forecast and monitoring.",
)
RETRAIN = dg.define_asset_job(
    "retrain",
    dg.AssetSelection.assets("backtest_predictions", "candidate_predictions", "leakage_report").downstream(),
    tags=_BY_HAND,
    description="A month's model anew, with what depends on it, from features that are in the lake already.",
)
BACKFILL = dg.define_asset_job(
    "backfill",
    dg.AssetSelection.all(),
    tags={**_BY_HAND, TRIGGER_TAG: str(Trigger.BACKFILL)},
    description="A range of months in one process: set the tags dagster/asset_partition_range_start and _end.",
)
DRIFT = dg.define_asset_job(
    "drift",
    dg.AssetSelection.assets("drift_report", "estimated_performance", "model_performance").downstream(),
    tags=_BY_HAND,
    description="A month's reports of drift and performance, from what is in the lake already.",
)
ONLINE = dg.define_asset_job(
    "online",
    dg.AssetSelection.assets("online_predictions").downstream(),
    tags=_BY_HAND,
    description="What the API answered as of a month, from its log, and the drift report of it.",
)
JOBS = (MONTHLY, RETRAIN, BACKFILL, DRIFT, ONLINE)


def monthly_schedule(partitions: dg.MonthlyPartitionsDefinition) -> dg.ScheduleDefinition:
    """The schedule of `monthly`, which skips a month that is not one of `partitions`.

    Dagster's own schedule of a partitioned job asks for the last partition again at every tick after it.
    """

    @dg.schedule(
        name="monthly_schedule",
        job=MONTHLY,
        cron_schedule="0 4 2 * *",
        description="The 2nd of each month at 04:00, for the month that ended.",
    )
    def ended_month(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        month = Month.of(context.scheduled_execution_time).previous
        if str(month) not in partitions.get_partition_keys(context.scheduled_execution_time):
            return dg.SkipReason(f"{month} is not one of the monthly partitions: see CRM_FIRST_MONTH, CRM_LAST_MONTH")
        return dg.RunRequest(
            run_key=str(month),
            partition_key=str(month),
            tags={**asked_by(Trigger.SCHEDULE, f"{month} has ended"), **months_tag(month, month)},
        )

    return ended_month


def drift_schedule(settings: Settings, partitions: dg.MonthlyPartitionsDefinition) -> dg.ScheduleDefinition:
    """The schedule of `drift`, for the newest month that is scored; on where further months are expected."""

    @dg.schedule(
        name="drift_schedule",
        job=DRIFT,
        cron_schedule="0 5 * * 1",
        default_status=dg.DefaultScheduleStatus.RUNNING if partitions.end is None else dg.DefaultScheduleStatus.STOPPED,
        description="Mondays at 05:00: drift and performance of the newest month with scores.",
    )
    def newest_month(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            months = Lake.open(settings.dataset_url, create=False).months(SCORES.name)
        except (LakeError, StorageError) as error:
            return dg.SkipReason(f"the newest month cannot be told: {error}")
        if not months:
            return dg.SkipReason("the lake holds no month with scores")
        month = Month.parse(months[-1])
        if not partitions.has_partition_key(str(month)):
            return dg.SkipReason(f"{month} is not one of the monthly partitions: see CRM_FIRST_MONTH, CRM_LAST_MONTH")
        if going_on := run_going_on(context.instance):
            return dg.SkipReason(f"run {going_on} is going on, and may change what the reports are made of")
        return dg.RunRequest(
            run_key=f"{month} {context.scheduled_execution_time:%Y-%m-%d}",
            partition_key=str(month),
            tags={**asked_by(Trigger.SCHEDULE, f"weekly look at {month}"), **months_tag(month, month)},
        )

    return newest_month


def online_schedule(settings: Settings, partitions: dg.MonthlyPartitionsDefinition) -> dg.ScheduleDefinition:
    """The schedule of `online`, for the months of which more was logged; on where further months are expected."""

    @dg.schedule(
        name="online_schedule",
        job=ONLINE,
        cron_schedule="0 6 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING if partitions.end is None else dg.DefaultScheduleStatus.STOPPED,
        description="Daily at 06:00: months as of which the API has answered since they were last gathered.",
    )
    def logged_months(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            grown = logged_since(settings)
        except (LakeError, StorageError) as error:
            return dg.SkipReason(f"what the API was asked cannot be told: {error}")
        months = [month for month in grown if partitions.has_partition_key(str(month))]
        if not months:
            return dg.SkipReason("the API was asked nothing that is not gathered yet")
        if going_on := run_going_on(context.instance):
            return dg.SkipReason(f"run {going_on} is going on, and may gather it")
        asked = asked_by(Trigger.SCHEDULE, f"the API was asked as of {', '.join(map(str, months))}")
        return dg.RunRequest(
            run_key=f"{context.scheduled_execution_time:%Y-%m-%d}",
            tags={**asked, **range_tags(months[0], months[-1]), ONLY_OUT_OF_DATE_TAG: "true"},
        )

    return logged_months


def logged_since(settings: Settings) -> list[Month]:
    """The scored months as of which the API has answered what is not gathered yet, in order.

    Raises LakeError and StorageError when the lake cannot be read.
    """
    platform = Platform(settings)
    platform.lake = Lake.open(settings.dataset_url, create=False)
    logged = platform.log_marks(PREDICTION_LOG)
    held = {Month.parse(month) for month in platform.lake.months(SCORES.name)} if logged else set()
    return [month for month in sorted(held & logged.keys()) if stale_months(platform, ONLINE_ASSETS, [month])]
