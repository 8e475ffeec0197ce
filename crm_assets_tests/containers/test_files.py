"""The containers' files as Hadolint, Docker Compose and Dagster read them, without a Docker engine."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from crm_assets.app.server import secrets as page_secrets
from crm_assets.dagster_home import configuration as dagster_configuration
from crm_assets.errors import SettingsError
from crm_assets.settings import PREFIX, Settings, load_settings
from crm_assets_tests.containers.compose import DOCKER, EXAMPLE, REPOSITORY, compose, tool

SECRETS = ("POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY")
NOT_NEEDED = {
    "CRM_WRITEBACK_SECRET": "",
    "API_KEYS": "./keys",
    "CRM_APP_OIDC_CLIENT_SECRET": "",
    "CRM_APP_COOKIE_SECRET": "",
}
"""Names that sound like secrets: some that a deployment may have, and the place of a file of hashes."""
ONE_SHOT = {"buckets"}
DOCKERFILES = sorted(DOCKER.glob("*Dockerfile"))


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services as Compose resolves them, with the values of the example."""
    shown = compose("--profile", "page", "config", "--format", "json", env_file=EXAMPLE)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, dict[str, Any]] = json.loads(shown.stdout)["services"]
    return found


def test_compose_takes_the_file_with_the_example_values() -> None:
    checked = compose("config", "--quiet", env_file=EXAMPLE)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("lack", ["missing", "empty"])
