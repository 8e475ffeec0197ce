"""Calls that Terraform makes and moto does not know: of budgets, scaling and CodeDeploy."""

from __future__ import annotations

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.budgets.responses import BudgetsResponse
from moto.codedeploy import responses as codedeploy
from moto.core.responses import EmptyResult


def describe_subscribers_for_notification(self: Any) -> str:
    """Who is told, as it was said when the budget was made."""
    wanted = self._get_param("Notification")
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    told = [one.subscribers for one in budget.notifications if _is(one.details, wanted)]
    return json.dumps({"Subscribers": told[0] if told else [], "NextToken": None})


def list_tags_of_budget(self: Any) -> str:
    """The tags that a budget was made with; moto keeps none."""
    return json.dumps({"ResourceTags": TAGS.get(self._get_param("ResourceARN"), [])})


def create_budget(self: Any) -> str:
    """As moto's, and the tags are kept."""
    answer: str = _CREATE_BUDGET(self)
    account, name = self._get_param("AccountId"), self._get_param("Budget")["BudgetName"]
    TAGS[f"arn:aws:budgets::{account}:budget/{name}"] = self._get_param("ResourceTags") or []
    return answer


def register_scalable_target(self: Any) -> str:
    """As moto's, and the tags are kept; without any it is a change of a target."""
    answer: str = _REGISTER(self)
    if tags := self._get_param("Tags"):
        TAGS_OF_TARGETS[json.loads(answer)["ScalableTargetARN"]] = tags
    return answer


def list_tags_of_target(self: Any) -> str:
    """The tags that a target was registered with."""
    return json.dumps({"Tags": TAGS_OF_TARGETS.get(self._get_param("ResourceARN"), {})})


def delete_application(self: Any) -> EmptyResult:
    """Forget an application and its groups."""
    name = self._get_param("applicationName")
    self.codedeploy_backend.applications.pop(name, None)
    self.codedeploy_backend.deployment_groups.pop(name, None)
    return EmptyResult()


def delete_deployment_group(self: Any) -> EmptyResult:
    """Forget a group of an application."""
    groups = self.codedeploy_backend.deployment_groups.get(self._get_param("applicationName"), {})
    groups.pop(self._get_param("deploymentGroupName"), None)
    return EmptyResult()


def group_with_its_alarms(group: Any) -> dict[str, Any]:
    """What moto tells of a group, and its alarms, which moto keeps and does not tell."""
    told: dict[str, Any] = {**_GROUP(group), "alarmConfiguration": group.alarm_configuration or {}}
    return told


TAGS: dict[str, list[dict[str, str]]] = {}
TAGS_OF_TARGETS: dict[str, dict[str, str]] = {}
_REGISTER = ApplicationAutoScalingResponse.register_scalable_target
_CREATE_BUDGET = BudgetsResponse.create_budget
_GROUP = codedeploy._deployment_group_info


def _is(details: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(
        details.get(name) == wanted.get(name) for name in ("NotificationType", "ComparisonOperator", "Threshold")
    )


def fill() -> None:
    """Teach moto these calls."""
    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification
    BudgetsResponse.list_tags_for_resource = list_tags_of_budget
    BudgetsResponse.create_budget = create_budget
    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_of_target
    codedeploy._deployment_group_info = group_with_its_alarms
    codedeploy.CodeDeployResponse.delete_application = delete_application
    codedeploy.CodeDeployResponse.delete_deployment_group = delete_deployment_group
