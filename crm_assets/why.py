"""Why the score of one opportunity is what it is and why it moved, as `crm-assets why` tells it."""

from __future__ import annotations

from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import LakeError, SettingsError
from crm_assets.features.registry import AS_OF, CAUSES, FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake
from crm_assets.modelling.cold_start import MODEL, WORDS
from crm_assets.modelling.movement import PARTS, PLAYERS, SCORE_CHANGES
from crm_assets.modelling.reasons import SCORE_REASONS
from crm_assets.published import scored_month
from crm_assets.settings import Settings
from crm_assets.stored import command_line

_UNMOVED = "nothing changed"
_OFFERED = 6
"""Most months that an error offers instead of the one asked for."""
_LEAST = 0.0005
"""Parts below it are 0.0 percentage points as they are printed."""


def why(settings: Settings, month: Month | None, opportunity: str) -> dict[str, Any]:
    """Why the score of an opportunity is what it is, and why it moved from the month before.

    Args:
        settings: of the deployment whose lake holds `scores`, and for both months the features.
        month: whose score is asked about; the newest with scores when None.
        opportunity: its id.

    Returns:
        The columns of `score_changes`, those about the month before empty where it had no score then. And `reasons`,
        the row of `score_reasons`; `rung`, of the cold-start ladder; `changed`, for each cause the features of the win
        model that changed: cause -> feature -> [value before, value now]; `unmoved`, why there is no earlier score in a
        sentence, None where there is one.

    Raises:
        SettingsError: the opportunity is unknown, or has no score in the month.
        LakeError: the lake does not hold `scores`, `score_reasons` and `score_changes` of the month, or they are out of
            date.
    """
    lake, chosen = scored_month(settings, month)
    scored = _of(lake, SCORES.name, chosen, opportunity)
    if scored.is_empty():
        raise SettingsError(_why_no_score(settings, lake, opportunity, chosen))
    score = scored.row(0, named=True)
    reasons = _of(lake, SCORE_REASONS.name, chosen, opportunity)
    if reasons.is_empty():
        raise LakeError(_outdated(settings, SCORE_REASONS.name, chosen))
    found = {name: score.get(name) for name in SCORE_CHANGES.column_names}
    more = {"reasons": reasons.row(0, named=True), "rung": score["rung"], "unmoved": None}
    rows = _of(lake, SCORE_CHANGES.name, chosen, opportunity)
    if rows.is_empty():
        unmoved = _why_unmoved(settings, lake, opportunity, chosen)
        return {**found, "previous_month": str(chosen.previous), **more, "unmoved": unmoved, "changed": {}}
    from crm_assets.modelling.candidates import MODEL_COLUMNS

    features = [_of(lake, FEATURE_TABLE.name, m, opportunity) for m in (chosen.previous, chosen)]
    if any(part.is_empty() for part in features):
        raise LakeError(_outdated(settings, SCORE_CHANGES.name, chosen))
    before, now = (part.row(0, named=True) for part in features)
    changed: dict[str, dict[str, list[Any]]] = {}
    for name in MODEL_COLUMNS:
        if name != AS_OF and before[name] != now[name]:
            changed.setdefault(CAUSES[name].value, {})[name] = [before[name], now[name]]
    return {**rows.row(0, named=True), **more, "changed": changed}


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

    _print_reasons(moved)
    if moved["unmoved"]:
        click.echo(f"{moved['opportunity_id']} has no earlier score: {moved['unmoved']}.")
        return
    click.echo(f"{moved['opportunity_id']}, {moved['previous_month']} to {moved['snapshot_month']}: {sentence(moved)}")
    changed = moved["changed"]
    for player, _ in _parts(moved):
        values = [f"{name} {_shown(then)} to {_shown(now)}" for name, (then, now) in changed.get(player, {}).items()]
        if player == "model" and moved["model_version"] != moved["previous_model_version"]:
            values = [f"version {moved['previous_model_version']} to version {moved['model_version']}"]
        if values:
            click.echo(f"  {PLAYERS[player]}: {', '.join(values)}")


def _print_reasons(moved: dict[str, Any]) -> None:
    import click

    from crm_assets.summary import print_reasons

    reasons = moved["reasons"]
    told = f"{moved['opportunity_id']} at the end of {moved['snapshot_month']}: {100 * reasons['probability']:.1f} %"
    if moved["rung"] != MODEL:
        click.echo(f"{told}, as there is no model yet: every deal gets the {WORDS[moved['rung']]}")
        return
    click.echo(f"{told}, where typical deals have {100 * reasons['base']:.1f} %")
    print_reasons(reasons)


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


def _why_no_score(settings: Settings, lake: Lake, opportunity: str, month: Month) -> str:
    """Why an opportunity has no score in a month, and what to ask for instead."""
    others = [m for m in map(Month.parse, lake.months(SCORES.name)) if _of(lake, SCORES.name, m, opportunity).height]
    known = _of(lake, SNAPSHOTS.name, month, opportunity)
    if known.is_empty() and not others:
        listed = command_line(settings, "scores", "--month", month, "--json")
        return f"there is no opportunity {opportunity} at the end of {month}: those with a score are listed by {listed}"
    remedy = f"ask for --month {' or '.join(map(str, others[-_OFFERED:]))}" if others else "nor has it one in any month"
    reason = _why_unscored(lake, opportunity, month)
    return f"opportunity {opportunity} has no score at the end of {month}, {reason}; {remedy}"


def _why_unmoved(settings: Settings, lake: Lake, opportunity: str, month: Month) -> str:
    """Why an opportunity that has a score has none the month before."""
    before = month.previous
    held = str(before) in lake.months(SCORES.name)
    if held and _of(lake, SCORES.name, before, opportunity).height:
        raise LakeError(_outdated(settings, SCORE_CHANGES.name, month))
    reason = _why_unscored(lake, opportunity, before) if held else "a month that the lake does not hold"
    return f"none at the end of {before}, {reason}"


def _outdated(settings: Settings, asset: str, month: Month) -> str:
    again = command_line(settings, "run", "--months", f"{month.previous}:{month}")
    return f"{asset} of {month} is out of date: run {again}"


def _why_unscored(lake: Lake, opportunity: str, month: Month) -> str:
    if pl.read_parquet(lake.table_path(SCORES.name, month)).is_empty():
        return "when no opportunity had one"
    known = _of(lake, SNAPSHOTS.name, month, opportunity)
    return f"when it was {known['deal_stage'][0]}" if known.height else "when it was not there"
