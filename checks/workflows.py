"""Rules of our own for GitHub's workflows, which no other tool knows: what they run, and what they may do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.commit_checked import DECIDING

_TARGET = re.compile(r"^([a-z][a-z0-9-]*):(?!=)", re.MULTILINE)
_PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
_USES = re.compile(r"^\s*(?:- )?uses:\s*(\S+)(?:\s+#\s*(\S+))?", re.MULTILINE)
_VERSION = re.compile(r"^v\d+\.\d+\.\d+$")
_MAKE = re.compile(r"^make(?P<words>(?: +[A-Za-z0-9_=:./-]+)+)$")
_SECRET = re.compile(r"\bsecrets\.(?!GITHUB_TOKEN\b)\w+")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_RUNNER = re.compile(r"^ubuntu-\d\d\.\d\d$")
_WITH_RIGHTS_OF_OURS = ("pull_request_target", "workflow_run", "issue_comment")
"""Triggers that run with this repository's rights on what somebody else wrote."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: the file, and the job or step in it."""

    file: str
    place: str
    told: str

    def __str__(self) -> str:
        """As a line of a report."""
        return f"{self.file}: {self.place}: {self.told}" if self.place else f"{self.file}: {self.told}"


def make_targets(makefile: str) -> frozenset[str]:
    """The names of the targets in a Makefile's text."""
    return frozenset(_TARGET.findall(makefile))


def problems(root: Path) -> list[Problem]:
    """Everything that is wrong with the workflows below `root`; also that there are none."""
    folder = root / ".github" / "workflows"
    files = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])
    if not files:
        return [Problem(str(folder.relative_to(root)), "", "has no workflow")]
    targets = make_targets((root / "Makefile").read_text())
    found: list[Problem] = []
    pins: dict[str, set[str]] = {}
    reading = frozenset(f"./{file.relative_to(root)}" for file in files if _SECRET.search(file.read_text()))
    for file in files:
        name, text = str(file.relative_to(root)), file.read_text()
        for used, comment in _USES.findall(text):
            found += [Problem(name, used, told) for told in _of_use(used, comment, root)]
            action, _, commit = used.partition("@")
            if commit:
                pins.setdefault("/".join(action.split("/")[:2]), set()).add(f"{commit} {comment}")
        found += [Problem(name, place, told) for place, told in of_workflow(yaml.safe_load(text), targets, reading)]
        if file.name in DECIDING and "github.sha" not in str(yaml.safe_load(text).get("concurrency")):
            told = "has no github.sha: GitHub would cancel a commit's run for a newer one's, and deploy neither"
            found.append(Problem(name, "concurrency", told))
    for action, commits in pins.items():
        if len(commits) > 1:
            found.append(
                Problem(".github/workflows", action, f"has {len(commits)} versions: {', '.join(sorted(commits))}")
            )
    return found


def _of_use(used: str, comment: str, root: Path) -> Iterator[str]:
    if used.startswith("./"):
        if not (root / used).exists():
            yield "is not there"
    elif not _PINNED.match(used):
        yield "is not pinned by the 40 digits of a commit"
    elif not _VERSION.match(comment):
        yield f"has {comment or 'nothing'!r} behind it instead of a comment with its version, such as # v1.2.3"


def of_workflow(
    workflow: Mapping[Any, Any], targets: frozenset[str], reading: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Place and fault of all that is wrong in one workflow.

    Args:
        workflow: as YAML reads it, which takes the key `on` for a truth value.
        targets: those of the Makefile.
        reading: paths of the workflows of this repository that read secrets.
    """
    triggers = workflow.get("on", workflow.get(True))
    names = [triggers] if isinstance(triggers, str) else list(triggers or [])
    for name in names:
        if name in _WITH_RIGHTS_OF_OURS:
            yield "on", f"{name} runs with this repository's rights on what others wrote"
    if "permissions" not in workflow or workflow["permissions"] not in ({}, {"contents": "read"}):
        yield "permissions", "have to be {} or contents: read for the whole workflow; a job asks for more"
    if "concurrency" not in workflow and names != ["workflow_call"]:
        yield "concurrency", "is missing: two runs would go on side by side"
    for name, job in (workflow.get("jobs") or {}).items():
        for told in _of_job(job, reading):
            yield name, told
        for number, step in enumerate(job.get("steps") or [], start=1):
            for told in _of_step(step, targets):
                yield f"{name}, step {step.get('name', number)}", told


def _of_job(job: Mapping[str, Any], reading: frozenset[str]) -> Iterator[str]:
    if not isinstance(job.get("permissions"), dict):
        yield "permissions are missing, each with its own right"
    inherits, reads = job.get("secrets") == "inherit", job.get("uses") in reading
    if inherits and not reads:
        yield "secrets: inherit hands on all of them"
    if reads and not inherits:
        # https://github.com/actions/runner/issues/1490
        yield f"{job['uses']} reads secrets, and those of its environment are empty without secrets: inherit"
    if "uses" in job:
        return
    if not isinstance(job.get("timeout-minutes"), int):
        yield "timeout-minutes is missing: a run that hangs costs six hours"
    steps = sum(step.get("timeout-minutes", 0) for step in job.get("steps") or [])
    if isinstance(job.get("timeout-minutes"), int) and steps >= job["timeout-minutes"]:
        yield f"timeout-minutes is {job['timeout-minutes']}, and its steps may take {steps}: the last may be cut off"
    if not _RUNNER.match(str(job.get("runs-on"))):
        yield f"runs on {job.get('runs-on')}, which is another machine some day: name a version of Ubuntu"
    for name, service in (job.get("services") or {}).items():
        if not _DIGEST.search(str(service.get("image"))):
            yield f"service {name} is not pinned by digest"


def _of_step(step: Mapping[str, Any], targets: frozenset[str]) -> Iterator[str]:
    checks_out = str(step.get("uses", "")).startswith("actions/checkout@")
    if checks_out and (step.get("with") or {}).get("persist-credentials") is not False:
        yield "leaves the token on the disk: persist-credentials: false"
    for line in str(step.get("run", "")).strip().splitlines():
        made = _MAKE.match(line.strip())
        if not made:
            yield f"{line.strip()!r} is no make target with plain arguments, so nobody can run the same"
            continue
        for word in made["words"].split():
            if "=" not in word and word not in targets:
                yield f"make {word}: the Makefile has no such target"


def main(arguments: list[str]) -> int:
    """Print what is wrong below the folder that is named; 1 when something is."""
    found = problems(Path(arguments[0]))
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
