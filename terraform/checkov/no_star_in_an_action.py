"""No policy allows actions by a pattern: which actions those are changes with every release of AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checkov.common.models.enums import CheckCategories, CheckResult
from checkov.terraform.checks.data.base_check import BaseDataCheck
from checkov.terraform.checks.resource.base_resource_check import BaseResourceCheck

NAME = "No statement that allows something names its actions by a pattern, or by those it leaves out"
RESOURCES = ["aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy"]


class NoStarInADocument(BaseDataCheck):
    """`aws_iam_policy_document`."""

    def __init__(self) -> None:
        super().__init__(
            name=NAME,
            id="CKV_CRM_1",
            categories=[CheckCategories.IAM],
            supported_data=["aws_iam_policy_document"],
        )

    def scan_data_conf(self, conf: dict[str, list[Any]]) -> CheckResult:
        """Whether every statement that allows names its actions in full."""
        for statement in _flat(conf.get("statement", [])):
            if _text(statement.get("effect", "Allow")) == "Deny":
                continue
            if statement.get("not_actions") or any("*" in action for action in _texts(statement.get("actions", []))):
                return CheckResult.FAILED
        return CheckResult.PASSED


class NoStarInAPolicy(BaseResourceCheck):
    """A policy that is written as JSON, by `jsonencode` or as text."""

    def __init__(self) -> None:
        super().__init__(name=NAME, id="CKV_CRM_2", categories=[CheckCategories.IAM], supported_resources=RESOURCES)

    def scan_resource_conf(self, conf: dict[str, list[Any]]) -> CheckResult:
        """Whether every statement that allows names its actions in full."""
        for policy in _flat(conf.get("policy", [])):
            for statement in _flat(policy.get("Statement", [])):
                if _text(statement.get("Effect", "Allow")) == "Deny":
                    continue
                if "NotAction" in statement or any("*" in action for action in _texts(statement.get("Action", []))):
                    return CheckResult.FAILED
        return CheckResult.PASSED


def _flat(value: Any) -> Iterator[dict[str, Any]]:
    """The blocks in what checkov made of the configuration, which nests lists."""
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _flat(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _texts(one)


def _text(value: Any) -> str:
    return next(_texts(value), "")


document, policy = NoStarInADocument(), NoStarInAPolicy()
