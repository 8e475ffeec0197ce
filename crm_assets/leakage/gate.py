"""Probes of a month's features: made anew in other worlds, and against what became of the book."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Known, Table
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.leakage.finding import Finding, Probe, Verdict
from crm_assets.leakage.identity import Difference, differences
from crm_assets.leakage.rebuild import Rebuild, Rebuilt, rebuilt
from crm_assets.leakage.separation import separations
from crm_assets.leakage.worlds import World, another_future, irrelevant, other_ids, truncated

_KEY = list(FEATURE_TABLE.key)


def feature_findings(
    world: World, stored: pl.DataFrame | None = None, *, seed: int, rebuild: Rebuild = rebuilt
) -> list[Finding]:
    """Make the features of a month anew in other worlds, in which only what could not be known is different.

    Args:
        world: what the source gives for the month.
        stored: the features as they are stored, compared with those made anew from the source as it is; None to leave
            that out.
        seed: of the worlds.
        rebuild: makes the tables; the definitions of the platform, unless these are not what is to be probed.
    """
    made = rebuild(world)
    book = made.snapshots.filter("in_book")["opportunity_id"]
    found = []
    if stored is not None:
        found += _compared(Probe.STORED, world.month, FEATURE_TABLE, stored, made.features)
    for probe, other in (
        (Probe.TRUNCATION, truncated(world, book)),
        (Probe.ANOTHER_FUTURE, another_future(world, book, seed)),
    ):
        found += _all_compared(probe, world.month, rebuild(other), made)
    renamed = other_ids([world], seed)
    shuffled = rebuild(irrelevant(world, renamed, seed))
    named = replace(
        shuffled,
        snapshots=named_back(shuffled.snapshots, renamed),
        features=named_back(shuffled.features, renamed),
    )
    found += _all_compared(Probe.IRRELEVANCE, world.month, named, made)
    return found


def _all_compared(probe: Probe, month: Month, found: Rebuilt, expected: Rebuilt) -> list[Finding]:
    """Features, and the snapshots and closings they are made of; one finding when all are the same."""
    faults = [
        *_compared(probe, month, SNAPSHOTS, _of_engaged(found.snapshots), _of_engaged(expected.snapshots)),
        *_compared(probe, month, DAILY_CLOSINGS, found.closings, expected.closings),
    ]
    failed = [fault for fault in faults if fault.failed]
    return failed + _compared(probe, month, FEATURE_TABLE, found.features, expected.features)


def _of_engaged(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Engaged opportunities without what is known late: that differs between worlds, and no feature may read it."""
    late = [column.name for column in SNAPSHOTS.columns if column.known is Known.LATE]
    return snapshots.filter(pl.col("engage_date").is_not_null()).drop(late)


def named_back(rows: pl.DataFrame, renamed: Mapping[str, str]) -> pl.DataFrame:
    """The rows under the ids they had before `renamed` (old id -> new id), sorted by them."""
    old = {new: before for before, new in renamed.items()}
    ids = pl.col("opportunity_id").replace_strict(old, default=pl.col("opportunity_id"), return_dtype=pl.String())
    return rows.with_columns(ids).sort(_KEY)


def outcome_findings(
    features: pl.DataFrame, closings: pl.DataFrame, outcomes: pl.DataFrame, *, understood: Collection[str] = ()
) -> list[Finding]:
    """Probe the features of a month's book against what became of it by the end of the month after.

    Args:
        features: rows of `FEATURE_TABLE` of one month.
        closings: rows of `DAILY_CLOSINGS` of that month.
        outcomes: rows of `OUTCOMES` that tell about that month's book.
        understood: features that people have looked into and found honest.
    """
    month = features["snapshot_month"][0] if features.height else ""
    rows = features.join(outcomes.select(*_KEY, "outcome"), on=_KEY, how="inner", maintain_order="left")
    if rows.is_empty():
        return []
    names = [name for name in features.columns if name not in {*_KEY, "snapshot_month", "as_of"}]
    return separations(rows, closings, names, month=month, table=FEATURE_TABLE.name, understood=understood)


def _compared(probe: Probe, month: Month, table: Table, found: pl.DataFrame, expected: pl.DataFrame) -> list[Finding]:
    faults: list[Difference] = differences(found, expected, list(table.key))
    if not faults:
        told = f"{expected.width} columns of {expected.height} rows are the same to the last bit"
        return [Finding(probe, str(month), table.name, "*", Verdict.PASSED, told, rows=0)]
    return [
        Finding(probe, str(month), table.name, fault.column, Verdict.FAILED, str(fault), rows=fault.rows)
        for fault in faults
    ]
