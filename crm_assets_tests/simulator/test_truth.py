from __future__ import annotations

import math
from functools import cache

import numpy as np
import polars as pl
import pytest

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import ENGAGING, LOST, WON
from crm_assets.simulator import SimulationConfig, simulate

DRIFTED = "simulator:?opportunities=60000&seed=4&drift=win_rate@2017-06:0.4:Central&drift=region_mix@2017-04:0.2"


@cache
def books() -> pl.DataFrame:
    """Books of ten months of four simulations, their true probabilities and what happened in the month after."""
    configs = [SimulationConfig(60_000, seed=seed) for seed in (1, 2, 3)] + [SimulationConfig.from_url(DRIFTED)]
    frames = []
    for config in configs:
        simulation = simulate(config)
        late = simulation.late_export()
        outcomes = late["sales_pipeline"].join(late["sales_teams"], on="sales_agent")
        for month in month_range(Month(2017, 2), Month(2017, 11)):
            closes = (pl.col("close_date") <= month.next.end).fill_null(value=False)
            frames.append(
                simulation.truth(month)
                .join(outcomes, on="opportunity_id")
                .with_columns(
                    age=(pl.lit(month.end) - pl.col("engage_date")).dt.total_days(),
                    position=pl.lit(month.next.quarter_position),
                    simulation=pl.lit(config.url()),
                    won=closes & (pl.col("deal_stage") == WON),
                    lost=closes & (pl.col("deal_stage") == LOST),
                    abandoned=pl.col("deal_stage") == ENGAGING,
                )
            )
    return pl.concat(frames)


GROUPS = {
    "overall": pl.lit("all"),
    "simulation": pl.col("simulation"),
    "age": pl.col("age") // 10 * 10,
    "position": pl.col("position"),
    "month": pl.col("snapshot_month"),
    "region": pl.col("regional_office"),
    "region and position": pl.concat_str("regional_office", "position"),
    "agent": pl.concat_str("simulation", "sales_agent"),
    "product": pl.col("product"),
}


def scores(frame: pl.DataFrame, group: pl.Expr, outcome: str) -> pl.Series:
    """Standard scores of the outcomes of each group, given the true probabilities.

    Groups that expect under 5 are left out.
    """
    probability = pl.col(f"probability_{outcome}")
    expected, variance = probability.sum(), (probability * (1 - probability)).sum()
    return (
        frame.group_by(group.alias("group"))
        .agg(expected.alias("expected"), variance.alias("variance"), pl.col(outcome).sum().alias("seen"))
        .filter(pl.col("expected") > 5, pl.col("variance") > 5)
        .select((pl.col("seen") - pl.col("expected")) / pl.col("variance").sqrt())
        .to_series()
    )


def limit(groups: int) -> float:
    """What the largest of that many standard scores exceeds about once in a thousand times, and a fifth more."""
    return 1.2 * math.sqrt(2 * math.log(groups * 1000))


@pytest.mark.parametrize("outcome", ["won", "lost"])
@pytest.mark.parametrize("group", GROUPS)
def test_outcomes_come_out_as_the_true_probabilities_say(group: str, outcome: str) -> None:
    z = scores(books(), GROUPS[group], outcome).to_numpy()
    assert len(z) >= 1
    assert np.abs(z).max() < limit(len(z))
    if len(z) > 50:
        assert (z**2).mean() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_every_level_of_probability_is_right(outcome: str) -> None:
    z = scores(books(), (pl.col(f"probability_{outcome}") * 50).floor(), outcome).to_numpy()
    assert len(z) > 20
    assert np.abs(z).max() < limit(len(z))


@pytest.mark.parametrize("group", ["overall", "simulation", "age", "region", "agent"])
def test_abandoned_deals_stay_open_for_ever(group: str) -> None:
    # All that is engaged by July and not abandoned is closed by the end of the year. One book of each simulation, since
    # a deal that is abandoned is in every later one too.
    book = books().filter(pl.col("snapshot_month") == "2017-06")
    z = scores(book, GROUPS[group], "abandoned").to_numpy()
    assert len(z) >= 1
    assert np.abs(z).max() < limit(len(z))


def test_certainly_abandoned_past_the_greatest_age() -> None:
    old = books().filter(pl.col("age") >= 138)
    assert len(old) > 1000
    assert old["abandoned"].all()
    assert old["probability_abandoned"].eq(1).all()
    assert old.select(pl.col("probability_won", "probability_lost").max()).row(0) == (0, 0)


def test_probabilities_are_of_exclusive_events() -> None:
    probabilities = books().select("probability_won", "probability_lost", "probability_abandoned").to_numpy()
    assert probabilities.min() >= 0
    assert probabilities.sum(axis=1).max() <= 1 + 1e-12


def test_closing_by_the_next_month_is_certain_for_those_not_abandoned_who_grow_too_old() -> None:
    month_end_ages = books().filter(pl.col("age").is_between(110, 137) & (pl.col("snapshot_month") == "2017-07"))
    total = month_end_ages.select(pl.sum_horizontal(pl.col("^probability.*$"))).to_series()
    assert total.to_numpy() == pytest.approx(1)


def test_truth_covers_the_book_and_nothing_else() -> None:
    simulation = simulate(SimulationConfig(3000))
    for month in simulation.config.months:
        truth = simulation.truth(month)
        book = simulation.tables(month)["sales_pipeline"].filter(pl.col("deal_stage") == ENGAGING)
        assert truth["opportunity_id"].to_list() == book["opportunity_id"].to_list()
        assert truth["snapshot_month"].eq(str(month)).all()
        assert truth.columns[2:] == ["probability_won", "probability_lost", "probability_abandoned"]


def test_nothing_closes_in_the_silent_months() -> None:
    simulation = simulate(SimulationConfig(3000))
    for month in month_range(Month(2016, 10), Month(2017, 1)):
        assert simulation.truth(month).select(pl.col("probability_won", "probability_lost").sum()).row(0) == (0, 0)


def test_truth_ranks_wins_well_but_not_perfectly() -> None:
    for _, frame in books().group_by("simulation"):
        won = frame["won"].to_numpy()
        ranks = frame["probability_won"].rank().to_numpy()
        wins, others = won.sum(), (~won).sum()
        area = (ranks[won].sum() - wins * (wins + 1) / 2) / (wins * others)
        assert 0.84 < area < 0.91
