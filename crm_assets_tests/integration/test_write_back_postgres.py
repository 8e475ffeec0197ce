"""Scores written back to a real PostgreSQL server."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from crm_assets.errors import SettingsError, WriteBackError
from crm_assets.writeback.postgres import COLUMNS, PostgresTable
from crm_assets_tests.integration.postgres_server import PostgresServer
from crm_assets_tests.writeback.made_up import DATASET, MAY, MemoryRecords, batch, row, sent


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()


def place(server: PostgresServer, database: str, table: str = "crm_scores") -> str:
    return f"postgresql+psycopg2://127.0.0.1:{server.port}/{database}?table={table}"


def target(server: PostgresServer, database: str, table: str = "crm_scores") -> PostgresTable:
    return PostgresTable(place(server, database, table), f"postgres:{server.password}")


def held(server: PostgresServer, database: str, table: str = "crm_scores") -> dict[str, tuple[object, ...]]:
    rows = server.run(f"SELECT opportunity_id, status, probability, score_month FROM {table} ORDER BY 1", database)
    return {str(name): tuple(rest) for name, *rest in rows}


def test_rows_are_inserted_updated_and_cleared(postgres_server: PostgresServer, database: str) -> None:
    records, to = MemoryRecords(), target(postgres_server, database)
    sent(records, to, {"A": 0.1, "B": 1 / 3, "C'; DROP TABLE crm_scores; --": 0.2})
    sent(records, to, {"A": 0.1, "B": 0.5}, MAY.next)
    assert held(postgres_server, database) == {
        "A": ("scored", 0.1, "2017-05"),
        "B": ("scored", 0.5, "2017-06"),
        "C'; DROP TABLE crm_scores; --": ("cleared", None, "2017-06"),
    }
    before = postgres_server.run("SELECT xmin::text, opportunity_id FROM crm_scores ORDER BY 2", database)
    sent(records, to, {"A": 0.1, "B": 0.5}, MAY.next)
    assert postgres_server.run("SELECT xmin::text, opportunity_id FROM crm_scores ORDER BY 2", database) == before


def test_two_data_sets_share_a_table_in_a_schema(postgres_server: PostgresServer, database: str) -> None:
    postgres_server.run("CREATE SCHEMA sales", database)
    to = target(postgres_server, database, "sales.Win_Scores")
    to.send(batch(row("A", 0.1)))
    to.send(batch(row("A", 0.1), row("B", 0.2)))
    postgres_server.run(
        """INSERT INTO sales."Win_Scores" (dataset, opportunity_id, status, score_month)
        VALUES ('other', 'A', 'scored', '2017-01')""",
        database,
    )
    to.send(batch(row("A", 0.3)))
    rows = postgres_server.run(
        "SELECT dataset, probability FROM sales.\"Win_Scores\" WHERE opportunity_id = 'A'", database
    )
    assert sorted(rows) == [(DATASET, 0.3), ("other", None)]


def test_a_fault_in_the_middle_leaves_no_row(postgres_server: PostgresServer, database: str) -> None:
    """A row that the table itself refuses, the last of them."""
    to = target(postgres_server, database)
    to.send(batch(row("A", 0.1)))
    postgres_server.run("ALTER TABLE crm_scores ADD CHECK (probability < 0.9)", database)
    failed = sent(MemoryRecords(), to, {"A": 0.2, "B": 0.3, "C": 0.95})
    assert "violates check constraint" in str(failed.fault)
    assert held(postgres_server, database) == {"A": ("scored", 0.1, "2017-05")}
    postgres_server.run("ALTER TABLE crm_scores DROP CONSTRAINT crm_scores_probability_check", database)


def test_what_is_gone_is_noticed(postgres_server: PostgresServer, database: str) -> None:
    records, to = MemoryRecords(), target(postgres_server, database)
    sent(records, to, {"A": 0.1, "B": 0.2})
    postgres_server.run("DROP TABLE crm_scores", database)
    failed = sent(records, to, {"A": 0.1, "B": 0.3}, MAY.next)
    assert "holds 0 opportunities of crm besides those to send, though 1 were delivered" in str(failed.fault)
    sent(MemoryRecords(), to, {"B": 0.2})
    failed = sent(records, to, {"A": 0.1, "B": 0.3}, MAY.next)
    assert "holds 0 opportunities of crm besides those to send" in str(failed.fault), "B, which is sent, is no A"
    assert sent(records, to, {"A": 0.1, "B": 0.3}, MAY.next, resend=True).missing == 0
    assert held(postgres_server, database).keys() == {"A", "B"}


def test_libpqs_own_variables_let_us_in(
    postgres_server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGPASSWORD", postgres_server.password)
    PostgresTable(place(postgres_server, database), "").send(batch(row("A", 0.1)))
    assert held(postgres_server, database).keys() == {"A"}


def test_another_table_is_left_alone(postgres_server: PostgresServer, database: str) -> None:
    postgres_server.run("CREATE TABLE crm_scores (id int)", database)
    with pytest.raises(
        WriteBackError, match=r"dataset.*the table must have the columns dataset, opportunity_id"
    ) as told:
        target(postgres_server, database).send(batch(row("A", 0.1)))
    assert not told.value.transient
    assert all(name in str(told.value) for name in COLUMNS)


def test_faults_are_told_without_the_password(postgres_server: PostgresServer, database: str) -> None:
    wrong = PostgresTable(place(postgres_server, database), "postgres:hunter2")
    with pytest.raises(WriteBackError, match="password authentication failed") as told:
        wrong.send(batch(row("A", 0.1)))
    assert "hunter2" not in str(told.value)
    assert not told.value.transient
    away = PostgresTable("postgresql+psycopg2://127.0.0.1:9/crm", "postgres:hunter2")
    with pytest.raises(WriteBackError, match=r"127\.0\.0\.1:9/crm.*refused") as told:
        away.send(batch(row("A", 0.1)))
    assert told.value.transient
    assert urlsplit(str(told.value).split(",")[0]).port == 9


@pytest.mark.parametrize("table", ["a;b", "a.b.c", "", "a b", '"x"'])
def test_a_table_that_is_no_plain_name_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match="is no plain name"):
        PostgresTable(f"postgresql+psycopg2://host/crm?table={table}".replace(";", "%3B"), "u:p")


def test_a_secret_of_one_part_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="user:password") as told:
        PostgresTable("postgresql+psycopg2://host/crm", "hunter2")
    assert "hunter2" not in str(told.value)


def test_a_look_writes_nothing(postgres_server: PostgresServer, database: str) -> None:
    to = target(postgres_server, database)
    assert to.check().endswith("signed in; it is not there yet, the first delivery makes it")
    assert postgres_server.run("SELECT to_regclass('crm_scores')", database) == [(None,)]
    to.send(batch(row("A", 0.1)))
    assert to.check().endswith("signed in, and the table may be written to")
    reader = f"reader_{database}"
    postgres_server.run(f"CREATE ROLE {reader} LOGIN PASSWORD 'hunter2'", database)
    postgres_server.run(f"GRANT SELECT ON crm_scores TO {reader}", database)
    for table, said in (("crm_scores", "may not insert, update: grant"), ("others", "the user may not make it")):
        with pytest.raises(WriteBackError, match=said):
            PostgresTable(place(postgres_server, database, table), f"{reader}:hunter2").check()
    postgres_server.run("CREATE TABLE another (dataset text)", database)
    with pytest.raises(WriteBackError, match=r"lacks expected_close_month, expected_value, .*name another table"):
        target(postgres_server, database, "another").check()
    with pytest.raises(WriteBackError, match="password authentication failed") as told:
        PostgresTable(place(postgres_server, database), "postgres:hunter2").check()
    assert "hunter2" not in str(told.value)
