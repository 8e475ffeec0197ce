"""The month's scores in the CRM: sent by the newest month of a run, where a target is set."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import CrmAssetsError, LakeError
from crm_assets.storage import StorageError
from crm_assets.writeback.content import contents
from crm_assets.writeback.delivery import deliver, sender
from crm_assets.writeback.journal import TRAIL, Journal
from crm_assets.writeback.plan import Outcome, plan
from crm_assets.writeback.target import folder_of, open_target, target_name

NO_TARGET = "no target: CRM_WRITEBACK_URL is not set"
FAULT = "fault"
"""Note that says why scores were not delivered."""


@monthly_asset(
    TRAIL,
    group="scoring",
    needs=(Needs(SCORES.name),),
    kinds=("parquet",),
    # How it is sent has no part in it: earlier months must not be made anew because a target's module was edited.
    code=("writeback/journal", "defs/writeback"),
    # What was sent cannot be made again from the lake, and must not be sent to see whether it can.
    probes_source=True,
)
def score_writeback(inputs: Inputs, month: Month) -> Made:
    """What was sent to the CRM of the month's scores, if a target is set; only the newest month is sent."""
    settings = inputs.settings
    if not settings.writeback_url:
        return Made(inputs.no_rows(TRAIL), notes={"status": NO_TARGET})
    try:
        name = target_name(settings)
        journal = Journal(inputs.platform.lake.records(folder_of(name)), name)
        notes = _older(inputs, month) or _sent(inputs, month, journal)
        trail = journal.trail()
    except (LakeError, StorageError):
        raise
    except CrmAssetsError as error:
        # Everything else of the month is made all the same; the asset's check fails, and tells the command.
        return Made(inputs.no_rows(TRAIL), notes={"status": "not sent", FAULT: str(error)})
    rows = trail.filter((pl.col("month") == str(month)) & (pl.col("opportunity_id") != ""))
    return Made(nw.from_native(rows.lazy()), notes={"target": name, **notes})


def _older(inputs: Inputs, month: Month) -> dict[str, str] | None:
    """Notes of a month that is not the newest of its run, of the lake or of the source; None for the newest."""
    newest = max([inputs.last_month, *inputs.held(SCORES.name), *inputs.source.months()])
    return None if month == newest else {"status": f"not sent, for {newest} is newer"}


def _sent(inputs: Inputs, month: Month, journal: Journal) -> dict[str, str | int | None]:
    """Send the month, and tell in notes what became of it."""
    settings = inputs.settings
    target = open_target(settings)
    planned = plan(journal.trail(), contents(inputs.frame(SCORES.name, month)), month)
    if not planned.is_needed:
        return {"status": "nothing to send", "unchanged": planned.unchanged}
    done = deliver(
        journal,
        target,
        planned,
        dataset=settings.dataset_name,
        by=sender("score_writeback"),
        check=inputs.platform.check_lock,
    )
    counts: dict[str, str | int | None] = {
        str(outcome).replace(" ", "_"): done.count(outcome) for outcome in Outcome if done.count(outcome)
    }
    refused = done.rows.filter(pl.col("outcome") == str(Outcome.REFUSED))
    fault = str(done.fault) if done.fault else None
    if fault is None and refused.height:
        first = refused.row(0, named=True)
        fault = f"{refused.height} were refused, such as {first['opportunity_id']}: {first['reason']}"
    return {
        "status": done.sentence(),
        **counts,
        "unchanged": planned.unchanged,
        **({FAULT: fault} if fault else {}),
    }
