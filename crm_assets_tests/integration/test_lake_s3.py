"""What only S3 does: keys, buckets, endpoints, parts of objects and connections that break."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from crm_assets import storage
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.storage import StorageError, open_storage
from crm_assets_tests.integration.s3_server import S3Server
from crm_assets_tests.lake.tables import DEALS, MADE_BY, MAY, deals, lazy, polars_sink

SOURCE = "simulator:?seed=7"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def bucket(s3_environment: S3Server, s3_bucket: str) -> Iterator[Any]:
    """boto3's view of the session's bucket, past the storage."""
    import boto3

    session = boto3.session.Session(s3_environment.key, s3_environment.secret, region_name="us-east-1")
    resource = session.resource("s3", endpoint_url=s3_environment.endpoint)
    with contextlib.closing(resource.meta.client):
        yield resource.Bucket(s3_bucket)


def prefix(url: str) -> str:
    """`prefix` of s3://bucket/prefix."""
    return url.removeprefix("s3://").partition("/")[2]


def fault(url: str) -> str:
    """The message with which the lake at `url` refuses to open, seen to hold no secret."""
    with pytest.raises((StorageError, LakeError)) as caught:
        Lake.open(url, source=SOURCE, create=True)
    shown = "".join(traceback.format_exception(caught.value))
    assert os.environ.get("AWS_SECRET_ACCESS_KEY", "no secret") not in shown
    assert str(caught.value).startswith(f"{url}: ")
    return str(caught.value)


def test_a_wrong_secret(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "0" * 40)
    message = fault(s3_url)
    assert "cannot open it: the server said SignatureDoesNotMatch" in message
    assert "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in message


