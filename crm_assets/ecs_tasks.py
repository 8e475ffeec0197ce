"""Whether runs can be Fargate tasks: the task definition and the cluster that the settings name, as ECS knows them."""

from __future__ import annotations

import os
from typing import Any

from crm_assets.dagster_home import RUN_CONTAINER, check_launcher
from crm_assets.errors import RunStorageError, SettingsError
from crm_assets.settings import Settings


def check_tasks(settings: Settings) -> str:
    """What each run is started from, for people. Starts nothing.

    Raises SettingsError naming the setting when ECS does not know what it names or what it names will not do,
    RunStorageError when ECS cannot be asked.
    """
    check_launcher(settings)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        ecs = _client()
        definition, arn = _task_definition(ecs, settings.ecs_task_definition)
        clusters = ecs.describe_clusters(clusters=[settings.ecs_cluster])["clusters"]
    except (BotoCoreError, ClientError) as error:
        raise RunStorageError(
            f"ECS cannot be asked: {error}; check the role of this machine or task, AWS_REGION and the network"
        ) from error
    if not clusters or clusters[0]["status"] != "ACTIVE":
        found = clusters[0]["status"].lower() if clusters else "not there"
        raise SettingsError(
            f"CRM_ECS_CLUSTER is {settings.ecs_cluster!r}, which is {found}: name an active cluster of this region"
        )
    names = [container["name"] for container in definition["containerDefinitions"]]
    if RUN_CONTAINER not in names:
        raise SettingsError(
            f"CRM_ECS_TASK_DEFINITION is {settings.ecs_task_definition!r}, whose containers are {', '.join(names)}: "
            f"call the one that has the platform's image {RUN_CONTAINER!r}"
        )
    if "FARGATE" not in definition.get("requiresCompatibilities", []):
        raise SettingsError(
            f"CRM_ECS_TASK_DEFINITION is {settings.ecs_task_definition!r}, which is not for Fargate: put FARGATE into "
            "its requires_compatibilities"
        )
    on = "Fargate Spot" if settings.ecs_run_spot else "Fargate"
    return (
        f"each run is a task of {arn.rpartition('/')[2]} ({definition['cpu']} CPU units, {definition['memory']} MB) on "
        f"{on} in cluster {clusters[0]['clusterName']}"
    )


def _task_definition(ecs: Any, name: str) -> tuple[dict[str, Any], str]:
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ClientException":
            raise
        said = error.response["Error"].get("Message", "")
        raise SettingsError(
            f"CRM_ECS_TASK_DEFINITION is {name!r}, which ECS does not have ({said}): name the family or ARN of a task "
            "definition of this region"
        ) from None
    return found, str(found["taskDefinitionArn"])


def _client() -> Any:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
    # boto3 does not know AWS_REGION.
    return boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None).client("ecs", config=config)
