"""Locks on a place of files: one process writes to it at a time, and a lock does not outlive the one that holds it.

In a folder the system's own lock on a file ends with the process. In S3 it is an object that is only ever put where the
version of it that was read is still there; its holder renews it, and once it has not done so for `LEASE_SECONDS` by the
server's clock, or is known to be gone, it may be taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from crm_assets.process import Process

NAME = ".lock"
LEASE_SECONDS = 60.0
_RENEWALS = 4
"""A lease is renewed this often before it would expire."""
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409", "NoSuchKey", "404"}


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        process: the process.
        since: when it took the lock, ISO 8601, UTC.
    """

    process: Process
    since: str

    @classmethod
    def current(cls) -> Holder:
        """This process, from now on; to the millisecond, which tells two locks of a process apart."""
        return cls(Process.current(), datetime.now(UTC).isoformat(timespec="milliseconds"))

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """Who is named in a lock's content; None when nobody is."""
        try:
            told = json.loads(data)
            process = Process.parse(told["process"])
            return cls(process, str(told["since"])) if process else None
        except (ValueError, KeyError, TypeError):
            return None

    def to_json(self) -> bytes:
        """The content of a lock. No two are equal, so that each has an ETag of its own."""
        return json.dumps({"process": str(self.process), "since": self.since, "version": secrets.token_hex(8)}).encode()

    def __str__(self) -> str:
        return f"{self.process.name} since {self.since}"


def awake_or_asleep() -> float:
    """Seconds on a clock that nobody sets; it goes on while the machine sleeps, where the system has such a one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lock(ABC):
    """A lock that is taken at most once."""

    @abstractmethod
    def take(self) -> Holder | None:
        """Take it. None when it is ours now, else who holds it."""

    @abstractmethod
    def give_back(self) -> None:
        """Let others take it."""

    @property
    @abstractmethod
    def lost(self) -> str | None:
        """Why it is ours no more, though it was not given back; None while it is."""


class FolderLock(Lock):
    """A lock on a file of a folder. Its methods raise OSError.

    Args:
        folder: that is locked.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file: int | None = None

    def take(self) -> Holder | None:
        """Take it. None when it is ours now, else who holds it."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            content = os.pread(file, 10_000, 0)
            os.close(file)
            # Whoever has just taken it may not have put its name there yet.
            return Holder.parse(content) or Holder(Process("an unknown host", 0, "", ""), "just now")
        except OSError:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, Holder.current().to_json(), 0)
        self._file = file
        return None

    def give_back(self) -> None:
        """Let others take it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    @property
    def lost(self) -> str | None:
        """Never: the system keeps it for as long as the process lives."""
        return None


class S3Lock(Lock):
    """A lock that is an object. Its methods raise boto3's errors.

    Args:
        client: of S3.
        bucket: that the object is in.
        key: of the object.
        lease_seconds: how long it holds without being renewed.
        renewing: client that renews it, whose requests fail within a fraction of the lease; `client` by default.
        clock: in seconds, by which `lost` tells how old the last renewal is.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        lease_seconds: float = LEASE_SECONDS,
        *,
        renewing: Any = None,
        clock: Callable[[], float] = awake_or_asleep,
    ) -> None:
        self._client = client
        self._renewing_client = client if renewing is None else renewing
        self._clock = clock
        self._renewed_at = 0.0
        self._fault: Exception | None = None
        self._place = {"Bucket": bucket, "Key": key}
        self._lease = lease_seconds
        self._holder = Holder.current()
        self._etag: str | None = None
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None
        self._lost: str | None = None

    def take(self) -> Holder | None:
        """Take it. None when it is ours now, else who holds it."""
        other = None
        # From before it is sent on: the server counts from when it has arrived.
        self._renewed_at = self._clock()
        self._etag = self._put(self._client, self._holder, IfNoneMatch="*")
        if self._etag is None:
            answer = self._client.get_object(**self._place)
            other = Holder.parse(answer["Body"].read())
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            expired = (now - answer["LastModified"]).total_seconds() > self._lease
            if other is None or expired or other.process.is_gone:
                self._renewed_at = self._clock()
                self._etag = self._put(self._client, self._holder, IfMatch=answer["ETag"])
        if self._etag is None:
            return other or Holder(Process("an unknown host", 0, "", ""), "just now")
        self._renewing = threading.Thread(target=self._renew, name="lease of the lake", daemon=True)
        self._renewing.start()
        return None

    def give_back(self) -> None:
        """Let others take it. The object stays, so that a key need not be allowed to delete."""
        self._ended.set()
        if self._renewing is not None:
            self._renewing.join()
        if self._etag is not None and self._lost is None:
            # Where the server is away the lease ends by itself, and what has gone wrong before is what is to be told.
            with contextlib.suppress(*_faults()):
                self._put(self._client, None, IfMatch=self._etag)
        self._etag = None

    @property
    def lost(self) -> str | None:
        """Why it is ours no more, though it was not given back; None while it is."""
        if self._lost is None and self._etag is not None and self._clock() - self._renewed_at >= self._lease:
            return f"it could not be renewed for {self._lease:.0f} s{f': {self._fault}' if self._fault else ''}"
        return self._lost

    def _put(self, client: Any, holder: Holder | None, **condition: str) -> str | None:
        """Put the object under a condition; its ETag, or None when the condition does not hold."""
        from botocore.exceptions import ClientError

        content = holder.to_json() if holder else json.dumps({"free": secrets.token_hex(8)}).encode()
        try:
            return str(client.put_object(**self._place, Body=content, **condition)["ETag"])
        except ClientError as error:
            if error.response["Error"].get("Code") not in _CHANGED:
                raise
        # A put whose answer was lost is sent again, and then meets what it has put itself.
        try:
            found = client.get_object(**self._place)
            return str(found["ETag"]) if found["Body"].read() == content else None
        except ClientError as error:
            if error.response["Error"].get("Code") not in _CHANGED:
                raise
            return None

    def _renew(self) -> None:
        while not self._ended.wait(self._lease / _RENEWALS):
            try:
                held = self._renew_once()
            except _faults() as error:
                self._fault = error
                continue
            if not held:
                self._lost = "another process has taken it over"
                return
            self._fault = None

    def _renew_once(self) -> bool:
        """Put it again. Returns whether it is still ours."""
        for last in (False, True):
            began = self._clock()
            etag = self._put(self._renewing_client, self._holder, IfMatch=str(self._etag))
            if etag is not None:
                self._etag, self._renewed_at = etag, began
                return True
            if last:
                break
            # A renewal whose answer was lost may have arrived; when is not known, so that it does not count as one.
            answer = self._renewing_client.get_object(**self._place)
            if Holder.parse(answer["Body"].read()) != self._holder:
                break
            self._etag = str(answer["ETag"])
        return False


def _faults() -> tuple[type[Exception], ...]:
    """What can go wrong with a request."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, Boto3Error, ClientError, HTTPError, OSError
