"""Load on a server that speaks HTTP: requests at a fixed rate whatever it does, and as many as it takes, by wrk."""

from __future__ import annotations

import gc
import json
import math
import select
import shutil
import socket
import subprocess
import tempfile
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_AFTER_SECONDS = 30.0
"""For how long answers are waited for after the last request."""
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"

_LUA = """
local requests, at = {}, 0
function init(args)
  local headers = {["Content-Type"] = "application/json"}
  for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("POST", wrk.path, headers, line) end
  at = math.random(#requests)
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "microseconds": %d, "failed": %d, "p50": %f, "p95": %f, "p99": %f}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Answered:
    """What came of requests.

    Attributes:
        asked: requests that were due.
        failures: status of an answer that was not 2xx, or `hung up` or `no answer` -> how often.
        seconds: from the first that was due to the last answer.
        milliseconds: of each that was answered, sorted.
    """

    asked: int
    failures: Mapping[str, int]
    seconds: float
    milliseconds: Sequence[float]

    @property
    def failed(self) -> int:
        """How many failed."""
        return sum(self.failures.values())

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the answers came; NaN without answers."""
        if not self.milliseconds:
            return math.nan
        return self.milliseconds[max(0, math.ceil(share / 100 * len(self.milliseconds)) - 1)]

    def figures(self) -> dict[str, Any]:
        """Percentiles in milliseconds, counts, and good answers a second."""
        found = {f"p{share}": round(self.percentile(share), 2) for share in (50, 95, 99)}
        rate = round(len(self.milliseconds) / self.seconds, 1)
        return {
            **found,
            "asked": self.asked,
            "failed": self.failed,
            "failures": dict(self.failures),
            "per_second": rate,
        }


def http(method: str, path: str, body: bytes = b"") -> bytes:
    """A request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(eq=False)
class _Connection:
    """A connection with at most one request on its way."""

    address: tuple[str, int]
    due: float = 0.0
    begun: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self.address, timeout=_AFTER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun.clear()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.socket.sendall(request)

    def received(self) -> str | None:
        """The status of the answer; None while it is not complete. Raises OSError when there will be none."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionResetError
        self.begun += part
        end = self.begun.find(_HEAD_END)
        if end < 0:
            return None
        head = bytes(self.begun[: end + 2]).lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[at : head.index(b"\r\n", at)])
        if len(self.begun) < end + len(_HEAD_END) + length:
            return None
        status = self.begun[9:12].decode("ascii")
        self.begun.clear()
        return status


def at_rate(
    address: str,
    requests: Sequence[bytes],
    *,
    per_second: float,
    seconds: float,
    connections: int = 32,
    meanwhile: Callable[[float], object] = lambda _: None,
) -> Answered:
    """Send requests at a fixed rate, and measure each from when it was due.

    A server that stalls delays what is due after that, which counts: waiting for an answer before the next request is
    sent would leave out exactly the requests that had to wait.

    Args:
        address: `http://HOST:PORT`.
        requests: what is sent, one after another, from the first again after the last.
        per_second: requests that are due in a second.
        seconds: for how long.
        connections: most requests that are on their way.
        meanwhile: called about every second with the seconds since the begin.
    """
    parts = urlsplit(address)
    total = round(per_second * seconds)
    idle = deque(_Connection((str(parts.hostname), int(parts.port or 80))) for _ in range(connections))
    busy: set[_Connection] = set()
    waiting: deque[float] = deque()
    taken, failures, asked, sent = array("d"), Counter[str](), 0, 0
    collecting = gc.isenabled()
    # A collection here would be taken for a pause of the server.
    gc.disable()
    begin = last = time.perf_counter()
    told = 0.0
    try:
        while (len(taken) + failures.total() < total) and (last - begin < seconds + _AFTER_SECONDS):
            while asked < total and begin + asked / per_second <= last:
                waiting.append(begin + asked / per_second)
                asked += 1
            while waiting and idle:
                connection = idle.popleft()
                connection.send(requests[sent % len(requests)], waiting.popleft())
                sent += 1
                busy.add(connection)
            until = begin + asked / per_second if asked < total else last + 1.0
            ready, _, _ = select.select(busy, (), (), min(1.0, max(0.0, until - time.perf_counter())))
            last = time.perf_counter()
            for connection in ready:
                try:
                    status = connection.received()
                except (OSError, ValueError):
                    connection.socket.close()
                    connection.open()
                    status = "hung up"
                if status is None:
                    continue
                if status.startswith("2"):
                    taken.append(1000 * (last - connection.due))
                else:
                    failures[status] += 1
                busy.remove(connection)
                idle.append(connection)
            if last - begin >= told + 1:
                told = last - begin
                meanwhile(told)
    finally:
        if collecting:
            gc.enable()
        for connection in (*idle, *busy):
            connection.socket.close()
    failures["no answer"] = total - len(taken) - failures.total()
    return Answered(total, +failures, max(last - begin, seconds), sorted(taken))


def wrk_program() -> str | None:
    """Where wrk is; None when it is not installed."""
    return shutil.which("wrk")


def by_wrk(url: str, bodies: Sequence[str], *, connections: int, seconds: int) -> dict[str, Any]:
    """Ask as often as answers come, on so many connections at once.

    Args:
        url: that is posted to.
        bodies: JSON without line breaks, one after another.
        connections: kept busy.
        seconds: for how long.

    Returns:
        `connections`, `per_second`, `failed`, and percentiles of the time from request to answer in milliseconds.
    """
    program = wrk_program()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="crm-assets-wrk-") as name:
        script, lines = Path(name, "requests.lua"), Path(name, "bodies")
        script.write_text(_LUA)
        lines.write_text("\n".join(bodies) + "\n")
        command = [program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command += ["--timeout", "30s", "--script", str(script), url, "--", str(lines)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120)
    told = json.loads(done.stdout.splitlines()[-1])
    figures = {share: round(told[share] / 1000, 2) for share in ("p50", "p95", "p99")}
    per_second = round(told["requests"] / (told["microseconds"] / 1e6), 1)
    return {"connections": connections, "per_second": per_second, "failed": int(told["failed"]), **figures}
