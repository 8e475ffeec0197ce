from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crm_assets.sources import open_source
from crm_assets_tests.sources.conftest import real_export

__all__ = ["real_crm", "real_export"]


@pytest.fixture(scope="session")
def real_crm(real_export: Path) -> dict[str, pl.DataFrame]:
    """The tables of the real export, which was taken at the end of 2017."""
    source = open_source(str(real_export))
    return {name: frame.collect() for name, frame in source.tables(source.months()[-1]).items()}
