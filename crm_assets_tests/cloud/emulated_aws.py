"""AWS as moto plays it, in a process of its own on a free port of the loopback interface."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_assets_tests.containers.compose import REPOSITORY
from crm_assets_tests.integration.required import not_installed

START_SECONDS = 120
CLOUD_ENVIRONMENT = REPOSITORY / ".venv-cloud"
"""What `make test-cloud` sets up: moto and checkov have requirements that do not go with ours."""


SERVER = Path(__file__).with_name("emulated_server.py")


def cloud_tool(name: str) -> str:
    """Path of a program of that environment. Fails the test without it."""
    path = CLOUD_ENVIRONMENT / "bin" / name
    if not path.exists():
        not_installed(name, "make .venv-cloud/.installed")
    return str(path)


class EmulatedAws:
    """A server that is up.

    Args:
        url: that it answers on.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which every AWS library and Terraform's provider ask this server, as anybody."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def held(self) -> list[str]:
        """What the account holds at the moment that an untouched one does not, each as `service.Kind label state`."""
        return self._told("held")

    def called(self) -> frozenset[str]:
        """The operations that were asked for since this was last asked, each as `service:Operation`."""
        return frozenset(self._told("called"))

    def _told(self, what: str) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/{what}", timeout=60) as answer:
            found: list[str] = json.load(answer)
        return found


@contextmanager
def emulated_aws(log: Path) -> Iterator[EmulatedAws]:
    """An empty account; the server ends with the block. Raises RuntimeError when it does not come up.

    Args:
        log: file for what it prints.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("ab") as output:
        server = subprocess.Popen(
            # Without this folder on its path, whose modules are none of the server's.
            [cloud_tool("python"), "-P", str(SERVER), str(port)],
            stdout=output,
            stderr=output,
            # Policies of AWS itself can be attached only where they are known.
            env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
            start_new_session=True,
        )
    aws = EmulatedAws(f"http://127.0.0.1:{port}")
    try:
        _wait_until_it_answers(server, aws.url, log)
        yield aws
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
                return
        except (OSError, http.client.HTTPException):
            # Waiting on the process returns at once when it ends, and is the pause between two polls otherwise.
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"moto's server ended with {server.returncode}:\n{log.read_text()}") from None
    raise RuntimeError(f"moto's server did not answer within {START_SECONDS} s:\n{log.read_text()}")
