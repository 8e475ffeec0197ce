"""The plan of a backfill on a finished run, told by the deployment itself."""

from __future__ import annotations

import pytest

from crm_assets.client import MonthRangeError, Platform
from crm_assets.defs.assets import ASSETS
from crm_assets.settings import Settings
from crm_assets_tests.graph.conftest import Finished, cut


def test_the_plan_of_a_lake_that_was_cut_is_what_is_missing(copied: Settings, finished: Finished) -> None:
    platform = Platform.local(settings=copied)
    assert not platform.plan(start=finished.result.months[0], end=finished.last)
    cut(copied, finished.last.shift(-2))
    plan = platform.plan(start=finished.result.months[0], end=finished.last)
    assert plan.months == [finished.last.previous, finished.last]
    assert len(plan) == 2 * len(ASSETS)
    with pytest.raises(MonthRangeError, match="does not have 2018-01"):
        platform.plan(start=finished.last, end=finished.last.next)
