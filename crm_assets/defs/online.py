"""Online traffic: what the API was asked as of a month, gathered from its log, and how that differs from normal."""

from __future__ import annotations

from dataclasses import replace

import narwhals as nw

from crm_assets.calendar import Month
from crm_assets.defs.drift import DRIFT_SETTINGS, made_of, thresholds_of
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.defs.scoring import SCORES
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.monitoring.drift import drift_report
from crm_assets.monitoring.drift_columns import ONLINE_DRIFT
from crm_assets.monitoring.prediction_log import ONLINE_PREDICTIONS, PREDICTION_LOG
from crm_assets.monitoring.reference import INTAKE_READ, REFERENCE
from crm_assets.monitoring.reference_rows import comparable
from crm_assets.monitoring.status import NO_SCORES, NOT_ASKED, NOT_COMPARED
from crm_assets.monitoring.traffic import askable, figures, traffic_rows

_GROUP = "monitoring"


@monthly_asset(
    ONLINE_PREDICTIONS,
    group=_GROUP,
    needs=(Needs(SCORES.name),),
    kinds=("parquet",),
    code=("monitoring/prediction_log", "monitoring/traffic", "lake/log", "defs/online"),
    log=PREDICTION_LOG,
)
def online_predictions(inputs: Inputs, month: Month) -> Made:
    """What the API answered as of the month, gathered from its log; made again when more of the month is logged."""
    asked = inputs.logged(month)
    told = figures(asked, inputs.frame(SCORES.name, month).lazy())
    return Made(nw.from_native(asked), notes=told or {"status": NOT_ASKED})


@monthly_asset(
    ONLINE_DRIFT,
    group=_GROUP,
    needs=(
        Needs(ONLINE_PREDICTIONS.name),
        Needs(FEATURE_TABLE.name),
        Needs(SCORES.name),
        Needs(REFERENCE.name),
    ),
    kinds=("evidently",),
    code=("monitoring", "defs/drift", "defs/online"),
    settings=DRIFT_SETTINGS,
)
def online_drift_report(inputs: Inputs, month: Month) -> Made:
    """What the API was asked about against the champion's reference, by the rules of `drift_report`."""
    told = inputs.notes(ONLINE_PREDICTIONS.name, month)
    if told.get("status") == NOT_ASKED:
        return _not_compared(inputs, NOT_ASKED)
    version = inputs.frame(SCORES.name, month, ["model_version"])["model_version"]
    if version.is_empty():
        return _not_compared(inputs, NO_SCORES)
    features = inputs.frame(FEATURE_TABLE.name, month, ["opportunity_id", *INTAKE_READ])
    report = drift_report(
        traffic_rows(inputs.scan(ONLINE_PREDICTIONS.name, month), features, month, version[0]),
        comparable(askable(inputs.frame(REFERENCE.name, month)), month),
        month=month,
        model_version=version[0],
        thresholds=thresholds_of(inputs),
    )
    made = made_of(report, inputs, ONLINE_DRIFT)
    return replace(made, notes={**made.notes, **{name: told[name] for name in ("requests", "callers")}})


def _not_compared(inputs: Inputs, reason: str) -> Made:
    return Made(inputs.no_rows(ONLINE_DRIFT), notes={"status": NOT_COMPARED, "reason": reason})


ONLINE_ASSETS = (online_predictions, online_drift_report)
