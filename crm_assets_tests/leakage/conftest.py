from __future__ import annotations

import pytest

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import OPPORTUNITY_HISTORY
from crm_assets.leakage.worlds import World
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets_tests.sources.conftest import real_export

__all__ = ["real_export"]

CONFIG = SimulationConfig(opportunities=2500, seed=11)
DAYS_LATE = 7


@pytest.fixture(scope="package")
def late_worlds() -> list[World]:
    """A simulated CRM that was exported once, at the end of its last month."""
    simulation = simulate(CONFIG)
    tables = simulation.late_export()
    return [World(tables, month, CONFIG.last.end, DAYS_LATE) for month in CONFIG.months]


@pytest.fixture(scope="package")
def extract_worlds() -> list[World]:
    """The same CRM with an extract of each month."""
    simulation = simulate(CONFIG)
    return [World(simulation.tables(month), month, None, DAYS_LATE) for month in CONFIG.months]


@pytest.fixture(scope="package")
def history_worlds() -> list[World]:
    """The same CRM with the history of its fields."""
    simulation = simulate(CONFIG)
    tables = simulation.late_export()
    del tables["sales_pipeline"]
    tables["opportunity_history"] = simulation.events().cast(dict(OPPORTUNITY_HISTORY.polars_schema()))  # type: ignore[arg-type]  # a schema is a mapping
    return [World(tables, month, CONFIG.last.end, DAYS_LATE) for month in CONFIG.months]


@pytest.fixture(scope="package")
def real_worlds(request: pytest.FixtureRequest) -> list[World]:
    """The real export, where it is at hand."""
    from crm_assets.sources import open_source

    source = open_source(str(request.getfixturevalue("real_export")))
    months = month_range(Month(2017, 1), Month(2017, 12))
    tables = {name: rows.collect() for name, rows in source.tables(months[-1]).items()}
    return [World(tables, month, source.exported_on, DAYS_LATE) for month in months]
