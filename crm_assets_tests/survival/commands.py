"""The command line in processes that can be killed, and what it leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crm_assets.storage import open_storage

ROOT = Path(__file__).parents[2]
SMALL = {
    "CRM_TREES": "10",
    "CRM_BACKTEST_MONTHS": "1",
    "CRM_MIN_TRAINING_WINS": "10",
    "CRM_CANDIDATES": "logistic",
    "CRM_DATASET": "crm",
}
KILLED = -signal.SIGKILL

Moment = tuple[str, int, str]


@dataclass
class Commands:
    """Starts the command line, a process for each command; see `killed`."""

    server: subprocess.Popen[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        *arguments: str,
        folder: Path,
        moment: Moment | None = None,
        seconds: float | None = None,
        counts: Path | None = None,
        pause: Path | None = None,
        constants: dict[str, float] | None = None,
        **environment: str,
    ) -> int:
        """The exit code of a command.

        Args:
            arguments: of the command line.
            folder: in which it runs.
            moment: at which it kills itself.
            seconds: after which it is killed.
            pause: file that it makes instead at that moment, and whose removal it waits for.
            constants: path of a module's constant -> value that it has for this command.
            counts: file that it writes the number of calls to, by name.
            environment: further variables.
        """
        order = {
            "arguments": arguments,
            "folder": str(folder),
            "moment": moment,
            "pause": str(pause) if pause else None,
            "constants": constants or {},
            "counts": str(counts) if counts else None,
            "log": str(self.log),
            "environment": {**self.environment, **environment},
        }
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        child = int(self.server.stdout.readline())
        timer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL)) if seconds is not None else None
        if timer:
            timer.start()
        code = int(self.server.stdout.readline())
        if timer:
            timer.cancel()
        return code

    def told(self) -> str:
        """The end of what the commands printed."""
        return self.log.read_text(errors="replace")[-4_000:]


@contextmanager
def commands(folder: Path, **environment: str) -> Iterator[Commands]:
    """Commands with temporary files below `folder`."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "DAGSTER_HOME"))}
    server = subprocess.Popen(
        [sys.executable, "-m", "crm_assets_tests.survival.killed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**plain, **SMALL, **environment, "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        yield Commands(server, folder / "log")
    finally:
        server.stdin.close()
        server.wait(60)
        server.stdout.close()


_UNSTEADY = {"written_at", "run_id"}


def contents(url: str) -> dict[str, str]:
    """Path -> SHA-256 of every file of a lake; of a manifest without the time and the MLflow run it names."""
    storage = open_storage(url)
    found = {}
    for path in storage.list():
        data = storage.read_bytes(path)
        if path.endswith(".manifest.json"):
            manifest: dict[str, Any] = json.loads(data)
            manifest["notes"].pop("run_id", None)
            manifest.pop("written_at")
            data = json.dumps(manifest, sort_keys=True).encode()
        found[path] = hashlib.sha256(data).hexdigest()
    return found
