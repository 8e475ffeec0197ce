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
from abc import ABC, abstractmethod
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
        """This process, from now on."""
        return cls(Process.current(), datetime.now(UTC).isoformat(timespec="seconds"))

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
    """

    def __init__(self, client: Any, bucket: str, key: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self._client = client
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
        self._etag = self._put(self._holder, IfNoneMatch="*")
        if self._etag is None:
            answer = self._client.get_object(**self._place)
            other = Holder.parse(answer["Body"].read())
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            expired = (now - answer["LastModified"]).total_seconds() > self._lease
            if other is None or expired or other.process.is_gone:
                self._etag = self._put(self._holder, IfMatch=answer["ETag"])
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
                self._put(None, IfMatch=self._etag)
        self._etag = None

    @property
    def lost(self) -> str | None:
        """Why it is ours no more, though it was not given back; None while it is."""
        return self._lost

    def _put(self, holder: Holder | None, **condition: str) -> str | None:
        """Put the object under a condition; its ETag, or None when the condition does not hold."""
        from botocore.exceptions import ClientError

        content = holder.to_json() if holder else json.dumps({"free": secrets.token_hex(8)}).encode()
        try:
            return str(self._client.put_object(**self._place, Body=content, **condition)["ETag"])
        except ClientError as error:
            if error.response["Error"].get("Code") not in _CHANGED:
                raise
        # A put whose answer was lost is sent again, and then meets what it has put itself.
        try:
            found = self._client.get_object(**self._place)
            return str(found["ETag"]) if found["Body"].read() == content else None
        except ClientError as error:
            if error.response["Error"].get("Code") not in _CHANGED:
                raise
            return None

    def _renew(self) -> None:
        fault: Exception | None = None
        failed = 0
        while not self._ended.wait(self._lease / _RENEWALS):
            try:
                etag = self._put(self._holder, IfMatch=str(self._etag))
            except _faults() as error:
                fault, failed = error, failed + 1
                if failed < _RENEWALS:
                    continue
                self._lost = f"it could not be renewed for {self._lease:.0f} s: {fault}"
                return
            if etag is None:
                self._lost = "another process has taken it over"
                return
            self._etag, failed = etag, 0


def _faults() -> tuple[type[Exception], ...]:
    """What can go wrong with a request."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, Boto3Error, ClientError, HTTPError, OSError
