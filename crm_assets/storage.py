"""A place of files: a folder or `s3://bucket/prefix`, read and written whole, its faults told as messages.

Paths are relative, with `/` between their parts. A write is atomic: a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import random
import re
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar

from crm_assets.errors import CrmAssetsError, SettingsError
from crm_assets.locks import NAME, FolderLock, Holder, Lock, S3Lock
from crm_assets.process import Process, file_is_left, process_folder

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

FilePaths: TypeAlias = list[str]
Stamps: TypeAlias = dict[str, str]

_T = TypeVar("_T")

_TEMPORARY = ".tmp-"
_ABANDONED_AFTER_SECONDS = 86_400
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_BLOCK = 1 << 20
_ONE_PUT_BYTES = 64 << 20
"""Larger files are sent to S3 in parts, which appear as one object when the last has arrived."""


_PATIENT, _IMPATIENT = (30, 100), (5, 1)
"""Seconds that an S3 server may take to answer, and how often it is asked at most."""
_patience = ContextVar("_patience", default=_PATIENT)


_PASSING_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.ENETUNREACH,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""What a network file system says while its server is away."""


class StorageError(CrmAssetsError):
    """A folder or bucket cannot be read or written."""

    exit_code = 4


class MissingError(StorageError):
    """The folder or the file is not there."""


class Storage(ABC):
    """A folder or a prefix of a bucket.

    Every method raises StorageError, naming the URL, what the system or server said and the remedy, when the place
    cannot be reached or refuses (MissingError when the file is not there), and ValueError on a path that is absolute,
    hidden or leads out.

    Attributes:
        url: the folder's absolute path, or `s3://bucket/prefix`; no slash at the end.
    """

    url: str

    def location(self, path: str) -> str:
        """Full path or URL of a file, for people."""
        return f"{self.url}/{_checked(path)}"

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def fingerprint(self, path: str) -> str:
        """SHA-256 of a file's content, in hexadecimal.

        On S3 it is kept beside an object that was written here; other objects are fetched, once per version and
        process.
        """

    @abstractmethod
    def read_bytes(self, path: str) -> bytes:
        """A file's whole content."""

    @abstractmethod
    def list(self, prefix: str = "") -> FilePaths:
        """Paths of all files below the folder `prefix`, sorted, relative to the storage; hidden ones are left out."""

    @abstractmethod
    def stamps(self) -> Stamps:
        """Path of every file that `list` gives -> what the listing tells of its content, nothing of it being read.

        That is size and time, and on S3 the ETag. As long as a stamp is the same, so is the content; another stamp may
        stand for the same content.
        """

    @abstractmethod
    def local_copy(self, path: str) -> Path:
        """A local file with the content, which stays as it is when the stored file is replaced; not to be changed.

        It is kept while the process lives. In a folder it is a hard link, or a copy where the folder for temporary
        files (TMPDIR) is on another file system; from S3 it is fetched once per version and process.
        """

    @abstractmethod
    def write_bytes(self, path: str, data: bytes) -> None:
        """Store `data` as a file, in place of one that may be there."""

    @abstractmethod
    def put_file(self, local: Path, path: str) -> None:
        """Store a copy of the file `local`, in place of one that may be there."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove a file, or nothing where there is none. Folders stay."""

    @abstractmethod
    def take(self, lock: Lock) -> Holder | None:
        """Take a lock that `lock` made: None when it is held by this process now, else who holds it."""

    @abstractmethod
    def lock(self) -> Lock:
        """The lock on the whole place, not taken yet."""

    @abstractmethod
    def remove_leftovers(self) -> None:
        """Delete what killed writers left. For the holder of the lock, since nobody else writes then."""


