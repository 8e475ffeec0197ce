"""What a run ends with: the deals that matter most, the forecast, the champion and where to look next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.provenance import DOCUMENTS
from crm_assets.defs.scoring import SCORES
from crm_assets.defs.writeback import FAULT, NO_TARGET
from crm_assets.forecast import forecasts_given, given_in_words
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake
from crm_assets.modelling.cold_start import MODEL, WORDS
from crm_assets.modelling.forecast import BOOK, FORECAST, NEW_BUSINESS, TOTAL
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.modelling.reasons import WORDED
from crm_assets.modelling.win_model import FATES
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.writeback.journal import TRAIL

if TYPE_CHECKING:
    from crm_assets.defs.platform import Platform
    from crm_assets.published import PublishedScores
    from crm_assets.run import RunResult

TOP = 10
_WIDTH = 110
_BACKTEST = "backtest_"
_COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "opportunity_id": ("opportunity", str),
    "sales_agent": ("agent", str),
    "product": ("product", str),
    "age_days": ("age", str),
    "probability": ("P(win)", "{:.1%}".format),
    "probability_lost": ("lost", "{:.1%}".format),
    "probability_abandoned": ("abandoned", "{:.1%}".format),
    "expected_close_month": ("closes", str),
    "expected_value": ("expected", "{:,.0f}".format),
}
"""Column of SCORES -> its heading, and how a value is shown."""
_SHOWN = tuple(_COLUMNS)


def scores_of(lake: Lake, month: Month) -> pl.DataFrame:
    """The month's scores, most expected value first. Raises LakeError when the lake does not hold them."""
    rows = pl.read_parquet(lake.table_path(SCORES.name, month))
    return rows.sort(["expected_value", "opportunity_id"], descending=[True, False])


def summary(platform: Platform, month: Month) -> dict[str, Any]:
    """What to show of `month`, as plain values: top deals, forecast, champion, quality and places."""
    lake = platform.lake
    model = pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    forecast = platform.manifest(FORECAST.name, month)
    drift, taken = platform.manifest(DRIFT.name, month), platform.manifest(SNAPSHOTS.name, month)
    rows = scores_of(lake, month)
    return {
        "source": platform.source.url,
        "month": str(month),
        "open_opportunities": rows.height,
        "top": rows.select(_SHOWN).head(TOP).to_dicts(),
        "forecasts_given": forecasts_given(lake, month),
        "forecast": _forecast(lake, month, forecast.notes if forecast else {}),
        "champion": _champion(lake, model),
        "model": {name: model[name] for name in ("status", "reason")},
        "quality": dict(taken.notes) if taken else {},
        "drift": dict(drift.notes) if drift else {},
        "drift_report": lake.location(DRIFT.name, month, "html") if drift and drift.notes.get(DOCUMENTS) else None,
        "written_back": _written_back(platform, month),
        "lake": platform.settings.dataset_url,
    }


def _written_back(platform: Platform, month: Month) -> str | None:
    """What became of the scores at the target, as a sentence without a full stop; None where no target is set."""
    manifest = platform.manifest(TRAIL.name, month)
    if manifest is None or manifest.notes.get("status") == NO_TARGET:
        return None
    fault = manifest.notes.get(FAULT)
    return f"{manifest.notes.get('status')}{f'; {fault}' if fault else ''}"


def _champion(lake: Lake, model: dict[str, Any]) -> dict[str, Any] | None:
    if model["champion_version"] is None:
        return None
    names = (
        "test_months",
        "auc",
        "average_precision",
        "brier",
        "base_rate_brier",
        "age_table_brier",
        "calibration_error",
    )
    return {
        "version": model["champion_version"],
        "month": model["champion_month"],
        "rung": model["champion_rung"],
        "backtest": {name: model[name] for name in names},
    }


