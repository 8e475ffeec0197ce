"""One report of a month of 100,000 open opportunities in this process: `python -m ... reference|report|evidently FILE`.

The reference is made by a process of its own, and read from the file as the asset reads it from the lake.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import MonthRows, drift_report
from crm_assets.monitoring.reference import BOOK, BOOK_NUMBERS, CLOSINGS, INTAKE, reference_set
from crm_assets.monitoring.reference_rows import comparable
from crm_assets_tests.benchmarks.process import peak_megabytes, tell

OPEN, NEW = 100_000, 45_000
"""Open opportunities at the month-end, and deals engaged in a month, as many of which close."""
MONTH = Month(2017, 12)
VERSION = "1"


def deals(rows: int, seed: int) -> pd.DataFrame:
    """Deals with everything that a part of a month needs."""
    random = np.random.default_rng(seed)
    product = random.integers(0, 7, rows)
    manager = random.integers(0, 6, rows)
    return pd.DataFrame(
        {
            "opportunity_id": np.char.add(f"{seed}-", np.arange(rows).astype(str)),
            "list_price": np.array([55.0, 550, 1096, 3393, 4821, 5482, 26768])[product],
            "product": np.array([f"Product {code}" for code in range(7)])[product],
            "regional_office": np.array(["Central", "East", "West"])[manager % 3],
            "manager": np.array([f"Manager {code}" for code in range(6)])[manager],
            "age_days": random.integers(0, 300, rows),
            "cohort_size": random.poisson(60, rows),
            "cohort_share_open": random.beta(5, 3, rows),
            "agent_share_open_100": random.beta(3, 5, rows),
            "agent_share_open_138": random.beta(2, 8, rows),
            "probability": random.beta(2, 8, rows),
            "won": random.binomial(1, 0.6, rows),
        }
    )


def reference() -> pd.DataFrame:
    """A year before MONTH: four books of each quarter position."""
    parts: dict[str, list[pd.DataFrame]] = {INTAKE: [], BOOK: [], CLOSINGS: []}
    for back in range(1, 13):
        month = str(MONTH.shift(-back))
        parts[INTAKE].append(deals(NEW, 100 + back).assign(snapshot_month=month))
        parts[BOOK].append(deals(OPEN, 200 + back).assign(snapshot_month=month))
        parts[CLOSINGS].append(deals(NEW, 300 + back).assign(snapshot_month=month))
    return reference_set(
        {part: pd.concat(rows, ignore_index=True) for part, rows in parts.items()}, model_version=VERSION, made_in=MONTH
    )


def bare(current: pd.DataFrame, before: pd.DataFrame) -> int:
    """Length of the page of Evidently's preset on the numbers of the book."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(current))
    sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, before)]
    return len(Report([DataDriftPreset()]).run(*sides).get_html_str(as_iframe=False))


def main(what: str, file: Path) -> None:
    if what == "reference":
        pl.from_pandas(reference()).write_parquet(file)
        return
    rows = MonthRows(deals(NEW, 1), deals(OPEN, 2), deals(NEW, 3))
    figures: dict[str, Any] = {"what": what, "open_opportunities": OPEN}
    began = time.perf_counter()
    before = comparable(pl.read_parquet(file), MONTH)
    if what == "report":
        report = drift_report(rows, before, month=MONTH, model_version=VERSION)
        figures |= {"level": report.level, "html_bytes": len(report.html)}
    else:
        names = [*BOOK_NUMBERS, "probability"]
        book = before.loc[before["part"] == BOOK, names]
        figures["html_bytes"] = bare(rows.book[names], book)
    seconds = time.perf_counter() - began
    tell(**figures, reference_rows=len(before), seconds=seconds, peak_megabytes=peak_megabytes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
