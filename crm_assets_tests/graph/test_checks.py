"""What a check of months tells Dagster of a run over several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from crm_assets.alerts.observing import MONTH_AT_FAULT
from crm_assets.calendar import Month
from crm_assets.defs.checks import MonthlyCheck, Verdict, asset_check
from crm_assets.defs.platform import Platform

FIRST, MIDDLE, LAST = Month(2017, 1), Month(2017, 2), Month(2017, 3)
PARTITIONS = dg.StaticPartitionsDefinition([str(month) for month in (FIRST, MIDDLE, LAST)])


def evaluated(verdict: Callable[[Platform, Month], Verdict], *, blocking: bool) -> Sequence[dg.AssetCheckEvaluation]:
    """What is told of a run over all months."""

    @dg.asset(partitions_def=PARTITIONS)
    def table() -> None: ...

    check = MonthlyCheck("table", "right", verdict, blocking=blocking, description="")
    definitions = dg.Definitions(
        assets=[table],
        asset_checks=[asset_check(check)],
        jobs=[dg.define_asset_job("all_months", dg.AssetSelection.all())],
        resources={"platform": dg.ResourceDefinition.hardcoded_resource(None)},
    )
    told = definitions.resolve_job_def("all_months").execute_in_process(
        tags={ASSET_PARTITION_RANGE_START_TAG: str(FIRST), ASSET_PARTITION_RANGE_END_TAG: str(LAST)},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    return told.get_asset_check_evaluations()


@pytest.mark.parametrize("blocking", [False, True])
def test_the_newest_month_at_fault_is_named(blocking: bool) -> None:
    (told,) = evaluated(
        lambda _, month: Verdict(None if month == FIRST else f"{month} is wrong", {"rows": month.number}),
        blocking=blocking,
    )
    assert not told.passed
    assert told.metadata[MONTH_AT_FAULT].value == str(LAST)
    assert told.metadata["earlier_months_at_fault"].value == str(MIDDLE)
    assert told.metadata["rows"].value == LAST.number
    assert told.description == (f"{MIDDLE} is wrong | {LAST} is wrong" if blocking else f"{LAST} is wrong")
    assert told.severity == (dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN)


def test_an_earlier_month_at_fault_stops_what_blocks_and_is_only_noted_elsewhere() -> None:
    def verdict(_: Platform, month: Month) -> Verdict:
        return Verdict("wrong" if month == MIDDLE else None, {}, severe=True)

    (warned,) = evaluated(verdict, blocking=False)
    assert warned.passed
    assert MONTH_AT_FAULT not in warned.metadata
    assert warned.metadata["earlier_months_at_fault"].value == str(MIDDLE)


def test_a_check_that_had_nothing_to_judge_in_the_newest_month_tells_nothing() -> None:
    assert not evaluated(
        lambda _, month: Verdict(None, {}, skipped="nothing" if month == LAST else None), blocking=False
    )
