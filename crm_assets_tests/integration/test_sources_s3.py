"""Sources read from a real S3 server."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month
from crm_assets.errors import SourceError
from crm_assets.sources import Evidence, open_source
from crm_assets_tests.integration.s3_server import S3Server

PRODUCTS = "product,series,sales_price\nGTX Pro,GTX,4821\n"
EXPORT = {
    "accounts.csv": "account,sector,year_established,revenue,employees,office_location,subsidiary_of\nAcme,,,,,,\n",
    "products.csv": PRODUCTS,
    "sales_teams.csv": "sales_agent,manager,regional_office\nAnna,Dustin,Central\n",
    "sales_pipeline.csv": (
        "opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value\n"
        "A1,Anna,GTX Pro,Acme,Won,2017-03-01,2017-05-31,4800\n"
    ),
}

HISTORY = """\
object_id,field,old_value,new_value,changed_at,recorded_at
A1,deal_stage,,Engaging,2017-03-01,2017-03-01
A1,deal_stage,Engaging,Won,2017-05-31,2017-05-31
"""


def put(server: S3Server, url: str, files: dict[str, bytes]) -> None:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    client = server.client()
    with contextlib.closing(client):
        for name, content in files.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def monthly(tmp_path: Path) -> Path:
    """Two months in CSV, one in Parquet."""
    for month in ("2017-03", "2017-04"):
        (tmp_path / month).mkdir()
        for name, text in EXPORT.items():
            (tmp_path / month / name).write_text(text)
    (tmp_path / "2017-05").mkdir()
    for name in EXPORT:
        table = open_source(str(tmp_path)).tables(Month(2017, 4))[name.removesuffix(".csv")]
        table.collect().write_parquet(tmp_path / "2017-05" / name.replace(".csv", ".parquet"))
    return tmp_path


@pytest.fixture
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export's opportunity as field history."""
    folder = tmp_path_factory.mktemp("history")
    for name, text in EXPORT.items():
        (folder / name.replace("sales_pipeline", "opportunity_history")).write_text(
            HISTORY if name == "sales_pipeline.csv" else text
        )
    return folder


@pytest.mark.parametrize("evidence", Evidence)
def test_same_as_the_folder(
    s3_environment: S3Server, s3_url: str, monthly: Path, history: Path, evidence: Evidence
) -> None:
    folders = {Evidence.EXTRACT: monthly, Evidence.EXPORT: monthly / "2017-05", Evidence.FIELD_HISTORY: history}
    folder = folders[evidence]
    put(s3_environment, s3_url, files_of(folder))
    here, there = open_source(str(folder)), open_source(s3_url + "/")
    assert there.url == s3_url
    assert there.evidence is here.evidence is evidence
    assert there.months() == here.months() == [Month(2017, 3), Month(2017, 4), Month(2017, 5)]
    for month in here.months():
        assert there.fingerprint(month) == here.fingerprint(month)
        assert there.notes(month) == []
        expected, found = here.tables(month), there.tables(month)
        assert list(found) == list(expected)
        for name in expected:
            assert_frame_equal(found[name], expected[name])


def test_an_object_that_changes_is_read_again(s3_environment: S3Server, s3_url: str, monthly: Path) -> None:
    month = Month(2017, 4)
    put(s3_environment, s3_url, files_of(monthly))
    source = open_source(s3_url)
    before, fingerprint = source.tables(month)["products"], source.fingerprint(month)
    put(s3_environment, s3_url, {"2017-04/products.csv": PRODUCTS.replace("4821", "5000").encode()})
    assert source.fingerprint(month) != fingerprint
    assert source.tables(month)["products"].collect()["sales_price"].to_list() == [5000.0]
    assert before.collect()["sales_price"].to_list() == [4821.0]


def test_bad_object_is_named_by_its_url(s3_environment: S3Server, s3_url: str) -> None:
    files = {name: text.encode() for name, text in EXPORT.items()}
    files["sales_pipeline.csv"] = files["sales_pipeline.csv"].replace(b"2017-05-31", b"31.05.2017")
    put(s3_environment, s3_url, files)
    with pytest.raises(SourceError) as caught:
        open_source(s3_url).months()
    assert str(caught.value).startswith(
        f"{s3_url}/sales_pipeline.csv line 2, column close_date: '31.05.2017' is not a date (YYYY-MM-DD)."
    )


def test_truncated_parquet(s3_environment: S3Server, s3_url: str, monthly: Path) -> None:
    files = files_of(monthly)
    files["2017-05/products.parquet"] = files["2017-05/products.parquet"][:-20]
    put(s3_environment, s3_url, files)
    source = open_source(s3_url)
    with pytest.raises(SourceError, match=f"^{s3_url}/2017-05/products.parquet cannot be read as Parquet"):
        source.tables(Month(2017, 5))
    assert source.tables(Month(2017, 4))["products"].collect().height == 1


def test_empty_prefix(s3_url: str) -> None:
    with pytest.raises(SourceError, match=rf"^{s3_url} holds no table\. .*; it holds no file\.$"):
        open_source(s3_url).months()


def test_no_bucket(s3_environment: S3Server) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("s3://no-such-bucket/crm")
    assert "s3://no-such-bucket/crm: cannot open it: the server said NoSuchBucket" in str(caught.value)
    assert "create the bucket, or correct its name. A source is one of simulator:" in str(caught.value)


@pytest.mark.parametrize(("variable", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")])
def test_wrong_key(s3_url: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SourceError, match=rf"{s3_url}: cannot open it: .*check AWS_ACCESS_KEY_ID, AWS_SECRET"):
        open_source(s3_url)


def test_bucket_that_vanishes(s3_environment: S3Server) -> None:
    bucket = s3_environment.new_bucket()
    url = f"s3://{bucket}/crm"
    put(s3_environment, url, {name: text.encode() for name, text in EXPORT.items()})
    source = open_source(url)
    client = s3_environment.client()
    with contextlib.closing(client):
        for name in EXPORT:
            client.delete_object(Bucket=bucket, Key=f"crm/{name}")
        client.delete_bucket(Bucket=bucket)
    with pytest.raises(SourceError, match=f"^{url}: cannot list it: the server said NoSuchBucket"):
        source.months()


def test_endpoint_down(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        # Bound but not listening: every connection is refused.
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(SourceError, match=rf"{s3_url}: cannot open it: .*check that the server runs and that AWS_"):
            open_source(s3_url)
