"""The rows a training reads, made from worlds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import narwhals as nw
import pandas as pd
import polars as pl

from crm_assets.history.outcomes import outcomes
from crm_assets.leakage.rebuild import rebuilt
from crm_assets.leakage.worlds import World

_KEPT: dict[int, tuple[Sequence[World], tuple[pd.DataFrame, pd.DataFrame]]] = {}
"""By the identity of the worlds, which are kept too, so that no other list takes it."""


def rows_and_outcomes(worlds: Sequence[World]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(features with outcomes, outcomes with the month they matured in) over all months; made once per worlds."""
    if id(worlds) not in _KEPT:
        _KEPT[id(worlds)] = (worlds, _made(worlds))
    return _KEPT[id(worlds)][1]


def _made(worlds: Sequence[World]) -> tuple[pd.DataFrame, pd.DataFrame]:
    months = [rebuilt(world) for world in worlds]
    matured = []
    for before, after in itertools.pairwise(months):
        found = outcomes(nw.from_native(before.snapshots.lazy()), nw.from_native(after.snapshots.lazy())).to_native()
        matured.append(found.collect())
    known: pl.DataFrame = pl.concat(matured)
    keys = ["opportunity_id", "snapshot_month"]
    features = pl.concat([month.features for month in months])
    rows = features.join(known.select(*keys, "outcome"), on=keys, how="left", maintain_order="left")
    return rows.to_pandas(), known.to_pandas()
