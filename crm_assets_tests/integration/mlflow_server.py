"""A real MLflow server for the tests, on a free port of the loopback interface."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120
STOP_SECONDS = 30


class MlflowServer:
    """A server that keeps everything in a folder unless told otherwise, and its URL whenever it runs.

    Args:
        folder: for database, artifacts and log.
        database: URL of its database; a SQLite file in the folder when None.
        artifacts: where it keeps models, `s3://bucket/prefix`; in the folder when None.
    """

    def __init__(self, folder: Path, *, database: str | None = None, artifacts: str | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._database = database or f"sqlite:///{folder / 'server.db'}"
        self._artifacts = artifacts or str(folder / "artifacts")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folder, log = self._folder, self._folder / "server.log"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--artifacts-destination", self._artifacts]
        environment = {
            **os.environ,
            # Not on the command line, for it may hold a password.
            "MLFLOW_BACKEND_STORE_URI": self._database,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=folder, env=environment, start_new_session=True
            )
        _wait_until_healthy(self._process, self.url, log)

    def stop(self) -> None:
        """Stop it, unless it is stopped."""
        if self._process is None:
            return
        # The server runs its workers as processes of its own session: the signal goes to all of them.
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The URL of a server that keeps everything in `folder`; it and its workers end with the block."""
    server = MlflowServer(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the MLflow server ended with {server.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            # Waiting on the process returns at once when it ends, and is the pause between two polls otherwise.
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    raise RuntimeError(f"the MLflow server was not healthy within {START_SECONDS} s:\n{log.read_text()}")
