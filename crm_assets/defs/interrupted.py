"""Runs whose process was killed: Dagster would show them as going on for ever, so they are marked as failed."""

from __future__ import annotations

import dagster as dg

from crm_assets.defs.run_tags import GOING_ON, process_of


def fail_interrupted(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs as failed that a process of this machine began and cannot finish any more, for it is gone.

    Returns their ids. Runs of other machines and containers are left alone, as nothing is known of their processes.
    """
    marked = []
    going_on = [dg.DagsterRunStatus[name] for name in GOING_ON]
    for run in instance.get_runs(dg.RunsFilter(statuses=going_on)):
        process = process_of(run.run_id, run.tags)
        if process is None or not process.is_gone:
            continue
        # It may have ended well between the two looks.
        current = instance.get_run_by_id(run.run_id)
        if current is None or current.is_finished:
            continue
        instance.report_run_failed(current, f"{process.name} was killed; run the months again, nothing stored is lost")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        marked.append(run.run_id)
    return marked


@dg.sensor(
    name="interrupted_runs",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process was killed, so that they hold up no other.",
)
def interrupted_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One look, every minute."""
    marked = fail_interrupted(context.instance)
    return dg.SkipReason(f"marked as failed: {', '.join(marked)}" if marked else "no run whose process is gone")