def open_storage(url: str, *, create: bool = False) -> Storage:
    """The folder or bucket prefix that `url` names, after a look whether it is there and lets itself be listed.

    S3 takes its credentials, region and endpoint from the standard AWS environment variables and profiles.

    Args:
        url: a folder, or `s3://bucket/prefix`.
        create: make a missing folder. A bucket is never made.

    Raises SettingsError when `url` is of another form, StorageError when it cannot be opened.
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if "@" in bucket:
            raise SettingsError(
                "an s3:// URL must not hold credentials: write s3://bucket/prefix and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        if not _BUCKET.fullmatch(bucket):
            raise SettingsError(f"{url!r} names no valid bucket: write s3://bucket/prefix")
        return _S3(bucket, prefix.strip("/"))
    if "://" in url or not url:
        raise SettingsError(f"{url!r} is neither a folder nor s3://bucket/prefix")
    return _Folder(Path(url), create=create)


@contextmanager
def impatient() -> Iterator[None]:
    """Have storages that are opened in the block report a server that does not answer within seconds."""
    token = _patience.set(_IMPATIENT)
    try:
        yield
    finally:
        _patience.reset(token)


def sha256_of(file: Path) -> str:
    """SHA-256 of a local file's content, in hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(path: str) -> str:
    """`path` itself. Raises ValueError when it is empty, absolute, hidden or leads out of the storage."""
    if any(part in {"", ".", ".."} or part.startswith(".") for part in path.split("/")):
        raise ValueError(f"{path!r} is no path inside a storage")
    return path


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


@contextmanager
def _folder_errors(url: str, doing: str) -> Iterator[None]:
    """Raise StorageError in place of OSError; `doing` completes "cannot ..."."""
    access = f"give user {os.geteuid()} access to it"
    remedies = {
        errno.ENOENT: "check the path",
        errno.EACCES: access,
        errno.EPERM: access,
        errno.EROFS: "it is mounted read-only; choose another place",
        errno.ENOSPC: "free space there and in the folder for temporary files (TMPDIR)",
        errno.EDQUOT: "free space there or raise the quota",
        errno.ENOTDIR: "a file stands where a folder is needed",
        errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
        errno.EISDIR: "a folder stands where a file is needed",
        errno.ENOLCK: "it is on a file system without locks; mount it with them, or choose another place",
        errno.ENOTSUP: "it is on a file system without locks; mount it with them, or choose another place",
    }
    try:
        yield
    except OSError as error:
        remedy = remedies.get(error.errno or 0, "check the path and the disk")
        place = f" ({error.filename})" if error.filename else ""
        kind = MissingError if error.errno == errno.ENOENT else StorageError
        said = f"{url}: cannot {doing}: {error.strerror or error}{place}; {remedy}"
        raise kind(said, transient=error.errno in _PASSING_ERRNOS) from error


class _Folder(Storage):
    def __init__(self, root: Path, *, create: bool) -> None:
        self._root = root.expanduser().absolute()
        self.url = str(self._root)
        with _folder_errors(self.url, "open the folder"):
            if create:
                self._root.mkdir(parents=True, exist_ok=True)
            with os.scandir(self._root):
                pass

    def exists(self, path: str) -> bool:
        with _folder_errors(self.url, f"look for {path}"):
            return self._target(path).is_file()

    def fingerprint(self, path: str) -> str:
        with _folder_errors(self.url, f"read {path}"):
            return sha256_of(self._target(path))

    def read_bytes(self, path: str) -> bytes:
        with _folder_errors(self.url, f"read {path}"):
            return self._target(path).read_bytes()

    def list(self, prefix: str = "") -> FilePaths:
        top = self._target(prefix.rstrip("/")) if prefix else self._root

        def complain(error: OSError) -> None:
            raise error

        found = []
        with _folder_errors(self.url, f"list {prefix or 'it'}"):
            if not top.exists():
                return []
            for folder, below, files in os.walk(top, onerror=complain, followlinks=True):
                below[:] = [name for name in below if not _hidden(name)]
                found += [(Path(folder) / name).relative_to(self._root) for name in files if not _hidden(name)]
        return sorted(path.as_posix() for path in found)

    def stamps(self) -> Stamps:
        stamps = {}
        for path in self.list():
            with _folder_errors(self.url, f"look at {path}"):
                found = self._target(path).stat()
            stamps[path] = f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
        return stamps

    def local_copy(self, path: str) -> Path:
        # Polars opens a file again for its data after it has read the footer: were it replaced in between, the
        # footer of one version would be applied to the data of another.
        target = self._target(path)
        with _folder_errors(self.url, f"read {path}"), target.open("rb") as source:
            found = os.fstat(source.fileno())
            version = f"{found.st_dev} {found.st_ino} {found.st_mtime_ns} {found.st_size}"
            copy = _kept(target.name, self.url, path, version)
            if copy.exists():
                return copy
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy.hardlink_to(target.resolve())
            except OSError:
                # It lies on another file system, or has just been replaced, or the system forbids the link. In any case
                # what has been opened can be read.
                with _replacing(copy, durable=False) as stream:
                    shutil.copyfileobj(source, stream, _BLOCK)
            return copy

    def write_bytes(self, path: str, data: bytes) -> None:
        with _folder_errors(self.url, f"write {path}"), _replacing(self._target(path)) as stream:
            stream.write(data)

    def put_file(self, local: Path, path: str) -> None:
        with (
            _folder_errors(self.url, f"write {path}"),
            local.open("rb") as source,
            _replacing(self._target(path)) as stream,
        ):
            shutil.copyfileobj(source, stream, _BLOCK)

    def delete(self, path: str) -> None:
        with _folder_errors(self.url, f"delete {path}"):
            self._target(path).unlink(missing_ok=True)

    def lock(self) -> Lock:
        return FolderLock(self._root)

    def take(self, lock: Lock) -> Holder | None:
        with _folder_errors(self.url, f"lock it by {NAME}"):
            return lock.take()

    def remove_leftovers(self) -> None:
        with _folder_errors(self.url, "remove what an interrupted run left"):
            for folder, _, _ in os.walk(self._root):
                _remove_abandoned(Path(folder))

    def _target(self, path: str) -> Path:
        return self._root / _checked(path)


