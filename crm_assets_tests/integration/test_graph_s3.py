"""The whole graph with source and lake on a real S3 server."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import pytest

from crm_assets.calendar import Month
from crm_assets.lake import Lake
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.simulator.writing import write_extracts
from crm_assets.storage import open_storage
from crm_assets_tests.graph.conftest import Command, command  # noqa: F401 - a fixture
from crm_assets_tests.integration.s3_server import S3Server

CONFIG = SimulationConfig(opportunities=300, first=Month(2017, 1), last=Month(2017, 3), seed=5)


@pytest.fixture
def uploaded(s3_environment: S3Server, tmp_path: Path) -> str:
    """URL of extracts in a bucket."""
    folder = tmp_path / "crm"
    write_extracts(simulate(CONFIG), folder, CONFIG.months, "csv")
    url = f"s3://{s3_environment.new_bucket()}/exports/crm"
    storage = open_storage(url)
    for file in folder.rglob("*.csv"):
        storage.put_file(file, file.relative_to(folder).as_posix())
    return url


def test_source_and_lake_on_s3(
    command: Command,  # noqa: F811 - the fixture
    uploaded: str,
    s3_environment: S3Server,
) -> None:
    lake_url = f"s3://{s3_environment.new_bucket()}/lake"
    told = command("run", "--source", uploaded, "--json", CRM_LAKE_URL=lake_url)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["made"] == ["2017-01", "2017-02", "2017-03"]
    there = Lake.open(f"{lake_url}/crm", create=False)
    here = command("run", "--source", str(command.folder / "crm"), CRM_LAKE_URL=str(command.folder / "lake"))
    assert here.exit_code == 0, here.output
    local = Lake.open(str(command.folder / "lake" / "crm"), create=False)
    for month in CONFIG.months:
        for asset in ("opportunity_features", "win_model", "promotion_checks", "scores", "score_reasons"):
            stored = [lake.manifest(asset, month) for lake in (there, local)]
            assert all(manifest is not None for manifest in stored)
            assert stored[0].sha256 == stored[1].sha256, asset  # type: ignore[union-attr]  # checked above
        assert there.document("win_model", month, "json") == local.document("win_model", month, "json")
    again = json.loads(command("run", "--source", uploaded, "--json", CRM_LAKE_URL=lake_url).stdout)
    assert again["made"] == []


def test_what_s3_refuses_is_told_with_the_remedy(
    command: Command,  # noqa: F811 - the fixture
    uploaded: str,
    s3_environment: S3Server,
) -> None:
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        cases = {
            "no bucket": ({"CRM_LAKE_URL": "s3://crm-no-such-bucket/lake"}, 4, "crm-no-such-bucket"),
            "wrong secret": ({"AWS_SECRET_ACCESS_KEY": "wrong"}, 3, "AWS_SECRET_ACCESS_KEY"),
            "endpoint down": ({"AWS_ENDPOINT_URL": dead}, 3, dead),
        }
        for name, (environment, code, wanted) in cases.items():
            with pytest.MonkeyPatch.context() as patch:
                for variable, value in environment.items():
                    patch.setenv(variable, value)
                told = command("run", "--source", uploaded)
            assert told.exit_code == code, (name, told.output)
            assert wanted in told.stderr, name
            assert s3_environment.secret not in told.output, name
