from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError
from crm_assets.settings import CANDIDATE_NAMES, Settings, load_settings, slug


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without settings."""
    for name in list(os.environ):
        if name.upper().startswith("CRM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said_by(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_defaults_need_nothing(elsewhere: Path) -> None:
    settings = load_settings()
    assert settings.source_url == "simulator:"
    assert settings.dataset_url == "./lake/simulator"
    assert settings.model_name == "simulator_win_model"
    assert settings.engine == "auto"
    assert settings.first_month is settings.last_month is None
    assert settings.dagster_home == elsewhere / ".crm_assets" / "dagster" / "simulator"
    assert settings.tracking_uri == f"sqlite:///{elsewhere}/.crm_assets/mlflow/mlflow.db"
    assert list(elsewhere.iterdir()) == []


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_override_beats_environment_beats_file_beats_default(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / ".env").write_text("CRM_SEED=1\nCRM_LAKE_URL=/file\nCRM_SOURCE_URL=/data/file\nOTHER=1\n")
    monkeypatch.setenv("CRM_LAKE_URL", "/environment")
    monkeypatch.setenv("CRM_SOURCE_URL", "/data/environment")
    settings = load_settings(source_url="/data/override", lake_url=None)
    assert settings.seed == 1
    assert settings.lake_url == "/environment"
    assert settings.source_url == "/data/override"
    assert settings.backtest_months == 6


def test_months_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_FIRST_MONTH", "2017-03")
    monkeypatch.setenv("CRM_LAST_MONTH", "2017-03")
    settings = load_settings()
    assert settings.first_month == settings.last_month == Month(2017, 3)
    assert settings.model_dump(mode="json")["first_month"] == "2017-03"


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("CRM_FIRST_MONTH", "2017-3", ["'2017-3'", "not a month", "YYYY-MM"]),
        ("CRM_ENGINE", "pandas", ["'pandas'", "'auto', 'polars', 'duckdb' or 'spark'"]),
        ("CRM_QUARANTINE_LIMIT", "5", ["'5'", "less than or equal to 1"]),
        ("CRM_QUARANTINE_LIMIT", "-0.1", ["'-0.1'", "greater than or equal to 0"]),
        ("CRM_SEED", "seven", ["'seven', which is no whole number"]),
        ("CRM_DUCKDB_MEMORY_LIMIT", "2 gigabytes", ["'2 gigabytes'", "pattern"]),
        ("CRM_DUCKDB_MEMORY_LIMIT", "99 MB", ["'99 MB'", "at least 100MB"]),
        ("CRM_DUCKDB_MEMORY_LIMIT", "0.0999GB", ["'0.0999GB'", "at least 100MB"]),
        ("CRM_DATASET", "My CRM", ["'My CRM'", "pattern"]),
        ("CRM_DATASET", "..", ["'..'", "pattern"]),
        ("CRM_DATASET", "one/two", ["'one/two'", "pattern"]),
        ("CRM_BACKTEST_MONTHS", "0", ["'0'", "greater than or equal to 1"]),
        ("CRM_SEED", "7.5", ["'7.5', which is no whole number"]),
        ("CRM_PROMOTION_MARGIN", "a little", ["'a little', which is no number"]),
        ("CRM_EXPORTED_ON", "yesterday", ["'yesterday', which is no date, YYYY-MM-DD"]),
        ("CRM_CANDIDATES", "blend;logistic", ["'blend;logistic' is no candidate model"]),
        ("CRM_CANDIDATES", "blend,", ["a name is missing", "blend, cure_hazard, lightgbm"]),
        ("CRM_CANDIDATES", "blend,logistic, blend", ["blend stands there 2 times: name each candidate once"]),
        ("CRM_CANDIDATES", " ", ["empty: name one or more of blend, "]),
        ("CRM_CANDIDATES", "", ["empty: name one or more of blend, "]),
        ("CRM_CANDIDATES", "blend, boosting", ["'boosting' is no candidate model", "blend, cure_hazard, lightgbm"]),
        ("CRM_TREES", "9", ["'9'", "greater than or equal to 10"]),
        ("CRM_TUNING_SECONDS", "-1", ["'-1'", "greater than or equal to 0"]),
        ("CRM_TUNING_TRIALS", "0", ["'0'", "greater than or equal to 1"]),
        ("CRM_PROMOTION_MARGIN", "-0.01", ["'-0.01'", "greater than or equal to 0"]),
        ("CRM_ALERT_LEVEL", "loud", ["'loud'", "'info', 'warning' or 'error'"]),
        ("CRM_ALERT_REPEAT_HOURS", "0", ["'0'", "greater than 0"]),
        ("CRM_DAGSTER_URL", "localhost:3000", ["'localhost:3000'", "http://host:port"]),
        ("CRM_RETRAIN_CAP", "-1", ["'-1'", "greater than or equal to 0"]),
        ("CRM_RETRAIN_COOLDOWN_DAYS", "-1", ["'-1'", "greater than or equal to 0"]),
        ("CRM_CALIBRATION_LIMIT", "1.1", ["'1.1'", "less than or equal to 1"]),
        ("CRM_WRITEBACK_URL", "ftp://host/x", ["'ftp://host/x'", "write a folder, or a URL", "salesforce://"]),
        ("CRM_WRITEBACK_URL", "http://crm.example.com/x", ["write a folder, or a URL", "https://"]),
        ("CRM_WRITEBACK_URL", "https:///x", ["write a folder, or a URL"]),
    ],
)
def test_wrong_value_is_named(name: str, value: str, parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    said = said_by()
    assert said.startswith((f"{name} is ", f"{name} in the environment is "))
    assert all(part in said for part in parts), said


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SEED", "-1")
    monkeypatch.setenv("CRM_ENGINE", "dask")
    said = said_by()
    assert "CRM_SEED is '-1'" in said
    assert "CRM_ENGINE is 'dask'" in said


def test_candidates_are_those_of_the_models() -> None:
    from crm_assets.modelling.candidates import CANDIDATES

    assert set(CANDIDATE_NAMES) == set(CANDIDATES)
    assert load_settings(candidates="logistic , blend").candidate_names == ["logistic", "blend"]
    assert set(load_settings().candidate_names) <= set(CANDIDATES)


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        ("mailto://a:b@c.d?to=x@y.z,u@v.w json://h/p", ["mailto://a:b@c.d?to=x@y.z,u@v.w", "json://h/p"]),
        (" slack://a/b/c,\n json://h , json://h ,", ["slack://a/b/c", "json://h"]),
        (" , ", []),
    ],
)
def test_alert_urls_stand_between_spaces_or_commas(urls: str, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_ALERT_URLS", urls)
    assert load_settings().alert_targets == told
    assert "a:b" not in repr(load_settings())


@pytest.mark.parametrize("urls", ["hunter2", "me:hunter2@host", "json://host hunter2", "json://h 5://hunter2"])
def test_an_alert_url_that_is_none_is_refused_and_not_shown(urls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_ALERT_URLS", urls)
    said = said_by()
    assert said.startswith("CRM_ALERT_URLS: of 1 URLs, number 1 is none: write each as scheme://")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@host/x", "https://host/x?Api_Key=hunter2", "postgresql+psycopg2://me:hunter2@host/crm"]
)
def test_a_target_with_credentials_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_WRITEBACK_URL", url)
    said = said_by()
    assert said.startswith("CRM_WRITEBACK_URL: a URL must not hold credentials; set CRM_WRITEBACK_SECRET")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "url",
    ["exports/scores", "s3://bucket/prefix", "https://host/x?a=b", "http://127.0.0.1:8000/x", "hubspot://host/deals"],
)
def test_targets_of_scores(url: str) -> None:
    assert load_settings(writeback_url=url).writeback_url == url


@pytest.mark.parametrize("limit", ["100MB", "100 MB", "0.1GB", "123MiB", "1.5 TB"])
def test_memory_limit(limit: str) -> None:
    assert load_settings(duckdb_memory_limit=limit).duckdb_memory_limit == limit


@pytest.mark.parametrize("name", ["CRM_SOURCE_URL", "CRM_LAKE_URL", "CRM_MLFLOW_TRACKING_URI"])
def test_credentials_in_a_url_are_refused_and_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "s3://me:hunter2@bucket/crm")
    said = said_by()
    assert said.startswith(f"{name}: a URL must not hold credentials; set the ")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "key",
    ["password", "Password", "sslpassword", "pass%77ord", "pwd", "token", "sas", "client_secret", "api-key", "apiKey"],
)
@pytest.mark.parametrize("before", ["", "user=me&", "user=me;"])
def test_credentials_in_the_query_are_refused_and_not_shown(
    key: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_MLFLOW_TRACKING_URI", f"postgresql://db/mlflow?{before}{key}=hunter2")
    said = said_by()
    assert said.startswith("CRM_MLFLOW_TRACKING_URI: a URL must not hold credentials, and its query has a ")
    assert "hunter2" not in said


@pytest.mark.parametrize("query", ["sslmode=require&sslkey=/etc/mlflow.key", "application_name=token", "keyspace=a"])
def test_what_in_a_query_is_no_secret(query: str) -> None:
    url = f"postgresql://db/mlflow?{query}"
    assert load_settings(mlflow_tracking_uri=url).tracking_uri == url


def test_at_signs_that_are_no_credentials() -> None:
    assert load_settings(source_url="simulator:?drift=price@2017-09:0.2").source_url.endswith("price@2017-09:0.2")
    assert load_settings(source_url="/data/me@work").dataset_name == "me-work"


def test_empty_variable_is_as_none(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_FIRST_MONTH", "")
    (elsewhere / ".env").write_text("CRM_SEED=\nCRM_SOURCE_URL=\n")
    settings = load_settings()
    assert (settings.first_month, settings.seed, settings.source_url) == (None, 7, "simulator:")


def test_file_that_is_not_utf_8(elsewhere: Path) -> None:
    (elsewhere / ".env").write_bytes("CRM_LAKE_URL=/größe\n".encode("latin-1"))
    assert said_by().startswith(".env is not UTF-8 (")


def test_months_out_of_order() -> None:
    said = said_by(first_month=Month(2017, 6), last_month=Month(2017, 5))
    assert said == "settings: CRM_LAST_MONTH 2017-05 is before CRM_FIRST_MONTH 2017-06"


def test_unknown_variable_is_refused_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SORCE_URL", "/data")
    assert said_by() == "CRM_SORCE_URL in the environment is not a setting: did you mean CRM_SOURCE_URL?"


def test_unknown_variable_in_the_file_is_refused(elsewhere: Path) -> None:
    (elsewhere / ".env").write_text("CRM_ZZZZZZ=1\n")
    said = said_by()
    assert said.startswith("CRM_ZZZZZZ in .env is not a setting: known are CRM_ABANDONED_FROM, ")
    assert all(f"CRM_{name.upper()}" in said for name in Settings.model_fields)


def test_variable_of_the_tests_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_REAL_DATA", "/data")
    load_settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().seed = 8


def test_names_and_places_of_two_sources_differ(elsewhere: Path) -> None:
    one, other = (load_settings(source_url=url, lake_url="s3://bucket/lake/") for url in ("/data/one", "/data/other"))
    assert one.dataset_url == "s3://bucket/lake/one"
    assert other.dataset_url == "s3://bucket/lake/other"
    assert one.model_name != other.model_name
    assert one.dagster_home != other.dagster_home


def test_dataset_can_be_named() -> None:
    settings = load_settings(source_url="/data/one", dataset="emea_2017")
    assert settings.dataset_url == "./lake/emea_2017"
    assert settings.model_name == "emea_2017_win_model"


def test_model_store_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert load_settings().tracking_uri == "http://mlflow:5000"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("simulator:", "simulator"),
        ("simulator:?seed=8", "simulator-seed-8"),
        ("simulator:?drift=price@2017-09:0.2&seed=8", "simulator-drift-price-2017-09-0.2-seed-8"),
        ("/data/CRM Sales/", "crm-sales"),
        ("./exports", "exports"),
        ("s3://bucket/crm/landing", "landing"),
        ("s3://bucket", "bucket"),
        ("kaggle:innocentmfa/crm-sales-opportunities", "crm-sales-opportunities"),
        ("/", "source"),
        ("...", "source"),
    ],
)
def test_slug(url: str, name: str) -> None:
    assert slug(url) == name


def test_slug_of_the_working_directory(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = elsewhere / "Exports" / "2017"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert slug(".") == "2017"
    assert slug("..") == "exports"


@pytest.mark.parametrize(
    ("tracking", "pages", "found"),
    [
        ("", "", None),
        ("sqlite:////data/mlflow.db", "", None),
        ("http://mlflow:5000", "", "http://mlflow:5000"),
        ("http://mlflow:5000", "https://mlflow.example.com/", "https://mlflow.example.com"),
    ],
)
def test_where_people_find_mlflow(tracking: str, pages: str, found: str | None) -> None:
    assert load_settings(mlflow_tracking_uri=tracking, mlflow_url=pages).mlflow_pages == found


def test_the_address_of_mlflows_pages_is_one_of_the_web() -> None:
    with pytest.raises(SettingsError, match="CRM_MLFLOW_URL"):
        load_settings(mlflow_url="mlflow:5000")


def test_risk_is_low_above_where_it_is_high() -> None:
    with pytest.raises(SettingsError, match=r"CRM_RISK_LOW_FROM 0\.3 is below CRM_RISK_HIGH_BELOW 0\.4"):
        load_settings(risk_low_from=0.3)
    assert load_settings(risk_low_from=0.4).risk_high_below == 0.4
