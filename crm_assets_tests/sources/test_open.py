from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from crm_assets.errors import SettingsError, SourceError
from crm_assets.sources import open_source
from crm_assets.sources.folder import FolderSource
from crm_assets.sources.kaggle import KaggleSource
from crm_assets.sources.simulator import SimulatorSource
from crm_assets_tests.sources.conftest import write_tables

FORMS = "a source is one of simulator:, simulator:?seed=8, a folder, s3://bucket/prefix, or kaggle:OWNER/DATASET"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [("simulator:", "simulator:"), ("simulator:?seed=8", "simulator:?seed=8"), ("simulator:?seed=7", "simulator:")],
)
def test_simulator(url: str, canonical: str) -> None:
    source = open_source(url)
    assert isinstance(source, SimulatorSource)
    assert source.url == canonical


def test_kaggle() -> None:
    source = open_source("kaggle:innocentmfa/crm-sales-opportunities/")
    assert isinstance(source, KaggleSource)
    assert source.url == "kaggle:innocentmfa/crm-sales-opportunities"


def test_folder(tmp_path: Path, crm: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path / "simulator", crm)
    monkeypatch.chdir(tmp_path)
    for url in ("simulator", "./simulator", f"{tmp_path}/simulator"):
        source = open_source(url)
        assert isinstance(source, FolderSource)
        assert source.url == f"{tmp_path}/simulator"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("simulater:?seed=8", " (did you mean simulator:?)"),
        ("Simulator:", " (did you mean simulator:?)"),
        ("kagle:a/b", " (did you mean kaggle:?)"),
        ("s3:bucket/prefix", " (did you mean s3:?)"),
        ("s3a://bucket/prefix", " (did you mean s3:?)"),
        ("https://example.org/crm", ""),
        ("file:///data/crm", ""),
        ("salesforce:", ""),
    ],
)
def test_unknown_kind(url: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_source(url)
    assert str(caught.value) == f"{url!r} is of no known kind{hint}; {FORMS}"


@pytest.mark.parametrize("url", ["", "  "])
def test_empty(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_source(url)
    assert str(caught.value) == f"the URL of the source is empty; {FORMS}"


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"{tmp_path}/simulator")
    assert str(caught.value) == (
        f"{tmp_path}/simulator: cannot open the folder: No such file or directory ({tmp_path}/simulator); check the "
        f"path. A{FORMS[1:]}."
    )


@pytest.mark.parametrize(
    "url", ["simulator:seed=8", "simulator:?sed=8", "kaggle:", "kaggle:owner", "kaggle:a/b/c", "s3://", "s3://_/x"]
)
def test_known_kind_in_a_wrong_form(url: str) -> None:
    with pytest.raises(SettingsError, match=url.replace("?", r"\?")):
        open_source(url)


def test_the_import_is_light() -> None:
    heavy = "{'pyarrow', 'pandas', 'boto3', 's3fs', 'kagglehub', 'sklearn', 'scipy', 'mlflow', 'pandera', 'matplotlib'}"
    code = f"import sys, crm_assets.sources; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
