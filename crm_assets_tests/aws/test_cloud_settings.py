"""Settings of runs and features elsewhere: what is wrong is told with the setting, the value and what to do."""

from __future__ import annotations

import os

import pytest

from crm_assets.errors import SettingsError
from crm_assets.settings import load_settings

ECS = {
    "CRM_DAGSTER_RUN_LAUNCHER": "ecs",
    "CRM_ECS_TASK_DEFINITION": "crm-assets-dev-run",
    "CRM_ECS_CLUSTER": "crm-assets-dev",
    "CRM_ECS_SUBNETS": "subnet-0a1b2c3d, subnet-4e5f6a7b",
    "CRM_ECS_SECURITY_GROUPS": "sg-0a1b2c3d",
}
EMR = {
    "CRM_FEATURES_ON": "emr-serverless",
    "CRM_EMR_APPLICATION_ID": "00f1a2b3c4d5e6f7",
    "CRM_EMR_ROLE_ARN": "arn:aws:iam::123456789012:role/crm-assets-dev-features",
    "CRM_LAKE_URL": "s3://lake/crm/",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("CRM_"):
            monkeypatch.delenv(name)


def test_what_is_named_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ECS, **EMR, "CRM_ECS_RUN_SPOT": "true"}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.ecs_subnet_ids == ["subnet-0a1b2c3d", "subnet-4e5f6a7b"]
    assert settings.ecs_security_group_ids == ["sg-0a1b2c3d"]
    assert (settings.ecs_run_spot, settings.ecs_public_ip) == (True, False)
    assert settings.emr_url == "s3://lake/crm/.emr"


def test_by_default_nothing_is_elsewhere() -> None:
    settings = load_settings()
    assert (settings.dagster_run_launcher, settings.features_on) == ("process", "engine")


@pytest.mark.parametrize("lacking", [*ECS, *EMR])
def test_what_is_lacking_is_named(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ECS if lacking in ECS else EMR
    choice = next(iter(chosen))
    for name, value in chosen.items():
        if name != lacking:
            monkeypatch.setenv(name, value)
    if lacking == choice:
        load_settings()
        return
    with pytest.raises(SettingsError) as caught:
        load_settings()
    said = str(caught.value)
    assert f"{choice} is {chosen[choice]!r}" in said
    assert lacking in said
    assert said.endswith(f"or leave {choice} out")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CRM_DAGSTER_RUN_LAUNCHER", "k8s", "CRM_DAGSTER_RUN_LAUNCHER is 'k8s'"),
        ("CRM_FEATURES_ON", "databricks", "CRM_FEATURES_ON is 'databricks'"),
        ("CRM_ECS_SUBNETS", "subnet-1;subnet-2", "'subnet-1;subnet-2' is no id: write subnet-0a1b2c3d"),
        ("CRM_ECS_SECURITY_GROUPS", "default", "'default' is no id: write sg-0a1b2c3d"),
        ("CRM_ECS_RUN_SPOT", "cheap", "CRM_ECS_RUN_SPOT is 'cheap', which is neither true nor false"),
        ("CRM_EMR_ROLE_ARN", "features", "write the role's ARN, arn:aws:iam::123456789012:role/name"),
        ("CRM_EMR_APPLICATION_ID", "arn:aws:emr", "write the application's id, such as 00f1a2b3c4d5e6f7"),
        ("CRM_EMR_ENTRY_POINT", "/opt/job.py", "write local:///path/in/the/image.py or s3://bucket/file.py"),
        ("CRM_EMR_PYTHON", "python3", "CRM_EMR_PYTHON is 'python3'"),
        ("CRM_EMR_MINUTES", "1", "greater than or equal to 5"),
    ],
)
def test_a_wrong_value_is_told(name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name} is {value!r}")
    assert told in str(caught.value)
