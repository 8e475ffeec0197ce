"""A run launcher whose processes start at once, so that what is measured is the queue and not Dagster's import.

The processes are forked from one that has imported Dagster: `python -m ...forked_runs SOCKET` takes the id of a run and
the folder of the instance a line, and executes each in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData

SOCKET = "launches.sock"


class ForkedRuns(RunLauncher, ConfigurableClass):
    """Hands each run over to the process that listens at `SOCKET` in the instance's folder."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]  # Dagster gives it no types

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> ForkedRuns:
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        folder = os.environ["DAGSTER_HOME"]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(Path(folder, SOCKET)))
            connection.sendall(json.dumps({"run": context.dagster_run.run_id, "folder": folder}).encode() + b"\n")

    def terminate(self, run_id: str) -> bool:
        return False

    def join(self, timeout: int = 30) -> None:
        """Nothing to wait for: the runs are in processes of their own."""


def _execute(run_id: str, folder: str) -> None:
    import dagster as dg
    from dagster._cli.api import _execute_run_command_body

    with dg.DagsterInstance.from_config(folder) as instance:
        _execute_run_command_body(run_id, instance, lambda event: None, set_exit_code_on_failure=False)


def main(path: str) -> None:
    import dagster as dg
    import dagster._cli.api  # imported once for all

    # What an instance imports only when it is used.
    with dg.DagsterInstance.from_config(str(Path(path).parent)):
        pass
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(256)
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile() as lines:
                orders = [json.loads(line) for line in lines]
            for order in orders:
                if os.fork() == 0:
                    try:
                        _execute(order["run"], order["folder"])
                    finally:
                        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
