from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES, ENGAGING, LOST, PROSPECTING, SALES_PIPELINE, STAGES, WON
from crm_assets.errors import SettingsError
from crm_assets.simulator import Simulation, SimulationConfig, simulate

DEFAULT_MONTHS = SimulationConfig().months
ALIASES = {wrong: right for table in CRM_TABLES for column in table.columns for wrong, right in column.aliases.items()}

CONFIGS = st.builds(
    lambda opportunities, seed, start, months: SimulationConfig(
        opportunities, Month(2015, 1).shift(start), Month(2015, 1).shift(start + months - 1), seed
    ),
    st.sampled_from([1, 2, 7, 60, 900]),
    st.integers(0, 10**6),
    st.integers(0, 36),
    st.integers(1, 24),
)


@cache
def default() -> Simulation:
    return simulate(SimulationConfig())


def digest(simulation: Simulation) -> str:
    frames = [*simulation.late_export().values(), simulation.events(), simulation.truth(simulation.config.last)]
    return hashlib.sha256("".join(frame.write_csv() for frame in frames).encode()).hexdigest()


def with_days(simulation: Simulation) -> pl.DataFrame:
    """The late export's opportunities with their region and days to close."""
    tables = simulation.late_export()
    return (
        tables["sales_pipeline"]
        .join(tables["sales_teams"], on="sales_agent")
        .with_columns(days=(pl.col("close_date") - pl.col("engage_date")).dt.total_days())
    )


def test_equal_seeds_give_equal_data_in_every_process() -> None:
    here = digest(simulate(SimulationConfig(500)))
    assert digest(simulate(SimulationConfig(500))) == here
    program = (
        "from crm_assets.simulator import *; from crm_assets_tests.simulator.test_simulation import digest; "
        "print(digest(simulate(SimulationConfig(500))))"
    )
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == here


def test_another_seed_gives_another_crm() -> None:
    one, other = simulate(SimulationConfig(500)).late_export(), simulate(SimulationConfig(500, seed=8)).late_export()
    for table in ("sales_pipeline", "accounts", "sales_teams"):
        assert not one[table].equals(other[table])
    assert not set(one["sales_pipeline"]["opportunity_id"]) & set(other["sales_pipeline"]["opportunity_id"])


@settings(max_examples=25, deadline=None)
@given(CONFIGS, st.data())
def test_extracts_conform_to_the_contract(config: SimulationConfig, data: st.DataObject) -> None:
    month = data.draw(st.sampled_from(config.months))
    tables = simulate(config).tables(month)
    assert list(tables) == [table.name for table in CRM_TABLES]
    for table in CRM_TABLES:
        frame = tables[table.name]
        assert frame.schema == table.polars_schema()
        table.pandera_schema().validate(frame)
        for column in table.columns:
            if column.references is not None:
                referred = tables[column.references[0]][column.references[1]]
                values = frame[column.name].drop_nulls().replace(ALIASES)
                assert values.is_in(referred.implode()).all()


@settings(max_examples=25, deadline=None)
@given(CONFIGS)
def test_histories_only_go_forward(config: SimulationConfig) -> None:
    simulation = simulate(config)
    before = simulation.tables(config.first)["sales_pipeline"].clear()
    for month in config.months:
        now = simulation.tables(month)["sales_pipeline"]
        engaged, closed = pl.col("engage_date").is_not_null(), pl.col("close_date").is_not_null()
        by_stage = {
            PROSPECTING: ~engaged & ~closed,
            ENGAGING: engaged & ~closed,
            WON: engaged & closed & (pl.col("close_value") > 0),
            LOST: engaged & closed & (pl.col("close_value") == 0),
        }
        for stage, rule in by_stage.items():
            assert now.filter(pl.col("deal_stage") == stage).select(rule.all()).item()
        assert now.select((pl.col("close_value").is_null() == ~closed).all()).item()
        assert now.select((pl.col("account").is_not_null() | ~closed).all()).item()
        assert now.select((pl.col("engage_date") <= month.end).all() & (pl.col("close_date") <= month.end).all()).item()
        days = (pl.col("close_date") - pl.col("engage_date")).dt.total_days()
        assert now.select(days.is_between(1, 138).all()).item()

        same = now.head(len(before))
        assert_frame_equal(same.select("opportunity_id", "sales_agent", "product"), before.select(same.columns[:3]))
        assert_frame_equal(same.filter(before["close_date"].is_not_null()), before.filter(closed))
        for column in ("account", "engage_date"):
            assert_frame_equal(
                same.filter(before[column].is_not_null()).select(column), before.drop_nulls(column).select(column)
            )
        # What is new happened in this month.
        opened = same.filter(before["close_date"].is_null())
        newly = pl.concat([opened, now.slice(len(before))])
        assert newly["close_date"].drop_nulls().ge(month.start).all()
        before = now
    assert len(before) == config.opportunities


