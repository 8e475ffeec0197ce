"""An S3 server that refuses, breaks off and keeps silent: what passes is waited for, what does not is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_assets import storage
from crm_assets.storage import MissingError, StorageError, open_storage
from crm_assets_tests.integration.faulty_proxy import FAULTS, Fault, FaultyProxy, each_first
from crm_assets_tests.integration.s3_server import S3Server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What boto3 waits between two attempts, which it does not do here."""
    from botocore.retries import standard

    told: list[float] = []
    plain = standard.ExponentialBackoff.delay_amount

    def noted(self: object, context: object) -> float:
        told.append(plain(self, context))
        return 0.001

    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", noted)
    monkeypatch.setattr("crm_assets.storage.time", SimpleNamespace(sleep=told.append, time=time.time))
    # A server that keeps silent is given up at once, and not after half a minute.
    monkeypatch.setattr(storage, "_patience", ContextVar("_patience", default=(0.3, 100)))
    return told


@pytest.fixture
def proxy(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_environment.endpoint) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.endpoint)
        yield between


@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_waited_for(
    s3_url: str, proxy: FaultyProxy, waits: list[float], tmp_path: Path, fault: Fault
) -> None:
    place = open_storage(s3_url)
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    proxy.fault = each_first(2, fault)
    place.write_bytes("bytes", content)
    place.put_file(tmp_path / "file", "file")
    for path in ("bytes", "file"):
        assert place.read_bytes(path) == content
        assert place.local_copy(path).read_bytes() == content
        assert place.fingerprint(path) == storage.sha256_of(tmp_path / "file")
    assert place.list() == ["bytes", "file"]
    assert not place.exists("other")
    with pytest.raises(MissingError):
        place.read_bytes("other")
    assert proxy.failed >= 10
    assert len(waits) >= (5 if fault == "half" else 10)


@pytest.mark.parametrize("fault", ["500", "503", "reset", "silent"])
def test_what_does_not_pass_is_told(s3_url: str, proxy: FaultyProxy, waits: list[float], fault: Fault) -> None:
    place = open_storage(s3_url)
    place.write_bytes("file", b"old")
    proxy.fault = lambda method, path: fault if method == "PUT" else None
    with pytest.raises(StorageError) as caught:
        place.write_bytes("file", b"new")
    told = str(caught.value)
    assert told.startswith(f"{s3_url}: cannot write file: ")
    assert "try again" in told
    assert ("the server said" if str(fault).isdecimal() else proxy.endpoint) in told
    assert proxy.failed == storage._ATTEMPTS == 8
    assert place.read_bytes("file") == b"old"
    proxy.fault = lambda method, path: None
    place.write_bytes("file", b"new")
    assert place.read_bytes("file") == b"new"


def test_waits_grow_and_are_random(s3_url: str, proxy: FaultyProxy, waits: list[float]) -> None:
    place = open_storage(s3_url)
    proxy.fault = lambda method, path: "503"
    for _ in range(5):
        with pytest.raises(StorageError):
            place.exists("file")
    rounds = [waits[start : start + 7] for start in range(0, len(waits), 7)]
    assert len(rounds) == 5
    for attempt, limit in enumerate((1, 2, 4, 8, 16, 20, 20)):
        found = [told[attempt] for told in rounds]
        assert max(found) <= limit
        assert max(found) > limit / 10
    assert len({told[0] for told in rounds}) == 5


def test_a_wrong_address_is_told_after_three_attempts(s3_url: str, proxy: FaultyProxy, waits: list[float]) -> None:
    proxy.fault = lambda method, path: "reset"
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL names it"):
        open_storage(s3_url)
    assert proxy.failed == 3
    assert len(waits) == 2


def test_the_number_of_attempts_may_be_set(
    s3_url: str, proxy: FaultyProxy, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    place = open_storage(s3_url)
    proxy.fault = lambda method, path: "503"
    with pytest.raises(StorageError, match="the server said SlowDown"):
        place.read_bytes("file")
    assert proxy.failed == 2
