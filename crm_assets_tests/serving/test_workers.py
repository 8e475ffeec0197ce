"""Two processes at one address answer as one, and go on, or end, together."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from crm_assets.errors import SettingsError
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.serving.server import serve
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.server_process import STOP_SECONDS, ServerProcess, api_server
from crm_assets_tests.serving.small_lake import LAST, replace_in

WORKERS = 2
REQUESTS = 60


def variables(deployment: Deployment) -> dict[str, str]:
    """Of a server on the deployment's lake. Its registry is away, so that the champion is the one that was kept."""
    return {
        "CRM_LAKE_URL": deployment.settings.lake_url,
        "CRM_HOME": str(deployment.settings.home),
        "CRM_MLFLOW_TRACKING_URI": deployment.settings.tracking_uri,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "CRM_API_WORKERS": str(WORKERS),
        "CRM_API_LOOK_SECONDS": "1",
    }


def score(server: ServerProcess, deployment: Deployment, times: int) -> None:
    """Score as often, each time over a connection of its own, which either process may take."""
    row = deployment.scores[LAST].row(0, named=True)
    for _ in range(times):
        answer = httpx.post(
            f"{server.address}/v1/score", json={"opportunities": [{"opportunity_id": row["opportunity_id"]}]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["opportunities"][0]["probability"] == pytest.approx(row["probability"], abs=1e-9)


def logged(deployment: Deployment) -> int:
    """Rows of the prediction log."""
    return deployment.lake.log(PREDICTION_LOG).scan(LAST).collect().height


def figure(server: ServerProcess, name: str) -> float:
    text = httpx.get(f"{server.address}/metrics").text
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(value)


@pytest.mark.slow
def test_two_processes_answer_as_one(deployment: Deployment, tmp_path: Path) -> None:
    counted = 'crm_api_requests_total{method="POST",route="/v1/score",status="200"}'
    with api_server(variables(deployment), tmp_path) as server:
        server.until(lambda: server.listening() == WORKERS)
        score(server, deployment, REQUESTS)
        assert {figure(server, counted) for _ in range(10)} == {REQUESTS}
        assert figure(server, f'crm_api_champion{{month="{LAST}",rung="model",version="1"}}') == 1
        assert figure(server, 'crm_api_trouble{about="registry"}') == 1

        killed, other = server.workers()
        now = time.time()
        os.kill(killed, signal.SIGKILL)
        server.until(lambda: len(set(server.workers()) - {killed}) == server.listening() == WORKERS)
        assert other in server.workers()
        score(server, deployment, REQUESTS)
        # What the one that is gone has counted is not lost.
        assert {figure(server, counted) for _ in range(10)} == {2 * REQUESTS}
        assert figure(server, "crm_api_ready") == 1
        # When the one that looked longest ago did: one that is gone does not look again.
        server.until(lambda: figure(server, "crm_api_looked_at_seconds") > now)
        assert server.stop() == 0
    # With the one that was killed went what it had not written; the others have written what they answered.
    assert REQUESTS <= logged(deployment) < 2 * REQUESTS
    files = list(Path(deployment.settings.dataset_url, PREDICTION_LOG.name).rglob("*.parquet"))
    assert len(files) >= WORKERS


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(deployment: Deployment, tmp_path: Path) -> None:
    with api_server(variables(deployment), tmp_path) as server:
        server.until(lambda: server.listening() == WORKERS)
        score(server, deployment, REQUESTS)
        workers = server.workers()
        opened = [os.pidfd_open(pid) for pid in workers]
        server.process.kill()
        for pidfd in opened:
            # Readable once the process has ended.
            assert select.select([pidfd], [], [], STOP_SECONDS)[0]
            os.close(pidfd)
    assert logged(deployment) == REQUESTS


def test_an_address_that_is_taken_is_told_once(deployment: Deployment) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        settings = replace_in(deployment.settings, api_workers=WORKERS, api_port=taken)
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1, port {taken}.*CRM_API_PORT"):
            serve(settings)
