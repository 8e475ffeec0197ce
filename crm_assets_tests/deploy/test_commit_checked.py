"""Nothing is deployed whose checks have not passed, with a clock of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.containers.compose import REPOSITORY
from crm_assets_tests.deploy.programs import stand_ins
from deploy.command import DeployError
from deploy.commit_checked import (
    DECIDING,
    LOOKED_AT,
    PAUSE,
    SECONDS,
    UNSEEN,
    main,
    newer_that_passed,
    passed_and_open,
    wait,
)

COMMIT = "0123456789" * 4


def run(name: str, conclusion: str | None = "success", number: int = 1) -> dict[str, Any]:
    status = "in_progress" if conclusion is None else "completed"
    return {
        "id": number, "path": f".github/workflows/{name}", "status": status, "conclusion": conclusion,
        "html_url": f"https://github.example/runs/{number}",
    }  # fmt: skip


def waited(*answers: list[dict[str, Any]]) -> float:
    now, left = [0.0], list(answers)

    def pause(seconds: float) -> None:
        now[0] += seconds

    wait(lambda: left.pop(0) if len(left) > 1 else left[0], lambda: now[0], pause)
    return now[0]


def test_what_goes_on_is_waited_for() -> None:
    done = [run(name) for name in DECIDING]
    assert waited([], [run("ci.yml", None)], [run("ci.yml", None), run("security.yml")], done) == 3 * PAUSE


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "skipped"])
def test_what_has_not_passed_is_not_deployed(conclusion: str) -> None:
    with pytest.raises(DeployError, match=f"security.yml has ended as {conclusion} .*runs/7"):
        waited([run("ci.yml", None), run("security.yml", conclusion, 7)])


def test_what_did_not_run_is_not_taken_for_passed() -> None:
    with pytest.raises(DeployError, match=r"security\.yml did not run"):
        waited([run("ci.yml"), run("cd.yml")])
    assert UNSEEN < SECONDS


def test_what_never_ends_is_told() -> None:
    with pytest.raises(DeployError, match=r"ci\.yml has not ended"):
        waited([run("ci.yml", None), run("security.yml")])


def test_the_newest_run_counts() -> None:
    assert passed_and_open([run("ci.yml", "success", 9), run("ci.yml", "failure", 3)]) == ({"ci.yml"}, set())


def test_a_commit_is_asked_for_by_all_of_its_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    programs = stand_ins(tmp_path / "programs", monkeypatch, "gh")
    later = "9876543210" * 4
    compared = f"repos/{{owner}}/{{repo}}/compare/{COMMIT}...main"
    programs.answer(compared, out=json.dumps({"commits": [{"sha": later}]}))
    programs.answer("api", out=json.dumps({"workflow_runs": [run(name) for name in DECIDING]}))
    monkeypatch.setenv("COMMIT", "main")
    assert main() == 1
    monkeypatch.setenv("COMMIT", COMMIT)
    assert main() == 0
    asked = [call[-1] for call in programs.calls]
    assert asked[1] == compared
    assert [f"head_sha={one}&event=push" in asked[place] for one, place in ((COMMIT, 0), (later, 2))] == [True, True]
    assert (tmp_path / "output").read_text() == "superseded=true\n"
    assert f"on {later} already" in capsys.readouterr().out


PASSED = [run(name) for name in DECIDING]


@pytest.mark.parametrize(
    ("told", "newest"),
    [
        ({}, None),
        ({"b": PASSED}, "b"),
        ({"b": PASSED, "c": PASSED}, "c"),
        ({"b": PASSED, "c": [run("ci.yml"), run("security.yml", None)]}, "b"),
        ({"b": PASSED, "c": [run("ci.yml", "failure"), run("security.yml")]}, "b"),
        ({"b": [run("ci.yml")]}, None),
    ],
)
def test_a_newer_commit_that_has_passed_is_known(told: dict[str, list[dict[str, Any]]], newest: str | None) -> None:
    assert newer_that_passed(["b", "c"], lambda commit: told.get(commit, [])) == newest


def test_no_more_commits_are_asked_for_than_matter() -> None:
    asked: list[str] = []

    def runs(commit: str) -> list[dict[str, Any]]:
        asked.append(commit)
        return []

    assert newer_that_passed([str(number) for number in range(100)], runs) is None
    assert asked == [str(number) for number in range(99, 99 - LOOKED_AT, -1)]


def test_what_decides_runs_on_main() -> None:
    for name in DECIDING:
        assert "  push:\n    branches: [main]\n" in (REPOSITORY / ".github" / "workflows" / name).read_text()
