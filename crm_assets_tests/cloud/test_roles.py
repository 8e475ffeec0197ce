"""How policies are read, on states that are written here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm_assets_tests.cloud.roles import Grant, Role, of_no_use, out_of_bounds, roles, too_broad

TRUST = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]})
LAKE = "arn:aws:s3:::crm-assets-dev-lake"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})


def state(*made: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A state whose resources are in a module's module."""
    listed = [{"mode": "managed", "type": kind, "values": values} for kind, values in made]
    return {"values": {"root_module": {"child_modules": [{"child_modules": [{"resources": listed}]}]}}}


def role(*more: tuple[str, dict[str, Any]]) -> Role:
    found = roles(state(("aws_iam_role", {"name": "api", "assume_role_policy": TRUST}), *more))
    assert list(found) == ["api"]
    return found["api"]


def attached(name: str, *statements: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return ("aws_iam_policy", {"arn": f"arn:aws:iam::1:policy/{name}", "policy": policy(*statements)})


def inline(*statements: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return ("aws_iam_role_policy", {"role": "api", "policy": policy(*statements)})


def test_policies_are_read_that_are_written_into_a_role_or_attached_to_it() -> None:
    found = role(
        inline({"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{LAKE}/*"}),
        attached("list", {"Action": "s3:ListBucket", "Resource": LAKE}),
        ("aws_iam_role_policy_attachment", {"role": "api", "policy_arn": "arn:aws:iam::1:policy/list"}),
        attached("other", {"Action": "s3:*", "Resource": "*"}),
    )
    assert found.grants == {
        Grant("s3:GetObject", f"{LAKE}/*"),
        Grant("s3:PutObject", f"{LAKE}/*"),
        Grant("s3:ListBucket", LAKE),
    }
    assert found.trusted == {"ecs-tasks.amazonaws.com"}
    assert too_broad(found, ()) == []


def test_what_is_denied_is_not_granted() -> None:
    denied = json.dumps({"Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]})
    assert role(("aws_iam_role_policy", {"role": "api", "policy": denied})).grants == frozenset()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ({"Action": "s3:*", "Resource": LAKE}, "the action s3:* on"),
        ({"Action": "*", "Resource": LAKE}, "the action * on"),
        ({"Action": "s3:Get*", "Resource": f"{LAKE}/*"}, "the action s3:Get* on"),
        ({"Action": "s3:GetObjec?", "Resource": f"{LAKE}/*"}, "the action s3:GetObjec? on"),
        ({"Action": "s3:GetObject", "Resource": "*"}, "s3:GetObject on *"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}, "s3:GetObject on arn:aws:s3:::*"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/*"}, "s3:GetObject on arn:aws:s3:::*/*"),
        ({"Action": "iam:PassRole", "Resource": "arn:aws:iam::1:role/*"}, "iam:PassRole on arn:aws:iam::1:role/*"),
        ({"Action": "logs:PutLogEvents", "Resource": "arn:aws:logs:*:1:log-group:*"}, "logs:PutLogEvents on"),
        ({"NotAction": "iam:PassRole", "Resource": LAKE}, "allows what it does not name"),
        ({"Action": "s3:GetObject", "NotResource": LAKE}, "allows what it does not name"),
    ],
)
def test_what_is_too_broad_is_told(statement: dict[str, Any], told: str) -> None:
    found = too_broad(role(inline(statement)), ())
    assert len(found) == 1
    assert told in found[0]


def test_a_policy_of_aws_is_too_broad() -> None:
    arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    assert too_broad(role(("aws_iam_role_policy_attachment", {"role": "api", "policy_arn": arn})), ()) == [
        f"{arn}, which AWS may widen"
    ]


@pytest.mark.parametrize(
    "resource",
    [
        f"{LAKE}/*",
        "arn:aws:logs:eu-central-1:1:log-group:/crm-assets/dev/api:*",
        "arn:aws:ecs:eu-central-1:1:task-definition/crm-assets-dev-run:*",
        "arn:aws:ecs:eu-central-1:1:task/crm-assets-dev/*",
        "arn:aws:iam::1:role/crm-assets-dev-run",
        "arn:aws:emr-serverless:eu-central-1:1:/applications/00abc/jobruns/*",
        "arn:aws:sns:eu-central-1:1:crm-assets-dev-alarms",
    ],
)
def test_a_resource_that_is_named_by_its_beginning_will_do(resource: str) -> None:
    assert too_broad(role(inline({"Action": "a:Some", "Resource": resource})), ()) == []


def test_an_action_that_knows_no_resources_may_be_on_all() -> None:
    found = role(inline({"Action": "ecr:GetAuthorizationToken", "Resource": "*"}))
    assert too_broad(found, {"ecr:GetAuthorizationToken"}) == []


def test_an_action_that_knows_no_resources_allows_nothing_on_one() -> None:
    found = role(
        inline({"Action": ["ecs:CreateTaskSet", "ecs:DeleteTaskSet"], "Resource": ["arn:aws:ecs:a:1:b/c", "*"]})
    )
    assert of_no_use(found, {"ecs:CreateTaskSet"}) == ["ecs:CreateTaskSet on arn:aws:ecs:a:1:b/c"]


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::crm-assets-dev-*"}, []),
        ({"Action": "s3:GetObject", "Resource": f"{LAKE}/*"}, []),
        ({"Action": "s3:GetObject", "Resource": f"{LAKE}/scores/*"}, [f"s3:GetObject on {LAKE}/*"]),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::crm-assets-prod-*"}, [f"s3:GetObject on {LAKE}/*"]),
        ({"Action": "s3:PutObject", "Resource": "*"}, [f"s3:GetObject on {LAKE}/*"]),
    ],
)
def test_what_a_boundary_takes_away_is_told(bounds: dict[str, Any], told: list[str]) -> None:
    bounded = {"name": "api", "assume_role_policy": TRUST, "permissions_boundary": "arn:aws:iam::1:policy/bounds"}
    made = (
        ("aws_iam_role", bounded),
        attached("bounds", bounds),
        inline({"Action": "s3:GetObject", "Resource": f"{LAKE}/*"}),
    )
    assert out_of_bounds(roles(state(*made))["api"]) == told


def test_without_a_boundary_there_are_no_bounds() -> None:
    assert role(inline({"Action": "s3:GetObject", "Resource": f"{LAKE}/*"})).bounds is None
