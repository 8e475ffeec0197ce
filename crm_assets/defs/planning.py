"""What a backfill would make and why, told by the code location itself: it alone knows source, lake and settings.

Dagster has no query for it, so it is a sensor that is never turned on. The client has it evaluated once (`sensorDryRun`
in Dagster's GraphQL), with the question as its cursor; the cursor it sets is the answer.
"""

import json

import dagster as dg

from crm_assets.backfill_plan import Cause, MissingInputError, MonthRangeError, Plan, Question, check_months, plan_of
from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import stale_months
from crm_assets.errors import CrmAssetsError
from crm_assets.lake.staleness import NEVER_WRITTEN, NOT_AS_WRITTEN
from crm_assets.settings import Settings

SENSOR = "backfill_plan"
_PARTITIONS = "the code location, whose months follow from source, CRM_FIRST_MONTH and CRM_LAST_MONTH,"


def planned(platform: Platform, question: Question) -> Plan:
    """What a backfill would make and why.

    Args:
        platform: the deployment, its manifests not read before something else may have written.
        question: what is asked.

    Raises CrmAssetsError when the source or the lake cannot be read, when an asset or a month is asked for that there
    is not, and when something is asked for that is made of what is missing and not asked for.
    """
    # Before the lake is looked at, which takes longer.
    assets = plan_of(question, [asset.name for asset in ASSETS], {}).assets
    check_gap(platform, question.first)
    stale = stale_months(platform, ASSETS, question.months)
    missing = {
        (asset, month) for month, found in stale.items() for asset in found if platform.manifest(asset, month) is None
    }
    _check_inputs(assets, question.months, missing)
    why: dict[Month, dict[str, tuple[Cause, str]]] = {}
    for month, found in stale.items():
        for asset, reason in found.items():
            # Of what was never made, it says little that its inputs are out of date.
            gone = (asset, month) in missing
            why.setdefault(month, {})[asset] = ("missing", "missing") if gone else (cause_of(reason), reason)
    return plan_of(question, [asset.name for asset in ASSETS], why)


def check_gap(platform: Platform, first: Month) -> None:
    """Raise MonthRangeError when the lake ends earlier than the month before `first`: months build on each other."""
    earlier = [month for month in platform.lake.months(ASSETS[0].name) if month < str(first)]
    if earlier and earlier[-1] != str(first.previous):
        gap = Month.parse(earlier[-1]).next
        raise MonthRangeError(
            f"months out of order: {platform.lake.url} ends with {earlier[-1]}, so {gap} is missing before {first}: "
            f"begin with {gap}"
        )


def cause_of(reason: str) -> Cause:
    """In a word, what `stale_months` says of one asset."""
    if reason == NEVER_WRITTEN:
        return "missing"
    if reason == NOT_AS_WRITTEN:
        return "damaged"
    if reason.startswith("code version "):
        return "code changed"
    if reason.startswith("input ") or reason.endswith(" is out of date"):
        return "inputs changed"
    return "settings changed" if reason.startswith("setting ") else "lost"


def _check_inputs(assets: tuple[str, ...], months: list[Month], missing: set[tuple[str, Month]]) -> None:
    """Raise when one of the assets reads a month of another that is missing and will not be made."""
    for asset in ASSETS:
        if asset.name not in assets:
            continue
        for needs in asset.needs:
            if needs.asset in assets:
                continue
            for month in months:
                for needed in needs.months(month):
                    if (needs.asset, needed) in missing:
                        raise MissingInputError(
                            f"{asset.name} of {month} is made of {needs.asset} of {needed}, which is missing: ask for "
                            "it too, or leave assets out for all"
                        )


def planning_sensor(settings: Settings, partitions: dg.MonthlyPartitionsDefinition) -> dg.SensorDefinition:
    """The sensor that answers a `Question` with `{"plan": ...}`, or with `{"error": ...}`."""

    @dg.sensor(
        name=SENSOR,
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=24 * 60 * 60,
        description="Answers the Python SDK what a backfill would make, and why. It starts nothing: leave it off.",
    )
    def backfill_plan(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        try:
            question = Question.from_json(context.cursor or "")
        except (ValueError, CrmAssetsError):
            return dg.SkipReason("Nothing was asked: crm_assets.client.Platform.plan asks with a cursor")
        context.update_cursor(json.dumps(answer(settings, partitions, question)))
        return dg.SkipReason("The answer is the cursor")

    return backfill_plan


def answer(settings: Settings, partitions: dg.MonthlyPartitionsDefinition, question: Question) -> dict[str, object]:
    """The plan, or what is wrong, as plain values."""
    try:
        check_months(question.months, partitions.get_partition_keys(), _PARTITIONS)
        # Opened anew, for source and lake may have changed since anything was last asked.
        return {"plan": planned(Platform(settings), question).as_dict()}
    except CrmAssetsError as error:
        return {"error": {"type": type(error).__name__, "message": str(error), "exit_code": error.exit_code}}
