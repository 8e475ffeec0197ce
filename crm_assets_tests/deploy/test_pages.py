"""What the pages on security and delivery say is what Terraform's roles and GitHub's workflows have."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from crm_assets_tests.containers.compose import REPOSITORY

SECURITY = (REPOSITORY / "docs" / "security.md").read_text()
DELIVERY = (REPOSITORY / "docs" / "release.md").read_text()
NETWORK = (REPOSITORY / "terraform" / "modules" / "platform" / "network.tf").read_text()
IDENTITY = (REPOSITORY / "terraform" / "modules" / "identity" / "main.tf").read_text()
WORKFLOWS = {path.name: path.read_text() for path in (REPOSITORY / ".github" / "workflows").glob("*.yml")}


def test_every_task_has_its_row() -> None:
    services, others = (re.findall(rf"^  {name} += concat\((.+)\)$", NETWORK, re.M) for name in ("services", "tasks"))
    (listed,) = (f"{one}{another}" for one, another in zip(services, others, strict=True))
    section = SECURITY.partition("## Who may do what on AWS")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == set(re.findall(r'"(\w+)"', listed))


def test_every_action_of_a_task_is_told() -> None:
    allowed = set(re.findall(r'"([a-z0-9-]+:[A-Z]\w+)"', re.sub(r'"[a-z]+:[A-Z]\w+"\s*=', "", IDENTITY)))
    # Conditions stand beside them, and are none.
    actions = {name for name in allowed if name.partition(":")[0] not in {"aws"}} - {"iam:PassedToService"}
    actions -= {name for name in actions if re.search(rf'"{name}" *=', IDENTITY)} | {"sts:AssumeRole"}
    told = set(re.findall(r"`([a-z0-9-]+:[A-Z]\w+)`", SECURITY))
    conditions = {"ecs:CreateAction", "kms:ViaService"}
    assert actions - conditions == told
    assert not [name for name in told if "*" in name]


def test_every_workflow_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+\.yml)`", DELIVERY, re.M)) == set(WORKFLOWS)


def test_every_variable_and_secret_of_a_workflow_is_told() -> None:
    used = {name for text in WORKFLOWS.values() for name in re.findall(r"(?:vars|secrets)\.([A-Z_]+)", text)}
    assert used
    assert {name for name in used if f"`{name}`" not in DELIVERY} == set()


def test_every_environment_of_a_workflow_is_told() -> None:
    named = {name for text in WORKFLOWS.values() for name in re.findall(r"^    environment: ([a-z-]+)$", text, re.M)}
    assert {name for name in named if f"`{name}`" not in DELIVERY} == set()


def test_dagster_plus_has_a_key_on_one_machine_alone() -> None:
    (location,) = yaml.safe_load((REPOSITORY / "dagster_cloud.yaml").read_text())["locations"]
    asked = {place: set(given["env_vars"]) for place, given in location["container_context"].items()}
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert {place for place, names in asked.items() if names & keys} == {"docker"}
    assert asked["docker"] - keys == asked["ecs"] == asked["k8s"]


def test_the_commit_that_names_an_image_is_the_one_it_is_built_of() -> None:
    (job,) = yaml.safe_load(WORKFLOWS["dagster_plus.yml"])["jobs"].values()
    assert job["steps"][0]["with"]["ref"] == job["env"]["COMMIT"]


def test_a_way_to_report_faults_is_told() -> None:
    text = Path(REPOSITORY / "SECURITY.md").read_text()
    assert "Report a vulnerability" in text
    assert (REPOSITORY / "docs" / "security.md").is_file()
