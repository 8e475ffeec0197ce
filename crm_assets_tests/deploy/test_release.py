"""An image brought to an environment, and what ran before put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.deploy.programs import Programs, stand_ins
from deploy.release import ENVIRONMENTS, PLAN, main

REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets"
OLD, NEW = f"{REPOSITORY}@sha256:{'0' * 64}", f"{REPOSITORY}@sha256:{'1' * 64}"
GIVEN = {"ENVIRONMENT": "staging", "TERRAFORM_STATE_BUCKET": "crm-assets-state"}
API = {
    "application": "crm-assets-staging-api",
    "task_definition": "arn:aws:ecs:eu-central-1:123456789012:task-definition/crm-assets-staging-api:7",
    "port": 8000,
}


def outputs(**values: Any) -> str:
    return json.dumps({name: {"value": value} for name, value in values.items()})


def shown(*changes: tuple[str, str]) -> str:
    return json.dumps(
        {
            "resource_changes": [
                {"address": f"{kind}.this", "type": kind, "mode": "managed", "change": {"actions": [action]}}
                for kind, action in changes
            ]
        }
    )


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "terraform" / "environments" / "staging").mkdir(parents=True)
    return stand_ins(tmp_path / "programs", monkeypatch, "terraform", "aws")


def terraform(programs: Programs, verb: str) -> list[list[str]]:
    return [call[2:] for call in programs.calls if call[0] == "terraform" and call[2] == verb]


def test_a_release_does_what_was_planned_and_a_rollback_brings_the_image_before(programs: Programs) -> None:
    programs.answer("output", out=outputs(image=OLD))
    programs.answer("show", out=shown(("aws_ecs_service", "update")))
    programs.answer("plan", made={f"terraform/environments/staging/{PLAN}": "the plan"})
    assert main(["plan"], {**GIVEN, "IMAGE": NEW}) == 0
    assert main(["apply"], {**GIVEN, "IMAGE": NEW}) == 0
    assert main(["rollback"], {**GIVEN, "IMAGE": NEW}) == 0
    (init,) = terraform(programs, "init")
    assert {"-lockfile=readonly", "-backend-config=bucket=crm-assets-state"} <= set(init)
    (planned,) = terraform(programs, "plan")
    assert f"-var=image={NEW}" in planned
    applied, back = terraform(programs, "apply")
    assert applied[-1] == PLAN
    assert f"-var=image={OLD}" in back
    assert all(call[1] == "-chdir=terraform/environments/staging" for call in programs.calls)
    assert "| change | `aws_ecs_service.this` |" in Path("bench/plan-staging.md").read_text()


def test_the_api_is_released_by_codedeploy_where_terraform_says_so(programs: Programs) -> None:
    programs.answer("output", out=outputs(image=OLD, api_release=API))
    programs.answer("create-deployment", out='{"deploymentId": "d-1"}')
    programs.answer("get-deployment", out='{"deploymentInfo": {"status": "Succeeded"}}')
    (Path("terraform/environments/staging") / PLAN).write_text("the plan")
    assert main(["apply"], {**GIVEN, "IMAGE": NEW}) == 0
    (created,) = [call for call in programs.calls if "create-deployment" in call]
    content = json.loads(json.loads(created[created.index("--revision") + 1])["appSpecContent"]["content"])
    (resource,) = content["Resources"]
    assert resource["TargetService"]["Properties"]["TaskDefinition"] == API["task_definition"]


def test_a_plan_on_a_pull_request_is_of_what_runs_and_takes_no_lock(programs: Programs) -> None:
    programs.answer("output", out=outputs(image=OLD))
    programs.answer("show", out=shown(("aws_db_instance", "delete")))
    # It is told there, and does no harm yet.
    assert main(["plan"], GIVEN) == 0
    (planned,) = terraform(programs, "plan")
    assert {"-lock=false", f"-var=image={OLD}"} <= set(planned)
    assert "Refused" in Path("bench/plan-staging.md").read_text()


def test_data_is_not_lost_without_somebody_s_saying_so(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.answer("output", out=outputs(image=OLD))
    programs.answer("show", out=shown(("aws_db_instance", "delete")))
    assert main(["plan"], {**GIVEN, "IMAGE": NEW}) == 1
    assert "aws_db_instance.this would lose what is in there" in capsys.readouterr().err
    assert main(["plan"], {**GIVEN, "IMAGE": NEW, "ALLOW_LOSS": "yes"}) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ENVIRONMENT": "production"}, "not one of dev, staging, prod"),
        ({"ENVIRONMENT": ""}, "ENVIRONMENT is not set"),
        ({"TERRAFORM_STATE_BUCKET": ""}, "TERRAFORM_STATE_BUCKET is not set"),
        ({"IMAGE": f"{REPOSITORY}:latest"}, "a tag may be another image tomorrow"),
        ({"IMAGE": "x -destroy@sha256:" + "0" * 64}, "a tag may be another image tomorrow"),
    ],
)
def test_what_is_not_clear_is_refused(
    given: dict[str, str], told: str, programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan"], {**GIVEN, "IMAGE": NEW, **given}) == 1
    assert told in capsys.readouterr().err
    assert not terraform(programs, "plan")


@pytest.mark.parametrize("before", [None, ""])
def test_nothing_to_go_back_to_is_said(
    before: str | None, programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    if before is not None:
        Path("bench").mkdir()
        Path("bench/before-staging.json").write_text(json.dumps({"image": before}))
    assert main(["rollback"], GIVEN) == 1
    assert "before" in capsys.readouterr().err
    assert not terraform(programs, "apply")


def test_a_release_that_fails_is_told_and_what_ran_before_is_noted(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.answer("output", out=outputs(image=OLD))
    programs.answer("apply", code=1)
    assert main(["apply"], {**GIVEN, "IMAGE": NEW}) == 1
    assert "make deploy-plan first" in capsys.readouterr().err
    (Path("terraform/environments/staging") / PLAN).write_text("the plan")
    assert main(["apply"], {**GIVEN, "IMAGE": NEW}) == 1
    assert json.loads(Path("bench/before-staging.json").read_text()) == {"image": OLD}


def test_environments_are_those_of_terraform() -> None:
    folder = Path(__file__).parents[2] / "terraform" / "environments"
    if folder.exists():
        assert {path.name for path in folder.iterdir() if path.is_dir()} == set(ENVIRONMENTS)
