from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.calendar import Month, month_range
from crm_assets.errors import SettingsError
from crm_assets.simulator import Drift, SimulationConfig

SEPTEMBER = Month(2017, 9)

DRIFTS = st.one_of(
    st.builds(
        Drift,
        st.just("price"),
        st.sampled_from(month_range(Month(2016, 10), Month(2017, 12))),
        st.floats(-0.9, 10).filter(bool),
        st.sampled_from([None, "GTX Pro"]),
    ),
    st.builds(
        Drift,
        st.just("win_rate"),
        st.sampled_from(month_range(Month(2016, 10), Month(2017, 12))),
        st.floats(0.01, 1),
        st.sampled_from([None, "Central", "East"]),
    ),
)


def test_defaults() -> None:
    config = SimulationConfig()
    assert (config.opportunities, config.seed) == (8800, 7)
    assert (config.first, config.last, len(config.months)) == (Month(2016, 10), Month(2017, 12), 15)
    assert config.url() == "simulator:"
    assert SimulationConfig.from_url("simulator:") == SimulationConfig.from_url("simulator:?") == config


def test_reads_every_key() -> None:
    url = "simulator:?opportunities=20000&seed=3&months=2017-01:2018-12&drift=price@2017-09:0.2"
    config = SimulationConfig.from_url(url)
    assert config == SimulationConfig(
        20000, Month(2017, 1), Month(2018, 12), 3, (Drift("price", SEPTEMBER, 0.2, None),)
    )
    assert config.url() == url


def test_reads_a_drift_with_and_without_target() -> None:
    assert Drift.parse("price@2017-09:0.2") == Drift("price", SEPTEMBER, 0.2)
    assert Drift.parse("win_rate@2017-09:0.33:Central") == Drift("win_rate", SEPTEMBER, 0.33, "Central")
    assert Drift.parse("price@2017-09:-0.5:GTX Pro") == Drift("price", SEPTEMBER, -0.5, "GTX Pro")


@given(
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.lists(DRIFTS, max_size=3),
)
def test_url_and_configuration_are_one_another(opportunities: int, seed: int, drifts: list[Drift]) -> None:
    config = SimulationConfig(opportunities=opportunities, seed=seed, drifts=tuple(drifts))
    assert SimulationConfig.from_url(config.url()) == config
    assert SimulationConfig.from_url(config.url()).url() == config.url()


def test_order_of_parameters_and_drifts_is_no_matter() -> None:
    one = SimulationConfig.from_url("simulator:?seed=3&drift=win_rate@2017-09:0.2&drift=price@2017-05:1")
    other = SimulationConfig.from_url("simulator:?drift=price@2017-05:1.0&drift=win_rate@2017-09:0.20&seed=03")
    assert one == other
    assert one.url() == other.url() == "simulator:?seed=3&drift=price@2017-05:1.0&drift=win_rate@2017-09:0.2"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sede=3", ["'sede'", "opportunities, seed, months, drift"]),
        ("seed", ["seed"]),
        ("seed=", ["seed", "''"]),
        ("seed=-1", ["seed", "'-1'"]),
        ("seed=1.5", ["seed", "'1.5'"]),
        ("seed=1&seed=2", ["'seed'", "twice"]),
        ("opportunities=many", ["opportunities", "'many'"]),
        ("opportunities=0", ["opportunities", "0", "at least 1"]),
        ("months=2017-13:2018-01", ["months", "'2017-13'"]),
        ("months=2018-01:2017-01", ["months", "2018-01"]),
        ("months=1066-10:1067-01", ["1066-10", "1900", "2200"]),
        ("drift=price", ["'price'", "KIND@YYYY-MM:SIZE"]),
        ("drift=prices@2017-09:0.2", ["'prices'", "price, region_mix, win_rate, new_product"]),
        ("drift=price@2017-9:0.2", ["'2017-9'"]),
        ("drift=price@2017-09:much", ["'much'"]),
        ("drift=price@2017-09:nan", ["nan"]),
        ("drift=price@2017-09:-1", ["above -1"]),
        ("drift=price@2017-09:0", ["not 0"]),
        ("drift=price@2017-09:0.2:GTXPro", ["'GTXPro'", "GTX Pro"]),
        ("drift=price@2017-09:0.2:", ["''"]),
        ("drift=price@2018-01:0.2", ["2018-01", "2016-10", "2017-12"]),
        ("drift=win_rate@2017-09:1.1", ["at most 1"]),
        ("drift=win_rate@2017-09:0.2:North", ["'North'", "Central, East, West"]),
        ("drift=region_mix@2017-09:0.7:Central", ["Central", "0.40", "0.60"]),
        ("drift=new_product@2017-09:1", ["between 0 and 1"]),
        ("drift=new_product@2017-09:0.1:GTX Pro", ["'GTX Pro'", "exists"]),
        ("drift=new_product@2017-09:0.1&drift=new_product@2017-10:0.1", ["'Helix 300'", "exists"]),
        ("drift=price@2017-08:0.1:Helix 300&drift=new_product@2017-09:0.1", ["'Helix 300'", "2017-08"]),
    ],
)
def test_bad_input_is_named_with_what_is_allowed(query: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        SimulationConfig.from_url(f"simulator:?{query}")
    for word in words:
        assert word in str(caught.value)


def test_another_scheme_is_refused() -> None:
    with pytest.raises(SettingsError, match="kaggle:x"):
        SimulationConfig.from_url("kaggle:x")


def test_region_shares_add_up_over_several_drifts() -> None:
    SimulationConfig.from_url("simulator:?drift=region_mix@2017-03:0.5:Central&drift=region_mix@2017-05:0.5:East")
    with pytest.raises(SettingsError, match=r"0\.90"):
        SimulationConfig.from_url(
            "simulator:?drift=region_mix@2017-03:0.5:Central&drift=region_mix@2017-05:0.2:Central"
        )
