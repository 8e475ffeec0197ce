"""The stored revenue forecast of a month, and how the forecasts before it turned out: `crm-assets forecast`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.lake import Lake
from crm_assets.modelling.forecast import BOOK, FORECAST, INTERVALS, LEVELS, NEW_BUSINESS, TOTAL
from crm_assets.modelling.forecast_accuracy import ACCURACY, accuracy_figures
from crm_assets.settings import Settings
from crm_assets.stored import stored_month, why_no_scores

_WIDTH = 100


@dataclass(frozen=True)
class StoredForecast:
    """A forecast as it was given.

    Attributes:
        month: at whose end it was made; it is for the month after.
        rows: of FORECAST.
        given: how the forecasts before it turned out, as of that month-end; see `forecasts_given`.
        none_because: why there are no rows, as a sentence without a full stop; None where there are.
    """

    month: Month
    rows: pl.DataFrame
    given: dict[str, Any] | None
    none_because: str | None

    def lines(self, level: str | None) -> pl.DataFrame:
        """The total and its two parts, and the rows of `level` if any: region, product or agent."""
        wanted = [TOTAL, BOOK, NEW_BUSINESS, *([level] if level else [])]
        return self.rows.filter(pl.col("level").is_in(wanted))


def stored_forecast(settings: Settings, month: Month | None = None) -> StoredForecast:
    """The forecast made at the end of a month, the newest when None.

    Raises LakeError when the lake does not hold the month, SourceError when neither lake nor source is there.
    """
    lake, chosen = stored_month(settings, FORECAST.name, "forecast", month)
    rows = pl.read_parquet(lake.table_path(FORECAST.name, chosen))
    none_because = why_no_scores(lake, chosen) if rows.is_empty() else None
    return StoredForecast(chosen, rows, forecasts_given(lake, chosen), none_because)


def forecasts_given(lake: Lake, month: Month) -> dict[str, Any] | None:
    """How the forecasts that were stored, of months up to `month`, turned out.

    Returns:
        Figures of `accuracy_figures`, and `first_month`, `last_month`, `inside_80` and `inside_95` (months); None while
        no month with a forecast is over. Raises LakeError when the lake does not hold the month.
    """
    rows = pl.read_parquet(lake.table_path(ACCURACY.name, month))
    if rows.is_empty():
        return None
    return {
        "first_month": rows["forecast_month"].min(),
        "last_month": rows["forecast_month"].max(),
        **{f"inside_{level}": int(rows[f"inside_{level}"].sum()) for level in INTERVALS},
        **accuracy_figures(rows.to_pandas()),
    }


def given_in_words(given: Mapping[str, Any]) -> str:
    """What `forecasts_given` found, in one sentence or two."""
    months, naive = given["months"], given.get("naive_months", 0)
    one = months == 1
    of = f"{given['first_month']}" if one else f"{given['first_month']} to {given['last_month']}"
    inside = ", ".join(f"{given[f'inside_{level}']} in the {level} % interval" for level in INTERVALS)
    told = (
        f"The {'forecast' if one else f'{months} forecasts'} given so far, of {of}: {inside}, mean absolute error "
        f"{given['mean_absolute_error']:,.0f} USD."
    )
    if naive and naive == months:
        told += f" {given['verdict'][:1].upper()}{given['verdict'][1:]}."
    elif naive:
        told += f" Where there was a naive forecast: {given['verdict']}."
    return told


def print_forecast(found: StoredForecast, level: str | None) -> None:
    """The forecast as a table on standard output, and how those before it turned out."""
    import click

    if found.none_because:
        click.echo(f"{found.none_because}. So there is no forecast for {found.month.next} either.")
    else:
        _print_table(found, level)
        new = found.rows.filter(pl.col("level") == NEW_BUSINESS)["expected_revenue"][0]
        if level:
            click.echo(
                f"Each {level} is of open deals only: together they are the book, and the {new:,.0f} USD of new "
                "business are in none of them."
            )
        else:
            click.echo(f"By {', '.join(LEVELS)}: --by; those lines are of open deals only.")
    if found.given:
        click.echo(given_in_words(found.given))


def _print_table(found: StoredForecast, level: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"Forecast for {found.month.next}, made at the end of {found.month}, at list price (USD)"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("open deals", "wins", "expected", *(f"{level} % interval" for level in INTERVALS), "naive"):
        table.add_column(name, justify="right", no_wrap=True)
    parts = found.lines(level).to_dicts()
    for row in parts:
        deals = "" if row["level"] == NEW_BUSINESS else f"{row['deals']:,}"
        ends = [f"{row[f'low_{level}']:,.0f} to {row[f'high_{level}']:,.0f}" for level in INTERVALS]
        naive = "" if row["naive_revenue"] is None else f"{row['naive_revenue']:,.0f}"
        told = [row["name"], deals, f"{row['expected_wins']:.0f}", f"{row['expected_revenue']:,.0f}", *ends, naive]
        table.add_row(*told, end_section=row["level"] == NEW_BUSINESS)
    console = Console()
    # Redirected output counts as 80 columns wide, which would cut names off.
    console.width = max(console.width, _WIDTH)
    console.print(table)
