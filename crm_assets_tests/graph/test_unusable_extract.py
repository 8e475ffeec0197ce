"""An extract that cannot be used reaches people, though no run is ever started for it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from pydantic import SecretStr

from crm_assets.settings import load_settings
from crm_assets_tests.graph.conftest import cleared
from crm_assets_tests.graph.landing import Deployment, extracts, land
from crm_assets_tests.integration.alert_sinks import Sinks
from crm_assets_tests.integration.alert_sinks import sinks as sinks  # noqa: PLC0414 - a fixture


def kept(instance: dg.DagsterInstance, cursor: str | None, status: InstigatorStatus) -> None:
    """Keep the cursor of the landing sensor as Dagster's daemon does."""
    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("crm"), "all")
    origin = RemoteInstigatorOrigin(place, "landing")
    state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData(cursor=cursor))
    if instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
        instance.update_instigator_state(state)
    else:
        instance.add_instigator_state(state)


@pytest.mark.parametrize("ended_by", ["mended", "stopped"])
def test_an_extract_that_cannot_be_used_is_told_and_so_is_its_end(tmp_path: Path, sinks: Sinks, ended_by: str) -> None:
    exported, folder = extracts(tmp_path / "exported"), tmp_path / "landing"
    folder.mkdir()
    with cleared():
        settings = load_settings(source_url=str(folder), lake_url=str(tmp_path / "lake"), home=tmp_path / "home")
    settings = settings.model_copy(update={"alert_urls": SecretStr(sinks.urls)})
    with dg.instance_for_test() as instance:
        landing = Deployment(settings, instance)
        alerts = Deployment(settings, instance, "alerts")

        def looked(status: InstigatorStatus = InstigatorStatus.RUNNING) -> str:
            landing.tick()
            kept(instance, landing.cursor, status)
            return str(alerts.tick())

        land(exported / "2017-01", folder)
        table = folder / "2017-01" / "sales_teams.csv"
        whole = table.read_text()
        table.write_text(whole.replace("sales_agent", "agent_of_sales", 1))
        looked()
        assert looked().startswith("2 sent, 0 waiting")
        assert looked().startswith("0 sent, 0 waiting")
        told = sinks.posts[-1]["message"]
        assert "The extract of 2017-01 cannot be used." in told
        assert "agent_of_sales" in told
        assert "http://localhost:3000/locations/all%40crm/sensors/landing" in told
        if ended_by == "mended":
            table.write_text(whole)
            looked()
            assert looked().startswith("2 sent, 0 waiting")
        else:
            assert looked(InstigatorStatus.STOPPED).startswith("2 sent, 0 waiting")
        assert sinks.mails[-1]["Subject"].endswith("recovered: The extract of 2017-01 cannot be used")
