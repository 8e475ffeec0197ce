"""The rows a training reads, made from worlds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, timedelta

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import ACCOUNTS, PRODUCTS, SALES_PIPELINE, SALES_TEAMS
from crm_assets.history.outcomes import outcomes
from crm_assets.leakage.rebuild import Rebuilt, rebuilt
from crm_assets.leakage.whole_history import history_of
from crm_assets.leakage.worlds import World
from crm_assets.modelling.candidate import TrainingHistory

_KEPT: dict[int, tuple[Sequence[World], tuple[TrainingHistory, pd.DataFrame]]] = {}
"""By the identity of the worlds, which are kept too, so that no other list takes it."""


def history_and_outcomes(worlds: Sequence[World]) -> tuple[TrainingHistory, pd.DataFrame]:
    """(what models learn from, outcomes with the month they matured in) over all months; made once per worlds."""
    if id(worlds) not in _KEPT:
        _KEPT[id(worlds)] = (worlds, _made(worlds))
    return _KEPT[id(worlds)][1]


def outcomes_between(before: Rebuilt, after: Rebuilt) -> pl.DataFrame:
    """Rows of `OUTCOMES` of the earlier month's book."""
    found = outcomes(nw.from_native(before.snapshots.lazy()), nw.from_native(after.snapshots.lazy()))
    native: pl.LazyFrame = found.to_native()
    return native.collect()


def different_business(honest: str, months: Sequence[Month]) -> list[World]:
    """Worlds of one late export in which something that is known from the start tells much.

    `product`: cheap products close fast. `agent`: some agents close fast. `age`: what closes late is lost.
    """
    random, rows = np.random.default_rng(5), 8800
    agents = [f"Agent {number:02d}" for number in range(30)]
    products = pl.DataFrame(
        [(f"P{number}", "P", 100.0 * (number + 1)) for number in range(7)], PRODUCTS.polars_schema(), orient="row"
    )
    teams = pl.DataFrame(
        [(name, f"M{number % 5}", f"R{number % 3}") for number, name in enumerate(agents)],
        SALES_TEAMS.polars_schema(),
        orient="row",
    )
    agent, product = random.integers(0, len(agents), rows), random.integers(0, products.height, rows)
    first, last = date(2016, 10, 1), date(2017, 12, 31)
    span = (last - first).days
    engaged = random.integers(0, span, rows)
    speed = {"product": 15 + 25 * product, "agent": 15 + 6 * agent, "age": np.full(rows, 60)}[honest]
    takes = np.ceil(random.exponential(speed)).astype(int)
    won = random.random(rows) < (np.where(takes > 60, 0.2, 0.8) if honest == "age" else 0.6)
    closed = engaged + takes <= span
    day = [first + timedelta(days=int(number)) for number in range(span + 1)]
    pipeline = pl.DataFrame(
        {
            "opportunity_id": [f"D{number:05d}" for number in range(rows)],
            "sales_agent": [agents[number] for number in agent],
            "product": [f"P{number}" for number in product],
            "account": pl.Series([None] * rows, dtype=pl.String()),
            "deal_stage": np.where(closed, np.where(won, "Won", "Lost"), "Engaging").tolist(),
            "engage_date": [day[number] for number in engaged],
            "close_date": [day[e + t] if c else None for e, t, c in zip(engaged, takes, closed, strict=True)],
            "close_value": [(50.0 if w else 0.0) if c else None for w, c in zip(won, closed, strict=True)],
        },
        schema=SALES_PIPELINE.polars_schema(),
    )
    accounts = pl.DataFrame(schema=ACCOUNTS.polars_schema())
    tables = {"sales_pipeline": pipeline, "products": products, "sales_teams": teams, "accounts": accounts}
    return [World(tables, month, last, 7) for month in months]


def _made(worlds: Sequence[World]) -> tuple[TrainingHistory, pd.DataFrame]:
    months = [rebuilt(world) for world in worlds]
    matured = [outcomes_between(before, after) for before, after in itertools.pairwise(months)]
    return history_of(months, matured), pl.concat(matured).to_pandas()
