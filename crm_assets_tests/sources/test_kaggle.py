from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError, SourceError
from crm_assets.sources import Evidence
from crm_assets.sources.kaggle import KaggleSource
from crm_assets_tests.sources.conftest import write_tables

URL = "kaggle:innocentmfa/crm-sales-opportunities"

kagglehub = pytest.importorskip("kagglehub", reason="needs the kaggle extra")


def test_is_fetched_once_when_first_needed_and_read_as_a_folder(
    tmp_path: Path, crm: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    fetched: list[str] = []

    def download(handle: str) -> str:
        assert said == [f"fetching {URL}"]
        fetched.append(handle)
        return str(write_tables(tmp_path, crm))

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    source = KaggleSource(URL, said.append)
    assert (source.url, fetched, said) == (URL, [], [])
    assert source.evidence is Evidence.EXPORT
    assert source.months() == [Month(2017, 3), Month(2017, 4), Month(2017, 5)]
    assert source.tables(Month(2017, 5))["sales_pipeline"].collect().equals(crm["sales_pipeline"])
    assert len(source.fingerprint(Month(2017, 5))) == 64
    assert source.notes(Month(2017, 5)) == []
    assert fetched == ["innocentmfa/crm-sales-opportunities"]


def test_a_version_may_be_named(tmp_path: Path, crm: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def download(handle: str) -> str:
        fetched.append(handle)
        return str(write_tables(tmp_path, crm))

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    source = KaggleSource(f"{URL}/versions/1")
    assert source.url == f"{URL}/versions/1"
    source.months()
    assert fetched == ["innocentmfa/crm-sales-opportunities/versions/1"]


@pytest.mark.parametrize(
    "url",
    ["kaggle:", "kaggle:owner", "kaggle:owner/", "kaggle:a/b/c", "kaggle:a/b/versions/0", "kaggle:a b/c",
     "kaggle://owner/dataset", "owner/dataset"],
)  # fmt: skip
def test_wrong_form(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KaggleSource(url)
    assert str(caught.value) == (
        f"{url!r} names no Kaggle data set: write kaggle:OWNER/DATASET, for example "
        "kaggle:innocentmfa/crm-sales-opportunities, or kaggle:OWNER/DATASET/versions/N"
    )


def failures() -> list[Exception]:
    import requests
    from kagglehub import exceptions

    return [
        requests.exceptions.ConnectionError("Max retries\nexceeded"),
        exceptions.KaggleApiHTTPError("Max retries exceeded"),
        exceptions.UnauthenticatedError("Max retries exceeded"),
        exceptions.BackendError("Max retries exceeded"),
        exceptions.CredentialError("Max retries exceeded"),
        exceptions.DataCorruptionError("Max retries exceeded"),
        ValueError("Max retries exceeded"),
        PermissionError("Max retries exceeded"),
    ]


@pytest.mark.parametrize("failure", failures(), ids=lambda failure: type(failure).__name__)
def test_failed_download(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def download(handle: str) -> str:
        raise failure

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    with pytest.raises(SourceError) as caught:
        KaggleSource(URL).months()
    assert str(caught.value) == (
        f"{URL} cannot be fetched: Max retries exceeded. Check its name and the network, and log in (KAGGLE_USERNAME "
        "and KAGGLE_KEY, or ~/.kaggle/kaggle.json); or download it by hand and give the unpacked folder."
    )


def test_failure_without_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from kagglehub import exceptions

    def download(handle: str) -> str:
        raise exceptions.NotFoundError

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    with pytest.raises(SourceError, match=f"^{URL} cannot be fetched: NotFoundError. Check its name"):
        KaggleSource(URL).months()


def test_an_error_of_the_code_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(handle: str) -> str:
        raise TypeError("a fault of the program")

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    with pytest.raises(TypeError):
        KaggleSource(URL).months()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SourceError) as caught:
        KaggleSource(URL).months()
    assert str(caught.value) == (
        f"{URL}: kagglehub is not installed, which fetches it: pip install 'crm-assets[kaggle]'"
    )


def test_a_data_set_without_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "titanic.csv").write_text("survived\n1\n")
    monkeypatch.setattr(kagglehub, "dataset_download", lambda handle: str(tmp_path))
    with pytest.raises(SourceError, match=r"holds no table\. .*; it holds titanic\.csv\."):
        KaggleSource("kaggle:owner/titanic").months()
