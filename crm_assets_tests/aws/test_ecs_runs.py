"""Runs as Fargate tasks: Dagster's own launcher, from the dagster.yaml that the settings give, against moto."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value

from crm_assets.dagster_home import configuration, dagster_home
from crm_assets.ecs_tasks import check_tasks
from crm_assets.errors import SettingsError
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.aws.conftest import REGION

FAMILY = "crm-assets-dev-run"
MOST_CHARACTERS_OF_OVERRIDES = 8192
"""https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html"""


@dataclass(frozen=True)
class Cloud:
    """What Terraform makes, as far as a run needs it."""

    ecs: Any
    subnets: list[str]
    group: str
    home: Path

    def settings(self, **given: Any) -> Settings:
        named = {
            "home": self.home,
            "dagster_run_launcher": "ecs",
            "ecs_task_definition": FAMILY,
            "ecs_cluster": "crm-assets-dev",
            "ecs_subnets": ", ".join(self.subnets),
            "ecs_security_groups": self.group,
        }
        return load_settings(**{**named, **given})

    def register(self, family: str, container: str, compatibilities: list[str]) -> None:
        self.ecs.register_task_definition(
            family=family,
            requiresCompatibilities=compatibilities,
            networkMode="awsvpc",
            cpu="1024",
            memory="4096",
            # moto asks for a container's own memory, ECS on Fargate does not.
            containerDefinitions=[{"name": container, "image": "crm-assets:0.1.0", "memory": 4096}],
        )

    def task(self, run: dg.DagsterRun) -> dict[str, Any]:
        asked = self.ecs.describe_tasks(cluster=run.tags["ecs/cluster"], tasks=[run.tags["ecs/task_arn"]])
        (found,) = asked["tasks"]
        return dict(found)


@pytest.fixture(scope="module")
def cloud(aws: None, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    import boto3

    ec2, ecs = boto3.client("ec2", region_name=REGION), boto3.client("ecs", region_name=REGION)
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=network, EnableDnsHostnames={"Value": True})
    subnets = [
        ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (0, 1)
    ]
    group = ec2.create_security_group(GroupName="run", Description="run", VpcId=network)["GroupId"]
    ecs.create_cluster(clusterName="crm-assets-dev", capacityProviders=["FARGATE", "FARGATE_SPOT"])
    cloud = Cloud(ecs, subnets, group, tmp_path_factory.mktemp("home"))
    cloud.register(FAMILY, "run", ["FARGATE"])
    cloud.register("web", "web", ["FARGATE"])
    cloud.register("ec2", "run", ["EC2"])
    return cloud


class Launched:
    """A run that the launcher of Dagster's instance, opened as its services do, has started."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.launcher: Any = instance.run_launcher
        origin = RepositoryPythonOrigin(
            sys.executable, ModuleCodePointer("crm_assets.definitions", "defs"), entry_point=DEFAULT_DAGSTER_ENTRY_POINT
        )
        self._id = str(uuid.uuid4())
        started = dg.DagsterRun(
            "monthly", self._id, status=dg.DagsterRunStatus.STARTED, job_code_origin=origin.get_job_origin("monthly")
        )
        instance.add_run(started)
        self.launcher.launch_run(LaunchRunContext(started, workspace=None))

    @property
    def run(self) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(self._id)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def instance(cloud: Cloud) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(cloud.settings()))) as opened:
        yield opened


@pytest.fixture
def launched(instance: dg.DagsterInstance) -> Launched:
    return Launched(instance)


