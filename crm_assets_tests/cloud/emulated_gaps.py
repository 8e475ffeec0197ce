"""Calls that Terraform makes and moto does not know, and what moto is told and does not tell again."""

from __future__ import annotations

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.budgets.responses import BudgetsResponse
from moto.codedeploy import responses as codedeploy
from moto.core.responses import EmptyResult
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.rds.models import DBParameterGroup, RDSBackend
from moto.route53.models import route53_backends
from moto.servicediscovery.models import ServiceDiscoveryBackend
from moto.utilities.utils import get_partition


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


def create_service(self: Any) -> Any:
    """As moto's, and what else the service was made with is kept."""
    answer: Any = _CREATE_SERVICE(self)
    service = answer.result["service"]
    asked = {attribute: self._get_param(name) for name, attribute in OF_A_SERVICE.items()}
    for attribute, value in asked.items():
        if value is not None:
            setattr(service, attribute, value)
    if asked["capacity_provider_strategy"]:
        # Where tasks run is said by one or by the other.
        service.launch_type = None
    return answer


def create_db_instance(self: Any, db_kwargs: dict[str, Any]) -> Any:
    """As moto's, and what is watched of the database is kept."""
    database: Any = _CREATE_DATABASE(self, db_kwargs)
    for name, value in db_kwargs.items():
        if name.startswith("performance_insights_"):
            setattr(database, name, value)
    database.performance_insights_enabled = db_kwargs.get("enable_performance_insights", False)
    return database


def update_parameters(self: Any, new_parameters: list[dict[str, Any]]) -> None:
    """As moto's, and it is known who has set them."""
    _UPDATE_PARAMETERS(self, [{**one, "Source": "user"} for one in new_parameters])


def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
    """As moto's, and its interface goes with it."""
    gateway = _DELETE_NAT_GATEWAY(self, nat_gateway_id)
    self.enis.pop(gateway._eni.id, None)
    return gateway


def description_of_rule(self: Any) -> str | None:
    """What is said of a rule, also of one that names a group and no addresses."""
    told: str | None = self.ip_range.get("Description") or (self.source_group or {}).get("Description")
    return told


def delete_namespace(self: Any, namespace_id: str) -> str:
    """As moto's, and the zone that came with the namespace goes with it."""
    namespace = self.namespaces.get(namespace_id)
    operation: str = _DELETE_NAMESPACE(self, namespace_id)
    if zone := namespace.dns_properties.get("HostedZoneId"):
        route53_backends[self.account_id][get_partition(self.region_name)].delete_hosted_zone(zone)
    return operation


def group_with_its_alarms(group: Any) -> dict[str, Any]:
    """What moto tells of a group, and its alarms, which moto keeps and does not tell."""
    told: dict[str, Any] = {**_GROUP(group), "alarmConfiguration": group.alarm_configuration or {}}
    return told


OF_A_SERVICE = {
    "availabilityZoneRebalancing": "availability_zone_rebalancing",
    "capacityProviderStrategy": "capacity_provider_strategy",
    "deploymentConfiguration": "deployment_configuration",
    "enableECSManagedTags": "enable_ecs_managed_tags",
    "enableExecuteCommand": "enable_execute_command",
    "healthCheckGracePeriodSeconds": "health_check_grace_period_seconds",
}
"""Parameters of a service that moto does not keep -> the attributes that answers are made from."""

TAGS: dict[str, list[dict[str, str]]] = {}
TAGS_OF_TARGETS: dict[str, dict[str, str]] = {}
_REGISTER = ApplicationAutoScalingResponse.register_scalable_target
_CREATE_BUDGET = BudgetsResponse.create_budget
_CREATE_SERVICE = EC2ContainerServiceResponse.create_service
_CREATE_DATABASE = RDSBackend.create_db_instance
_UPDATE_PARAMETERS = DBParameterGroup.update_parameters
_DELETE_NAMESPACE = ServiceDiscoveryBackend.delete_namespace
_DELETE_NAT_GATEWAY = NatGatewayBackend.delete_nat_gateway
_GROUP = codedeploy._deployment_group_info


def _is(details: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(
        details.get(name) == wanted.get(name) for name in ("NotificationType", "ComparisonOperator", "Threshold")
    )


def fill() -> None:
    """Teach moto all this."""
    taught: tuple[tuple[Any, str, Any], ...] = (
        (BudgetsResponse, "describe_subscribers_for_notification", describe_subscribers_for_notification),
        (BudgetsResponse, "list_tags_for_resource", list_tags_of_budget),
        (BudgetsResponse, "create_budget", create_budget),
        (ApplicationAutoScalingResponse, "register_scalable_target", register_scalable_target),
        (ApplicationAutoScalingResponse, "list_tags_for_resource", list_tags_of_target),
        (EC2ContainerServiceResponse, "create_service", create_service),
        (RDSBackend, "create_db_instance", create_db_instance),
        (DBParameterGroup, "update_parameters", update_parameters),
        (ServiceDiscoveryBackend, "delete_namespace", delete_namespace),
        (NatGatewayBackend, "delete_nat_gateway", delete_nat_gateway),
        (SecurityGroupRule, "description", property(description_of_rule)),
        (codedeploy, "_deployment_group_info", group_with_its_alarms),
        (codedeploy.CodeDeployResponse, "delete_application", delete_application),
        (codedeploy.CodeDeployResponse, "delete_deployment_group", delete_deployment_group),
    )
    for owner, name, value in taught:
        setattr(owner, name, value)
