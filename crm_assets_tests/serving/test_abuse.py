"""Clients that mean no good, or do not know better: each gets its answer or nothing, and the service lives on."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST, replace_in

BEGUN = b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture
def address(deployment: Deployment) -> Iterator[str]:
    with deployment.server(replace_in(deployment.settings, api_body_seconds=0.3)) as address:
        yield address


def connected(address: str) -> socket.socket:
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def assert_alive(deployment: Deployment, address: str) -> None:
    one = {"opportunity_id": deployment.scores[LAST]["opportunity_id"][0]}
    answer = httpx.post(f"http://{address}/v1/score", json={"opportunities": [one]}, timeout=30)
    assert answer.status_code == 200


def assert_closed(client: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(65536) == b""


def assert_alive_soon(deployment: Deployment, address: str) -> None:
    """As soon as it has seen that others are gone."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://{address}/health/live", timeout=30).status_code == 200:
                break
    assert_alive(deployment, address)


def test_a_body_that_does_not_arrive_is_given_up(deployment: Deployment, address: str) -> None:
    with connected(address) as slow:
        slow.sendall(BEGUN + b"Content-Length: 100\r\n\r\n{")
        answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"application/problem+json" in answer
        assert_alive(deployment, address)


def test_clients_that_hang_up_are_forgotten(deployment: Deployment, address: str) -> None:
    for sent in (
        b"",
        b"GE",
        BEGUN,
        BEGUN + b"Content-Length: 100\r\n\r\n{",
        BEGUN + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    ):
        with connected(address) as client:
            client.sendall(sent)
    assert_alive(deployment, address)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        BEGUN + b"Content-Length: -1\r\n\r\n",
        BEGUN + b"Content-Length: 99999999999999999999\r\n\r\n",
        BEGUN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_4xx_or_nothing(deployment: Deployment, address: str, sent: bytes) -> None:
    with connected(address) as client:
        answer = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(65536)
    assert not answer or answer.split()[1].startswith(b"4")
    assert_alive(deployment, address)


ASKED = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("before", [b"", ASKED], ids=["new", "kept"])
@pytest.mark.parametrize(
    "sent", [b"\r\n", b"GET /hea", BEGUN], ids=["an empty line", "half a line", "half of the headers"]
)
def test_a_connection_that_asks_by_halves_is_closed(
    deployment: Deployment, address: str, before: bytes, sent: bytes
) -> None:
    with connected(address) as client:
        client.settimeout(5)
        if before:
            client.sendall(before)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(sent)
        assert_closed(client)
    assert_alive(deployment, address)


def test_a_connection_that_asks_nothing_is_closed(address: str) -> None:
    with connected(address) as client:
        client.settimeout(5)
        assert_closed(client)


def test_a_connection_that_drips_is_closed(deployment: Deployment, address: str) -> None:
    with connected(address) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nX: ")
        client.settimeout(0.05)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5:
                client.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    if client.recv(65536) == b"":
                        break
        assert time.monotonic() - began < 5


def test_a_connection_that_goes_on_asking_is_kept(deployment: Deployment, address: str) -> None:
    with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
        began, kept = time.monotonic(), set()
        while time.monotonic() - began < 0.7:
            answer = client.get("/health/live")
            kept.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(kept) == 1


def test_more_connections_than_the_limit_are_told_so_or_closed(deployment: Deployment) -> None:
    settings = replace_in(deployment.settings, api_connections=10)
    with deployment.server(settings) as address:
        with contextlib.ExitStack() as opened:
            clients = [opened.enter_context(connected(address)) for _ in range(12)]
            clients[-1].sendall(ASKED)
            assert clients[-1].recv(65536).startswith(b"HTTP/1.1 503")
            clients += [opened.enter_context(connected(address)) for _ in range(60)]
            assert_closed(clients[-1])
        assert_alive_soon(deployment, address)


def test_500_open_connections(deployment: Deployment) -> None:
    with deployment.server() as address, contextlib.ExitStack() as opened:
        for number in range(500):
            client = opened.enter_context(connected(address))
            if number % 2:
                client.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n")
        assert_alive(deployment, address)


@pytest.mark.parametrize(
    "name", ["%00", "..%2f..%2fetc%2fpasswd", "%F0%9F%98%80", "%FF%FE", "a" * 201, "' OR 1=1 --", "%0d%0aX:1"]
)
def test_ids_of_any_kind_are_not_found(client: TestClient, name: str) -> None:
    answer = client.get(f"/v1/opportunities/{name}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    asked = {"opportunities": [{"opportunity_id": name}]}
    assert client.post("/v1/score", json=asked).status_code == 422


@pytest.mark.parametrize("value", ["\ud800", "\x00", "\u202e", "a\nb", "😀" * 100])
def test_letters_of_any_kind_are_refused_as_names(client: TestClient, value: str) -> None:
    told: dict[str, Any] = {"sales_agent": value, "product": "GTX Pro", "age_days": 1}
    content = json.dumps({"opportunities": [told]})
    answer = client.post("/v1/score", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/opportunities/0/sales_agent"


def test_many_deep_and_wide_values_are_refused(client: TestClient) -> None:
    wide = {"opportunities": [{"opportunity_id": str(number)} for number in range(20_000)]}
    answer = client.post("/v1/score", json=wide)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 1
    wrong = {"opportunities": [{str(number): number} for number in range(5_000)]}
    answer = client.post("/v1/score", json=wrong)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 100
