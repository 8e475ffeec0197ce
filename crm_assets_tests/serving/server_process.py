"""The API as its command runs it, in processes of its own on a free port of the loopback interface."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

_T = TypeVar("_T")

START_SECONDS = 120
STOP_SECONDS = 60
_LISTENS = "0A"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ServerProcess:
    """A running API.

    Attributes:
        process: that was started, which may have started workers.
        address: `http://HOST:PORT`.
        log: what it printed.
    """

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def workers(self) -> list[int]:
        """Processes that answer: the workers, or the one that was started where it has none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in _command(pid)] or [self.process.pid]

    def listening(self) -> int:
        """Sockets that listen at its port: workers have one each, and listen once they have looked."""
        end = f":{int(self.address.rpartition(':')[2]):04X}"
        rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(fields[1].endswith(end) and fields[3] == _LISTENS for fields in rows)

    def is_ready(self) -> bool:
        """Whether it has something to answer from."""
        try:
            return httpx.get(f"{self.address}/health/ready", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    def until(self, found: Callable[[], _T | None], seconds: float = START_SECONDS, every: float = 0.1) -> _T:
        """What `found` gives as soon as that is true. Raises RuntimeError with the log when it ends or takes longer."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            answer = found()
            if answer:
                return answer
            time.sleep(every)
        raise RuntimeError(f"waited in vain:\n{self.log.read_text(errors='replace')[-4000:]}")

    def is_alive(self) -> bool:
        """Whether it answers at all."""
        try:
            return httpx.get(f"{self.address}/health/live", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Stop it in good order; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def api_server(
    variables: Mapping[str, str], folder: Path, *, keep_log: bool = True, ready: bool = True
) -> Iterator[ServerProcess]:
    """The API once it is ready, with settings of its own; it is killed at the end if it still runs.

    Args:
        variables: of its environment.
        folder: its working folder, for its log, too.
        keep_log: whether what it prints is kept, two lines a request; else it is written and thrown away.
        ready: wait until it has something to answer from, and not only until it answers.
    """
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    environment = {**kept, "PYTHONPATH": str(_ROOT), **variables, "CRM_API_PORT": str(port)}
    log = folder / "api.log" if keep_log else Path(os.devnull)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "crm_assets.serving"], env=environment, cwd=folder, stdout=output, stderr=output
        )
    server = ServerProcess(process, f"http://127.0.0.1:{port}", log)
    try:
        server.until(server.is_ready if ready else server.is_alive, every=0.02)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
