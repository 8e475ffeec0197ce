"""The task that makes databases and their passwords, on a real PostgreSQL and a store of secrets in memory."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import psycopg2
import pytest

from crm_assets_tests.containers.compose import REPOSITORY
from crm_assets_tests.integration.postgres_server import PostgresServer

URL = "arn:aws:secretsmanager:us-east-1:123456789012:secret:crm-assets-dev/dagster-database-url"
COOKIE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:crm-assets-dev/page-cookie"


class Store:
    """What Secrets Manager answers to the two calls."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}

    def describe_secret(self, *, SecretId: str) -> dict[str, dict[str, list[str]]]:  # noqa: N803 - boto3's name
        return {"VersionIdsToStages": {"1": ["AWSCURRENT"]}} if SecretId in self.values else {}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:  # noqa: N803 - boto3's names
        self.values.setdefault(SecretId, []).append(SecretString)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer) -> Store:
    """An empty store, and the variables that the task has."""
    found = Store()
    monkeypatch.setattr("boto3.client", lambda service: {"secretsmanager": found}[service])
    for name, value in {
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": str(postgres_server.port),
        "DATABASE_TLS": "disable",
        "ADMIN_USER": "postgres",
        "ADMIN_PASSWORD": postgres_server.password,
    }.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The task's program."""
    spec = importlib.util.spec_from_file_location("make_databases", REPOSITORY / "docker" / "make_databases.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_it_writes_opens_the_database_until_it_is_renewed(
    script: ModuleType, store: Store, postgres_server: PostgresServer
) -> None:
    arguments = [f"dagster={URL}", f"--random={COOKIE}"]
    script.main(arguments)
    (url,), (cookie,) = store.values[URL], store.values[COOKIE]
    assert len(cookie) == 64
    _made_a_table(url)

    script.main(arguments)
    assert store.values == {URL: [url], COOKIE: [cookie]}

    script.main([*arguments, "--renew"])
    assert len(set(store.values[URL])) == len(set(store.values[COOKIE])) == 2
    _made_a_table(store.values[URL][-1])
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        _made_a_table(url)
    assert postgres_server.run("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = 'dagster'") == [
        (False, False)
    ]


def test_a_password_whose_secret_was_not_written_is_made_anew(script: ModuleType, store: Store) -> None:
    script.main([f"mlflow={URL}"])
    store.values.clear()
    script.main([f"mlflow={URL}"])
    _made_a_table(store.values[URL][0])


def test_arguments_that_are_none_end_it_before_anything_is_made(script: ModuleType, store: Store) -> None:
    with pytest.raises(SystemExit, match="make_databases"):
        script.main([f"dagster={URL}", "--renw"])
    assert store.values == {}


def _made_a_table(url: str) -> None:
    connection = psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://"))
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS of_the_test (one int)")
        connection.commit()
    finally:
        connection.close()