@contextmanager
def _replacing(target: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A stream whose content takes the place of `target` once it is complete, and on the disk if `durable`.

    Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target.parent)
    temporary = target.parent / f"{_TEMPORARY}{Process.current().file_part}-{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    if not durable:
        return
    # The new name is safe from a power cut only once the folder itself is on the disk.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove_abandoned(folder: Path) -> None:
    """Delete what killed writers left. Raises OSError.

    Those are temporary files of processes that are known to be gone, and those of other machines to which nothing was
    written for a day.
    """
    for file in folder.glob(f"{_TEMPORARY}*"):
        try:
            if file_is_left(file.name) or file.stat().st_mtime < time.time() - _ABANDONED_AFTER_SECONDS:
                file.unlink()
        except FileNotFoundError:
            continue


_CONNECT_SECONDS = 3
_ATTEMPTS_TO_OPEN = 3
_RENEWAL_SECONDS = 5.0
"""How long the answer to a renewal of the lock is waited for, so that a lease is tried to be renewed several times."""
_ATTEMPTS = 8
"""Between them boto3 waits up to 1, 2, 4, 8, 16, 20 and 20 seconds, each time a random part of it."""
_ATTEMPTS_TO_READ = 4
_WRONG_KEY = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE"
_NO_PERMISSION = "give the key permission to list the bucket and to get and put its objects"
_WRONG_REGION = "set AWS_REGION to the region of the bucket"
_NO_ANSWER = "try again, or check that the server runs and that AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names it"
_S3_MISSING = {"NoSuchKey", "404"}
_S3_PASSING = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
_S3_REMEDIES = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "NoSuchKey": "check the path",
    "404": "check the path",
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "InvalidToken": _WRONG_KEY,
    "ExpiredToken": "renew the session's credentials",
    "AccessDenied": _NO_PERMISSION,
    "403": f"{_WRONG_KEY}, and {_NO_PERMISSION}",
    "PermanentRedirect": _WRONG_REGION,
    "301": _WRONG_REGION,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "IllegalLocationConstraintException": _WRONG_REGION,
    "RequestTimeTooSkewed": "set this machine's clock",
    "SlowDown": "try again later",
    "ServiceUnavailable": "try again later",
    "InternalError": "try again later, and look into the server's log",
}


