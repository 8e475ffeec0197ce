"""The book of a month as the API answers from it: read from the lake once, then held in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import LakeError
from crm_assets.features.as_of import AsOfFeatures, Fields
from crm_assets.features.lookups import FEATURE_LOOKUPS
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake
from crm_assets.modelling.promotion import WIN_MODEL

READ = (SNAPSHOTS.name, FEATURE_TABLE.name, FEATURE_LOOKUPS.name)
"""Assets a book is read from."""


_TRIES = 3


@dataclass(frozen=True, eq=False)
class Book:
    """What is known at the end of a month.

    Attributes:
        month: that month.
        rows: of `FEATURE_TABLE`, the open opportunities, sorted by opportunity_id.
        at: opportunity_id -> its place in `rows`.
        fields: opportunity_id -> what its features follow from.
        stages: opportunity_id -> stage, of every opportunity in the snapshot, open or not.
        known: `opportunity_id`, `account` and `engage_date` of every opportunity in the snapshot.
        lookups: rows of `FEATURE_LOOKUPS`, among them one per agent and product.
        features: the features of any other opportunity.
        fingerprint: content hashes of what it was read from.
    """

    month: Month
    rows: pl.DataFrame
    at: Mapping[str, int]
    fields: Mapping[str, Fields]
    stages: Mapping[str, str]
    known: pl.DataFrame
    lookups: pl.DataFrame
    features: AsOfFeatures
    fingerprint: tuple[str, ...]


def newest_month(lake: Lake) -> Month | None:
    """The newest month of which the lake holds all that is answered from, scores included; None when there is none."""
    held = [set(lake.months(asset)) for asset in (*READ, WIN_MODEL.name, SCORES.name)]
    complete = set.intersection(*held)
    return Month.parse(max(complete)) if complete else None


def marks(lake: Lake, month: Month, assets: Sequence[str]) -> tuple[str | None, ...]:
    """Content hash of each table, as its manifest says; None where there is none. Raises LakeError on a broken one."""
    made = (lake.manifest(asset, month) for asset in assets)
    return tuple(None if manifest is None else manifest.sha256 for manifest in made)


def fingerprint(lake: Lake, month: Month) -> tuple[str, ...]:
    """Content hashes of what the book of a month is read from.

    Raises LakeError when something is missing, or when the features and the lookups are not of the same snapshot, as
    while the month is being made again.
    """
    made = {asset: lake.manifest(asset, month) for asset in READ}
    missing = [asset for asset, manifest in made.items() if manifest is None]
    if missing:
        raise LakeError(f"{lake.url} lacks {', '.join(missing)} of {month}: run crm-assets run --months {month}")
    snapshot = f"{SNAPSHOTS.name}/{month}"
    of = {asset: manifest.inputs.get(snapshot) for asset, manifest in made.items() if manifest is not None}
    if of[FEATURE_TABLE.name] != of[FEATURE_LOOKUPS.name]:
        raise LakeError(
            f"{FEATURE_TABLE.name} and {FEATURE_LOOKUPS.name} of {month} were made of different snapshots: wait for "
            f"the run that goes on, or run crm-assets run --months {month}"
        )
    return tuple(manifest.sha256 for manifest in made.values() if manifest is not None)


def read_book(lake: Lake, month: Month) -> Book:
    """The book of a month, of one making.

    Raises LakeError as `fingerprint` does, when a file is not the one described, or when the month is made again each
    time that it is read.
    """
    for _ in range(_TRIES):
        mark = fingerprint(lake, month)
        known, rows, lookups = (pl.read_parquet(lake.table_path(asset, month)) for asset in READ)
        # A run may have stored another making of some of it meanwhile.
        if fingerprint(lake, month) == mark:
            break
    else:
        raise LakeError(f"{month} is being made again: wait for the run that goes on")
    in_book = known.filter("in_book").select("opportunity_id", "sales_agent", "product", "engage_date").rows()
    return Book(
        month=month,
        rows=rows,
        at={name: at for at, name in enumerate(rows["opportunity_id"].to_list())},
        fields={name: Fields(agent, product, engaged) for name, agent, product, engaged in in_book},
        stages=dict(known.select("opportunity_id", "deal_stage").iter_rows()),
        known=known.select("opportunity_id", "account", "engage_date"),
        lookups=lookups,
        features=AsOfFeatures(lookups, month),
        fingerprint=mark,
    )
