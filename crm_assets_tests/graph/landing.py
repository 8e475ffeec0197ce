"""A landing folder of simulated extracts and a deployment on it, ticked by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg

from crm_assets.calendar import Month
from crm_assets.defs.composition import build_definitions
from crm_assets.lake import Lake
from crm_assets.settings import Settings
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.simulator.writing import write_extracts

CONFIG = SimulationConfig(opportunities=300, first=Month(2017, 1), last=Month(2017, 4), seed=5)
TABLES = ("accounts", "data_dictionary", "products", "sales_pipeline", "sales_teams")


def extracts(folder: Path) -> Path:
    """A folder with every month's extract, from which a test lands what it wants."""
    write_extracts(simulate(CONFIG), folder, CONFIG.months, "csv")
    return folder


def land(extract: Path, folder: Path, *tables: str) -> None:
    """Put the tables of an extract, all by default, into a landing folder."""
    below = folder / extract.name
    below.mkdir(parents=True, exist_ok=True)
    for table in tables or TABLES:
        shutil.copyfile(extract / f"{table}.csv", below / f"{table}.csv")


class Deployment:
    """Definitions on a landing folder; the cursor of a sensor goes from tick to tick as Dagster keeps it."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, sensor: str = "landing") -> None:
        self.settings = settings
        self.instance = instance
        self.definitions = build_definitions(settings)
        self.cursor: str | None = None
        self._sensor = sensor

    def tick(self) -> dg.RunRequest | str:
        """The run a tick asks for, or why it asks for none."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.definitions.get_repository_def()
        )
        data = self.definitions.resolve_sensor_def(self._sensor).evaluate_tick(context)
        self.cursor = data.cursor
        if not data.run_requests:
            return str(data.skip_message)
        (request,) = data.run_requests
        return request

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a tick asked for, as Dagster's daemon does."""
        assert request.job_name is not None
        job = self.definitions.resolve_job_def(request.job_name)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        tags = dict(request.tags)
        return job.execute_in_process(instance=self.instance, tags=tags, run_config=quiet, raise_on_error=False)

    def months(self, asset: str) -> list[str]:
        """The months of an asset in the lake."""
        return Lake.open(self.settings.dataset_url, create=False).months(asset)

    def notes(self, asset: str, month: Month) -> dict[str, Any]:
        manifest = Lake.open(self.settings.dataset_url, create=False).manifest(asset, month)
        return dict(manifest.notes) if manifest else {}
