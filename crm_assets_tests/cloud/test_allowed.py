"""What the roles of every environment allow, against what the code calls; read from the policies as they were made.

The policies are put together by Terraform from variables and other resources, so that this needs Terraform, as
`make test-cloud` does. What their text shows is looked at in every test run, by test_files.py.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable

import pytest

from crm_assets_tests.cloud.calls import (
    ACTIONS,
    KEY,
    STARTING,
    USES,
    WITHOUT_RESOURCES,
    Use,
    actions_of,
)
from crm_assets_tests.cloud.made import ON_SPARK, Made
from crm_assets_tests.cloud.reference import reference
from crm_assets_tests.cloud.roles import Grant, Role, of_no_use, out_of_bounds, roles, too_broad

pytestmark = pytest.mark.cloud

ACCOUNT = r"[a-z0-9-]+:\d{12}"


def task_role(made: Made, service: str) -> Role:
    return roles(made.state)[f"crm-assets-{made.name}-{service}"]


def uses_of(made: Made, service: str) -> tuple[Use, ...]:
    """What a service does in this environment."""
    return tuple(use for use in USES[service] if made.name in ON_SPARK or not use.switched)


def places(made: Made, on: str) -> str:
    """The pattern of the ARNs that a thing and its parts have in an environment."""
    name = f"crm-assets-{made.name}"
    return {
        "lake": rf"arn:aws:s3:::{name}-lake-\d{{12}}(/.*)?",
        "landing": rf"arn:aws:s3:::{name}-landing-\d{{12}}(/.*)?",
        "artifacts": rf"arn:aws:s3:::{name}-mlflow-\d{{12}}(/.*)?",
        "runs": "|".join(
            [
                rf"arn:aws:ecs:{ACCOUNT}:task-definition/{name}-run:\*",
                rf"arn:aws:ecs:{ACCOUNT}:task/{name}/\*",
                rf"arn:aws:logs:{ACCOUNT}:log-group:/{name}/run:(\*|log-stream:.*)",
                rf"arn:aws:iam::\d{{12}}:role/{name}-run(-start)?",
            ]
        ),
        "secrets": rf"arn:aws:secretsmanager:{ACCOUNT}:secret:{name}/((dagster|mlflow)-database-url|page-cookie)-\w+",
        "feature jobs": "|".join(
            [
                rf"arn:aws:emr-serverless:{ACCOUNT}:/applications/[^*]+(/jobruns/\*)?",
                rf"arn:aws:iam::\d{{12}}:role/crm-assets-features-{made.name}",
            ]
        ),
    }[on]


@pytest.mark.parametrize("service", USES)
def test_a_service_may_do_what_its_code_calls_and_nothing_else(made: Made, service: str) -> None:
    uses, role = uses_of(made, service), task_role(made, service)
    assert role.actions - KEY == actions_of(uses, switched=True)
    assert role.managed == frozenset()
    with_a_key = any(use.on in {"lake", "landing", "artifacts", "secrets"} for use in uses)
    assert with_a_key or not role.actions & KEY
    wrong = [
        f"{action} on {resource}"
        for action in role.actions - KEY - WITHOUT_RESOURCES
        for resource in role.on(action)
        if not any(_is_for(use, action) and re.fullmatch(places(made, use.on), resource) for use in uses)
    ]
    assert wrong == []


@pytest.mark.parametrize("service", USES)
def test_what_a_service_uses_is_in_reach_of_every_call(made: Made, service: str) -> None:
    role = task_role(made, service)
    lacking = [
        f"{action} on {use.on}"
        for use in uses_of(made, service)
        for action in actions_of((use,), switched=True) - WITHOUT_RESOURCES
        if not any(re.fullmatch(places(made, use.on), resource) for resource in role.on(action))
    ]
    assert lacking == []


@pytest.mark.parametrize("service", USES)
def test_who_starts_a_task_fetches_its_image_and_secrets_and_writes_its_log(made: Made, service: str) -> None:
    role, name = roles(made.state)[f"crm-assets-{made.name}-{service}-start"], f"crm-assets-{made.name}"
    assert role.actions <= STARTING
    assert STARTING - {"secretsmanager:GetSecretValue", "kms:Decrypt"} <= role.actions
    assert {re.sub(ACCOUNT, "", one) for one in role.on("logs:PutLogEvents")} == {
        f"arn:aws:logs::log-group:/{name}/{service}:*"
    }
    given = {
        secret["valueFrom"].split(":secret:")[1].split(":")[0]
        for definition in made.made
        if definition["type"] == "aws_ecs_task_definition" and definition["values"]["family"] == f"{name}-{service}"
        for container in json.loads(definition["values"]["container_definitions"])
        for secret in container.get("secrets", [])
    }
    fetched = {arn.split(":secret:")[1] for arn in role.on("secretsmanager:GetSecretValue")}
    assert fetched == given


def test_no_role_is_broader_than_what_it_names(made: Made) -> None:
    found = roles(made.state)
    known = reference({action for role in found.values() for action in role.actions if "*" not in action})
    assert [action for action, kinds in known.items() if kinds is None] == []
    without = {action for action, kinds in known.items() if not kinds}
    assert {name: broad for name, role in found.items() if (broad := too_broad(role, without, _excused(name)))} == {}


def test_an_action_without_resources_stands_on_everything(made: Made) -> None:
    found = roles(made.state)
    known = reference({action for role in found.values() for action in role.actions if "*" not in action})
    without = {action for action, kinds in known.items() if not kinds}
    assert {"ecr:GetAuthorizationToken", "sns:Unsubscribe"} <= without
    assert {name: useless for name, role in found.items() if (useless := of_no_use(role, without))} == {}


def bounded(made: Made) -> dict[str, Role]:
    """The roles that who deploys may change."""
    name = f"crm-assets-{made.name}"
    # What the role by which RDS measures may do is people's, as the database is.
    people = {f"{name}-github-plan", f"{name}-github-deploy", f"{name}-database-monitoring"}
    return {each: role for each, role in roles(made.state).items() if each not in people}


def test_a_role_has_bounds_and_nothing_that_they_take_away(made: Made) -> None:
    found = bounded(made)
    assert {name for name, role in found.items() if role.bounds is None} == set()
    assert {name: lost for name, role in found.items() if (lost := out_of_bounds(role))} == {}


def test_bounds_are_no_wider_than_all_roles_together(made: Made) -> None:
    found = bounded(made)
    (bounds,) = {role.bounds for role in found.values()}
    assert bounds
    used = {action for role in found.values() for action in role.actions}
    # Without CodeDeploy nobody moves requests.
    blue_green = any(name.endswith("-release") for name in found)
    assert {bound.action for bound in bounds} - used == (set() if blue_green else MOVING)
    others = rf":key/|:repository/crm-assets$|:secret:rds!db-|:role/crm-assets-features-{made.name}$"
    named = rf"crm-assets-{made.name}[-:/]|{others}"
    elsewhere = {bound.resource for bound in bounds if not re.search(named, bound.resource)}
    on_spark = {resource for resource in elsewhere if ":/applications/" in resource}
    assert bool(on_spark) is (made.name in ON_SPARK)
    assert {bound.action for bound in bounds if bound.resource in elsewhere - on_spark} <= LOOKING
    assert elsewhere - on_spark == {"*"}


def test_a_role_is_handed_on_to_one_service_alone(made: Made) -> None:
    handed = [grant for role in roles(made.state).values() for grant in role.grants if grant.action == "iam:PassRole"]
    assert [one for one in handed if "iam:PassedToService" not in one.condition] == []


def test_only_tasks_of_this_account_and_the_repository_take_a_role(made: Made) -> None:
    for name, role in roles(made.state).items():
        assert not any("*" in one for one in role.trusted), name
        for statement in role.trust["Statement"]:
            conditions = json.dumps(statement.get("Condition", {}))
            if "Federated" in statement["Principal"]:
                assert ":aud" in conditions, name
                subjects = re.findall(r'"token[^"]*:sub": (\[.*?\]|".*?")', conditions)
                assert subjects, name
                assert not any(re.search(r'"(repo:)?\*', one) for one in subjects), name


def test_actions_without_resources_are_those_of_the_reference() -> None:
    listed = {action for several in ACTIONS.values() for action in several} | STARTING | KEY
    known = reference(set(listed))
    assert {action for action, kinds in known.items() if kinds is None} == set()
    assert {action for action, kinds in known.items() if not kinds} == WITHOUT_RESOURCES


def test_policies_have_the_size_that_aws_takes(made: Made) -> None:
    written = [one for one in made.made if one["type"] in {"aws_iam_policy", "aws_iam_role_policy"}]
    sizes = {
        one["address"]: len(json.dumps(json.loads(one["values"]["policy"]), separators=(",", ":"))) for one in written
    }
    of_a_role: Counter[str] = Counter()
    for one in written:
        if one["type"] == "aws_iam_role_policy":
            of_a_role[one["values"]["role"]] += sizes[one["address"]]
    assert {name: size for name, size in sizes.items() if "aws_iam_policy" in name and size > 6144} == {}
    assert {name: size for name, size in of_a_role.items() if size > 10240} == {}
    attached = Counter(one["values"]["role"] for one in made.made if one["type"] == "aws_iam_role_policy_attachment")
    assert {name: number for name, number in attached.items() if number > 10} == {}


MADE = re.compile(r"Add|Allocate|ChangeTags|Create|Put|Register|Request|Tag|Untag")
MOVING = {
    "ecs:CreateTaskSet",
    "ecs:DeleteTaskSet",
    "ecs:DescribeServices",
    "ecs:UpdateServicePrimaryTaskSet",
    "cloudwatch:DescribeAlarms",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:ModifyListener",
    "elasticloadbalancing:ModifyRule",
}
LOOKING = {
    "cloudwatch:DescribeAlarms",
    "ecr:GetAuthorizationToken",
    "ecs:CreateTaskSet",
    "ecs:DescribeTaskDefinition",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTargetGroups",
    "logs:DescribeLogGroups",
}
"""Actions that are allowed on everything: they know no resources, or only tell what is there."""
SCALING = "application-autoscaling:"
"""A target's ARN has an id that AWS thinks of, and no policy can name its tag."""