def print_scores(rows: pl.DataFrame, title: str, *, with_reasons: bool = False) -> None:
    """The rows as a table on standard output.

    Args:
        rows: columns `_SHOWN`, and `raises` and `lowers` when `with_reasons`.
        title: above it.
        with_reasons: whether to say below each row what raises and what lowers its probability.
    """
    import click
    from rich import box
    from rich.console import Console
    from rich.table import Table

    given = [name for name in _SHOWN if name not in FATES or rows[name].null_count() < rows.height]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in given:
        heading, _ = _COLUMNS[name]
        left = name in {"opportunity_id", "sales_agent", "product", "expected_close_month"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for values in rows.select(given).iter_rows():
        table.add_row(
            *("" if value is None else _COLUMNS[name][1](value) for name, value in zip(given, values, strict=True))
        )
    console = Console()
    # Redirected output counts as 80 columns wide, which would cut names off.
    console.width = max(console.width, _WIDTH)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    first = len(lines) - rows.height
    click.echo("\n".join([title, *lines[:first]]))
    for line, row in zip(lines[first:], rows.iter_rows(named=True), strict=True):
        click.echo(line)
        if with_reasons:
            print_reasons(row)


def print_reasons(row: Mapping[str, Any]) -> None:
    """What raises and what lowers a score, a reason a line, on standard output; nothing where neither is known."""
    import click

    for name in WORDED:
        for number, reason in enumerate(row[name].split("; ") if row[name] else []):
            click.echo(f"  {name if number == 0 else '':8}{reason}")


def print_provenance(found: PublishedScores) -> None:
    """What the scores followed from, in three lines."""
    import click

    told = found.provenance()
    by = f"version {told['model_version']}" if told["model_version"] else "no champion"
    if found.rung not in {None, MODEL}:
        by += f", which is no model: every deal gets the {WORDS[str(found.rung)]}"
    click.echo(f"Given by {by}; code {told['code_version']}, {told['written_at']}.")
    click.echo(f"Stored in {told['place']}, SHA-256 {told['sha256'][:12]}.")
    for other in told["replaced"]:
        by = f"version {other['model_version']}" if other["model_version"] else "no champion"
        click.echo(f"Given otherwise {other['written_at']} by {by}: --sha256 {other['sha256'][:12]}")


def print_summary(shown: dict[str, Any], result: RunResult) -> None:
    """The summary for people, on standard output."""
    import click

    if result.gathered:
        click.echo(f"Gathered what the API was asked as of {_span(result.gathered)}.")
    if not result.made and not result.gathered:
        are = "is" if len(result.months) == 1 else "are"
        click.echo(f"Nothing to do: {_span(result.months)} {are} up to date.")
    elif result.made and len(result.made) < len(result.months):
        click.echo(f"Made {_span(result.made)}; the other months were up to date.")
    elif result.made:
        click.echo(f"Made {_span(result.made)}.")
    if result.outdated:
        again = f"--months {result.outdated[0]}:{result.outdated[-1]}"
        click.echo(f"Out of date now: {', '.join(map(str, result.outdated))}; make them again with {again}.")
    _print_quality(shown["quality"])
    if shown["written_back"]:
        click.echo(f"Written back: {shown['written_back']}.")
    month = Month.parse(shown["month"])
    if shown["champion"] is None:
        click.echo(f"No scores at the end of {month}, for there is no champion yet: {shown['model']['reason']}.")
    else:
        title = (
            f"Open pipeline at the end of {month}: the {TOP} deals with most expected revenue (USD) by {month.next.end}"
        )
        print_scores(pl.DataFrame(shown["top"], schema={name: SCORES.polars_schema()[name] for name in _SHOWN}), title)
        _print_forecast(shown["forecast"])
        if shown["forecasts_given"]:
            click.echo(given_in_words(shown["forecasts_given"]))
        _print_champion(shown["champion"])
    _print_next(shown, result)


def _span(months: tuple[Month, ...]) -> str:
    return str(months[0]) if len(months) == 1 else f"{months[0]} to {months[-1]}"


def _print_quality(quality: dict[str, Any]) -> None:
    import click

    faults = [f"quarantined {fault}" for fault in quality.get("quarantine_reasons", [])]
    faults += [f"mended {fault}" for fault in quality.get("misspelled", [])]
    faults += [f"wrong in accounts {fault}" for fault in quality.get("misspelled_accounts", [])]
    if quality.get("without_account"):
        faults.append(f"{quality['without_account']} without an account")
    if quality:
        told = "; ".join(faults) or "no faults"
        click.echo(f"Data quality {quality['quality_score']:.2f} of 1: {quality['rows_in_source']:,} rows, {told}.")


def _forecast(lake: Lake, month: Month, notes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The total with its parts and its backtest; None where there is none."""
    rows = pl.read_parquet(lake.table_path(FORECAST.name, month))
    by_level = {row["level"]: row for row in rows.to_dicts() if row["level"] in {TOTAL, BOOK, NEW_BUSINESS}}
    if TOTAL not in by_level:
        return None
    backtest = {name.removeprefix(_BACKTEST): notes[name] for name in notes if name.startswith(_BACKTEST)}
    return {**by_level[TOTAL], "book": by_level[BOOK], "new_business": by_level[NEW_BUSINESS], "backtest": backtest}


def _print_forecast(forecast: dict[str, Any] | None) -> None:
    import click

    if not forecast:
        return
    book, new, backtest = forecast["book"], forecast["new_business"], forecast["backtest"]
    click.echo(
        f"Forecast for {forecast['forecast_month']}, at list price: {forecast['expected_revenue']:,.0f} USD (80 % "
        f"interval {forecast['low_80']:,.0f} to {forecast['high_80']:,.0f}), {book['expected_revenue']:,.0f} of it "
        f"from {book['deals']:,} open deals and {new['expected_revenue']:,.0f} from new business; "
        f"{forecast['expected_wins']:.0f} wins."
    )
    if forecast["naive_revenue"] is not None:
        backtested = f"; in the backtest {backtest['verdict']}" if "verdict" in backtest else ""
        click.echo(f"The same month of last quarter brought {forecast['naive_revenue']:,.0f} USD{backtested}.")


def _print_champion(champion: dict[str, Any]) -> None:
    import click

    figures = champion["backtest"]
    if champion["rung"] != MODEL:
        click.echo(
            f"Champion: version {champion['version']}, the {WORDS[champion['rung']]}, counted at the end of "
            f"{champion['month']}: no model has passed the promotion gate yet."
        )
        return
    click.echo(f"Champion: version {champion['version']}, trained at the end of {champion['month']}.")
    if figures["brier"] is not None:
        click.echo(
            f"Its recipe over the last {figures['test_months']} months, each predicted before it was known: "
            f"AUC {figures['auc']:.3f}, average precision {figures['average_precision']:.3f}, "
            f"Brier {figures['brier']:.4f} (win rate by quarter position {figures['base_rate_brier']:.4f}, "
            f"by age as well {figures['age_table_brier']:.4f}), calibration error {figures['calibration_error']:.3f}."
        )


def _print_next(shown: dict[str, Any], result: RunResult) -> None:
    import click

    level = shown["drift"].get("level")
    if shown["drift_report"]:
        click.echo(f"Drift {level or shown['drift'].get('status')}: open {shown['drift_report']}")
    settings = result.platform.settings
    default = type(settings).model_fields["source_url"].default
    given = shlex.quote(settings.source_url)
    where = "" if settings.source_url == default else f"CRM_SOURCE_URL={given} "
    flag = "" if settings.source_url == default else f" --source {given}"
    # Run from an environment that is not activated, the command is not on the path.
    command = "crm-assets" if shutil.which("crm-assets") else os.path.relpath(sys.argv[0])
    click.echo(f"All scores: {command} scores --month {shown['month']}{flag}")
    click.echo(f"The graph in Dagster: {where}make dev")
