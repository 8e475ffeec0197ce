"""Connections that ask nothing are closed: uvicorn waits for the headers of a request as long as it takes."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SPARE = 50
"""Connections above the limit that are told so with a 503; more are closed at once, for file descriptors run out."""


class PunctualProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a deadline for the headers of a request.

    It runs from the beginning of the connection, and later from the first byte after an answer; between an answer and
    that byte uvicorn's own time for connections that are kept counts.
    """

    seconds: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for headers."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + _SPARE:
            transport.abort()
            return
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Take bytes, of which those between requests are the beginning of headers."""
        super().data_received(data)
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()

    def on_headers_complete(self) -> None:
        """Stop waiting: what comes now has its own time."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(self.seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def protocol(seconds: float) -> type[HttpToolsProtocol]:
    """A protocol in which the headers of a request must have arrived within so many seconds."""
    return type("PunctualProtocol", (PunctualProtocol,), {"seconds": seconds})