def _of_a_workflow(grant: Grant) -> bool:
    """Terraform reads everything it manages, and makes, in one region, what has no name before it is there.

    What it changes or removes has the environment's tag. A rule of a security group is made in a group that has it, and
    what is made is tagged as it is made.
    """
    verb = grant.action.split(":")[1]
    if re.match(r"Describe|Get|List|View", verb) or "aws:ResourceTag/environment" in grant.condition:
        return True
    if "aws:RequestedRegion" in grant.condition:
        return bool(MADE.match(verb)) or grant.action.startswith(SCALING)
    on_a_rule = verb.startswith("AuthorizeSecurityGroup") and grant.resource.endswith(":security-group-rule/*")
    return on_a_rule or (verb == "CreateTags" and "ec2:CreateAction" in grant.condition)


def _excused(name: str) -> Callable[[Grant], bool]:
    """What a role's grants may do without the name of a resource for."""
    if "-github-" in name:
        return _of_a_workflow
    return _of_a_release if name.endswith("-release") else lambda grant: False


def _of_a_release(grant: Grant) -> bool:
    """How CodeDeploy asks for the alarms that stop it is not documented; AWS' own policies for it name none of them."""
    return grant.action == "cloudwatch:DescribeAlarms"


def _is_for(use: Use, action: str) -> bool:
    return action in actions_of((use,), switched=True)
