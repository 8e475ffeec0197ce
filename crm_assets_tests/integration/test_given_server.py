"""A PostgreSQL that runs already, in place of one the tests start."""

from __future__ import annotations

import pytest

from crm_assets_tests.integration.postgres_server import PostgresServer, given_server


def test_a_url_leads_to_the_same_server(postgres_server: PostgresServer) -> None:
    given = given_server(postgres_server.url())
    assert given == postgres_server
    assert given.run("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://postgres:p@db.example:5432/postgres",
        "postgresql+psycopg2://crm:p@127.0.0.1:5432/postgres",
        "postgresql+psycopg2://postgres@127.0.0.1:5432/postgres",
    ],
)
def test_a_server_that_the_tests_do_not_know_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="TEST_POSTGRES_URL has to be"):
        given_server(url)
