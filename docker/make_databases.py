"""Makes what Terraform cannot without knowing a password.

    make_databases.py NAME=SECRET ... [--random=SECRET] [--renew]

For each NAME, a database and the user who owns it; its URL goes into the secret of that ARN. What --random names gets
64 random characters. A secret that has a value keeps it, and its database its password, unless --renew is given; to
begin again after a failure is safe. It runs in the network of the databases, as a task of its own: the server is
DATABASE_HOST, its master ADMIN_USER with ADMIN_PASSWORD.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from typing import Any

import boto3
import psycopg2
from psycopg2 import sql

CONNECT_SECONDS = 10
_DATABASE = re.compile(r"([a-z]+)=(arn:aws[a-z-]*:secretsmanager:\S+)")
_RANDOM = re.compile(r"--random=(arn:aws[a-z-]*:secretsmanager:\S+)")
RENEW = "--renew"


def main(arguments: list[str]) -> None:
    """Make what the arguments name. Raises ClientError and psycopg2.Error when a server refuses."""
    databases = [found.groups() for one in arguments if (found := _DATABASE.fullmatch(one))]
    random = [found[1] for one in arguments if (found := _RANDOM.fullmatch(one))]
    renew = RENEW in arguments
    if not databases or len(databases) + len(random) + arguments.count(RENEW) != len(arguments):
        sys.exit(__doc__)
    store = boto3.client("secretsmanager")
    server = _connected()
    try:
        for name, secret in databases:
            if renew or not has_value(store, secret):
                password = secrets.token_hex(24)
                make_database(server, name, password)
                host, port = os.environ["DATABASE_HOST"], os.environ.get("DATABASE_PORT", "5432")
                url = f"postgresql+psycopg2://{name}:{password}@{host}:{port}/{name}?sslmode={_tls()}"
                store.put_secret_value(SecretId=secret, SecretString=url)
    finally:
        server.close()
    for secret in random:
        if renew or not has_value(store, secret):
            store.put_secret_value(SecretId=secret, SecretString=secrets.token_hex(32))


def has_value(store: Any, secret: str) -> bool:
    """Whether a secret has been filled in, which is told without reading it. Raises ClientError."""
    stages = store.describe_secret(SecretId=secret).get("VersionIdsToStages", {})
    return any("AWSCURRENT" in names for names in stages.values())


def make_database(server: Any, name: str, password: str) -> None:
    """Make the user, or give it the password, and the database it owns. Raises psycopg2.Error."""
    with server.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
        verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
        # The server's log keeps statements as they come, so the password comes to it as a hash only.
        hashed = psycopg2.extensions.encrypt_password(password, name, server, "scram-sha-256")
        cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(name), sql.Literal(hashed)))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if cursor.fetchone() is None:
            # RDS' master is no superuser: only who may be another may give it something.
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(name)))
            cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def _connected() -> Any:
    connection = psycopg2.connect(
        host=os.environ["DATABASE_HOST"],
        port=os.environ.get("DATABASE_PORT", "5432"),
        dbname="postgres",
        user=os.environ["ADMIN_USER"],
        password=os.environ["ADMIN_PASSWORD"],
        sslmode=_tls(),
        connect_timeout=CONNECT_SECONDS,
    )
    # A database is made outside of transactions.
    connection.autocommit = True
    return connection


def _tls() -> str:
    return os.environ.get("DATABASE_TLS", "require")


if __name__ == "__main__":
    main(sys.argv[1:])