def test_events_reproduce_the_extracts() -> None:
    simulation = default()
    events = simulation.events()
    assert events["changed_at"].is_sorted()
    assert events["recorded_at"].equals(events["changed_at"])
    known = events.with_columns(pl.col("field").cast(pl.String))
    for month in (Month(2016, 10), Month(2017, 3), Month(2017, 8), Month(2017, 12)):
        by_then = known.filter(pl.col("changed_at") <= month.end)
        values = by_then.group_by("object_id", "field", maintain_order=True).agg(pl.col("new_value").last())
        wide = values.pivot("field", index="object_id", values="new_value")
        for field in ("close_value", "account"):
            if field not in wide.columns:
                wide = wide.with_columns(pl.lit(None, pl.String).alias(field))
        stage_days = by_then.filter(pl.col("field") == "deal_stage").group_by("object_id")
        dates = stage_days.agg(
            pl.col("changed_at").filter(pl.col("new_value") == ENGAGING).first().alias("engage_date"),
            pl.col("changed_at").filter(pl.col("new_value").is_in([WON, LOST])).first().alias("close_date"),
        )
        replayed = (
            wide.join(dates, on="object_id")
            .rename({"object_id": "opportunity_id"})
            .with_columns(pl.col("close_value").cast(pl.Float64))
            .select(SALES_PIPELINE.column_names)
        )
        assert_frame_equal(replayed, simulation.tables(month)["sales_pipeline"], check_row_order=False)


def test_each_event_starts_from_the_value_before_it() -> None:
    events = default().events()
    chained = events.with_columns(before=pl.col("new_value").shift().over("object_id", "field"))
    assert chained["old_value"].equals(chained["before"])
    stages = events.filter(pl.col("field") == "deal_stage")
    assert set(stages["new_value"]) == set(STAGES)
    assert events.group_by("object_id", "field").len().filter(pl.col("field") == "account")["len"].max() == 1


def test_events_of_the_months_are_all_events() -> None:
    months = [default().events(month) for month in DEFAULT_MONTHS]
    for month, events in zip(DEFAULT_MONTHS, months, strict=True):
        assert events["changed_at"].is_between(month.start, month.end).all()
    assert_frame_equal(pl.concat(months), default().events())


def test_late_export_is_the_last_extract() -> None:
    late = default().late_export()
    for name, frame in default().tables(Month(2017, 12)).items():
        assert_frame_equal(frame, late[name])


def test_identifiers_tell_nothing() -> None:
    pipeline = default().late_export()["sales_pipeline"]
    ids = pipeline["opportunity_id"]
    assert ids.n_unique() == 8800
    assert ids.str.contains(r"^[0-9A-Z]{8}$").all()
    numbers = pl.DataFrame(
        {
            "id": ids.rank(),
            "place": range(8800),
            "won": pipeline["deal_stage"] == WON,
            "open": pipeline["close_date"].is_null(),
        }
    )
    # Five standard errors of a correlation of 8,800 unrelated pairs.
    for column in ("place", "won", "open"):
        assert abs(numbers.select(pl.corr("id", column)).item()) < 0.053


def test_account_says_nothing_about_abandonment_while_a_deal_is_open() -> None:
    pipeline = simulate(SimulationConfig(60_000)).tables(Month(2017, 6))["sales_pipeline"]
    later = (
        simulate(SimulationConfig(60_000)).late_export()["sales_pipeline"].select("opportunity_id", end="deal_stage")
    )
    recent = pl.col("engage_date").is_between(Month(2017, 5).start, Month(2017, 6).end)
    book = pipeline.filter((pl.col("deal_stage") == ENGAGING) & recent).join(later, on="opportunity_id")
    filled = book.group_by(pl.col("end") == ENGAGING).agg(pl.col("account").is_not_null().mean(), pl.len())
    assert filled["len"].to_numpy().min() > 900
    shares = filled["account"].to_list()
    assert abs(shares[0] - shares[1]) < 0.05


@pytest.mark.parametrize("month", [Month(2016, 9), Month(2018, 1)])
def test_months_that_are_not_simulated_are_refused(month: Month) -> None:
    for ask in (default().tables, default().truth, default().events):
        with pytest.raises(SettingsError, match=f"{month}.*2016-10 to 2017-12"):
            ask(month)


def test_progress_is_told() -> None:
    said: list[str] = []
    simulate(SimulationConfig(10), said.append)
    assert len(said) == len(set(said)) > 2


def test_misspelt_and_clean_products_both_occur() -> None:
    products = set(default().late_export()["sales_pipeline"]["product"])
    assert {"GTX Pro", "GTXPro"} < products
    assert "GTXPro" not in default().late_export()["products"]["product"]