class _S3(Storage):
    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._fingerprints: dict[tuple[str, str], str] = {}
        try:
            import boto3  # noqa: F401 - only whether it is installed
        except ImportError:
            raise StorageError(
                f"{self.url}: boto3, which S3 needs, is not installed; pip install 'crm-assets[s3]'"
            ) from None
        with self._errors("open it"):
            # A wrong address is to be told within seconds; a place that has answered once is worth waiting for.
            hasty = _s3_client(self.url, min(_ATTEMPTS_TO_OPEN, _attempts()))
            # Unlike a HEAD, a listing is answered with the reason of a refusal.
            hasty.list_objects_v2(Bucket=bucket, Prefix=self._prefix, MaxKeys=1)
            self._client = _s3_client(self.url, _attempts())

    def exists(self, path: str) -> bool:
        from botocore.exceptions import ClientError

        with self._errors(f"look for {path}"):
            try:
                self._head(path)
            except ClientError as error:
                if _code(error) in _S3_MISSING:
                    return False
                raise
            return True

    def fingerprint(self, path: str) -> str:
        with self._errors(f"read {path}"):
            head = self._head(path)
            if "sha256" in head["Metadata"]:
                return str(head["Metadata"]["sha256"])
            version = (path, head["ETag"])
            if version not in self._fingerprints:
                self._fingerprints[version] = sha256_of(self._fetched(path, head["ETag"]))
            return self._fingerprints[version]

    def read_bytes(self, path: str) -> bytes:
        with self._errors(f"read {path}"):
            return self._got(path, lambda answer: bytes(answer["Body"].read()))

    def list(self, prefix: str = "") -> FilePaths:
        return [*self._listed(prefix)]

    def stamps(self) -> Stamps:
        return {
            path: f"{entry['Size']} {entry['LastModified'].timestamp()} {entry['ETag']}"
            for path, entry in self._listed("").items()
        }

    def _listed(self, prefix: str) -> dict[str, dict[str, Any]]:
        """What the server lists below a folder, by path, sorted."""
        below = self._prefix + (f"{_checked(prefix.rstrip('/'))}/" if prefix else "")
        found: dict[str, dict[str, Any]] = {}
        with self._errors(f"list {prefix or 'it'}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=below):
                found |= {entry["Key"].removeprefix(self._prefix): entry for entry in page.get("Contents", [])}
        # Consoles mark an empty folder by an object whose name ends in a slash.
        kept = sorted(path for path in found if path and not path.endswith("/") and not _hidden(path))
        return {path: found[path] for path in kept}

    def local_copy(self, path: str) -> Path:
        with self._errors(f"read {path}"):
            return self._fetched(path, self._head(path)["ETag"])

    def write_bytes(self, path: str, data: bytes) -> None:
        with self._errors(f"write {path}"):
            metadata = {"sha256": hashlib.sha256(data).hexdigest()}
            self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=data, Metadata=metadata)

    def put_file(self, local: Path, path: str) -> None:
        from boto3.s3.transfer import TransferConfig

        with self._errors(f"write {path}"), local.open("rb") as stream:
            self._client.upload_fileobj(
                stream,
                self._bucket,
                self._key(path),
                ExtraArgs={"Metadata": {"sha256": sha256_of(local)}},
                Config=TransferConfig(multipart_threshold=_ONE_PUT_BYTES, multipart_chunksize=_ONE_PUT_BYTES),
            )

    def delete(self, path: str) -> None:
        with self._errors(f"delete {path}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(path))

    def lock(self) -> Lock:
        with self._errors("lock it"):
            renewing = _s3_client(self.url, 1, _RENEWAL_SECONDS)
        return S3Lock(self._client, self._bucket, f"{self._prefix}{NAME}", renewing=renewing)

    def take(self, lock: Lock) -> Holder | None:
        with self._errors("lock it"):
            return lock.take()

    def remove_leftovers(self) -> None:
        from botocore.exceptions import ClientError

        with self._errors("remove what an interrupted run left"), suppress(ClientError):
            # Parts of an upload are no object, yet they take room. Not every key may see them, nor every server show.
            answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix)
            for upload in answer.get("Uploads", []):
                if upload["Key"].startswith(self._prefix):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

    def _key(self, path: str) -> str:
        return self._prefix + _checked(path)

    def _head(self, path: str) -> dict[str, Any]:
        head: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=self._key(path))
        return head

    def _fetched(self, path: str, etag: str) -> Path:
        """The local copy of the version `etag`, or of a newer one that has just taken its place."""
        copy = self._copy(path, etag)
        if copy.exists():
            return copy

        def save(answer: Any) -> Path:
            found = self._copy(path, answer["ETag"])
            with _replacing(found, durable=False) as stream:
                for block in answer["Body"].iter_chunks(_BLOCK):
                    stream.write(block)
            return found

        return self._got(path, save)

    def _got(self, path: str, read: Callable[[Any], _T]) -> _T:
        """What `read` makes of an object; fetched anew where the connection breaks meanwhile, as boto3 does not."""
        from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError
        from urllib3.exceptions import HTTPError as BrokenError

        last = min(_ATTEMPTS_TO_READ, _attempts())
        for attempt in range(1, last + 1):
            answer = None
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(path))
                return read(answer)
            except (HTTPClientError, IncompleteReadError, FlexibleChecksumError, BrokenError) as error:
                # Without an answer boto3 has tried often enough; only a refusal that breaks off it lets through.
                if attempt == last or (answer is None and not isinstance(error, BrokenError)):
                    raise
            time.sleep(random.random() * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _copy(self, path: str, etag: str) -> Path:
        return _kept(path.rpartition("/")[2], self.url, path, etag)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Raise StorageError in place of boto3's errors and OSError; `doing` completes "cannot ..."."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            FlexibleChecksumError,
            HTTPClientError,
            IncompleteReadError,
            NoCredentialsError,
            PartialCredentialsError,
        )
        from urllib3.exceptions import HTTPError as BrokenError

        def fault(
            said: str, remedy: str, kind: type[StorageError] = StorageError, *, transient: bool = False
        ) -> StorageError:
            return kind(f"{self.url}: cannot {doing}: {said}; {remedy}", transient=transient)

        with _folder_errors(self.url, doing):
            try:
                yield
            except ClientError as error:
                code, reason = _code(error), error.response["Error"].get("Message")
                said = f"the server said {code}" + (f", {reason}" if reason else "")
                kind = MissingError if code in _S3_MISSING else StorageError
                remedy = _S3_REMEDIES.get(code, "look into the server's log")
                raise fault(said, remedy, kind, transient=_passes(error)) from error
            except (NoCredentialsError, PartialCredentialsError) as error:
                raise fault(str(error), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE") from error
            except (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError, BrokenError) as error:
                raise fault(str(error), _NO_ANSWER, transient=True) from error
            except (BotoCoreError, Boto3Error) as error:
                raise fault(str(error), "check the AWS_* variables and the AWS profile") from error


def _passes(error: ClientError) -> bool:
    """Whether the server was at fault, or too busy."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or _code(error) in _S3_PASSING


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", "an error without a code"))


def _attempts() -> int:
    """How often a request is sent in all, once the place has answered: `AWS_MAX_ATTEMPTS`, or our own number."""
    given = os.environ.get("AWS_MAX_ATTEMPTS", "")
    return max(1, int(given)) if given.isdecimal() else _ATTEMPTS


def _s3_client(url: str, attempts: int, read_seconds: float | None = None) -> Any:
    """A client for the endpoint, region and credentials of this process. Raises boto3's errors and StorageError.

    Args:
        url: of the place, for messages.
        attempts: how often a request is sent in all before its failure is told.
        read_seconds: how long an answer is waited for; as for all requests by default.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        value = os.environ.get(name, "")
        if value != value.strip():
            # It would end up in a header that the HTTP library refuses, and the refusal would show the value.
            raise StorageError(f"{url}: {name} begins or ends with white space; remove it")
    core = botocore.session.get_session()
    core.register_component("data_loader", _service_descriptions())
    # boto3 alone of the AWS libraries does not know AWS_REGION.
    session = boto3.session.Session(botocore_session=core, region_name=os.environ.get("AWS_REGION") or None)
    seconds, most = _patience.get()
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=seconds if read_seconds is None else read_seconds,
        retries={"mode": "standard", "total_max_attempts": min(attempts, most)},
        tcp_keepalive=True,
    )
    try:
        return session.client("s3", config=config)
    except ValueError as error:
        raise StorageError(
            f"{url}: cannot open it: {error}; correct AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL"
        ) from error


@functools.cache
def _service_descriptions() -> Any:
    """What boto3 reads to make a client; read once per process, since that takes a fifth of a second."""
    from botocore.loaders import Loader

    return Loader()


def _kept(name: str, *version: str) -> Path:
    """Where this process keeps the local copy called `name` of a version of a file."""
    digest = hashlib.sha256("\n".join(version).encode()).hexdigest()
    return process_folder() / digest[:32] / name
