"""The jobs for Nomad are those of Compose: nobody can change the one and forget the other."""

from __future__ import annotations

import json
from typing import Any

import pygohcl
import pytest
import yaml

from crm_assets_tests.containers.compose import DOCKER, EXAMPLE, compose
from crm_assets_tests.containers.nomad_jobs import PREFIX, NomadJob, drifts, jobs, listed, read, unknown_arguments


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    shown = compose("--profile", "page", "config", "--format", "json", env_file=EXAMPLE)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, dict[str, Any]] = json.loads(shown.stdout)["services"]
    return found


@pytest.fixture(scope="module")
def parsed() -> dict[str, NomadJob]:
    return {name: NomadJob.parse(text) for name, text in jobs().items()}


def test_jobs_are_as_compose_has_them(services: dict[str, dict[str, Any]]) -> None:
    assert drifts(services, jobs()) == []


@pytest.mark.parametrize(
    ("service", "written", "instead", "told"),
    [
        ("api", "to           = 8000", "to           = 8001", "api: ports ([8000], [8001])"),
        ("api", "crm-assets:${var.image_tag}", "crm-assets:0.2.0", "api: image (crm-assets:0.1.0, crm-assets:0.2.0)"),
        ("api", "CRM_API_HOST ", "CRM_APP_HOST ", "api: names of variables ("),
        ("code", "CRM_ALERT_URLS=", "CRM_ALERTS=", "code: names of variables ("),
        ("api", 'CRM_API_HOST              = "0.0.0.0"', 'CRM_API_HOST = "127.0.0.1"', "api: CRM_API_HOST ("),
        ("mlflow", "--workers=1", "--workers=4", "mlflow: command ("),
        ("page", 'healthy.py", "page"', 'healthy.py", "api"', "page: health check ("),
        ("webserver", "local_bind_port  = 5432", "local_bind_port  = 5433", "webserver: what it reaches ("),
        ("code", 'destination = "/var/lib/crm/dagster"', 'destination = "/var/lib/crm"', "code: volumes ("),
        ("code", "memory = 4096", "memory = 2048", "code: memory ("),
        ("postgres", 'user         = "postgres"', 'user = "root"', "postgres: user (postgres, root)"),
        ("minio", "readonly_rootfs = true", "readonly_rootfs = false", "minio: read only (True, False)"),
    ],
)
def test_what_drifts_is_found(
    services: dict[str, dict[str, Any]], service: str, written: str, instead: str, told: str
) -> None:
    texts = jobs()
    assert texts[service].count(written) == 1
    seeded = drifts(services, {**texts, service: texts[service].replace(written, instead)})
    (drift,) = set(seeded) - set(drifts(services, texts))
    assert drift.startswith(told)


def test_a_service_without_a_job_is_found(services: dict[str, dict[str, Any]]) -> None:
    texts = jobs()
    del texts["page"]
    (drift,) = drifts(services, texts)
    assert drift.startswith("services: ")


def test_jobs_have_only_arguments_that_nomad_knows(parsed: dict[str, NomadJob]) -> None:
    for job in parsed.values():
        assert list(unknown_arguments(job.job)) == []
    misspelt = NomadJob.parse(jobs()["api"].replace("        change_mode", "        change_mod"))
    assert list(unknown_arguments(misspelt.job)) == ["job group api task api template: change_mod"]
    with pytest.raises(ValueError, match=r"(?i)argument|block|expected"):
        NomadJob.parse(jobs()["api"].replace("    count = 1", "    count 1"))


def test_each_service_is_found_by_the_name_and_port_that_others_ask_for(parsed: dict[str, NomadJob]) -> None:
    for job in parsed.values():
        assert job.services[0]["name"] == f"{PREFIX}{job.name}"
        assert {service["provider"] for service in job.services} == {"consul"}
        for service, port in job.upstreams.items():
            assert parsed[service].services[0]["port"] == str(port), f"{job.name} asks {service}"


def test_what_has_no_login_is_bound_to_its_client_alone(parsed: dict[str, NomadJob]) -> None:
    bound = {
        job.name: job.variables["host_network"] for job in parsed.values() if listed(job.group["network"].get("port"))
    }
    assert bound == {
        "api": "default", "page": "default", "minio": "loopback", "mlflow": "loopback", "webserver": "loopback",
    }  # fmt: skip


def test_intentions_let_in_who_asks_and_nobody_else(parsed: dict[str, NomadJob]) -> None:
    asked: dict[str, set[str]] = {}
    for job in parsed.values():
        for service in job.upstreams:
            asked.setdefault(service, set()).add(f"{PREFIX}{job.name}")
    allowed = {}
    for name, text in read("consul").items():
        entry = pygohcl.loads(text)
        assert (entry["Kind"], entry["Name"]) == ("service-intentions", f"{PREFIX}{name}")
        assert {source["Action"] for source in entry["Sources"]} == {"allow"}
        allowed[name] = {source["Name"] for source in entry["Sources"]}
    assert allowed == asked


def test_each_job_may_read_its_own_secrets_and_no_others(parsed: dict[str, NomadJob]) -> None:
    policies = {name: pygohcl.loads(text)["path"] for name, text in read("vault").items()}
    assert {name: set(paths) for name, paths in policies.items()} == {job.name: job.secrets for job in parsed.values()}
    assert {tuple(one["capabilities"]) for paths in policies.values() for one in paths.values()} == {("read",)}
    for job in parsed.values():
        assert job.task["vault"]["role"] == f"{PREFIX}{job.name}"
    assert parsed["page"].secrets == {"secret/data/crm-assets/page"}


def test_no_secret_stands_in_a_job(services: dict[str, dict[str, Any]], parsed: dict[str, NomadJob]) -> None:
    for job in parsed.values():
        with_secrets = {
            name for name, value in services[job.name].get("environment", {}).items() if "CHANGE_ME" in value
        }
        assert with_secrets <= {name for name, value in job.environment.items() if value is None}


def test_files_in_jobs_are_those_of_the_images(parsed: dict[str, NomadJob]) -> None:
    (databases,) = [one["data"] for one in parsed["postgres"].templates if not one.get("env")]
    assert databases == (DOCKER / "databases.sql").read_text()
    workspace = (DOCKER / "workspace.yaml").read_text()
    for name in ("webserver", "daemon"):
        (given,) = [one["data"] for one in parsed[name].templates if not one.get("env")]
        assert yaml.safe_load(given) == yaml.safe_load(workspace.replace("host: code", "host: 127.0.0.1"))


def test_who_can_stand_beside_its_successor_is_replaced_by_it(parsed: dict[str, NomadJob]) -> None:
    updates = {job.name: job.job["update"] for job in parsed.values() if job.job["type"] == "service"}
    assert {name for name, update in updates.items() if update.get("canary")} == {"api", "page"}
    assert all(update["auto_revert"] and update["health_check"] == "checks" for update in updates.values())
    for name in ("api", "page"):
        ((port,),) = [list(one.values()) for one in listed(parsed[name].group["network"]["port"])]
        assert "static" not in port, "two of them on a client would want the same port"