def test_a_wrong_key(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    message = fault(s3_url)
    assert "the server said InvalidAccessKeyId" in message
    assert "check AWS_ACCESS_KEY_ID" in message


@pytest.mark.usefixtures("s3_environment")
def test_no_bucket() -> None:
    message = fault("s3://no-such-bucket/lake")
    assert "the server said NoSuchBucket" in message
    assert "create the bucket, or correct its name" in message


def test_no_credentials(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    message = fault(s3_url)
    assert "Unable to locate credentials" in message
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in message


def test_an_unknown_profile(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    message = fault(s3_url)
    assert "elsewhere" in message
    assert "AWS profile" in message


def test_nobody_answers(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        message = fault(s3_url)
    assert endpoint in message
    assert (
        "try again, or check that the server runs and that AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names it" in message
    )


def test_an_endpoint_that_is_no_url(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    message = fault(s3_url)
    assert "localhost:9000" in message
    assert "correct AWS_ENDPOINT_URL" in message


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_secret_with_a_line_end(s3_url: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hunter2\n")
    message = fault(s3_url)
    assert f"{name} begins or ends with white space" in message
    assert "hunter2" not in message


def test_boto3_is_not_installed(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert "pip install 'crm-assets[s3]'" in fault(s3_url)


def test_a_key_that_may_only_read(s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake.open(s3_url, source=SOURCE, create=True)
    lake.write_table("deals", MAY, lazy(deals()), DEALS, sink=polars_sink, provenance=MADE_BY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.reader_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.reader_secret)
    reader = Lake.open(s3_url, source=SOURCE, create=True)
    reader.table("deals", MAY)
    with pytest.raises(
        StorageError,
        match=r"cannot write deals/2017-05\.parquet: the server said AccessDenied.*give the key permission to list",
    ):
        reader.write_table("deals", MAY, lazy(deals()), DEALS, sink=polars_sink, provenance=MADE_BY)
    reader.table("deals", MAY)


def test_a_session_token_is_sent(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "from-nowhere")
    with pytest.raises(StorageError) as caught:
        open_storage(s3_url)
    assert "from-nowhere" not in str(caught.value)


def test_the_endpoint_of_s3_goes_before_the_general_one(
    s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    assert open_storage(s3_url).list() == []


def test_a_profile_says_all(s3_url: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile lake]\nregion = eu-west-1\nendpoint_url = {s3_server.endpoint}\n"
        f"aws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "lake")
    assert open_storage(s3_url).list() == []


def test_buckets_are_named_in_the_path_where_an_endpoint_is_set(
    s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No server but Amazon's is likely to have a host name for every bucket. A numeric address proves nothing.
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint.replace("127.0.0.1", "localhost"))
    place = open_storage(s3_url)
    place.write_bytes("a", b"x")
    assert place.read_bytes("a") == b"x"


def test_the_region_is_taken_from_aws_region(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    place = open_storage(s3_url)
    assert isinstance(place, storage._S3)
    assert place._client.meta.region_name == "eu-central-1"


def test_a_prefix_ends_at_the_slash(s3_url: str) -> None:
    open_storage(f"{s3_url}2").write_bytes("other", b"")
    place = open_storage(f"{s3_url}/")
    place.write_bytes("mine", b"")
    assert place.url == s3_url
    assert place.list() == ["mine"]


def test_a_whole_bucket_may_be_the_place(s3_environment: S3Server) -> None:
    url = f"s3://{s3_environment.new_bucket()}"
    for place in (open_storage(url), open_storage(f"{url}/")):
        place.write_bytes("a/b", b"x")
        assert place.list() == ["a/b"]
        assert place.location("a/b") == f"{url}/a/b"


def test_marks_of_empty_folders_are_no_files(s3_url: str, bucket: Any) -> None:
    bucket.put_object(Key=f"{prefix(s3_url)}/", Body=b"")
    bucket.put_object(Key=f"{prefix(s3_url)}/2017-05/", Body=b"")
    assert open_storage(s3_url).list() == []
    Lake.open(s3_url, source=SOURCE, create=True)


def test_a_list_of_several_pages(s3_url: str) -> None:
    place = open_storage(s3_url)
    paths = [f"folder/{i:04d}" for i in range(1010)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: place.write_bytes(path, b""), paths))
    assert place.list() == paths


def test_the_fingerprint_of_a_foreign_object_is_that_of_its_content(s3_url: str, bucket: Any) -> None:
    place = open_storage(s3_url)
    for content in (b"first", b"second"):
        bucket.put_object(Key=f"{prefix(s3_url)}/accounts.csv", Body=content)
        for _ in range(2):
            assert place.fingerprint("accounts.csv") == hashlib.sha256(content).hexdigest()


class Relay:
    """A TCP relay to the server which stops after so many bytes in one direction.

    Attributes:
        endpoint: URL at which it listens.
        stopped: set once the limit is reached.
    """

    def __init__(self, server: S3Server, *, upload_limit: int = 1 << 60, download_limit: int = 1 << 60) -> None:
        parts = urlsplit(server.endpoint)
        self._target = (parts.hostname, parts.port)
        self._limits = {"up": upload_limit, "down": download_limit}
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads[:1]:
            thread.join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()

    def _start(self, run: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            self._start(self._forward, client, server, "up")
            self._start(self._forward, server, client, "down")

    def _forward(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                with self._lock:
                    self._limits[direction] -= len(data)
                    over = self._limits[direction] < 0
                if over:
                    self.stopped.set()
                    if direction == "down":
                        target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


PUT = """
import sys
from pathlib import Path
from crm_assets import storage
storage._ONE_PUT_BYTES = int(sys.argv[3])
storage.open_storage(sys.argv[1]).put_file(Path(sys.argv[2]), "deals/2017-05.parquet")
"""


@pytest.mark.parametrize("one_put_bytes", [64 << 20, 5 << 20], ids=["one put", "in parts"])
def test_a_writer_killed_midway_leaves_the_old_object(
    s3_url: str, s3_server: S3Server, bucket: Any, tmp_path: Path, one_put_bytes: int
) -> None:
    lake = Lake.open(s3_url, source=SOURCE, create=True)
    lake.write_table("deals", MAY, lazy(deals()), DEALS, sink=polars_sink, provenance=MADE_BY)
    files = open_storage(s3_url).list()
    local = tmp_path / "local"
    local.write_bytes(os.urandom(16 << 20))
    with Relay(s3_server, upload_limit=12 << 20) as relay:
        writer = subprocess.Popen(
            [sys.executable, "-c", PUT, s3_url, str(local), str(one_put_bytes)],
            cwd=ROOT,
            env=os.environ | {"AWS_ENDPOINT_URL": relay.endpoint},
        )
        assert relay.stopped.wait(60)
        writer.kill()
        writer.wait()
    uploads = [upload for upload in bucket.multipart_uploads.all() if upload.object_key.startswith(prefix(s3_url))]
    assert len(uploads) == (1 if one_put_bytes < local.stat().st_size else 0)
    assert open_storage(s3_url).list() == files
    lake.table("deals", MAY)
    assert lake.is_intact("deals", MAY)
    for upload in uploads:
        upload.abort()


def test_a_connection_that_breaks_while_reading_leaves_no_half_copy(
    s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(4 << 20)
    open_storage(s3_url).write_bytes("big", content)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with Relay(s3_server, download_limit=1 << 20) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.endpoint)
        place = open_storage(s3_url)
        for read in (place.local_copy, place.read_bytes):
            with pytest.raises(StorageError, match=r"cannot read big: .*; try again, or check that the server runs"):
                read("big")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    assert open_storage(s3_url).local_copy("big").read_bytes() == content


def test_an_object_in_parts_comes_back(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_ONE_PUT_BYTES", 5 << 20)
    local = tmp_path / "local"
    local.write_bytes(os.urandom(12 << 20))
    place = open_storage(s3_url)
    place.put_file(local, "big")
    assert place.fingerprint("big") == storage.sha256_of(local) == storage.sha256_of(place.local_copy("big"))
