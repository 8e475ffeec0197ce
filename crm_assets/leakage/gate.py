"""The gate: all probes of a month's features and training, and of a whole history."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from crm_assets.calendar import Month
from crm_assets.features.registry import FEATURE_NAMES, FEATURE_TABLE
from crm_assets.leakage.finding import Finding, Probe, Verdict
from crm_assets.leakage.identity import Difference, differences
from crm_assets.leakage.rebuild import Rebuild, rebuilt
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
        found += _compared(Probe.STORED, world.month, stored, made.features)
    for probe, other in (
        (Probe.TRUNCATION, truncated(world, book)),
        (Probe.ANOTHER_FUTURE, another_future(world, book, seed)),
    ):
        found += _compared(probe, world.month, rebuild(other).features, made.features)
    renamed = other_ids([world], seed)
    shuffled = named_back(rebuild(irrelevant(world, renamed, seed)).features, renamed)
    found += _compared(Probe.IRRELEVANCE, world.month, shuffled, made.features)
    return found


def named_back(rows: pl.DataFrame, renamed: Mapping[str, str]) -> pl.DataFrame:
    """The rows under the ids they had before `renamed` (old id -> new id), sorted by them."""
    old = {new: before for before, new in renamed.items()}
    ids = pl.col("opportunity_id").replace_strict(old, default=pl.col("opportunity_id"), return_dtype=pl.String())
    return rows.with_columns(ids).sort(_KEY)


def outcome_findings(features: pl.DataFrame, closings: pl.DataFrame, outcomes: pl.DataFrame) -> list[Finding]:
    """Probe the features of a month's book against what became of it by the end of the month after.

    Args:
        features: rows of `FEATURE_TABLE` of one month.
        closings: rows of `DAILY_CLOSINGS` of that month.
        outcomes: rows of `OUTCOMES` that tell about that month's book.
    """
    month = features["snapshot_month"][0] if features.height else ""
    rows = features.join(outcomes.select(*_KEY, "outcome"), on=_KEY, how="inner", maintain_order="left")
    if rows.is_empty():
        return []
    names = [name for name in features.columns if name not in {*_KEY, "snapshot_month", "as_of"}]
    return separations(rows, closings, names, month=month, table=FEATURE_TABLE.name)


def _compared(probe: Probe, month: Month, found: pl.DataFrame, expected: pl.DataFrame) -> list[Finding]:
    faults: list[Difference] = differences(found, expected, _KEY)
    if not faults:
        told = f"{len(FEATURE_NAMES)} features of {expected.height} opportunities are the same to the last bit"
        return [Finding(probe, str(month), FEATURE_TABLE.name, "*", Verdict.PASSED, told, rows=0)]
    return [
        Finding(probe, str(month), FEATURE_TABLE.name, fault.column, Verdict.FAILED, str(fault), rows=fault.rows)
        for fault in faults
    ]
