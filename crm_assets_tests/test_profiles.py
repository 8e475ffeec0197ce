from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_assets.errors import SettingsError
from crm_assets.profiles import PROFILES
from crm_assets.settings import PREFIX, SECRETS, Settings, load_settings, settings_and_origins

SERVICES = {
    "CRM_SOURCE_URL": "s3://landing/crm",
    "CRM_LAKE_URL": "s3://lake/crm",
    "CRM_MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "CRM_DAGSTER_POSTGRES_URL": "postgresql+psycopg2://dagster:hunter2@db:5432/dagster",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without settings."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def profile(text: str | bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("team.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.setenv("CRM_PROFILE", "team.yaml")


def test_local_is_the_default_and_sets_nothing() -> None:
    settings, origins = settings_and_origins()
    assert settings.profile == "local"
    assert set(origins) == set(Settings.model_fields)
    assert set(origins.values()) == {"default"}


def test_every_place_of_a_value_is_told(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / ".env").write_text("CRM_SEED=1\nCRM_TREES=20\nCRM_ENGINE=\nCRM_PROFILE=team.yaml\n")
    (elsewhere / "team.yaml").write_text("seed: 5\ntrees: 50\nengine: duckdb\nlake_url: /profile\nbacktest_months: 4\n")
    monkeypatch.setenv("CRM_TREES", "30")
    monkeypatch.setenv("CRM_BACKTEST_MONTHS", "")
    settings, origins = settings_and_origins(lake_url="/given", source_url=None)
    assert (settings.seed, settings.trees, settings.engine, settings.lake_url) == (1, 30, "duckdb", "/given")
    assert settings.backtest_months == 4, "an empty variable is as none"
    told = {name: origin for name, origin in origins.items() if origin != "default"}
    assert told == {
        "profile": ".env",
        "seed": ".env",
        "trees": "environment",
        "engine": "profile team.yaml",
        "lake_url": "command line",
        "backtest_months": "profile team.yaml",
    }


def test_values_of_every_kind_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "exported_on: 2017-12-31\nfirst_month: 2017-03\nquarantine_limit: 0.5\nretrain_cap_days: 30\nhome: /there\n"
    profile(text, monkeypatch)
    settings = load_settings()
    assert str(settings.exported_on) == "2017-12-31"
    assert str(settings.first_month) == "2017-03"
    assert (settings.quarantine_limit, settings.retrain_cap_days, settings.home) == (0.5, 30.0, Path("/there"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("lake_urll: /x\n", "profile team.yaml line 1, lake_urll is not a setting: did you mean lake_url?"),
        (
            "seed: 1\nCRM_LAKE_URL: /x\n",
            "profile team.yaml line 2, CRM_LAKE_URL is not a setting: did you mean lake_url?",
        ),
        ("aws_secret_access_key: hunter2\n", "profile team.yaml line 1, aws_secret_access_key is not a setting: known"),
        ("profile: production\n", "profile team.yaml line 1, profile is not a setting"),
        ("yes: 1\n", "profile team.yaml line 1, yes is not a setting"),
        ("seed: 1\ntrees: 20\nseed: 2\n", "profile team.yaml line 3, seed stands there twice, first in line 1"),
        ("seed: many\n", "profile team.yaml line 1, seed is 'many', which is no whole number"),
        ("seed: 7.5\n", "profile team.yaml line 1, seed is 7.5, which is no whole number"),
        ("seed: yes\n", "profile team.yaml line 1, seed is true, which YAML takes for a truth value"),
        ("alert_level: off\n", "profile team.yaml line 1, alert_level is false, which YAML takes for a truth value"),
        ("# one\nlake_url: 5\n", "profile team.yaml line 2, lake_url is 5: Input should be a valid string"),
        ("engine: dask\n", "profile team.yaml line 1, engine is 'dask': Input should be 'auto', 'polars', 'duckdb'"),
        ("require_services: sure\n", "profile team.yaml line 1, require_services is 'sure', which is neither true nor"),
        ("candidates: [blend, logistic]\n", "profile team.yaml line 1, candidates: holds a list or more keys"),
        ("lake:\n  url: /x\n", "profile team.yaml line 1, lake: holds a list or more keys"),
        ("lake_url:\n", "profile team.yaml line 1, lake_url: has no value; write one, or leave the line out"),
        ("exported_on: 2017-02-30\n", "profile team.yaml line 1, exported_on: the value cannot be read"),
        ("? [a]\n: 1\n", "profile team.yaml line 1: a key is no name of a setting"),
        ("- seed\n", "profile team.yaml line 1 holds no settings"),
        ("hunter2\n", "profile team.yaml line 1 holds no settings"),
        ("", "profile team.yaml is empty"),
        ("seed: 1\n  trees: 2\n", "profile team.yaml line 2 is not YAML (mapping values are not allowed here)"),
        ("lake_url: *hunter2\n", "profile team.yaml line 1 is not YAML (found undefined alias)"),
        ("seed: !hunter2 1\n", "profile team.yaml line 1 is not YAML (could not determine a constructor for the tag)"),
        ("seed: 1\n---\ntrees: 20\n", "profile team.yaml line 2 is not YAML"),
        ("seed: \x07\n", "profile team.yaml is not YAML (ReaderError)"),
        ("lake_url: /größe\n".encode("latin-1"), "profile team.yaml is not UTF-8 ("),
        ("alert_urls: json://hunter2\n", "profile team.yaml line 1, alert_urls: a secret must not stand in a file"),
        (
            "dagster_postgres_url: postgresql+psycopg2://me:hunter2@db/dagster\n",
            "profile team.yaml line 1, dagster_postgres_url: a secret must not stand in a file like this; set "
            "CRM_DAGSTER_POSTGRES_URL instead",
        ),
        ("lake_url: s3://me:hunter2@bucket/x\n", "profile team.yaml line 1, lake_url: a URL must not hold credentials"),
    ],
)
def test_wrong_profile(text: str | bytes, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile(text, monkeypatch)
    told = said()
    assert told.startswith(wanted), told
    assert "hunter2" not in told


def test_what_the_environment_replaces_need_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    profile("seed: many\n", monkeypatch)
    monkeypatch.setenv("CRM_SEED", "3")
    assert load_settings().seed == 3


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("prod", "CRM_PROFILE is 'prod', which is neither local, staging or production nor the path of a .yaml file"),
        ("Staging", "(did you mean staging?)"),
        ("nowhere.yaml", "profile nowhere.yaml cannot be read (No such file or directory): correct CRM_PROFILE"),
        ("folder.yaml", "profile folder.yaml cannot be read (Is a directory): correct CRM_PROFILE"),
    ],
)
def test_profile_that_is_none(name: str, wanted: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "folder.yaml").mkdir()
    monkeypatch.setenv("CRM_PROFILE", name)
    assert wanted in said()


