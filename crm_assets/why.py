"""Why the score of one opportunity moved, as `crm-assets why` tells it."""

from __future__ import annotations

from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import SettingsError
from crm_assets.features.registry import AS_OF, CAUSES, FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake
from crm_assets.modelling.movement import PARTS, PLAYERS, SCORE_CHANGES

_UNMOVED = "nothing changed"
_OFFERED = 6
"""Most months that an error offers instead of the one asked for."""
_LEAST = 0.0005
"""Parts below it are 0.0 percentage points as they are printed."""


def why(lake: Lake, month: Month, opportunity: str) -> dict[str, Any]:
    """Why the score of an opportunity moved from the month before to `month`.

    Args:
        lake: that holds `score_changes` and the features of both months.
        month: the later month.
        opportunity: its id.

    Returns:
        The row of `score_changes`, and as `changed` for each cause the features of the win model that changed:
        cause -> feature -> [value before, value now].

    Raises:
        SettingsError: the opportunity is unknown, or has no score in one of the two months, or the month is out of
            date.
        LakeError: the lake does not hold `score_changes` of the month.
    """
    rows = _of(lake, SCORE_CHANGES.name, month, opportunity)
    if rows.is_empty():
        raise SettingsError(_why_not(lake, opportunity, month))
    from crm_assets.modelling.candidates import MODEL_COLUMNS

    features = [_of(lake, FEATURE_TABLE.name, m, opportunity) for m in (month.previous, month)]
    if any(found.is_empty() for found in features):
        raise SettingsError(_outdated(month))
    before, now = (found.row(0, named=True) for found in features)
    changed: dict[str, dict[str, list[Any]]] = {}
    for name in MODEL_COLUMNS:
        if name != AS_OF and before[name] != now[name]:
            changed.setdefault(CAUSES[name].value, {})[name] = [before[name], now[name]]
    return {**rows.row(0, named=True), "changed": changed}


def sentence(moved: dict[str, Any]) -> str:
    """A row of `score_changes` in words: "41.0 % to 55.2 %: time passed +9.1, the world changed +3.0".

    Parts are in percentage points, largest first; those below 0.05 are left out.
    """
    told = [f"{PLAYERS[player]} {100 * part:+.1f}" for player, part in _parts(moved) if abs(part) >= _LEAST]
    ends = f"{100 * moved['probability_before']:.1f} % to {100 * moved['probability']:.1f} %"
    if told:
        return f"{ends}: {', '.join(told)}"
    return f"{ends}: {'no part reaches 0.05 percentage points' if any(moved[name] for name in PARTS) else _UNMOVED}"


def print_why(moved: dict[str, Any]) -> None:
    """What `why` found for people, on standard output."""
    import click

    click.echo(f"{moved['opportunity_id']}, {moved['previous_month']} to {moved['snapshot_month']}: {sentence(moved)}")
    changed = moved["changed"]
    for player, _ in _parts(moved):
        values = [f"{name} {_shown(then)} to {_shown(now)}" for name, (then, now) in changed.get(player, {}).items()]
        if player == "model" and moved["model_version"] != moved["previous_model_version"]:
            values = [f"version {moved['previous_model_version']} to version {moved['model_version']}"]
        if values:
            click.echo(f"  {PLAYERS[player]}: {', '.join(values)}")


def _parts(moved: dict[str, Any]) -> list[tuple[str, float]]:
    """Players with their parts, the largest first."""
    pairs = zip(PLAYERS, (moved[name] for name in PARTS), strict=True)
    return sorted(pairs, key=lambda pair: -abs(pair[1]))


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _of(lake: Lake, asset: str, month: Month, opportunity: str) -> pl.DataFrame:
    return pl.read_parquet(lake.table_path(asset, month)).filter(pl.col("opportunity_id") == opportunity)


def _why_not(lake: Lake, opportunity: str, month: Month) -> str:
    """Why an opportunity cannot be compared with the month before, and what to ask for instead."""
    if _of(lake, SNAPSHOTS.name, month, opportunity).is_empty():
        return (
            f"there is no opportunity {opportunity} at the end of {month}: those with a score are listed by "
            f"crm-assets scores --month {month} --json"
        )
    held = [Month.parse(name) for name in lake.months(SCORES.name)]
    scored = {m for m in held if not _of(lake, SCORES.name, m, opportunity).is_empty()}
    without = [m for m in (month.previous, month) if m not in scored]
    if not without:
        return _outdated(month)
    reasons = [f"none at the end of {m}, {_why_unscored(lake, opportunity, m, held)}" for m in without]
    others = [str(m) for m in sorted(scored) if m.previous in scored]
    remedy = f"ask for --month {' or '.join(others[-_OFFERED:])}" if others else "nor has it any two months in a row"
    return f"opportunity {opportunity} has no two scores up to {month} to compare: {'; '.join(reasons)}; {remedy}"


def _outdated(month: Month) -> str:
    return f"score_changes of {month} is out of date: run crm-assets run --months {month.previous}:{month}"


def _why_unscored(lake: Lake, opportunity: str, month: Month, held: list[Month]) -> str:
    if month not in held:
        return "a month that the lake does not hold"
    if pl.read_parquet(lake.table_path(SCORES.name, month)).is_empty():
        return "when no opportunity had one"
    known = _of(lake, SNAPSHOTS.name, month, opportunity)
    return f"when it was {known['deal_stage'][0]}" if known.height else "when it was not there yet"
