"""Whether GitHub's workflows that decide on a commit have passed on it: `python -m deploy.commit_checked`.

COMMIT says which. Those that go on are waited for, so that a build may go on beside them. A later step is told whether
a newer commit of main has passed meanwhile, which is then the one to deploy. Needs GitHub's command line, and a token
that may read what workflows did.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deploy.command import DeployError, output_of, required, summarise, tell
from deploy.image import tag_of

DECIDING = ("ci.yml", "security.yml")
SECONDS = 6600
"""Longer than the longest of their jobs may take."""
UNSEEN = 600
"""How long a workflow may be missing: right after a push GitHub does not tell it yet."""
PAUSE = 30
LOOKED_AT = 20
"""How many of the newest commits of main are looked at for one that has passed."""


def passed_and_open(runs: Iterable[Mapping[str, Any]]) -> tuple[set[str], set[str]]:
    """The deciding workflows that have passed, and those that go on. Raises DeployError where one has failed.

    Args:
        runs: of one commit, as GitHub's API tells them; the newest of a workflow counts.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for run in sorted(runs, key=lambda run: int(run["id"])):
        newest[run["path"].partition("@")[0].rpartition("/")[2]] = run
    passed, going_on = set(), set()
    for name in DECIDING:
        if name not in newest:
            continue
        run = newest[name]
        if run["status"] != "completed":
            going_on.add(name)
        elif run["conclusion"] == "success":
            passed.add(name)
        else:
            raise DeployError(f"{name} has ended as {run['conclusion']} on this commit: {run['html_url']}")
    return passed, going_on


def wait(
    ask: Callable[[], Iterable[Mapping[str, Any]]],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Return once all that decides has passed. Raises DeployError where one fails, is missing or takes too long."""
    begun = clock()
    while True:
        passed, going_on = passed_and_open(ask())
        missing = set(DECIDING) - passed - going_on
        if not missing and not going_on:
            return
        if missing and clock() - begun >= UNSEEN:
            raise DeployError(
                f"{', '.join(sorted(missing))} did not run on this commit: only commits of main are deployed"
            )
        if clock() - begun >= SECONDS:
            raise DeployError(f"{', '.join(sorted(going_on))} has not ended after {SECONDS} s")
        pause(PAUSE)


def newer_that_passed(newer: Iterable[str], runs: Callable[[str], Iterable[Mapping[str, Any]]]) -> str | None:
    """The newest of some commits on which all that decides has passed; None where it has on none.

    Args:
        newer: the commits, the newest last.
        runs: what workflows did on a commit.
    """
    for commit in list(newer)[-LOOKED_AT:][::-1]:
        try:
            passed, _ = passed_and_open(runs(commit))
        except DeployError:
            continue
        if passed == set(DECIDING):
            return commit
    return None


def _newer(commit: str) -> list[str]:
    # GitHub tells at most 250 of them, and the last is the newest of all.
    told = json.loads(output_of(["gh", "api", f"repos/{{owner}}/{{repo}}/compare/{commit}...main"]))
    return [str(each["sha"]) for each in told["commits"]]


def _runs(commit: str) -> list[Mapping[str, Any]]:
    query = f"repos/{{owner}}/{{repo}}/actions/runs?head_sha={commit}&event=push&per_page=100"
    told: list[Mapping[str, Any]] = json.loads(output_of(["gh", "api", query]))["workflow_runs"]
    return told


def main() -> int:
    """Wait for COMMIT's, and tell of a newer one; 1 and the reason on standard error where they have not passed."""
    try:
        commit = required("COMMIT", "$(git rev-parse HEAD)")
        # It goes into an address.
        tag_of(commit)
        wait(lambda: _runs(commit))
        newer = newer_that_passed(_newer(commit), _runs)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    summarise(f"{' and '.join(DECIDING)} have passed on {commit}" + (f", and on {newer} already" if newer else ""))
    tell(superseded="true" if newer else "false")
    return 0


if __name__ == "__main__":
    sys.exit(main())
