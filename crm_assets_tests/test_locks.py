"""One process at a time writes to a place, and a lock does not outlive its holder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crm_assets import locks
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.locks import Holder, S3Lock
from crm_assets.process import Process
from crm_assets.storage import _S3, Storage, open_storage

ROOT = Path(__file__).parents[1]
SOURCE = "simulator:?seed=7"
HOLD = """
import sys
from crm_assets.storage import open_storage
place = open_storage(sys.argv[1], create=True)
lock = place.lock()
print(place.take(lock), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(storage_url: str) -> Storage:
    return open_storage(storage_url, create=True)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_one_at_a_time(place: Storage) -> None:
    first, second = place.lock(), place.lock()
    assert place.take(first) is None
    holder = place.take(second)
    assert holder is not None
    assert holder.process == Process.current()
    assert str(holder).startswith(f"process {os.getpid()} on ")
    first.give_back()
    assert place.take(second) is None
    assert place.list() == []
    second.give_back()


def test_places_do_not_wait_for_each_other(storage_url: str) -> None:
    held = [open_storage(f"{storage_url}/{name}", create=True) for name in ("one", "other")]
    taken = [place.lock() for place in held]
    assert [place.take(lock) for place, lock in zip(held, taken, strict=True)] == [None, None]
    for lock in taken:
        lock.give_back()


def test_the_lock_of_a_killed_process_is_free(place: Storage) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, place.url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "None\n"
        holder = place.take(place.lock())
        assert holder is not None
        assert holder.process.pid == owner.pid
        owner.kill()
    lock = place.lock()
    assert place.take(lock) is None
    lock.give_back()


def test_a_wait_in_vain_names_the_holder(storage_url: str) -> None:
    lake = Lake.open(storage_url, source=SOURCE, create=True)
    told: list[str] = []
    with lake.held(0, told.append):
        wanted = rf"written to by process {os.getpid()} on .* since .*, so nothing was done in 1 s; wait for it"
        with pytest.raises(LakeError, match=wanted), lake.held(1, told.append):
            pass
    assert len(told) == 1
    assert f"Waiting for process {os.getpid()} on " in told[0]
    with lake.held(0, told.append):
        pass


def s3_lock(url: str, lease: float) -> tuple[S3Lock, Any, dict[str, str]]:
    place = open_storage(url)
    assert isinstance(place, _S3)
    where = {"Bucket": place._bucket, "Key": f"{place._prefix}{locks.NAME}"}
    return S3Lock(place._client, where["Bucket"], where["Key"], lease), place._client, where


def elsewhere() -> Holder:
    return Holder(replace(Process.current(), host="elsewhere"), "2017-05-31T12:00:00+00:00")


def test_the_lock_of_another_machine_is_free_once_its_lease_is_over(s3_url: str) -> None:
    lock, client, where = s3_lock(s3_url, 2)
    client.put_object(**where, Body=elsewhere().to_json())
    holder = lock.take()
    assert holder is not None
    assert str(holder) == f"process {os.getpid()} on elsewhere since 2017-05-31T12:00:00+00:00"
    wait_until(lambda: lock.take() is None)
    assert lock.lost is None
    lock.give_back()


def test_a_lease_is_renewed(s3_url: str) -> None:
    lock, client, where = s3_lock(s3_url, 4)
    assert lock.take() is None
    seen: set[str] = set()

    def renewed() -> bool:
        seen.add(client.get_object(**where)["ETag"])
        return len(seen) > 3

    wait_until(renewed)
    assert lock.lost is None
    lock.give_back()
    assert Holder.parse(client.get_object(**where)["Body"].read()) is None


def test_a_lock_that_was_taken_over_is_known_to_be_lost(s3_url: str) -> None:
    lock, client, where = s3_lock(s3_url, 2)
    assert lock.take() is None
    client.put_object(**where, Body=elsewhere().to_json())
    wait_until(lambda: lock.lost == "another process has taken it over")
    lock.give_back()
    assert Holder.parse(client.get_object(**where)["Body"].read()) == elsewhere()


def test_a_lock_that_cannot_be_renewed_is_lost_with_its_lease(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import EndpointConnectionError

    lock, client, _ = s3_lock(s3_url, 0.4)
    assert lock.take() is None

    def away(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://away")

    with monkeypatch.context() as patch:
        patch.setattr(client, "put_object", away)
        wait_until(lambda: "could not be renewed for 0 s: " in str(lock.lost))
    lock.give_back()


def test_a_put_that_was_sent_twice_is_one(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, client, _ = s3_lock(s3_url, 60)
    plain = client.put_object

    def twice(**options: Any) -> Any:
        plain(**options)
        return plain(**options)

    monkeypatch.setattr(client, "put_object", twice)
    assert lock.take() is None
    lock.give_back()


class OneObject:
    """An S3 of one object, in memory; `before` and `after` surround each put but the first, and may raise."""

    def __init__(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        self.body, self.etag, self.puts = b"", 0, 0
        self._before, self._after = before, after

    def put_object(self, *, Body: bytes, **condition: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        from botocore.exceptions import ClientError

        self.puts += 1
        if self.puts > 1:
            self._before()
        if condition.get("IfMatch", str(self.etag)) != str(self.etag):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.body, self.etag = Body, self.etag + 1
        etag = str(self.etag)
        if self.puts > 1:
            self._after()
        return {"ETag": etag}

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"ETag": str(self.etag), "Body": io.BytesIO(self.body)}


def test_a_lock_is_lost_with_its_lease_while_a_renewal_hangs() -> None:
    now = 1_000.0
    hanging, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        assert go_on.wait(60)

    lock = S3Lock(OneObject(hang, lambda: None), "bucket", "key", 0.04, clock=lambda: now)
    assert lock.take() is None
    assert hanging.wait(60)
    now += 0.03
    assert lock.lost is None
    now += 0.02
    assert lock.lost == "it could not be renewed for 0 s"
    go_on.set()
    lock.give_back()


def test_a_renewal_whose_answer_was_lost_is_ours() -> None:
    from botocore.exceptions import ReadTimeoutError

    answers = 0

    def lose_the_first() -> None:
        nonlocal answers
        answers += 1
        if answers == 1:
            raise ReadTimeoutError(endpoint_url="http://slow")

    place = OneObject(lambda: None, lose_the_first)
    lock = S3Lock(place, "bucket", "key", 0.04, clock=lambda: 0.0)
    assert lock.take() is None
    wait_until(lambda: answers > 3)
    assert lock.lost is None
    lock.give_back()
    assert Holder.parse(place.body) is None


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    here = Process.current()
    assert Process.parse(str(here)) == here
    assert not here.is_gone
    assert replace(here, started="1").is_gone
    assert replace(here, pid=2**22 + 1).is_gone
    assert not replace(here, pid=2**22 + 1, host="elsewhere").is_gone
    assert not replace(here, pid=2**22 + 1, space="0" * 8).is_gone
    assert Process.parse("anything") is None
