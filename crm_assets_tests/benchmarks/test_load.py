"""The load that the API is measured by counts what a stalled server keeps waiting, and what fails."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from crm_assets_tests.benchmarks.load import at_rate, http

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def server(answer: Callable[[int], bytes | None]) -> Iterator[str]:
    """Answers the requests, counted from 0, with what `answer` gives; hangs up on None."""
    count = iter(range(1_000_000))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline():
                length = 0
                while (line := self.rfile.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.rfile.read(length)
                told = answer(next(count))
                if told is None:
                    return
                self.wfile.write(told)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}"
        finally:
            running.shutdown()
            thread.join()


def test_requests_that_are_due_while_the_server_stalls_count_as_slow() -> None:
    stall = threading.Event()

    def answer(number: int) -> bytes:
        if number == 0:
            stall.wait(0.2)
        return OK

    with server(answer) as address:
        told = at_rate(address, [http("POST", "/", b"{}")], per_second=200, seconds=0.5, connections=1)
    assert (told.asked, told.failed) == (100, 0)
    # Of those due within 0.2 s each waited for what was left of it, and not only the first.
    assert sum(taken > 50 for taken in told.milliseconds) >= 25
    assert told.percentile(50) <= told.percentile(99) == pytest.approx(200, abs=100)


def test_what_fails_and_whoever_hangs_up_is_counted() -> None:
    with server(
        lambda number: {3: b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 5: None}.get(number, OK)
    ) as address:
        told = at_rate(address, [http("POST", "/", b"{}")], per_second=500, seconds=0.04, connections=2)
    assert (told.asked, told.failures, len(told.milliseconds)) == (20, {"503": 1, "hung up": 1}, 18)
    assert told.figures()["asked"] == 20
