from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from crm_assets.contracts import CRM_TABLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def real_export() -> Path:
    """The folder of the one real export, where it is at hand."""
    folder = Path(os.environ.get("CRM_REAL_DATA") or ROOT.parent / "shared" / "data" / "crm_sales_opportunities")
    if not folder.is_dir():
        pytest.skip(f"the real export is not at {folder}; set CRM_REAL_DATA")
    return folder


@pytest.fixture
def crm() -> dict[str, pl.DataFrame]:
    """A small valid CRM with opportunities from 2017-03 to 2017-05."""
    rows: dict[str, list[tuple[object, ...]]] = {
        "accounts": [
            ("Acme, Inc.", "technolgy", 1996, 1100.04, 2822, "United States", None),
            ("Müller & Söhne", None, None, None, None, None, "Acme, Inc."),
        ],
        "products": [("GTX Pro", "GTX", 4821.0), ('MG 5" screen', "MG", 55.5)],
        "sales_teams": [("Anna Snelling", "Dustin Brinkmann", "Central")],
        "sales_pipeline": [
            ("A1", "Anna Snelling", "GTXPro", "Acme, Inc.", "Won", date(2017, 3, 1), date(2017, 4, 30), 4800.0),
            ("A2", "Anna Snelling", "GTX Pro", None, "Engaging", date(2017, 5, 31), None, None),
            ("A3", "Anna Snelling", "GTX Pro", None, "Prospecting", None, None, None),
        ],
        "data_dictionary": [("accounts", "account", "Company name"), ("accounts", "sector", None)],
    }
    return {table.name: pl.DataFrame(rows[table.name], table.polars_schema(), orient="row") for table in CRM_TABLES}


def write_tables(folder: Path, tables: dict[str, pl.DataFrame], suffix: str = ".csv") -> Path:
    """Write each table into `folder`, which is made, and give it back."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        if suffix == ".csv":
            frame.write_csv(folder / f"{name}.csv")
        else:
            frame.write_parquet(folder / f"{name}.parquet")
    return folder
