"""A PostgreSQL server that restarts is waited for, so that a run outlives it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DATABASE_SECONDS = 60.0
"""How long a run waits for the database of Dagster's records to take connections again."""
_LONGEST_WAIT_SECONDS = 5.0
_TEMPORARY = ("refused", "starting up", "shutting down", "recovery mode", "closed the connection", "too many clients")


def connected(connect: Callable[[], Any], fault: type[Exception]) -> Any:
    """The connection that `connect` opens, tried again for up to `DATABASE_SECONDS` after a `fault` that may pass."""
    deadline, wait = time.monotonic() + DATABASE_SECONDS, 0.2
    while True:
        try:
            return connect()
        except fault as error:
            if time.monotonic() >= deadline or not any(word in str(error) for word in _TEMPORARY):
                raise
        time.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


@contextmanager
def database_awaited() -> Iterator[None]:
    """While the block runs, a new connection to PostgreSQL is tried again for up to `DATABASE_SECONDS`.

    Dagster itself gives up after a second, and opens a connection for every event. What is wrong for good, such as a
    password, is raised at once.
    """
    from sqlalchemy import Engine, event

    def connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        if dialect.name != "postgresql":
            return None
        return connected(lambda: dialect.connect(*arguments, **options), dialect.loaded_dbapi.OperationalError)

    event.listen(Engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", connect)
