"""The jobs for Nomad as HashiCorp's own parser reads them, and where they differ from Compose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_assets_tests.containers.compose import DOCKER

NOMAD = DOCKER / "nomad"
PREFIX = "crm-assets-"
_PATHS = {"CRM_API_KEYS_FILE": "/secrets/api_keys", "TMPDIR": "/alloc/tmp"}
"""Variables whose value is a place that Nomad gives, where Compose has a mount for it."""
_GIVEN_PLACES = {"/etc/crm/keys", "/var/tmp"}
_NAMED = object()
"""Blocks of this kind have a name before them."""
_JOB: dict[str, Any] = {
    "type": None,
    "datacenters": None,
    "update": dict.fromkeys(
        (
            "max_parallel", "canary", "auto_promote", "auto_revert", "health_check", "min_healthy_time",
            "healthy_deadline", "progress_deadline",
        )
    ),
    "group": {
        _NAMED: True,
        "count": None,
        "ephemeral_disk": {"size": None},
        "network": {"mode": None, "port": {_NAMED: True, "static": None, "to": None, "host_network": None}},
        "restart": dict.fromkeys(("attempts", "interval", "delay", "mode")),
        "volume": {_NAMED: True, "type": None, "source": None, "read_only": None},
        "service": {
            "name": None,
            "provider": None,
            "port": None,
            "check": {
                **dict.fromkeys(("name", "type", "task", "command", "args", "path", "interval", "timeout")),
                "check_restart": {"limit": None, "grace": None},
            },
            "connect": {
                "sidecar_service": {"proxy": {"upstreams": {"destination_name": None, "local_bind_port": None}}}
            },
        },
        "task": {
            _NAMED: True,
            **dict.fromkeys(("driver", "user", "kill_timeout")),
            "env": None,
            "vault": {"role": None},
            "template": dict.fromkeys(("destination", "env", "change_mode", "data")),
            "volume_mount": dict.fromkeys(("volume", "destination")),
            "resources": dict.fromkeys(("cpu", "memory")),
            "config": {
                **dict.fromkeys(
                    (
                        "image", "command", "args", "ports", "init", "cap_drop", "security_opt", "readonly_rootfs",
                        "shm_size",
                    )
                ),
                "mount": {
                    **dict.fromkeys(("type", "source", "target", "readonly")),
                    "tmpfs_options": {"size": None},
                },
            },
        },
    },
}  # fmt: skip
"""The blocks and arguments of a job that are used here, as Nomad 1.10 knows them; None is an argument."""


def listed(found: Any) -> list[Any]:
    """Blocks of one kind: the parser gives one by itself, several as a list, none as nothing."""
    return [] if found is None else found if isinstance(found, list) else [found]


def unknown_arguments(found: Mapping[str, Any], known: Mapping[Any, Any] = _JOB, place: str = "job") -> Iterator[str]:
    """Where a block or an argument is not one that Nomad knows; it refuses the job for it."""
    for name, value in found.items():
        if name not in known:
            yield f"{place}: {name}"
        elif isinstance(known[name], dict):
            below = {key: kind for key, kind in known[name].items() if key is not _NAMED}
            blocks = value.items() if _NAMED in known[name] else [("", one) for one in listed(value)]
            for label, block in blocks:
                yield from unknown_arguments(block, below, f"{place} {name} {label}".rstrip())


@dataclass(frozen=True)
class NomadJob:
    """A job with one group of one task, all called as the service.

    Attributes:
        name: of the service.
        job: its block.
        variables: name -> default.
    """

    name: str
    job: Mapping[str, Any]
    variables: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> NomadJob:
        """The job of a file's text. Raises ValueError unless it is HCL with one job."""
        import pygohcl

        try:
            found = pygohcl.loads(text)
        except pygohcl.HCLParseError as error:
            raise ValueError(str(error)) from None
        ((name, job),) = found["job"].items()
        variables = {key: value.get("default") for key, value in found.get("variable", {}).items()}
        return cls(name.removeprefix(PREFIX), job, variables)

    @property
    def group(self) -> Mapping[str, Any]:
        return dict(self.job["group"][self.name])

    @property
    def task(self) -> Mapping[str, Any]:
        return dict(self.group["task"][self.name])

    @property
    def config(self) -> Mapping[str, Any]:
        return dict(self.task["config"])

    @property
    def services(self) -> list[Mapping[str, Any]]:
        return listed(self.group["service"])

    @property
    def templates(self) -> list[Mapping[str, Any]]:
        return listed(self.task.get("template"))

    @property
    def upstreams(self) -> dict[str, int]:
        """Service -> port on which this job reaches it."""
        sidecar = self.services[0]["connect"]["sidecar_service"] or {}
        found = listed((sidecar.get("proxy") or {}).get("upstreams"))
        return {one["destination_name"].removeprefix(PREFIX): one["local_bind_port"] for one in found}

    @property
    def environment(self) -> dict[str, str | None]:
        """Name -> value, None where Vault has it."""
        given = {name: self.resolved(value) for name, value in self.task.get("env", {}).items()}
        secret = [line for one in self.templates if one.get("env") for line in one["data"].splitlines()]
        return {**given, **{line.partition("=")[0]: None for line in secret if not line.startswith("{{")}}

    @property
    def secrets(self) -> set[str]:
        """Paths in Vault."""
        return {path for one in self.templates for path in re.findall(r'with secret "([^"]+)"', one["data"])}

    def resolved(self, text: str) -> str:
        """`text` with the defaults of its variables."""
        return re.sub(r"var\.(\w+)", lambda found: str(self.variables[found[1]]), text)


