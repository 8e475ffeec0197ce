"""An HTTP proxy before a real server, which refuses, breaks off or keeps silent as a test has it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

Fault: TypeAlias = Literal["500", "503", "reset", "reset after", "half", "silent"] | None
"""A status; or the connection reset before the request was passed on, after it was, or in the middle of the answer; or
no answer for as long as the test goes on."""

FAULTS: tuple[Fault, ...] = ("500", "503", "reset", "reset after", "half", "silent")
_RESET = struct.pack("ii", 1, 0)
_CODES = {"500": "InternalError", "503": "SlowDown"}
_NOT_PASSED_ON = {"expect", "connection", "transfer-encoding"}


class FaultyProxy:
    """The proxy, which listens while its block runs.

    Attributes:
        endpoint: URL at which it listens.
        fault: asked at each request, by method and path, what is to go wrong with it.
        failed: how many requests were failed.
    """

    def __init__(self, server: str, fault: Callable[[str, str], Fault] = lambda method, path: None) -> None:
        self.fault = fault
        self.failed = 0
        self._silence = threading.Event()
        target = urlsplit(server).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fault = proxy.fault(self.command, self.path)
                if fault is not None:
                    proxy.failed += 1
                if fault in _CODES:
                    self._answer(int(fault), [], _error(_CODES[fault]))
                elif fault == "silent":
                    proxy._silence.wait()
                    self.close_connection = True
                elif fault == "reset":
                    self._reset()
                else:
                    status, headers, content = self._ask(body)
                    if fault == "reset after":
                        self._reset()
                    else:
                        self._answer(status, headers, content, half=fault == "half")

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _handle  # noqa: N815

            def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                with contextlib.closing(http.client.HTTPConnection(target)) as connection:
                    connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in _NOT_PASSED_ON:
                            connection.putheader(name, value)
                    connection.endheaders(body)
                    answer = connection.getresponse()
                    return answer.status, answer.getheaders(), answer.read()

            def _answer(
                self, status: int, headers: list[tuple[str, str]], content: bytes, *, half: bool = False
            ) -> None:
                self.send_response_only(status)
                length = str(len(content))
                for name, value in headers:
                    if name.lower() == "content-length":
                        length = value
                    elif name.lower() not in _NOT_PASSED_ON:
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command == "HEAD":
                    return
                self.wfile.write(content[: len(content) // 2] if half else content)
                if half:
                    self.wfile.flush()
                    self._reset()

            def _reset(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    self.connection.close()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

            def finish(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Nothing: clients go away, as they are made to."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._silence.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Try again.</Message></Error>".encode()


def each_first(times: int, fault: Fault) -> Callable[[str, str], Fault]:
    """A fault that each request meets the first `times` it is sent."""
    seen: dict[tuple[str, str], int] = {}

    def ask(method: str, path: str) -> Fault:
        seen[method, path] = seen.get((method, path), 0) + 1
        return fault if seen[method, path] <= times else None

    return ask