def test_data_dictionary_describes_every_field_of_the_other_tables() -> None:
    dictionary = default().late_export()["data_dictionary"]
    described = set(dictionary.select("Table", "Field").iter_rows())
    assert described == {
        (table.name, column) for table in CRM_TABLES if table.name != "data_dictionary" for column in table.column_names
    }


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_stages_at_the_end_resemble_a_real_export(seed: int) -> None:
    stages = simulate(SimulationConfig(seed=seed)).late_export()["sales_pipeline"]["deal_stage"]
    for stage, share in ((WON, 0.48), (LOST, 0.28), (ENGAGING, 0.18), (PROSPECTING, 0.06)):
        assert (stages == stage).mean() == pytest.approx(share, abs=0.035)


def test_closings_follow_the_quarter() -> None:
    closed = with_days(default()).drop_nulls("close_date").with_columns(month=pl.col("close_date").dt.strftime("%Y-%m"))
    by_month = closed.group_by("month").agg(
        pl.len().alias("closed"), (pl.col("deal_stage") == WON).mean().alias("win_rate"), pl.col("days").mean()
    )
    months = month_range(Month(2017, 3), Month(2017, 12))
    assert sorted(by_month["month"]) == [str(month) for month in months]
    assert by_month["closed"].to_numpy().min() > 350
    assert by_month["closed"].to_numpy().max() < 1200
    figures = {month: (rate, days) for month, _, rate, days in by_month.iter_rows()}
    for month in months:
        rate, days = figures[str(month)]
        if month.quarter_position == 3:
            assert rate > 0.74
        else:
            assert 0.40 < rate < 0.66
        # In the first month of a quarter only deals close that were engaged in the weeks before.
        assert (days < 25) == (month.quarter_position == 1)


def test_deals_close_soon_or_after_two_months() -> None:
    days = with_days(default())["days"].drop_nulls()
    assert days.max() == 138
    assert days.min() == 1
    assert (days < 20).mean() == pytest.approx(0.46, abs=0.06)
    assert days.is_between(20, 45).to_numpy().mean() < 0.06
    # The greatest age is no pile of deals that were forced to close.
    assert (days == 138).to_numpy().mean() < 0.005


def test_some_agents_abandon_a_quarter_of_their_deals_and_others_none() -> None:
    old = with_days(default()).filter(pl.col("engage_date") < Month(2017, 8).start)
    abandoned = (pl.col("deal_stage") == ENGAGING).mean()
    by_agent = old.group_by("regional_office", "sales_agent").agg(abandoned.alias("share"), pl.len())
    assert by_agent.filter(pl.col("share") == 0).group_by("regional_office").len()["len"].to_numpy().min() >= 1
    assert by_agent.filter(pl.col("share") == 0)["len"].to_numpy().max() > 150
    assert by_agent.filter(pl.col("share").is_between(0.18, 0.34)).height >= 10
    by_region = dict(old.group_by("regional_office").agg(abandoned).iter_rows())
    assert by_region["Central"] < by_region["East"] < by_region["West"]
    # One office neglects one month's new deals.
    central = old.filter(pl.col("regional_office") == "Central").sort("engage_date")
    by_fortnight = central.group_by_dynamic("engage_date", every="2w").agg(abandoned.alias("share"), pl.len())
    shares = by_fortnight.filter(pl.col("len") > 40)["share"].to_numpy()
    assert shares.max() > 0.3
    assert np.median(shares) < 0.06


def test_accounts_are_filled_in_after_the_fact() -> None:
    pipeline = default().late_export()["sales_pipeline"]
    empty = dict(pipeline.group_by("deal_stage").agg(pl.col("account").is_null().mean()).iter_rows())
    assert empty[WON] == empty[LOST] == 0
    assert empty[ENGAGING] == pytest.approx(0.68, abs=0.06)
    assert empty[PROSPECTING] == pytest.approx(0.67, abs=0.1)
    # A third of the accounts of the closed deals was unknown while they were open.
    last_open = default().tables(Month(2017, 5))["sales_pipeline"].filter(pl.col("deal_stage") == ENGAGING)
    closed_later = last_open.join(pipeline.filter(pl.col("close_date").is_not_null()), on="opportunity_id", how="semi")
    assert closed_later["account"].is_null().to_numpy().mean() > 0.5


def test_close_values_scatter_around_the_list_price() -> None:
    tables = default().late_export()
    won = tables["sales_pipeline"].filter(pl.col("deal_stage") == WON).with_columns(pl.col("product").replace(ALIASES))
    ratio = won.join(tables["products"], on="product").select(pl.col("close_value") / pl.col("sales_price")).to_series()
    assert len(ratio) == len(won)
    assert ratio.median() == pytest.approx(1, abs=0.01)
    assert ratio.std() == pytest.approx(0.1, abs=0.01)
