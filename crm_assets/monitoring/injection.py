"""Something wrong put into a month's tables on purpose, to see whether monitoring finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import LOST, WON
from crm_assets.errors import SettingsError

PRICE, REGION_MIX, NEW_PRODUCT, NULLS, WIN_RATE, UNITS = KINDS = (
    "price",
    "region_mix",
    "new_product",
    "nulls",
    "win_rate",
    "units",
)
SAID: Mapping[str, str] = {
    PRICE: "list prices up by 20 %",
    REGION_MIX: "15 % of the deals moved to one region",
    NEW_PRODUCT: "10 % of the deals of a product that was not there before",
    NULLS: "10 % of a column empty",
    WIN_RATE: "a third of one region's wins of the month lost",
    UNITS: "ages in hours instead of days",
}
"""Kind -> what is wrong, for readers."""

NEW_NAME = "Helix 300"
_NULLED, _MIS_SCALED = "cohort_share_open", "age_days"
_HOURS = 24.0


def inject(
    kind: str,
    features: pl.DataFrame,
    snapshot: pl.DataFrame,
    month: Month,
    *,
    seed: int = 7,
    column: str | None = None,
    factor: float | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The month's features and snapshot with something wrong.

    Args:
        kind: one of KINDS.
        features, snapshot: the tables, with `regional_office`, `manager`, `product` and what the kind changes.
        month: theirs.
        seed: of which rows are hit.
        column: that is emptied or mis-scaled; region whose wins are lost or that gains deals. By default
            `cohort_share_open`, `age_days`, or the region with most deals.
        factor: of the units, 24 by default.

    Raises SettingsError on an unknown kind.
    """
    makers: Mapping[str, Callable[[], tuple[pl.DataFrame, pl.DataFrame]]] = {
        PRICE: lambda: (features.with_columns(pl.col("list_price") * 1.2), snapshot),
        REGION_MIX: lambda: (_moved(features, column, seed), _new_moved(features, snapshot, month, column, seed)),
        NEW_PRODUCT: lambda: (_with(features, "product", _some(features, 0.1, seed), NEW_NAME), snapshot),
        NULLS: lambda: (_with(features, column or _NULLED, _some(features, 0.1, seed), None), snapshot),
        WIN_RATE: lambda: (features, _lost(snapshot, month, column, seed)),
        UNITS: lambda: (_scaled(features, column or _MIS_SCALED, factor or _HOURS), snapshot),
    }
    if kind not in makers:
        raise SettingsError(f"drift {kind!r} is unknown: choose among {', '.join(KINDS)}")
    return makers[kind]()


def _some(rows: pl.DataFrame, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are hit: of each opportunity the same, whatever the order."""
    order = rows["opportunity_id"].rank("ordinal").to_numpy() - 1
    return np.asarray(np.random.default_rng(seed).random(rows.height)[order.astype(np.int64)] < share)


def _with(rows: pl.DataFrame, column: str, hit: NDArray[np.bool_], value: str | None) -> pl.DataFrame:
    changed = pl.when(pl.Series(hit)).then(pl.lit(value)).otherwise(pl.col(column))
    return rows.with_columns(changed.cast(rows.schema[column]).alias(column))


def _largest(rows: pl.DataFrame) -> str:
    counted = rows.group_by("regional_office").len().sort("len", "regional_office", descending=[True, False])
    return str(counted["regional_office"][0])


def _moved(rows: pl.DataFrame, region: str | None, seed: int) -> pl.DataFrame:
    """The rows after a region has gained 15 % of all of them at the cost of the others in proportion."""
    to = region or _largest(rows)
    others = rows["regional_office"] != to
    share = 0.15 / max(int(others.sum()) / max(len(others), 1), 0.15)
    hit = _some(rows, share, seed) & others.to_numpy()
    moved = _with(rows, "regional_office", hit, to)
    theirs = rows.filter(~others)["manager"].drop_nulls().unique().sort()
    if theirs.is_empty():
        return moved
    # Of the region that a deal moves to, or the table would contradict itself.
    drawn = theirs.gather(np.random.default_rng([seed, 1]).integers(len(theirs), size=rows.height))
    return moved.with_columns(pl.when(pl.Series(hit)).then(drawn).otherwise("manager").alias("manager"))


def _new_moved(
    features: pl.DataFrame, snapshot: pl.DataFrame, month: Month, region: str | None, seed: int
) -> pl.DataFrame:
    """The snapshot with the deals that were new in the month moved in the same way."""
    new = pl.col("engage_date").is_between(month.start, month.end)
    moved = _moved(snapshot.filter(new), region or _largest(features), seed)
    return snapshot.update(moved.select("opportunity_id", "regional_office", "manager"), on="opportunity_id")


def _lost(snapshot: pl.DataFrame, month: Month, region: str | None, seed: int) -> pl.DataFrame:
    wins = (
        (pl.col("deal_stage") == WON)
        & pl.col("close_date").is_between(month.start, month.end)
        & (pl.col("regional_office") == (region or _largest(snapshot)))
    )
    hit = pl.Series(_some(snapshot, 1 / 3, seed))
    return snapshot.with_columns(pl.when(wins & hit).then(pl.lit(LOST)).otherwise("deal_stage").alias("deal_stage"))


def _scaled(features: pl.DataFrame, column: str, factor: float) -> pl.DataFrame:
    scaled = pl.col(column) * factor
    if features.schema[column].is_integer():
        scaled = scaled.round()
    return features.with_columns(scaled.cast(features.schema[column]).alias(column))
