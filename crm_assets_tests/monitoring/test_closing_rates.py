from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.monitoring.closing_rates import WonShare, won_shares

MONTHS = ("2017-03", "2017-04", "2017-05", "2017-06", "2017-07", "2017-08")
BY_POSITION = {1: 0.5, 2: 0.55, 3: 0.8}
REGIONS = {"Central": 270, "East": 140, "West": 190}


def closings(position: int, seed: int, **lost: float) -> pd.DataFrame:
    """Closings of a month at a position; `lost` is by how much a region wins less."""
    random = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "regional_office": region,
                "won": random.binomial(1, BY_POSITION[position] * (1 - lost.get(region, 0.0)), count),
            }
        )
        for region, count in REGIONS.items()
    ]
    return pd.concat(frames, ignore_index=True)


def reference(seed: int = 1, months: tuple[str, ...] = MONTHS) -> pd.DataFrame:
    rows = [
        closings((int(month[-2:]) - 1) % 3 + 1, seed * 100 + number).assign(snapshot_month=month)
        for number, month in enumerate(months)
    ]
    return pd.concat(rows, ignore_index=True)


def of(found: list[WonShare], region: str | None) -> WonShare:
    return next(share for share in found if share.region == region)


def test_p_values_of_months_that_do_not_differ_are_spread_evenly() -> None:
    found = [of(won_shares(reference(seed), closings(3, seed), 3), "East").p_value for seed in range(200)]
    assert 0.4 < float(np.mean([p or 0 for p in found])) < 0.65
    assert sum((p or 0) < 0.01 for p in found) <= 7


@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("region", REGIONS)
def test_a_third_fewer_wins_in_a_region_are_seen_there(position: int, region: str) -> None:
    seen = [
        of(won_shares(reference(seed), closings(position, 50 + seed, **{region: 1 / 3}), position), region)
        for seed in range(20)
    ]
    assert sum((share.p_value or 1) < 0.0075 for share in seen) >= 13
    assert np.mean([share.change or 0 for share in seen]) == pytest.approx(-1 / 3, abs=0.06)


def test_one_month_of_the_position_is_enough() -> None:
    found = won_shares(reference(months=MONTHS[:2]), closings(3, 9), 3)
    assert all(share.p_value is not None and share.p_value > 0.001 for share in found)


def test_a_position_the_reference_lacks_is_not_tested() -> None:
    found = won_shares(reference(months=MONTHS[:2]), closings(2, 9), 2)
    assert {share.p_value for share in found} == {None}
    assert found[0].reason == "the reference has 0 closings in the second month of a quarter, 30 are needed"


def test_months_that_differ_by_more_than_chance_widen_the_test() -> None:
    uneven = reference()
    for month, nth in (("2017-03", 10_000), ("2017-06", 3)):
        rows = uneven[(uneven["snapshot_month"] == month) & (uneven["regional_office"] == "West")].index
        uneven.loc[rows, "won"] = [int(number % nth != 0) for number in range(1, len(rows) + 1)]
    even, widened = (of(won_shares(before, closings(3, 5, West=0.3), 3), "West") for before in (reference(), uneven))
    assert even.expected == pytest.approx(widened.expected, rel=0.05)
    assert even.statistic is not None
    assert widened.statistic is not None
    assert even.statistic < 1.5 * widened.statistic < 0


def test_a_region_the_reference_lacks_is_not_tested() -> None:
    now = pd.concat([closings(3, 1), pd.DataFrame({"regional_office": "North", "won": [1] * 40})])
    found = won_shares(reference(), now, 3)
    assert of(found, "North").reason == "0 closings, 10 are needed on each side"
    assert of(found, None).closings == sum(REGIONS.values())