def jobs() -> dict[str, str]:
    """Service -> text of its job."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(NOMAD.glob("*.hcl"))}


def seconds(text: str) -> int:
    """Of a duration as Compose and Nomad write it, `2m0s`."""
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


def drifts(services: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str]) -> list[str]:
    """What is not the same in the jobs as in Compose, `service: what (Compose, Nomad)`.

    Args:
        services: as Compose resolves them with the values of the example.
        texts: of the jobs, by service.
    """
    if set(services) != set(texts):
        return [f"services: {sorted(services)}, {sorted(texts)}"]
    found = []
    for name, service in services.items():
        job = NomadJob.parse(texts[name])
        if job.name != name:
            found.append(f"{name}: its file has the job {job.name}")
            continue
        pairs = dict(_compared(service, job, set(services)))
        found += [f"{name}: {what} ({ours}, {theirs})" for what, (ours, theirs) in pairs.items() if ours != theirs]
    return found


def _compared(
    service: Mapping[str, Any], job: NomadJob, names: set[str]
) -> Iterator[tuple[str, tuple[object, object]]]:
    """What -> how Compose has it, and how Nomad."""
    config, task = job.config, job.task
    command = [config["command"], *config.get("args", [])] if "command" in config else None
    yield "image", (service["image"], job.resolved(config["image"]))
    yield "command", (service.get("command"), command)
    yield "user", (service["user"], task["user"])
    published = listed(job.group["network"].get("port"))
    inside = sorted(port["to"] for one in published for port in one.values())
    yield "ports", (sorted(port["target"] for port in service.get("ports", [])), inside)
    yield "memory", (int(service["mem_limit"]), task["resources"]["memory"] * 1024**2)
    yield "read only", (service.get("read_only", False), config.get("readonly_rootfs", False))
    yield "capabilities", (service["cap_drop"], [one.upper() for one in config["cap_drop"]])
    yield "privileges", (service["security_opt"], config["security_opt"])
    yield "init", (service["init"], config["init"])
    yield "shared memory", (int(service.get("shm_size", 0)), config.get("shm_size", 0))
    yield "time to stop", (seconds(service.get("stop_grace_period", "0s")), seconds(task.get("kill_timeout", "0s")))
    yield from _places(service, job)
    yield from _environment(service, job, names)
    yield from _health(service, job)
    yield "runs until it ends", (service["restart"] == "no", job.job["type"] == "batch")


def _places(service: Mapping[str, Any], job: NomadJob) -> Iterator[tuple[str, tuple[object, object]]]:
    mounts = listed(job.config.get("mount"))
    volumes = {one["destination"] for one in listed(job.task.get("volume_mount"))}
    bound = {one["target"] for one in mounts if one["type"] == "bind"} - {"/opt/dagster/workspace.yaml"}
    wanted = {one["target"] for one in service.get("volumes", [])} - _GIVEN_PLACES
    yield "volumes", (sorted(wanted), sorted(volumes | bound))
    memory = {one["target"]: one["tmpfs_options"]["size"] for one in mounts if one["type"] == "tmpfs"}
    yield "places in memory", (dict(map(_tmpfs, service.get("tmpfs", []))), memory)


def _tmpfs(written: str) -> tuple[str, int]:
    """Place and bytes; whose it is does not matter, for Nomad's may be written to by everybody."""
    target, _, options = written.partition(":")
    given = dict(option.split("=", 1) for option in options.split(",") if option)
    return target, int(given.get("size", "0m").removesuffix("m")) * 1024**2


def _environment(
    service: Mapping[str, Any], job: NomadJob, names: set[str]
) -> Iterator[tuple[str, tuple[object, object]]]:
    wanted: dict[str, str] = service.get("environment", {})
    given = job.environment
    yield "names of variables", (sorted(wanted), sorted(given))
    reached: dict[str, int] = {}
    for name, value in wanted.items():
        ours = _PATHS.get(name, value)
        for host, port in re.findall(r"(?://|@)([a-z]+):(\d+)", ours):
            if host in names:
                reached[host] = int(port)
                ours = re.sub(rf"(//|@){host}:", r"\g<1>127.0.0.1:", ours)
        if given.get(name) is not None:
            yield name, (ours, given[name])
    if any("workspace.yaml" in word for word in service.get("command") or []):
        reached["code"] = 4000
    yield "what it reaches", (reached, job.upstreams)


def _health(service: Mapping[str, Any], job: NomadJob) -> Iterator[tuple[str, tuple[object, object]]]:
    health = service["healthcheck"]
    if health.get("disable"):
        yield "health check", (None, job.services[0].get("check"))
        return
    check: Mapping[str, Any] = job.services[0]["check"]
    yield "health check", (health["test"][1:], [check["command"], *check["args"]])
    yield "task of the health check", (job.name, check["task"])
    kept = check["check_restart"]
    yield (
        "times of the health check",
        (
            [
                seconds(health["interval"]),
                seconds(health["timeout"]),
                seconds(health["start_period"]),
                health["retries"],
            ],
            [seconds(check["interval"]), seconds(check["timeout"]), seconds(kept["grace"]), kept["limit"]],
        ),
    )


def read(folder: str) -> dict[str, str]:
    """Service -> text of a file beside the jobs."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(NOMAD, folder).glob("*.hcl"))}
