"""History: snapshots of the pipeline, the rows kept out of them, daily closings and outcomes."""

from __future__ import annotations

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.history import closings, outcomes, snapshots
from crm_assets.history.quality import pipeline_quality

_GROUP = "history"
_CODE = ("history", "engines", "defs/history")
_RAW_NAMES = ("raw/sales_pipeline", "raw/products", "raw/sales_teams")
_RAW = tuple(Needs(name) for name in _RAW_NAMES)


@monthly_asset(snapshots.QUARANTINE, group=_GROUP, needs=_RAW, kinds=("parquet",), code=_CODE)
def quarantined_opportunities(inputs: Inputs, month: Month) -> Made:
    """Rows of sales_pipeline that break a rule of the contract, with every reason; they enter no snapshot."""
    pipeline, products, teams = inputs.engine_frames(*_RAW_NAMES, month=month)
    _, bad = snapshots.snapshot(pipeline, products, teams, month)
    return Made(bad)


@monthly_asset(
    snapshots.SNAPSHOTS,
    group=_GROUP,
    needs=(*_RAW, Needs("raw/accounts"), Needs(snapshots.QUARANTINE.name)),
    kinds=("parquet",),
    code=_CODE,
)
def opportunity_snapshots(inputs: Inputs, month: Month) -> Made:
    """What the CRM knew of every opportunity at the month-end, spellings mended, bad rows left out."""
    pipeline, products, teams = inputs.engine_frames(*_RAW_NAMES, month=month)
    good, _ = snapshots.snapshot(pipeline, products, teams, month)
    landed = inputs.notes(_RAW_NAMES[0], month)
    quarantined = inputs.frame(snapshots.QUARANTINE.name, month)
    (accounts,) = inputs.engine_frames("raw/accounts", month=month)
    quality = pipeline_quality(
        pipeline,
        accounts,
        snapshots.reason_counts(quarantined["reasons"]),
        quarantined=quarantined.height,
        account_known=not landed["rolled_back"],
    )
    return Made(good, notes={**quality.as_notes(), "evidence": landed["evidence"]})


@monthly_asset(
    closings.DAILY_CLOSINGS, group=_GROUP, needs=(Needs(snapshots.SNAPSHOTS.name),), kinds=("parquet",), code=_CODE
)
def daily_closings(inputs: Inputs, month: Month) -> Made:
    """Deals closed by the month-end by day, agent and product: the history that features are rolled up from."""
    (taken,) = inputs.engine_frames(snapshots.SNAPSHOTS.name, month=month)
    return Made(closings.daily_closings(taken))


@monthly_asset(
    outcomes.OUTCOMES, group=_GROUP, needs=(Needs(snapshots.SNAPSHOTS.name, -1, 0),), kinds=("parquet",), code=_CODE
)
def opportunity_outcomes(inputs: Inputs, month: Month) -> Made:
    """What this month-end tells about the book of the month before: won, lost or still open. Others stay censored."""
    if len(inputs.months(snapshots.SNAPSHOTS.name, month)) == 1:
        return Made(inputs.no_rows(outcomes.OUTCOMES), notes={"status": "no month before"})
    previous, current = inputs.engine_frames_of(snapshots.SNAPSHOTS.name, [month.previous, month])
    return Made(outcomes.outcomes(previous, current))


HISTORY_ASSETS = (quarantined_opportunities, opportunity_snapshots, daily_closings, opportunity_outcomes)
