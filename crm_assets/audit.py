"""The leakage gate over a whole source, without a lake: `crm-assets leakage`."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from crm_assets.calendar import Month, month_range
from crm_assets.defs.leakage import probed_columns, world_of
from crm_assets.defs.training import training_over
from crm_assets.errors import SourceError
from crm_assets.leakage.finding import Verdict, faults_of, report
from crm_assets.leakage.whole_history import history_findings
from crm_assets.settings import Settings
from crm_assets.sources import open_source


def audit(settings: Settings, wanted: list[Month] | None, progress: Callable[[Month], None]) -> pl.DataFrame:
    """Probe the features and the training of every month of the source.

    Args:
        settings: the deployment's.
        wanted: months in order; None for all the source has.
        progress: told each month before it is probed.

    Returns:
        Rows of `LEAKAGE_REPORT`. Raises SourceError when the source cannot be read or lacks a month.
    """
    source = open_source(settings.source_url, exported_on=settings.exported_on)
    held = source.months()
    if not held:
        raise SourceError(f"{source.url} has no month: check CRM_SOURCE_URL or --source")
    months = month_range(held[0], held[-1]) if wanted is None else wanted
    findings = history_findings(
        [world_of(source, settings, month) for month in month_range(min(held[0], months[0]), months[-1])],
        lambda history: training_over(settings, history),
        features=probed_columns(),
        seed=settings.seed,
        understood=settings.understood,
        probed=months,
        progress=progress,
    )
    return report(findings, str(months[-1]))


def print_report(rows: pl.DataFrame) -> None:
    """The probes by kind on standard output: how many months passed, and every fault."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Leakage probes", title_justify="left", header_style="bold")
    for name in ("probe", "table", "passed", "failed", "not run", "closest to its limit"):
        table.add_column(name, justify="right" if name in {"passed", "failed", "not run"} else "left")
    for (probe, of), found in rows.group_by("probe", "table", maintain_order=True):
        counts = [str(found.filter(pl.col("verdict") == verdict).height) for verdict in Verdict]
        table.add_row(str(probe), str(of), *counts, _closest(found))
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)
    for fault in faults_of(rows):
        console.print(f"failed: {fault}", style="bold red", highlight=False)
    if not faults_of(rows):
        console.print("No probe found anything that was not known on its date.")
        for probe in sorted({row["probe"] for row in rows.iter_rows(named=True) if row["verdict"] == Verdict.NOT_RUN}):
            months = rows.filter((pl.col("probe") == probe) & (pl.col("verdict") == Verdict.NOT_RUN))
            told = ", ".join(months["examined_month"].unique().sort())
            console.print(f"Not run: {probe} in {told}, for {months['detail'][0]}.", highlight=False)


def _closest(found: pl.DataFrame) -> str:
    measured = found.filter(pl.col("limit") > 0)
    if measured.is_empty():
        return ""
    row = measured.sort(pl.col("measured") - pl.col("limit"), descending=True).row(0, named=True)
    return f"{row['column']} of {row['examined_month']}: {row['measured']:.3f} of {row['limit']:.3f}"
