"""A PostgreSQL server that a test stops and starts again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 60


class RestartedPostgres:
    """A cluster of its own, on the loopback interface, that lets everybody in.

    Args:
        folder: that the server's user may write to.
        programs: folder of initdb and postgres.
        user: the options of `subprocess` that make it run as another user than root.
    """

    def __init__(self, folder: Path, programs: Path, user: dict[str, Any]) -> None:
        self._folder, self._programs = folder, programs
        self._options: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "HOME": str(folder)}, **user}
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"
        self._server: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, **self._options,
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        import psycopg2

        log = self._folder / "log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port), "-k", self._folder,
                 "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
                stdout=output, stderr=output, **self._options,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", connect_timeout=5).close()
            except psycopg2.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text(errors="replace")[-2_000:]) from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop it at once, whoever is connected, unless it is stopped."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(START_SECONDS)
            self._server = None

    def refuse_once(self) -> None:
        """While it is stopped, wait until somebody wants to connect, and send them away."""
        with closing(socket.create_server(("127.0.0.1", self.port))) as listener:
            listener.settimeout(START_SECONDS)
            listener.accept()[0].close()


@contextmanager
def restarted_postgres(programs: Path) -> Iterator[RestartedPostgres]:
    """A running server; what it holds is thrown away after the block."""
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # The server refuses to run as root.
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = names.get("postgres") or names["nobody"]
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="crm-pg-"))
    try:
        if user:
            os.chown(folder, user["user"], user["group"])
        server = RestartedPostgres(folder, programs, user)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
