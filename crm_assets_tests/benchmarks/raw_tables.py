"""Writes the simulator's raw tables as Parquet, a folder per month: `python -m ... OPPORTUNITIES FOLDER newest|all`."""

from __future__ import annotations

import sys
from pathlib import Path

from crm_assets.simulator import SimulationConfig, simulate
from crm_assets_tests.benchmarks.process import tell

TABLES = ("sales_pipeline", "products", "sales_teams")


def write_raw_tables(opportunities: int, folder: Path, *, every_month: bool) -> None:
    """Write what history and features read, as a CRM would have exported it at the end of each month."""
    simulation = simulate(SimulationConfig(opportunities=opportunities))
    for month in simulation.config.months if every_month else [simulation.config.last]:
        tables = simulation.tables(month)
        (folder / str(month)).mkdir(parents=True)
        for name in TABLES:
            tables[name].write_parquet(folder / str(month) / f"{name}.parquet", compression="zstd")
        tell(month=str(month), rows=tables["sales_pipeline"].height)


if __name__ == "__main__":
    write_raw_tables(int(sys.argv[1]), Path(sys.argv[2]), every_month=sys.argv[3] == "all")
