from __future__ import annotations

from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import LOST, WON
from crm_assets.simulator import Simulation, SimulationConfig, simulate

START = Month(2017, 8)
DRIFTS = (
    "price@2017-08:0.2",
    "price@2017-08:-0.4:GTX Pro",
    "region_mix@2017-08:0.15",
    "region_mix@2017-08:0.3:East",
    "win_rate@2017-08:0.33:Central",
    "win_rate@2017-08:0.5",
    "new_product@2017-08:0.1",
    "new_product@2017-08:0.25:Helix 50",
)


@cache
def simulated(drift: str | None, opportunities: int = 20_000) -> Simulation:
    query = f"?opportunities={opportunities}" + (f"&drift={drift}" if drift else "")
    return simulate(SimulationConfig.from_url(f"simulator:{query}"))


def closed_from(simulation: Simulation, month: Month) -> pl.DataFrame:
    tables = simulation.late_export()
    pipeline = tables["sales_pipeline"].with_columns(pl.col("product").replace({"GTXPro": "GTX Pro"}))
    return pipeline.filter(pl.col("close_date") >= month.start).join(tables["sales_teams"], on="sales_agent")


def created_from(simulation: Simulation, month: Month) -> pl.DataFrame:
    tables = simulation.late_export()
    already = len(simulation.tables(month.previous)["sales_pipeline"])
    return tables["sales_pipeline"].slice(already).join(tables["sales_teams"], on="sales_agent")


@pytest.mark.parametrize("drift", DRIFTS)
def test_nothing_before_the_drift_is_touched(drift: str) -> None:
    plain, drifted = simulated(None), simulated(drift)
    for month in month_range(Month(2016, 10), START.previous):
        for name, frame in plain.tables(month).items():
            assert_frame_equal(frame, drifted.tables(month)[name], check_exact=True)
        if month < START.previous:
            assert_frame_equal(plain.truth(month), drifted.truth(month), check_exact=True)
    before = pl.col("changed_at") < START.start
    assert_frame_equal(plain.events().filter(before), drifted.events().filter(before), check_exact=True)
    assert not plain.late_export()["sales_pipeline"].equals(drifted.late_export()["sales_pipeline"])


def test_a_later_drift_does_not_touch_an_earlier_one() -> None:
    one = simulated("region_mix@2017-08:0.15")
    two = simulated("region_mix@2017-08:0.15&drift=new_product@2017-10:0.2")
    for name, frame in one.tables(Month(2017, 9)).items():
        assert_frame_equal(frame, two.tables(Month(2017, 9))[name], check_exact=True)


def test_price() -> None:
    plain, drifted = simulated(None), simulated("price@2017-08:0.2")
    old = plain.late_export()["products"]
    new = drifted.tables(START)["products"]
    assert new["sales_price"].to_list() == [round(price * 1.2) for price in old["sales_price"]]
    won = pl.col("deal_stage") == WON
    before, after = closed_from(plain, START).filter(won), closed_from(drifted, START).filter(won)
    assert before["opportunity_id"].equals(after["opportunity_id"])
    ratio = after["close_value"] / before["close_value"]
    assert ratio.median() == pytest.approx(1.2, abs=0.01)
    assert ratio.min() == pytest.approx(1.2, abs=0.05)


def test_price_of_one_product() -> None:
    old = simulated(None).late_export()["products"]
    new = simulated("price@2017-08:-0.4:GTX Pro").tables(START)["products"]
    assert new.filter(new["sales_price"] != old["sales_price"]).rows() == [("GTX Pro", "GTX", 4750 * 0.6)]


def test_prices_of_two_drifts_multiply() -> None:
    drifted = simulated("price@2017-08:0.5&drift=price@2017-10:1:GTX Pro")
    prices = [
        dict(drifted.tables(month)["products"].select("product", "sales_price").iter_rows())["GTX Pro"]
        for month in month_range(Month(2017, 7), Month(2017, 10))
    ]
    assert prices == [4750, 7125, 7125, 14250]


@pytest.mark.parametrize(("drift", "region", "size"), [(DRIFTS[2], "West", 0.15), (DRIFTS[3], "East", 0.3)])
def test_region_mix(drift: str, region: str, size: float) -> None:
    def shares(simulation: Simulation) -> dict[str, float]:
        return dict(created_from(simulation, START)["regional_office"].value_counts(normalize=True).iter_rows())

    before, after = shares(simulated(None)), shares(simulated(drift))
    assert after[region] - before[region] == pytest.approx(size, abs=0.02)
    kept = {name: after[name] / before[name] for name in before if name != region}
    assert len(kept) == 2
    assert max(kept.values()) == pytest.approx(min(kept.values()), abs=0.06)


@pytest.mark.parametrize(("drift", "hit"), [(DRIFTS[4], {"Central"}), (DRIFTS[5], {"Central", "East", "West"})])
def test_win_rate(drift: str, hit: set[str]) -> None:
    factor = 1 - float(drift.split(":")[1])
    for region in ("Central", "East", "West"):
        closed = [closed_from(simulated(name), START).filter(regional_office=region) for name in (None, drift)]
        assert closed[0]["opportunity_id"].equals(closed[1]["opportunity_id"])
        rates = [(frame["deal_stage"] == WON).to_numpy().mean() for frame in closed]
        if region in hit:
            assert rates[1] / rates[0] == pytest.approx(factor, abs=0.04)
            turned = closed[1].filter(closed[0]["deal_stage"] != closed[1]["deal_stage"])
            assert turned["deal_stage"].eq(LOST).all()
        else:
            assert closed[0].equals(closed[1])


@pytest.mark.parametrize(("drift", "name", "size"), [(DRIFTS[6], "Helix 300", 0.1), (DRIFTS[7], "Helix 50", 0.25)])
def test_new_product(drift: str, name: str, size: float) -> None:
    simulation = simulated(drift)
    for month in simulation.config.months:
        tables = simulation.tables(month)
        assert (name in tables["products"]["product"]) == (month >= START)
        if month < START:
            assert name not in tables["sales_pipeline"]["product"]
    sold = created_from(simulation, START)["product"]
    assert (sold == name).mean() == pytest.approx(size, abs=0.015)
    assert closed_from(simulation, START).filter(product=name, deal_stage=WON).height > 10
