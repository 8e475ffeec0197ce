"""One job per purpose, and the schedule of the monthly one."""

import dagster as dg

from crm_assets.calendar import Month

REASON_TAG = "crm_assets/retrain_reason"
"""Tag of a run that trains models anew with tuned candidates: why."""

MONTHLY = dg.define_asset_job(
    "monthly",
    dg.AssetSelection.all(),
    description="A month from raw tables to scores, forecast and monitoring; runs on the 2nd for the month that ended.",
)
RETRAIN = dg.define_asset_job(
    "retrain",
    dg.AssetSelection.assets("backtest_predictions", "candidate_predictions", "leakage_report").downstream(),
    description="A month's model anew, with what depends on it, from features that are in the lake already.",
)
BACKFILL = dg.define_asset_job(
    "backfill",
    dg.AssetSelection.all(),
    description="A range of months in one process: set the tags dagster/asset_partition_range_start and _end.",
)
JOBS = (MONTHLY, RETRAIN, BACKFILL)


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
        return dg.RunRequest(run_key=str(month), partition_key=str(month))

    return ended_month
