"""Runs `crm-assets` in processes that kill themselves at a chosen moment, as `kill -9` would.

Started as a module it reads one order a line from standard input, each a JSON object, and answers each by a line. Every
order is carried out by a process of its own, forked from this one once all libraries are imported, which takes longer
than the runs themselves.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

BEFORE, DURING, AFTER = "before", "during", "after"
_IMPORTED = (
    "crm_assets.run", "crm_assets.cli", "crm_assets.registry", "crm_assets.summary", "mlflow", "mlflow.pyfunc",
    "sklearn.linear_model", "scipy.stats", "matplotlib.figure", "evidently", "boto3",
)  # fmt: skip
_FOLDER = ("write_bytes", "put_file")
_REGISTRY = (
    "create_experiment", "create_run", "log_batch", "log_artifacts", "set_terminated", "create_logged_model",
    "log_model_artifacts", "finalize_logged_model", "log_outputs", "create_registered_model", "create_model_version",
    "update_model_version", "set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias",
)  # fmt: skip
_DURING_SECONDS = 0.003
"""How long a call that has no middle of its own goes on before its process is killed."""


class Tracer:
    """Counts the calls of what a run stores, trains and registers, and kills the process at one of them.

    Args:
        moment: (call, which of its calls from 1 on, before, during or after); None only counts.
        pause: instead of being killed the process makes the file of this name then, and waits until it is gone.
    """

    def __init__(self, moment: tuple[str, int, str] | None, pause: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._moment = moment
        self._pause = pause

    def install(self) -> None:
        """Trace this process."""
        from dagster import DagsterInstance
        from mlflow import MlflowClient

        from crm_assets import storage
        from crm_assets.defs import training
        from crm_assets.modelling.backtest import RollingOrigin

        for name in _FOLDER:
            self._trace(storage._Folder, name, f"folder.{name}", halved=True)
            self._trace(storage._S3, name, f"s3.{name}")
        for name in _REGISTRY:
            self._trace(MlflowClient, name, f"mlflow.{name}")
        self._trace(RollingOrigin, "report", "train.backtest")
        self._trace(training, "model_of", "train.fit")
        self._trace(DagsterInstance, "handle_new_event", "dagster.event")

        plain, tracer = storage._replacing, self

        @contextmanager
        def replacing(target: Path, *, durable: bool = True) -> Iterator[Any]:
            with plain(target, durable=durable) as stream:
                yield _Half(stream) if durable and tracer._halving else stream
                tracer._at("folder.rename", BEFORE, durable=durable)

        storage._replacing = replacing

    _halving = False

    def _trace(self, owner: Any, name: str, called: str, *, halved: bool = False) -> None:
        plain: Callable[..., Any] = getattr(owner, name)

        def traced(*arguments: Any, **options: Any) -> Any:
            self.counts[called] += 1
            self._at(called, BEFORE)
            if self._is(called, DURING):
                if halved:
                    self._halving = True
                else:
                    threading.Timer(_DURING_SECONDS, _kill).start()
            answer = plain(*arguments, **options)
            self._at(called, AFTER)
            return answer

        setattr(owner, name, traced)

    def _is(self, called: str, when: str) -> bool:
        return self._moment == (called, self.counts[called], when)

    def _at(self, called: str, when: str, *, durable: bool = True) -> None:
        if called == "folder.rename" and durable:
            self.counts[called] += 1
        if not durable or not self._is(called, when):
            return
        if self._pause is None:
            _kill()
            return
        self._pause.touch()
        while self._pause.exists():
            time.sleep(0.02)


class _Half:
    """A stream that ends its process in the middle of what is written first."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        self._stream.write(data[: len(data) // 2])
        self._stream.flush()
        _kill()
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _carry_out(order: dict[str, Any]) -> None:
    """Run the command of an order in this process, and end it."""
    code = 1
    with Path(order["log"]).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        tracer = Tracer(
            tuple(order["moment"]) if order["moment"] else None, Path(order["pause"]) if order["pause"] else None
        )
        for path, value in order["constants"].items():
            module, _, constant = path.rpartition(".")
            setattr(importlib.import_module(module), constant, value)
        try:
            tracer.install()
            from crm_assets.cli import main

            main(order["arguments"])
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        if order["counts"]:
            Path(order["counts"]).write_text(json.dumps(tracer.counts))
        sys.stdout.flush()
        sys.stderr.flush()
        atexit._run_exitfuncs()
        os._exit(code)


def main() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _carry_out(json.loads(line))
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
