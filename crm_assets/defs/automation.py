"""Automation conditions: what follows by itself from what a person does in Dagster by hand, named and with the reason.

A month that lands is not their business: the sensor `landing` asks for one run that makes all of it. They see to what
is left, for the newest month alone, and stay out of the way of runs that make all that follows by themselves.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from crm_assets.defs.monthly import MonthlyAsset
from crm_assets.defs.run_tags import COMPLETE_TAG, REASON_TAG, TRIGGER_TAG, Trigger

SECONDS_BETWEEN_TICKS = 60

Condition = dg.AutomationCondition[Any]


def automation_condition(asset: MonthlyAsset) -> Condition | None:
    """When an asset's newest month is asked for; None for what is read from the source, which the sensor asks for."""
    if asset.source_fingerprint:
        return None
    key = dg.AssetKey(asset.key)
    return after_inputs_changed(key) | missing_of_newest_month(key)


def after_inputs_changed(key: dg.AssetKey) -> Condition:
    """Something that the newest month is made of was made again by hand.

    For example a person made `opportunity_features` again from its page, or `win_model` after a rollback. Runs that
    make all that follows do not count, nor does what is made again of earlier months: that is a run over the range.
    """
    by_hand = (
        dg.AutomationCondition.newly_updated()
        & dg.AutomationCondition.in_latest_time_window()
        & ~dg.AutomationCondition.executed_with_root_target()
        & ~dg.AutomationCondition.executed_with_tags(tag_values={COMPLETE_TAG: "true"})
    ).with_label("made_by_hand")
    changed = dg.AutomationCondition.any_deps_match(by_hand | dg.AutomationCondition.will_be_requested())
    return (_may_be_made(key) & changed.with_label("an_input_changed").since_last_handled()).with_label(
        "after_inputs_changed"
    )


def missing_of_newest_month(key: dg.AssetKey) -> Condition:
    """The newest month lacks the asset, and everything it is made of is there.

    For example an asset is new, or a run that a person started made only some of them. One that failed is not tried
    again: the same data and code fail again, and a server that was away has been tried for a minute.
    """
    missing = dg.AutomationCondition.missing().newly_true().since_last_handled()
    return (
        _may_be_made(key) & missing.with_label("newly_missing") & ~dg.AutomationCondition.execution_failed()
    ).with_label("missing_of_newest_month")


def _may_be_made(key: dg.AssetKey) -> Condition:
    """The newest month, with its inputs there and not being made, their blocking checks passed, and no run for it."""
    # Of older months, which mappings reach back to, some may lie before the source begins.
    missing = (
        dg.AutomationCondition.missing()
        & dg.AutomationCondition.in_latest_time_window()
        & ~dg.AutomationCondition.will_be_requested()
    )
    # The checks of an input that is made in the same run are looked at in that run, which stops where one fails; an
    # asset that reads its own earlier months is made anew just because its own check failed.
    passed = dg.AutomationCondition.all_checks_match(dg.AutomationCondition.check_passed(), blocking_only=True)
    all_passed = dg.AutomationCondition.all_deps_match(passed | dg.AutomationCondition.will_be_requested())
    return (
        dg.AutomationCondition.in_latest_time_window()
        & ~dg.AutomationCondition.any_deps_match(missing).with_label("an_input_is_missing")
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        & all_passed.ignore(dg.AssetSelection.assets(key)).with_label("all_blocking_checks_of_inputs_passed")
    )


def conditions_sensor(partitions: dg.MonthlyPartitionsDefinition) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions; it runs from the start where further months are expected."""
    return dg.AutomationConditionSensorDefinition(
        name="conditions",
        target=dg.AssetSelection.all(),
        run_tags={
            TRIGGER_TAG: str(Trigger.CONDITION),
            REASON_TAG: "an automation condition: see the evaluation on the asset's page",
        },
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=(dg.DefaultSensorStatus.RUNNING if partitions.end is None else dg.DefaultSensorStatus.STOPPED),
        description="Makes what follows from what a person made again by hand in the newest month, and what it lacks: "
        "docs/automation.md.",
    )
