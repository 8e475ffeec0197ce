"""MLflow's own server of a model, by the command of the documentation."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

START_SECONDS = 180
STOP_SECONDS = 30


@contextmanager
def model_server(tracking_uri: str, model: str, folder: Path, workers: int = 1) -> Iterator[str]:
    """The address that a model's champion is served at.

    Args:
        tracking_uri: of the store.
        model: its name there.
        folder: where the server works, and for its log.
        workers: processes that answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{model}@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    # The model brings the package's code along.
    environment.pop("PYTHONPATH", None)
    address, log_file = f"http://127.0.0.1:{port}", folder / "serving.log"
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_it_answers(process, address, log_file)
        yield address
    finally:
        # It runs its workers as processes of its own session.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/ping", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError(f"mlflow models serve does not answer: {log_file.read_text(errors='replace')[-3000:]}")
