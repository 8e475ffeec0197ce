"""Each kind of mistake, made in a copy of the repository, is found by the check that is there for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.__main__ import commands, ran
from checks.files import tracked

REPOSITORY = Path(__file__).parents[2]
TOOLS = REPOSITORY / ".venv-checks" / "bin" / "python"
CHECKOUT = "actions/checkout@9c091bb21b7c1c1d1991bb908d89e4e9dddfe3e0 # v7.0.0"
CI, CD = ".github/workflows/ci.yml", ".github/workflows/cd.yml"
# Put together here, or they would be found in this file.
AWS_KEY = "AKIA" + "Q3EGRZ7VJ2XKPT5W"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"
PASSWORD = "pass" + 'word = "vK8#mPq2!xLw9zRt"'

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of every file that Git keeps or would keep, as a repository of its own."""
    copy = tmp_path_factory.mktemp("whole")
    for path in tracked(REPOSITORY):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / path, copy / path)
    subprocess.run(["git", "init", "--quiet", str(copy)], check=True)
    return copy


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the checks read but for most of the code, to make mistakes in."""
    to = tmp_path / "copy"
    for path in tracked(REPOSITORY):
        top = path.parts[0]
        if top in {".github", "checks", "deploy", "docker", "Makefile", "crm_assets"} and path.parent.name != "tests":
            if top == "crm_assets" and path.name != "errors.py":
                continue
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / path, to / path)
    subprocess.run(["git", "init", "--quiet", str(to)], check=True)
    return to


def checked(root: Path, *names: str) -> tuple[int, str]:
    """Exit code and report of `make checks` on another folder."""
    done = subprocess.run(
        [TOOLS, "-m", "checks", "--root", root, *names],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def replaced(file: str, old: str, new: str) -> Change:
    """Put something else in the first place where `old` is."""

    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text, f"{file} has no {old!r} any more"
        (root / file).write_text(text.replace(old, new, 1))

    return change


def added(file: str, text: str) -> Change:
    """Put lines at the end of a file, which may be new."""

    def change(root: Path) -> None:
        (root / file).parent.mkdir(exist_ok=True)
        with (root / file).open("a") as opened:
            opened.write(text)

    return change


def test_the_repository_passes(whole: Path) -> None:
    code, report = checked(whole)
    assert code == 0, report
    assert report.count("passed") == 7


MISTAKES: dict[str, tuple[str, Change, str]] = {
    "an action pinned by a tag": ("zizmor", replaced(CI, CHECKOUT, "actions/checkout@v7"), "unpinned-uses"),
    "an action pinned by a tag, by our rule": (
        "workflows",
        replaced(CI, CHECKOUT, "actions/checkout@v7"),
        "actions/checkout@v7: is not pinned",
    ),
    "an action without its version": (
        "workflows",
        replaced(CI, CHECKOUT, CHECKOUT.partition(" #")[0]),
        "instead of a comment with its version",
    ),
    "two versions of an action": (
        "workflows",
        replaced(CI, CHECKOUT, "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"),
        "actions/checkout: has 2 versions",
    ),
    "a make target that is not there": ("workflows", replaced(CI, "make test\n", "make tset\n"), "make tset"),
    "a step that nobody can run at home": ("workflows", replaced(CI, "make test\n", "pytest\n"), "'pytest' is no make"),
    "a step that is more than a target": (
        "workflows",
        replaced(CI, "make test\n", "make test || true\n"),
        "is no make target with plain arguments",
    ),
    "a key that GitHub does not know": ("actionlint", replaced(CI, "timeout-minutes", "time-out"), 'key "time-out"'),
    "a job that waits for none": ("actionlint", replaced(CD, "needs: released", "needs: release"), '"release" which'),
    "an output that no step has": (
        "actionlint",
        replaced(CD, "steps.push.outputs.digest", "steps.pusch.outputs.digest"),
        '"pusch" is not defined',
    ),
    "a file that is no YAML": ("actionlint", replaced(CI, "jobs:", "jobs: ["), "could not parse as YAML"),
    "a title that is run": (
        "zizmor",
        replaced(CI, "make test\n", "make test NAME=${{ github.event.pull_request.title }}\n"),
        "template-injection",
    ),
    "all rights for a token": ("zizmor", replaced(CI, "permissions: {}", "permissions: write-all"), "excessive-permis"),
    "all rights for a token, by our rule": (
        "workflows",
        replaced(CI, "permissions: {}", "permissions: write-all"),
        "have to be {}",
    ),
    "our rights for a fork's code": ("zizmor", replaced(CI, "pull_request:", "pull_request_target:"), "dangerous-trig"),
    "a token that is left on the disk": (
        "zizmor",
        replaced(CI, "persist-credentials: false", "fetch-depth: 0"),
        "artipacked",
    ),
    "a service without a digest": (
        "workflows",
        replaced(CI, "postgres:17.6-bookworm@sha256:", "postgres:17.6-bookworm # "),
        "service postgres is not pinned",
    ),
    "a job that may hang for hours": (
        "workflows",
        replaced(CI, "    timeout-minutes: 20\n", ""),
        "timeout-minutes is missing",
    ),
    "secrets that do not arrive": (
        "workflows",
        replaced(CD, "    secrets: inherit # zizmor: ignore[secrets-inherit]\n", ""),
        "empty without secrets: inherit",
    ),
    "secrets for who reads none": (
        "workflows",
        replaced(".github/workflows/deploy.yml", "secrets.TERRAFORM", "vars.TERRAFORM"),
        "secrets: inherit hands on all of them",
    ),
    "a run that gives way to a newer commit's": (
        "workflows",
        replaced(CI, "github.ref || github.sha", "github.ref"),
        "has no github.sha",
    ),
    "no time to go back": (
        "workflows",
        replaced(".github/workflows/deploy.yml", "timeout-minutes: 270", "timeout-minutes: 60"),
        "the last may be cut off",
    ),
    "a runner that changes": ("workflows", replaced(CI, "ubuntu-24.04", "ubuntu-latest"), "runs on ubuntu-latest"),
    "updates within the hour": (
        "zizmor",
        replaced(".github/dependabot.yml", "cooldown: {default-days: 7}", "cooldown: {default-days: 0}"),
        "dependabot-cooldown",
    ),
    "updates that GitHub cannot read": (
        "zizmor",
        replaced(".github/dependabot.yml", "interval: weekly", "interval: fortnightly"),
        "dependabot.yml",
    ),
    "a key of AWS": ("secrets", added("deploy/account.py", f'KEY = "{AWS_KEY}"\n'), "deploy/account.py:1: AWS Access"),
    "a private key": ("secrets", added("docker/tls.pem", f"{PRIVATE_KEY}\n"), "docker/tls.pem:1: Private Key"),
    "a key in a test": (
        "secrets",
        added("crm_assets_tests/account.py", f'KEY = "{AWS_KEY}"\n'),
        "crm_assets_tests/account.py:1: AWS Access",
    ),
    "a password": ("secrets", added("crm_assets/errors.py", f"\n{PASSWORD}\n"), "crm_assets/errors.py:"),
    "a shell": (
        "bandit",
        added("deploy/command.py", "\n\ndef shell(what: str) -> None:\n    subprocess.run(what, shell=True)\n"),
        "B602",
    ),
    "YAML that runs code": ("bandit", added("crm_assets/errors.py", "\nimport yaml\n\nyaml.load('')\n"), "B506"),
    "a certificate that nobody looks at": (
        "bandit",
        replaced("deploy/smoke.py", "ssl.create_default_context()", "ssl._create_unverified_context()"),
        "B323",
    ),
    "an image without a version": (
        "hadolint",
        replaced("docker/Dockerfile", "FROM ${BASE_IMAGE} AS runtime", "FROM python:latest AS runtime"),
        "DL3007",
    ),
    "a container that ends as root": (
        "hadolint",
        replaced("docker/Dockerfile", "USER 10001:10001", "USER root"),
        "DL3002",
    ),
    "a key that Compose does not know": (
        "compose",
        replaced("docker/compose.yaml", "    healthcheck:", "    health-check:"),
        "health-check",
    ),
    "a variable without a value": (
        "compose",
        replaced("docker/compose.yaml", "${IMAGE_TAG:-0.1.0}", "${IMAGE_TAGS:?say which}"),
        "say which",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, copy: Path) -> None:
    name, change, told = MISTAKES[mistake]
    code, before = checked(copy, name)
    assert code == 0, before
    change(copy)
    code, report = checked(copy, name)
    assert code == 1
    assert told in report
    assert f"{name:<12}FAILED" in report


def test_every_check_has_a_mistake_that_it_finds(copy: Path) -> None:
    assert {name for name, _, _ in MISTAKES.values()} == set(commands(copy))


def test_a_tool_that_is_missing_is_no_pass(copy: Path) -> None:
    assert not ran("hadolint", [str(copy / "no-such-tool")], copy).passed
    assert not ran("hadolint", [sys.executable, "-c", "raise SystemExit(2)"], copy).passed


def test_a_check_that_is_not_there_is_no_pass(copy: Path) -> None:
    code, report = checked(copy, "zismor")
    assert code == 2
    assert "no check is named zismor" in report