def test_a_run_is_a_task_of_its_own(cloud: Cloud, launched: Launched) -> None:
    assert type(launched.launcher).__name__ == "EcsRunLauncher"
    assert launched.launcher.secrets_tags == [], "nobody lists the account's secrets"
    task = cloud.task(launched.run)
    assert task["clusterArn"].endswith(":cluster/crm-assets-dev")
    assert task["taskDefinitionArn"].endswith(f":task-definition/{FAMILY}:1")
    assert task["launchType"] == "FARGATE"
    (container,) = task["overrides"]["containerOverrides"]
    assert container["name"] == "run"
    assert container["command"][:3] == ["dagster", "api", "execute_run"]
    asked = deserialize_value(container["command"][3], ExecuteRunArgs)
    assert (asked.run_id, asked.job_origin.job_name) == (launched.run.run_id, "monthly")
    assert len(json.dumps(task["overrides"])) < MOST_CHARACTERS_OF_OVERRIDES
    tags = cloud.ecs.list_tags_for_resource(resourceArn=task["taskArn"])["tags"]
    assert {"key": "dagster/run_id", "value": launched.run.run_id} in tags


def test_a_run_is_looked_at_and_stopped(cloud: Cloud, launched: Launched) -> None:
    assert launched.launcher.supports_check_run_worker_health
    assert launched.launcher.check_run_worker_health(launched.run).status == WorkerStatus.RUNNING
    assert launched.launcher.terminate(launched.run.run_id)
    assert launched.run.status == dg.DagsterRunStatus.CANCELING
    assert cloud.task(launched.run)["lastStatus"] == "STOPPED"
    assert launched.launcher.check_run_worker_health(launched.run).status != WorkerStatus.RUNNING
    assert not launched.launcher.terminate(launched.run.run_id), "there is nothing to stop any more"


def test_a_task_that_died_is_found_out(cloud: Cloud, launched: Launched) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.ecs.models import ecs_backends

    arn = launched.run.tags["ecs/task_arn"]
    cloud.ecs.stop_task(cluster="crm-assets-dev", task=arn, reason="Host EC2 terminated")
    backend = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend.tasks["crm-assets-dev"][arn].containers[0].exitCode = 137
    health = launched.launcher.check_run_worker_health(launched.run)
    assert health.status == WorkerStatus.FAILED
    assert "exit code 137" in (health.msg or "")


def test_where_a_run_goes_on_is_what_the_settings_say(cloud: Cloud) -> None:
    home = dagster_home(cloud.settings(home=cloud.home / "spot", ecs_run_spot=True, ecs_public_ip=True))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        made = Launched(instance)
        task = cloud.task(made.run)
        network = made.launcher.run_task_kwargs["networkConfiguration"]["awsvpcConfiguration"]
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    assert network == {"subnets": cloud.subnets, "securityGroups": [cloud.group], "assignPublicIp": "ENABLED"}


def test_the_doctor_names_what_a_run_is_started_from(cloud: Cloud) -> None:
    told = check_tasks(cloud.settings())
    assert told == (f"each run is a task of {FAMILY}:1 (1024 CPU units, 4096 MB) on Fargate in cluster crm-assets-dev")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ecs_task_definition": "nowhere"}, "CRM_ECS_TASK_DEFINITION is 'nowhere', which ECS does not have"),
        ({"ecs_cluster": "nowhere"}, "CRM_ECS_CLUSTER is 'nowhere', which is not there: name an active cluster"),
        ({"ecs_task_definition": "web"}, "CRM_ECS_TASK_DEFINITION is 'web', whose containers are web: call the one"),
        ({"ecs_task_definition": "ec2"}, "CRM_ECS_TASK_DEFINITION is 'ec2', which is not for Fargate"),
    ],
)
def test_the_doctor_names_the_setting_that_is_wrong(cloud: Cloud, given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_tasks(cloud.settings(**given))


def test_without_the_library_the_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_assets.dagster_home.find_spec", lambda name: None)
    given = {"ecs_cluster": "c", "ecs_task_definition": "t", "ecs_subnets": "subnet-1", "ecs_security_groups": "sg-1"}
    with pytest.raises(
        SettingsError, match=r"CRM_DAGSTER_RUN_LAUNCHER is 'ecs', but dagster_aws is not installed: pip"
    ):
        dagster_home(load_settings(home=tmp_path, dagster_run_launcher="ecs", **given))
    assert "dagster_aws" not in configuration(load_settings(home=tmp_path))
