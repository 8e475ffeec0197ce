"""An image brought to an environment, and what ran before put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.deploy.programs import Programs, stand_ins
from deploy.release import ENVIRONMENTS, MASKED_VARIABLES, PLAN, VARIABLES, main

OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"
GIVEN = {"ENVIRONMENT": "staging", "TERRAFORM_STATE_BUCKET": "crm-assets-state", "AWS_REGION": "eu-central-1"}
FAMILY = "arn:aws:ecs:eu-central-1:123456789012:task-definition/crm-assets-staging-api"
API = {
    "application": "crm-assets-staging-api", "group": "crm-assets-staging-api", "task_definition": f"{FAMILY}:7",
    "container": "api", "port": 8000,
}  # fmt: skip


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


def running(programs: Programs, digest: str) -> None:
    """The code location runs the image with this digest."""
    service = {"status": "ACTIVE", "taskDefinition": "code:3"}
    programs.answer("describe-services", "crm-assets-staging-code", out=json.dumps({"services": [service]}))
    told = {"taskDefinition": {"containerDefinitions": [{"image": f"registry.example/crm-assets@{digest}"}]}}
    programs.answer("describe-task-definition", "code:3", out=json.dumps(told))


def terraform(programs: Programs, verb: str) -> list[list[str]]:
    return [call[2:] for call in programs.calls if call[0] == "terraform" and call[2] == verb]


def test_a_release_does_what_was_planned_and_a_rollback_brings_the_image_before(programs: Programs) -> None:
    running(programs, OLD)
    programs.answer("output", out=outputs())
    programs.answer("show", out=shown(("aws_ecs_service", "update")))
    programs.answer("plan", made={f"terraform/environments/staging/{PLAN}": "the plan"})
    assert main(["plan"], {**GIVEN, "DIGEST": NEW}) == 0
    assert main(["apply"], {**GIVEN, "DIGEST": NEW}) == 0
    assert main(["rollback"], {**GIVEN, "DIGEST": NEW}) == 0
    (init,) = terraform(programs, "init")
    assert {"-backend-config=bucket=crm-assets-state", "-backend-config=region=eu-central-1"} <= set(init)
    (planned,) = terraform(programs, "plan")
    assert f"-var=image_digest={NEW}" in planned
    applied, back = terraform(programs, "apply")
    assert applied[-1] == PLAN
    assert f"-var=image_digest={OLD}" in back
    called = [call for call in programs.calls if call[0] == "terraform"]
    assert {call[1] for call in called} == {"-chdir=terraform/environments/staging"}
    assert "| change | `aws_ecs_service.this` |" in Path("bench/plan-staging.md").read_text()


@pytest.mark.parametrize(("takes_requests", "released"), [(f"{FAMILY}:6", True), (f"{FAMILY}:7", False)])
def test_a_new_version_of_the_api_is_released_by_codedeploy(
    takes_requests: str, released: bool, programs: Programs
) -> None:
    running(programs, OLD)
    primary = {"status": "PRIMARY", "taskDefinition": takes_requests}
    told = {"services": [{"status": "ACTIVE", "taskDefinition": f"{FAMILY}:1", "taskSets": [primary]}]}
    programs.answer("describe-services", "crm-assets-staging-api", out=json.dumps(told))
    programs.answer("output", out=outputs(api_release=API))
    programs.answer("create-deployment", out='{"deploymentId": "d-1"}')
    programs.answer("get-deployment", out='{"deploymentInfo": {"status": "InProgress"}}')
    moved = {"deploymentTarget": {"ecsTarget": {"status": "Succeeded"}}}
    programs.answer("get-deployment-target", "crm-assets-staging:crm-assets-staging-api", out=json.dumps(moved))
    (Path("terraform/environments/staging") / PLAN).write_text("the plan")
    assert main(["apply"], {**GIVEN, "DIGEST": NEW}) == 0
    created = [call for call in programs.calls if "create-deployment" in call]
    assert len(created) == released
    for call in created:
        content = json.loads(json.loads(call[call.index("--revision") + 1])["appSpecContent"]["content"])
        (resource,) = content["Resources"]
        assert resource["TargetService"]["Properties"]["TaskDefinition"] == API["task_definition"]
    noted = json.loads(Path("bench/before-staging.json").read_text())
    assert noted == {"digest": OLD, **({"release": "d-1"} if released else {})}


@pytest.mark.parametrize(("runs", "released"), [(OLD, False), (NEW, True)])
def test_going_back_sends_requests_back_and_releases_nothing_that_takes_them_already(
    runs: str, released: bool, programs: Programs
) -> None:
    """The version that Terraform makes for the old image is a new one, and not the one that takes requests again."""
    primary = {"status": "PRIMARY", "taskDefinition": f"{FAMILY}:6"}
    told = {"services": [{"status": "ACTIVE", "taskDefinition": f"{FAMILY}:1", "taskSets": [primary]}]}
    programs.answer("describe-services", "crm-assets-staging-api", out=json.dumps(told))
    image = {"taskDefinition": {"containerDefinitions": [{"image": f"registry.example/crm-assets@{runs}"}]}}
    programs.answer("describe-task-definition", f"{FAMILY}:6", out=json.dumps(image))
    programs.answer("output", out=outputs(api_release=API))
    programs.answer("create-deployment", out='{"deploymentId": "d-2"}')
    programs.answer("get-deployment", "d-2", out='{"deploymentInfo": {"status": "Succeeded"}}')
    programs.answer("get-deployment", "d-1", out='{"deploymentInfo": {"status": "Succeeded"}}')
    Path("bench").mkdir()
    Path("bench/before-staging.json").write_text(json.dumps({"digest": OLD, "release": "d-1"}))
    assert main(["rollback"], GIVEN) == 0
    assert len([call for call in programs.calls if "create-deployment" in call]) == released
    (looked, *_) = [call for call in programs.calls if "get-deployment" in call]
    assert "d-1" in looked


@pytest.mark.parametrize(
    "answer",
    [
        {"err": "An error occurred (ClusterNotFoundException)", "code": 254},
        {"out": '{"services": []}'},
        {"out": '{"services": [{"status": "INACTIVE", "taskDefinition": "code:3"}]}'},
    ],
)
def test_where_nothing_runs_a_plan_starts_nothing(answer: dict[str, Any], programs: Programs) -> None:
    programs.answer("describe-services", **answer)
    programs.answer("show", out=shown())
    assert main(["plan"], GIVEN) == 0
    (planned,) = terraform(programs, "plan")
    assert "-var=running=false" in planned


def test_what_cannot_be_told_is_not_taken_for_nothing(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.answer("describe-services", err="An error occurred (AccessDeniedException)", code=254)
    assert main(["plan"], GIVEN) == 1
    assert "AccessDeniedException" in capsys.readouterr().err


def test_a_job_has_its_variables_and_providers_are_as_they_are_locked(programs: Programs) -> None:
    running(programs, OLD)
    programs.answer("show", out=shown())
    folder = Path("terraform/environments/staging")
    (folder / ".terraform.lock.hcl").touch()
    more = {
        "TERRAFORM_VARIABLES": 'domain = "crm.example"',
        "TERRAFORM_SECRET_VARIABLES": "operator_login = null",
        "TERRAFORM_STATE_KEY": "arn:key",
    }
    assert main(["plan"], {**GIVEN, **more}) == 0
    (init,) = terraform(programs, "init")
    assert {"-lockfile=readonly", "-backend-config=kms_key_id=arn:key"} <= set(init)
    assert (folder / VARIABLES).read_text() == 'domain = "crm.example"'
    assert (folder / MASKED_VARIABLES).read_text() == "operator_login = null"


def test_at_home_the_state_is_where_the_file_says(programs: Programs) -> None:
    running(programs, OLD)
    programs.answer("show", out=shown())
    (Path("terraform/environments/staging") / "backend.hcl").touch()
    assert main(["plan"], {"ENVIRONMENT": "staging"}) == 0
    (init,) = terraform(programs, "init")
    assert "-backend-config=backend.hcl" in init


def test_a_plan_on_a_pull_request_is_of_what_runs_and_takes_no_lock(programs: Programs) -> None:
    running(programs, OLD)
    programs.answer("output", out=outputs())
    programs.answer("show", out=shown(("aws_db_instance", "delete")))
    # It is told there, and does no harm yet.
    assert main(["plan"], GIVEN) == 0
    (planned,) = terraform(programs, "plan")
    assert {"-lock=false", f"-var=image_digest={OLD}"} <= set(planned)
    assert "Refused" in Path("bench/plan-staging.md").read_text()


def test_data_is_not_lost_without_somebody_s_saying_so(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    running(programs, OLD)
    programs.answer("output", out=outputs())
    programs.answer("show", out=shown(("aws_db_instance", "delete")))
    assert main(["plan"], {**GIVEN, "DIGEST": NEW}) == 1
    assert "aws_db_instance.this would lose what is in there" in capsys.readouterr().err
    assert main(["plan"], {**GIVEN, "DIGEST": NEW, "BY_HAND": "yes"}) == 0


def test_what_only_people_may_change_is_not_begun(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    running(programs, OLD)
    programs.answer("output", out=outputs())
    programs.answer("show", out=shown(("aws_iam_policy", "update")))
    assert main(["plan"], {**GIVEN, "DIGEST": NEW}) == 1
    assert "aws_iam_policy.this may not be changed by a deployment" in capsys.readouterr().err
    assert main(["plan"], {**GIVEN, "DIGEST": NEW, "BY_HAND": "yes"}) == 0


def test_a_login_that_was_not_handed_over_is_not_taken_away(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    running(programs, OLD)
    programs.answer("output", out=outputs())
    rule = {"address": "aws_lb_listener_rule.fixed", "type": "aws_lb_listener_rule", "mode": "managed"}
    values = {"before": {"action": [{"type": "authenticate-oidc"}]}, "after": {"action": [{"type": "forward"}]}}
    programs.answer(
        "show", out=json.dumps({"resource_changes": [{**rule, "change": {"actions": ["update"], **values}}]})
    )
    assert main(["plan"], {**GIVEN, "DIGEST": NEW}) == 1
    assert "aws_lb_listener_rule.fixed would let operators in without signing in" in capsys.readouterr().err
    assert main(["plan"], {**GIVEN, "DIGEST": NEW, "BY_HAND": "yes"}) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ENVIRONMENT": "production"}, "not one of dev, staging, prod"),
        ({"ENVIRONMENT": ""}, "ENVIRONMENT is not set"),
        ({"TERRAFORM_STATE_BUCKET": ""}, "TERRAFORM_STATE_BUCKET is not set"),
        ({"AWS_REGION": ""}, "AWS_REGION is not set"),
        ({"DIGEST": "latest"}, "a tag may be another image tomorrow"),
        ({"DIGEST": f"{NEW} -destroy"}, "a tag may be another image tomorrow"),
    ],
)
def test_what_is_not_clear_is_refused(
    given: dict[str, str], told: str, programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan"], {**GIVEN, "DIGEST": NEW, **given}) == 1
    assert told in capsys.readouterr().err
    assert not terraform(programs, "plan")


@pytest.mark.parametrize("before", [None, ""])
def test_nothing_to_go_back_to_is_said(
    before: str | None, programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    if before is not None:
        Path("bench").mkdir()
        Path("bench/before-staging.json").write_text(json.dumps({"digest": before}))
    assert main(["rollback"], GIVEN) == 1
    assert "before" in capsys.readouterr().err
    assert not terraform(programs, "apply")


def test_a_release_that_fails_is_told_and_what_ran_before_is_noted(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    running(programs, OLD)
    programs.answer("output", out=outputs())
    programs.answer("apply", code=1)
    assert main(["apply"], {**GIVEN, "DIGEST": NEW}) == 1
    assert "make deploy-plan first" in capsys.readouterr().err
    (Path("terraform/environments/staging") / PLAN).write_text("the plan")
    assert main(["apply"], {**GIVEN, "DIGEST": NEW}) == 1
    assert json.loads(Path("bench/before-staging.json").read_text()) == {"digest": OLD}


def test_environments_are_those_of_terraform() -> None:
    folder = Path(__file__).parents[2] / "terraform" / "environments"
    if folder.exists():
        assert {path.name for path in folder.iterdir() if path.is_dir()} == set(ENVIRONMENTS)
