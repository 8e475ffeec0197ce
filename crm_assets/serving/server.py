"""The server: one process that answers, or several at one address that are watched and end together.

Each of several has a socket of its own at the address, among which Linux spreads connections. With a socket that all
share whoever is quickest takes every connection that waits, and the others have nothing to do.
"""

from __future__ import annotations

import contextlib
import logging
import logging.config
import os
import signal
import socket
import tempfile
import threading
import time
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from crm_assets.errors import SettingsError
from crm_assets.process import process_folder
from crm_assets.settings import Settings

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 20
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "crm_assets.serving.json_lines.JsonLines"}},
    "handlers": {"output": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["output"]},
}
_UVICORN: dict[str, Any] = {
    "log_config": _LOGGING,
    "access_log": False,
    "server_header": False,
    "date_header": True,
    "proxy_headers": False,
    "backlog": 1024,
    "timeout_keep_alive": 15,
    "timeout_graceful_shutdown": _GRACE_SECONDS,
}
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The Prometheus client's own variable: where processes put the figures that one of them tells for all."""
_AGAIN_SECONDS = 1.0
"""Between two starts of a worker at least, for one that cannot start must not keep a processor busy."""


def serve(settings: Settings) -> None:
    """Answer until the process is told to stop; requests that go on then are answered still.

    Raises SettingsError when nobody could ask, the address is not free, or the settings are wrong.
    """
    import uvicorn

    if settings.api_workers > 1:
        _serve_with_workers(settings)
        return
    from crm_assets.serving.app import build_app

    uvicorn.run(build_app(settings), host=settings.api_host, port=settings.api_port, **uvicorn_options(settings))


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is to run the API."""
    from crm_assets.serving.connections import protocol

    return {
        **_UVICORN,
        "http": protocol(settings.api_body_seconds),
        "limit_concurrency": settings.api_connections,
    }


def _serve_with_workers(settings: Settings) -> None:
    _check(settings)
    logging.config.dictConfig(_LOGGING)
    os.environ.setdefault(_METRICS_FOLDER, tempfile.mkdtemp(prefix="metrics-", dir=process_folder()))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    workers = [_started(settings) for _ in range(settings.api_workers)]
    try:
        while not ended.is_set():
            gone = connection.wait([worker.sentinel for worker in workers], timeout=0.2)
            if not gone or ended.is_set():
                continue
            for at, worker in enumerate(workers):
                if not worker.is_alive():
                    _log.error("worker %s ended with %s and is started again", worker.pid, worker.exitcode)
                    ended.wait(_AGAIN_SECONDS)
                    workers[at] = _started(settings)
    finally:
        _end(workers)


def _check(settings: Settings) -> None:
    """Raise what each worker would end with, again and again."""
    from crm_assets.registry import Registry
    from crm_assets.serving.access import Access

    Access(settings)
    Registry(settings.tracking_uri, settings.model_name)
    # Workers let others listen where they do, so whoever is there already is found by not letting them.
    with _bound(settings, share=False):
        pass


def _bound(settings: Settings, *, share: bool) -> socket.socket:
    """A socket at the address, which does not listen yet. Raises SettingsError when the address cannot be had."""
    own = socket.socket(socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind((settings.api_host, settings.api_port))
    except OSError as error:
        own.close()
        raise SettingsError(
            f"cannot listen on {settings.api_host}, port {settings.api_port}: {error.strerror or error}. Set "
            "CRM_API_HOST or CRM_API_PORT to an address that is free"
        ) from error
    return own


def _started(settings: Settings) -> BaseProcess:
    worker = get_context("spawn").Process(target=_work, args=(settings,), name="worker")
    worker.start()
    return worker


def _work(settings: Settings) -> None:
    """Answer, in a process of its own, until it or the one that started it is told to stop."""
    import uvicorn

    from crm_assets.serving.app import build_app

    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = uvicorn.Server(uvicorn.Config(build_app(settings), **uvicorn_options(settings)))
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[_bound(settings, share=True)])


def _end_with_parent() -> None:
    """Stop when the process that started this one is gone, however it went: nobody else would."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _end(workers: list[BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS + 10
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            _log.error("worker %s does not stop and is killed", worker.pid)
            worker.kill()