def test_a_secret_that_is_lacking_is_refused_by_its_name(secret: str, lack: str, tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert secret == "S3_ACCESS_KEY" or f"{secret}=CHANGE_ME" in lines
    left = [f"{secret}=" if line.startswith(f"{secret}=") else line for line in lines]
    if lack == "missing":
        left.remove(f"{secret}=")
    env_file = tmp_path / "some.env"
    env_file.write_text("\n".join(left))
    refused = compose("config", "--quiet", env_file=env_file)
    assert refused.returncode != 0
    assert f"required variable {secret} is missing a value" in refused.stderr


def test_no_secret_has_a_default() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    used = re.findall(r"\$\{([A-Z0-9_]*(?:PASSWORD|SECRET|KEY)[A-Z0-9_]*)(.)", text)
    assert {name for name, _ in used} == {*SECRETS, *NOT_NEEDED}
    assert {follows for _, follows in used} == {":"}
    with_default = re.findall(r"\$\{([A-Z0-9_]*(?:PASSWORD|SECRET|KEY)[A-Z0-9_]*):-([^}]*)", text)
    assert dict(with_default) == NOT_NEEDED


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_has_no_complaint(dockerfile: Path) -> None:
    linted = subprocess.run(
        [tool("hadolint"), "--no-color", str(dockerfile)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_each_service_has_a_health_check_or_ends_by_itself(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name
            assert service["healthcheck"]["start_period"], name


def test_no_service_runs_as_root_or_may_become_it(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["user"].partition(":")[0] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged", False), name
        assert not any(mount["source"].endswith("docker.sock") for mount in service.get("volumes", [])), name
        assert not {"pid", "ipc", "network_mode", "cap_add", "devices"} & set(service), name


def test_no_service_can_write_but_to_its_volumes_and_to_memory(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert "/tmp" in {mount.partition(":")[0] for mount in service["tmpfs"]}, name
        assert all(re.search(r":size=\d+m(,|$)", mount) for mount in service["tmpfs"]), name
        for mount in service.get("volumes", []):
            assert mount["type"] == "volume" or mount["read_only"], f"{name} writes to {mount['source']} of the host"


def test_what_runs_put_aside_is_on_a_disk(services: dict[str, dict[str, Any]]) -> None:
    code = services["code"]
    (scratch,) = [mount for mount in code["volumes"] if mount["target"] == code["environment"]["TMPDIR"]]
    assert scratch["type"] == "volume"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_ends_as_a_user_without_rights(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.findall(r"^USER (\S+)$", text, re.M)[-1] == "10001:10001"
    assert not re.search(r"\bsudo\b|chmod\b.*(\+s|\b[4-7][0-7]{3}\b)", text)
    assert not re.search(r"^ADD ", text, re.M), "COPY fetches nothing and unpacks nothing"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
def test_no_secret_gets_into_an_image(dockerfile: Path) -> None:
    set_in_it = re.findall(r"^(?:ARG|ENV) +(\w+)|^ {4}(\w+)=", dockerfile.read_text(), re.M)
    assert not [name for pair in set_in_it for name in pair if re.search("PASSWORD|SECRET|TOKEN|_KEY", name)]


def test_libraries_keep_nothing_in_a_home_that_is_read_only() -> None:
    kept = dict(re.findall(r"(MPLCONFIGDIR|KAGGLEHUB_CACHE|XDG_CACHE_HOME)=(\S+)", (DOCKER / "Dockerfile").read_text()))
    assert len(kept) == 3
    assert all(place.startswith("/tmp/") for place in kept.values())


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    images = [service["image"] for service in services.values()]
    images += [
        default for file in DOCKERFILES for default in re.findall(r"^ARG \w*IMAGE=(\S+)$", file.read_text(), re.M)
    ]
    assert len(images) == len(services) + len(DOCKERFILES)
    for image in images:
        assert re.search(r":[\w.-]*\d+\.\d+|:RELEASE\.\d{4}", image), image


def test_every_service_has_a_limit_of_memory(services: dict[str, dict[str, Any]]) -> None:
    assert all(int(service["mem_limit"]) >= 256 * 1024**2 for service in services.values())


def test_ports_are_bound_to_this_machine_alone(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_variables_with_the_prefix_are_settings(services: dict[str, dict[str, Any]]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    used = {name for service in services.values() for name in service.get("environment", {}) if name.startswith(PREFIX)}
    assert {"CRM_LAKE_URL", "CRM_SOURCE_URL", "CRM_MLFLOW_TRACKING_URI", "CRM_DAGSTER_POSTGRES_URL"} <= used <= known


def test_only_the_services_that_need_a_secret_have_it(services: dict[str, dict[str, Any]]) -> None:
    with_s3 = {name for name, service in services.items() if "AWS_SECRET_ACCESS_KEY" in service.get("environment", {})}
    assert with_s3 == {"buckets", "mlflow", "code", "api"}
    with_dagster = {
        name for name, service in services.items() if "CRM_DAGSTER_POSTGRES_URL" in service.get("environment", {})
    }
    assert with_dagster == {"code", "webserver", "daemon"}


def test_every_variable_of_the_example_is_used_and_the_other_way_round() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    offered = {line.partition("=")[0] for line in EXAMPLE.read_text().splitlines() if re.match(r"[A-Z]", line)}
    assert offered == set(re.findall(r"\$\{([A-Z0-9_]+)", text))


def test_buckets_that_are_used_are_made(services: dict[str, dict[str, Any]]) -> None:
    code, mlflow = services["code"]["environment"], " ".join(services["mlflow"]["command"])
    used = re.findall(r"s3://([a-z0-9-]+)", f"{code['CRM_SOURCE_URL']} {code['CRM_LAKE_URL']} {mlflow}")
    assert sorted(used) == sorted(services["buckets"]["command"][2:])


def test_the_api_reads_what_the_graph_writes_and_lets_nobody_in_without_a_key(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, api = services["code"]["environment"], services["api"]["environment"]
    for name in ("CRM_PROFILE", "CRM_SOURCE_URL", "CRM_LAKE_URL", "CRM_MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"):
        assert api[name] == code[name]
    assert api["CRM_PROFILE"] == "production"
    (keys,) = [mount for mount in services["api"]["volumes"] if mount["type"] == "bind"]
    assert api["CRM_API_KEYS_FILE"] == f"{keys['target']}/api_keys"
    assert keys["read_only"]
    (home,) = [mount["target"] for mount in services["api"]["volumes"] if mount["type"] == "volume"]
    assert api["CRM_HOME"] == home
    for name, value in api.items():
        monkeypatch.setenv(name, value)
    assert load_settings().lake_url == "s3://lake"
    assert f" {home}\n" in (DOCKER / "Dockerfile").read_text(), "a new volume takes the folder's owner"


def test_the_page_is_in_a_profile_and_has_the_issuer_but_no_data(services: dict[str, dict[str, Any]]) -> None:
    plain = json.loads(compose("config", "--format", "json", env_file=EXAMPLE).stdout)["services"]
    assert set(services) - set(plain) == {"page"}
    page, api = services["page"], services["api"]["environment"]
    assert not page.get("volumes")
    assert page["environment"]["CRM_API_OIDC_ISSUER"] == api["CRM_API_OIDC_ISSUER"]
    assert page["environment"]["CRM_APP_API_URL"] == "http://api:8000"
    assert "CRM_APP_COOKIE_SECRET" not in api


@pytest.mark.parametrize("lacking", ["", "CRM_API_OIDC_ISSUER", "CRM_APP_OIDC_CLIENT_ID"])
def test_the_page_starts_with_an_issuer_and_not_without(
    services: dict[str, dict[str, Any]], lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        **services["page"]["environment"],
        "CRM_API_OIDC_ISSUER": "https://id.example",
        "CRM_APP_OIDC_CLIENT_ID": "page",
        "CRM_APP_OIDC_CLIENT_SECRET": "s",
        "CRM_APP_COOKIE_SECRET": "c" * 40,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, "" if name == lacking else value)
    if lacking:
        with pytest.raises(SettingsError, match=f"{lacking}.* is not set"):
            page_secrets(load_settings())
    else:
        assert page_secrets(load_settings())["auth"]["redirect_uri"] == "http://localhost:8501/oauth2callback"


def test_the_api_asks_dagster_inside_and_people_find_it_outside(services: dict[str, dict[str, Any]]) -> None:
    api = services["api"]["environment"]
    host, _, port = api["CRM_API_DAGSTER_URL"].removeprefix("http://").partition(":")
    assert f"--port={port}" in services[host]["command"]
    assert api["CRM_DAGSTER_URL"] == services["code"]["environment"]["CRM_DAGSTER_URL"]


def test_dagster_takes_the_configuration_that_the_code_location_writes(
    services: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["code"]["environment"].items():
        if value is not None and name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    configuration = yaml.safe_load(dagster_configuration(load_settings()))
    # What reaches for the server at once; the others are looked at here.
    assert configuration.pop("storage") == {"postgres": {"postgres_url": {"env": "CRM_DAGSTER_POSTGRES_URL"}}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_launcher).__name__ == "WatchedRunLauncher"
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2
        pools = instance.get_concurrency_config().pool_config
        assert (str(pools.pool_granularity), pools.default_pool_limit) == ("PoolGranularity.RUN", 1)
        assert not instance.telemetry_enabled


def test_one_service_writes_dagsters_configuration_where_the_others_read_it(
    services: dict[str, dict[str, Any]],
) -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    (home,) = re.findall(r"DAGSTER_HOME=(\S+)", dockerfile)
    (command,) = re.findall(r"^CMD (.+)$", dockerfile, re.M)
    assert "python -m crm_assets.dagster_home && exec dagster api grpc" in json.loads(command)[-1]
    for name in ("code", "webserver", "daemon"):
        assert ("dagster", home) in {(mount["source"], mount["target"]) for mount in services[name]["volumes"]}
    for name in ("webserver", "daemon"):
        assert services[name]["depends_on"]["code"]["condition"] == "service_healthy"
        assert "dagster_home" not in " ".join(services[name]["command"])
    assert not list(DOCKER.glob("dagster.yaml"))


def test_the_workspace_leads_to_the_code_location(services: dict[str, dict[str, Any]]) -> None:
    (entry,) = yaml.safe_load((DOCKER / "workspace.yaml").read_text())["load_from"]
    server = entry["grpc_server"]
    assert server["host"] in services
    assert "command" not in services[server["host"]] or services[server["host"]]["command"] is None
    assert f"--port {server['port']} " in (DOCKER / "Dockerfile").read_text()


def test_the_image_holds_what_its_files_name() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.M)
    for path in " ".join(copied).split():
        assert (REPOSITORY / path).exists(), path
        assert f"!{path}" in ignored, path


def test_dagster_plus_takes_its_file() -> None:
    from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

    (location,) = load_dagster_cloud_yaml((REPOSITORY / "dagster_cloud.yaml").read_text()).locations
    assert location.code_source is not None
    assert location.code_source.module_name == "crm_assets.definitions"
