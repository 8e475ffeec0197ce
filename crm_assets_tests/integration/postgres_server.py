"""A real PostgreSQL server for the tests: a cluster of its own in a temporary folder, on a free port."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from crm_assets_tests.integration.required import not_installed

START_SECONDS = 60
STOP_SECONDS = 20
GIVEN = "TEST_POSTGRES_URL"
"""URL of a running server on this machine, with its user `postgres`, to use instead of starting one."""
_DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian has a folder for each version, off the path."""


@dataclass(frozen=True)
class PostgresServer:
    """Where the server answers, and the password of its user `postgres`, without which it lets nobody in."""

    port: int
    password: str = field(default_factory=lambda: f"p@ss/{secrets.token_hex(8)}", repr=False)

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str | None = None) -> str:
        """As in `CRM_DAGSTER_POSTGRES_URL`."""
        quoted = (password or self.password).replace("@", "%40").replace("/", "%2F")
        return f"postgresql+psycopg2://{user}:{quoted}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        """A psycopg2 connection that commits each statement."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=self.password, dbname=database,
            connect_timeout=5,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def new_database(self) -> str:
        """Name of a fresh, empty database."""
        name = f"crm_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of a statement; none where it gives none."""
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server, one per test session (and per worker of pytest-xdist), or the one that is given."""
    if url := os.environ.get(GIVEN):
        yield given_server(url)
        return
    binaries = required_programs()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = PostgresServer(probe.getsockname()[1])
    who = _who()
    folder = Path(tempfile.mkdtemp(prefix="crm-pg-"))
    try:
        password = folder / "password"
        password.write_text(server.password)
        for path in (folder, password):
            if who:
                os.chown(path, who["user"], who["group"])
        data, log = folder / "data", folder / "log"
        common: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "HOME": str(folder)}, **who}
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            capture_output=True, text=True, check=False, **common,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        # What it writes is thrown away, so nothing has to wait for the disk.
        command: list[str | Path] = [
            binaries / "postgres", "-D", data, "-p", str(server.port), "-k", folder, "-c", "listen_addresses=127.0.0.1",
            "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
        ]  # fmt: skip
        with log.open("wb") as output:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **common
            )
        try:
            _wait_until_it_answers(server, process, log)
            yield server
        finally:
            # Its fast shutdown, which ends connections that are open.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def given_server(url: str) -> PostgresServer:
    """The server at a URL. Raises ValueError for another machine's or another user's, which the tests do not know."""
    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1" or parts.username != "postgres" or not parts.port or not parts.password:
        raise ValueError(f"{GIVEN} has to be postgresql+psycopg2://postgres:PASSWORD@127.0.0.1:PORT/postgres")
    return PostgresServer(parts.port, unquote(parts.password))


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database of its own."""
    return postgres_server.url(postgres_server.new_database())


def server_programs() -> Path | None:
    """Folder of initdb and postgres: PG_BINDIR, else Debian's newest version, else where initdb is on the path."""
    given = os.environ.get("PG_BINDIR")
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb = str(Path(given, "initdb")) if given else str(found[-1]) if found else shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb and Path(initdb).exists() else None


def required_programs() -> Path:
    """`server_programs`, without which the test fails."""
    found = server_programs()
    if found is None:
        given = os.environ.get("PG_BINDIR")
        remedy = (
            f"PG_BINDIR is {given}, where no initdb is" if given else "apt-get install postgresql, or set PG_BINDIR"
        )
        not_installed("postgresql", remedy)
    return found


def _who() -> dict[str, Any]:
    """The user to start the server as: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("neither of the users postgres and nobody exists, and PostgreSQL does not run as root")


def _wait_until_it_answers(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg2

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            server.connect().close()
        except psycopg2.OperationalError:
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"PostgreSQL ended: {log.read_text(errors='replace')[-2000:]}") from None
        return
    raise RuntimeError(f"PostgreSQL did not answer in {START_SECONDS} s: {log.read_text(errors='replace')[-2000:]}")
