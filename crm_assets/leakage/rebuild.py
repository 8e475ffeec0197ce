"""A month's tables made anew in memory from the source's, by the definitions that the assets use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import narwhals as nw
import polars as pl

from crm_assets.features.registry import FEATURE_TABLE, features
from crm_assets.history.closings import daily_closings
from crm_assets.history.field_history import pipeline_as_of
from crm_assets.history.replay import as_known
from crm_assets.history.snapshots import SNAPSHOTS, snapshot
from crm_assets.leakage.worlds import World


@dataclass(frozen=True)
class Rebuilt:
    """Tables of one month.

    Attributes:
        snapshots: rows of `SNAPSHOTS`.
        closings: rows of `DAILY_CLOSINGS`.
        features: rows of `FEATURE_TABLE`, sorted by opportunity_id.
    """

    snapshots: pl.DataFrame
    closings: pl.DataFrame
    features: pl.DataFrame


Rebuild: TypeAlias = Callable[[World], Rebuilt]
"""From what the source gives for a month to that month's tables."""


def rebuilt(world: World) -> Rebuilt:
    """The month's tables as the definitions give them for this world."""
    known = (
        as_known(_lazy(world.pipeline), world.month.end, exported_on=world.exported_on, days_late=world.days_late)
        if world.events is None
        else pipeline_as_of(_lazy(world.events), world.month.end)
    )
    good, _ = snapshot(known, _lazy(world.tables["products"]), _lazy(world.tables["sales_teams"]), world.month)
    snapshots = _collected(good).cast(dict(SNAPSHOTS.polars_schema()))  # type: ignore[arg-type]  # a schema is a mapping
    closings = _collected(daily_closings(_lazy(snapshots)))
    made = _collected(features(_lazy(snapshots), _lazy(closings), world.month))
    return Rebuilt(snapshots, closings, made.cast(dict(FEATURE_TABLE.polars_schema())))  # type: ignore[arg-type]  # as above


def _lazy(frame: pl.DataFrame) -> nw.LazyFrame[Any]:
    return nw.from_native(frame.lazy())


def _collected(frame: nw.LazyFrame[Any]) -> pl.DataFrame:
    native: pl.LazyFrame = frame.to_native()
    return native.collect()
