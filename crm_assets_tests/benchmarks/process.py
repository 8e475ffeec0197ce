"""One measured thing per process, so that its memory is its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Told:
    """What a process told in JSON, a line each, and how it ended.

    Attributes:
        lines: in order.
        timed_out: whether it was ended for taking too long.
        returncode: 0 when it went well; negative for the signal that ended it.
        others: processors that everything else on the machine kept busy meanwhile, on average; None where the system
            does not say.
    """

    lines: list[dict[str, Any]]
    timed_out: bool
    returncode: int
    others: float | None


def tell(**values: Any) -> None:
    """Tell the parent process one line."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def listen(
    module: str,
    arguments: Sequence[str],
    *,
    timeout: float | None = None,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Told:
    """Run a module of this package in a process of its own, without the caller's settings, and hear what it tells.

    Args:
        module: name within this package.
        arguments: of its command line.
        timeout: seconds after which it is ended.
        folder: its working folder, so that no `.env` of the caller's is read; the root by default.
        variables: of its environment, besides `environment`.
    """
    began, busy_before, own_before = time.perf_counter(), busy_seconds(), _children_seconds()
    process = subprocess.Popen(
        [sys.executable, "-m", f"crm_assets_tests.benchmarks.{module}", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder or ROOT,
        env={**environment(), **(variables or {})},
    )
    timer = threading.Timer(timeout, process.kill) if timeout else None
    if timer:
        timer.start()
    output, _ = process.communicate()
    in_time = timer is None or timer.is_alive()
    if timer:
        timer.cancel()
    busy, own, passed = busy_seconds(), _children_seconds() - own_before, time.perf_counter() - began
    others = None if busy is None or busy_before is None else max(0.0, (busy - busy_before - own) / passed)
    lines = [json.loads(line) for line in output.splitlines() if line.endswith("}")]
    return Told(lines, timed_out=not in_time, returncode=process.returncode, others=others)


def environment() -> Mapping[str, str]:
    """The environment without settings of the platform or Dagster, and with this checkout to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "DAGSTER_", "MLFLOW_"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


def busy_seconds() -> float | None:
    """Time that all processors together have worked since the machine started, also for others on its host."""
    statistics = Path("/proc/stat")
    if not statistics.exists():
        return None
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen = map(
        int, statistics.read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds() -> float:
    """Processor time of this process and its threads so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_megabytes() -> float:
    """The most memory this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike `ru_maxrss` it starts anew with the program, and does not take over the parent's peak.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