@pytest.mark.parametrize("name", ["staging", "production"])
def test_what_is_missing_is_named_in_one_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PROFILE", name)
    told = said()
    assert f"profile {name}" in told
    assert all(f"{variable} is not set, " in told for variable in SERVICES)
    monkeypatch.setenv("CRM_ALERT_URLS", "json://alerts")
    assert "CRM_DAGSTER_URL is not set, " in said(), "links in alerts must not lead to the reader's own machine"


@pytest.mark.parametrize("variable", SERVICES)
def test_each_service_is_required(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PROFILE", "production")
    for name, value in SERVICES.items():
        monkeypatch.setenv(name, value)
    settings, origins = settings_and_origins()
    assert settings.require_services
    assert origins["require_services"] == "profile production"
    monkeypatch.delenv(variable)
    told = said()
    assert f"{variable} is not set" in told
    assert not any(f"{other} is" in told for other in SERVICES if other != variable)
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("variable", "value"), [("CRM_LAKE_URL", "./lake"), ("CRM_MLFLOW_TRACKING_URI", "sqlite:////mlflow.db")]
)
def test_nothing_local_in_production(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {**SERVICES, "CRM_PROFILE": "production", variable: value}.items():
        monkeypatch.setenv(name, text)
    assert f"{variable} is {value!r}, write " in said()


def test_no_secret_has_a_default() -> None:
    secret = {name for name in Settings.model_fields if "Secret" in str(Settings.model_fields[name].annotation)}
    assert {PREFIX + name.upper() for name in secret} == SECRETS
    assert all(Settings.model_fields[name].default is None for name in secret)


@pytest.mark.parametrize("name", PROFILES)
def test_shipped_profile_is_small_and_explained(name: str) -> None:
    import crm_assets.profiles

    lines = (Path(crm_assets.profiles.__file__).parent / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) < 12


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db/dagster",
        "postgresql+psycopg2://me:hunter2@/dagster",
        "postgresql+psycopg2://me:hunter2@db",
        "postgresql+psycopg2://me:hunter2@db:port/dagster",
        "postgresql+psycopg2://me:hunter2#@db/dagster",
        "hunter2",
    ],
)
def test_database_url_that_is_none_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DAGSTER_POSTGRES_URL", url)
    told = said()
    assert told.startswith("CRM_DAGSTER_POSTGRES_URL: write it as postgresql+psycopg2://user:password@host:5432/")
    assert "hunter2" not in told


def test_database_url_is_kept_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (SERVICES["CRM_DAGSTER_POSTGRES_URL"], "postgresql+psycopg2://me@/dagster?host=/run/postgresql"):
        monkeypatch.setenv("CRM_DAGSTER_POSTGRES_URL", url)
        settings = load_settings()
        assert settings.dagster_postgres_url is not None
        assert settings.dagster_postgres_url.get_secret_value() == url
        assert "hunter2" not in repr(settings)
        assert "hunter2" not in settings.model_dump_json()


def test_recorded_settings_keep_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SERVICES, "CRM_ALERT_URLS": "json://h", "CRM_DAGSTER_URL": "http://d"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CRM_PROFILE", "production")
    settings = load_settings()
    recorded = settings.as_recorded({"trees": 12})
    assert recorded == settings.model_copy(update={"trees": 12})
    assert recorded.alert_targets == ["json://h"]
