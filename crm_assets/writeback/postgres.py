"""A table in PostgreSQL, all rows of a delivery in one transaction."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from crm_assets.errors import SettingsError, WriteBackError
from crm_assets.writeback.content import FIGURES, NUMBERS, STATUS
from crm_assets.writeback.target import SECRET_SETTING, Batch, parameters

COLUMNS = ("dataset", "opportunity_id", STATUS, *FIGURES, "score_month")
_KEY = ("dataset", "opportunity_id")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")
_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 300
_MISSING_PRIVILEGE, _UNDEFINED_COLUMN = "42501", "42703"


class PostgresTable:
    """A table with a row per data set and opportunity, made when it is not there.

    Args:
        url: `postgresql+psycopg2://host:5432/database?table=schema.name`, with `sslmode` if need be.
        secret: `user:password`; when empty, what libpq reads by itself counts, such as PGUSER and PGPASSWORD.

    Raises SettingsError when the URL or the secret is of another form, or psycopg2 is not installed.
    """

    batch_rows = None

    def __init__(self, url: str, secret: str) -> None:
        try:
            import psycopg2  # noqa: F401 - only whether it is installed
        except ImportError:
            raise SettingsError(
                "CRM_WRITEBACK_URL names PostgreSQL, and psycopg2 is not installed: pip install 'crm-assets[postgres]'"
            ) from None
        parts = urlsplit(url)
        given = parameters(url, {"table": "crm_scores", "sslmode": "prefer"})
        if not _NAME.fullmatch(given["table"]):
            raise SettingsError(
                f"CRM_WRITEBACK_URL: table {given['table']!r} is no plain name: write table=name or table=schema.name"
            )
        user, _, password = secret.partition(":")
        if secret and not (user and password):
            raise SettingsError(f"{SECRET_SETTING} is not of the form user:password, which PostgreSQL needs")
        self._table = tuple(given["table"].split("."))
        self._place = f"{parts.scheme}://{parts.netloc}{parts.path}, table {given['table']}"
        self._to: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 5432,
            "dbname": unquote(parts.path.strip("/")),
            "sslmode": given["sslmode"],
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "crm-assets write-back",
            "options": f"-c statement_timeout={_STATEMENT_SECONDS * 1000}",
            **({"user": user, "password": password} if secret else {}),
        }

    def send(self, batch: Batch) -> Mapping[str, str]:
        """Insert or update the rows, all of them or none."""
        with self._transaction() as at:
            self._write(at, batch)
        return {}

    def check(self) -> str:
        """Sign in and look at the table, in a transaction that can only read."""
        with self._transaction() as at:
            at.execute("SET TRANSACTION READ ONLY")
            name = ".".join(f'"{part}"' for part in self._table)
            at.execute("SELECT to_regclass(%s)", (name,))
            if at.fetchone()[0] is None:
                at.execute(
                    "SELECT has_schema_privilege(coalesce(%s, current_schema()), 'CREATE')",
                    (self._table[0] if len(self._table) > 1 else None,),
                )
                if not at.fetchone()[0]:
                    raise WriteBackError(f"{self._place}: is not there, and the user may not make it: let it create it")
                return f"{self._place}: signed in; it is not there yet, the first delivery makes it"
            at.execute("SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s)", (name,))
            if missing := {*COLUMNS} - {column for (column,) in at.fetchall()}:
                raise WriteBackError(f"{self._place}: lacks {', '.join(sorted(missing))}: name another table")
            rights = ("SELECT", "INSERT", "UPDATE")
            at.execute(
                f"SELECT {', '.join(['has_table_privilege(%s, %s)'] * 3)}", [x for r in rights for x in (name, r)]
            )
            if lacking := [right for right, given in zip(rights, at.fetchone(), strict=True) if not given]:
                raise WriteBackError(f"{self._place}: the user may not {', '.join(lacking).lower()}: grant it that")
            return f"{self._place}: signed in, and the table may be written to"

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A cursor in a transaction. Raises WriteBackError in place of psycopg2's errors."""
        import psycopg2

        try:
            # A connection as a context is a transaction, and stays open after it.
            with contextlib.closing(psycopg2.connect(**self._to)) as connection, connection, connection.cursor() as at:
                yield at
        except psycopg2.Error as error:
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            code = getattr(error, "pgcode", None)
            remedies = {
                _MISSING_PRIVILEGE: "let the user create the table, or select, insert and update it",
                _UNDEFINED_COLUMN: f"the table must have the columns {', '.join(COLUMNS)}, or be another one",
            }
            remedy = remedies.get(str(code), f"check the server, CRM_WRITEBACK_URL and {SECRET_SETTING}")
            # A refused sign-in or a database that is not there has no code when it is found while connecting.
            lasting = "authentication" in said or "does not exist" in said
            passing = isinstance(error, psycopg2.OperationalError) and not lasting
            raise WriteBackError(f"{self._place}: {said}; {remedy}", transient=passing) from None

    def _write(self, at: Any, batch: Batch) -> None:
        from psycopg2 import sql
        from psycopg2.extras import execute_values

        table = sql.Identifier(*self._table)
        at.execute("SELECT to_regclass(%s)", (".".join(f'"{part}"' for part in self._table),))
        if at.fetchone()[0] is None:
            at.execute(
                sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
                    table,
                    sql.SQL(", ").join(
                        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_type(name))) for name in COLUMNS
                    ),
                    sql.SQL(", ").join(map(sql.Identifier, _KEY)),
                )
            )
        others = sql.SQL("SELECT count(*) FROM {} WHERE dataset = %s AND opportunity_id <> ALL(%s)").format(table)
        at.execute(others, (batch.dataset, [row.opportunity_id for row in batch.rows]))
        held = at.fetchone()[0]
        if held < batch.standing:
            raise WriteBackError(
                f"{self._place}: holds {held} opportunities of {batch.dataset} besides those to send, though "
                f"{batch.standing} were delivered that have not changed: send all again with "
                "`crm-assets write-back --resend`"
            )
        rows = [tuple({"dataset": batch.dataset, **row.as_dict()}[name] for name in COLUMNS) for row in batch.rows]
        updated = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in COLUMNS if name not in _KEY
        )
        insert = sql.SQL("INSERT INTO {} ({}) VALUES %s ON CONFLICT ({}) DO UPDATE SET {}").format(
            table,
            sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
            sql.SQL(", ").join(map(sql.Identifier, _KEY)),
            updated,
        )
        execute_values(at, insert, rows, page_size=1000)


def _type(column: str) -> str:
    if column in NUMBERS:
        return "double precision"
    return "text" if column in FIGURES else "text NOT NULL"
