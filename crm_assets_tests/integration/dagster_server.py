"""A real Dagster for the tests, webserver and daemon, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")

START_SECONDS = 180
STOP_SECONDS = 30
_HOME_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_queue:
  max_concurrent_runs: 1
"""


class DagsterServer:
    """`dagster dev` in a session of its own.

    Args:
        folder: for its home and its log.
        environment: variables of it besides those of this process without settings.
        home: Dagster's home with its `dagster.yaml`; one with SQLite and one run at a time is made when None.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], home: Path | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = home or folder / "dagster_home"
        if home is None:
            self.home.mkdir(parents=True, exist_ok=True)
            (self.home / "dagster.yaml").write_text(_HOME_YAML)
        self.log = folder / "dagster.log"
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "DAGSTER_"))}
        root = str(Path(__file__).parents[2])
        self._environment = {**kept, **environment, "DAGSTER_HOME": str(self.home), "PYTHONPATH": root}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until its code location is loaded."""
        command = [sys.executable, "-m", "dagster", "dev", "--module-name", "crm_assets.definitions"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        self._wait_until_loaded(self._process)

    def stop(self) -> None:
        """Stop it in good order, with every process it started."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and every process it started, without a chance to write anything down."""
        self._end(signal.SIGKILL)

    def ask(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data of a GraphQL answer. Raises RuntimeError when it is none."""
        body = json.dumps({"query": document, "variables": dict(variables or {})}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        if told.get("errors"):
            raise RuntimeError(f"Dagster refuses: {told['errors']}")
        data: dict[str, Any] = told["data"]
        return data

    def until(self, what: str, found: Callable[[], _T | None], seconds: float) -> _T:
        """What `found` gives as soon as that is not None.

        Raises RuntimeError, with what was waited for and the end of the log, when it takes longer than so many seconds
        or Dagster ends.
        """
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = found()
            if answer is not None:
                return answer
            # As in `_wait_until_loaded`.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
                break
        log = self.log.read_text(errors="replace")[-4000:]
        raise RuntimeError(f"waited in vain for {what}, {seconds:.0f} s at most:\n{log}")

    def cpu_seconds(self) -> float:
        """Processor time of its processes so far, with those that have ended."""
        assert self._process is not None
        ticks = 0
        for pid in _session(self._process.pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # In user and system mode, its own and its ended children's.
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Code servers and runs are processes of its session, some in groups of their own.
        members = _session(process.pid)
        process.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        for pid in {*members, *_session(process.pid)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def _wait_until_loaded(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        question = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": question}).encode(),
            {"Content-Type": "application/json"},
        )
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with urllib.request.urlopen(request, timeout=5) as answer:
                    entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
                if entries and all(entry["loadStatus"] == "LOADED" for entry in entries):
                    return
            # Waiting on the process returns at once when it ends, and is the pause between two polls otherwise.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
                break
        raise RuntimeError(f"Dagster did not come up at {self.url}:\n{self.log.read_text(errors='replace')[-4000:]}")


def _session(leader: int) -> set[int]:
    """Ids of the processes of a session."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # The name, in brackets, may hold spaces: what counts comes after it.
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.add(int(status.parent.name))
    return found


@contextmanager
def dagster_server(folder: Path, environment: Mapping[str, str], home: Path | None = None) -> Iterator[DagsterServer]:
    """A running Dagster, which ends with the block; its arguments are those of `DagsterServer`."""
    server = DagsterServer(folder, environment, home)
    try:
        server.start()
        yield server
    finally:
        server.stop()
