"""Dagster's home: its folder, the `dagster.yaml` in it, and the database of runs and events that this names.

`python -m crm_assets.dagster_home` makes it and prints the folder, for whoever starts Dagster's services one by one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from crm_assets.errors import CrmAssetsError, RunStorageError, SettingsError
from crm_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

FILE = "dagster.yaml"
CONNECT_SECONDS = 5
"""How long a database server may take to answer the first call."""

_VARIABLE = "CRM_DAGSTER_POSTGRES_URL"
_HOME_VARIABLE = "DAGSTER_HOME"
_HEADER = "# Written by crm-assets from its settings. Once it is edited it stays as it is; remove it to have it anew."
_HASH = "# sha256 of what follows: "
_FIRST_VERSION = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""
"""What was written before there was a header."""

_STORAGE = f"""\
storage:
  postgres:
    postgres_url:
      # The variable's value is never written anywhere.
      env: {_VARIABLE}
"""
_PROCESSES = """\
# Asks the code server whether it still has a run; a server that cannot tell is taken to have it.
run_launcher:
  module: crm_assets.defs.launching
  class: WatchedRunLauncher
"""
_START_SECONDS, _CANCEL_SECONDS, _LOOK_SECONDS = 180, 180, 60
_TASK_START_SECONDS = 600
"""A Fargate task may wait for capacity, and fetches the image first."""
RUN_CONTAINER = "run"
"""The container of the task definition that the run is executed in."""
_DEQUEUE_SECONDS = 2
_TICK_DAYS, _SKIPPED_TICK_DAYS = 90, 7


def home_of(settings: Settings) -> Path:
    """Where Dagster's home is: `DAGSTER_HOME`, or the settings' folder. Touches no disk."""
    given = os.environ.get(_HOME_VARIABLE)
    return Path(given) if given else settings.dagster_home


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that Dagster's processes need besides those of this one: its home, and the database's URL."""
    found = {_HOME_VARIABLE: str(home_of(settings))}
    if settings.dagster_postgres_url:
        # It may stand in .env, which Dagster does not read for its own configuration.
        found[_VARIABLE] = settings.dagster_postgres_url.get_secret_value()
    return found


def configuration(settings: Settings) -> str:
    """The content of `dagster.yaml`, without a header and without any secret."""
    storage = _STORAGE if settings.dagster_postgres_url else ""
    on_ecs = settings.dagster_run_launcher == "ecs"
    return f"""\
telemetry:
  enabled: false
nux:
  enabled: false
{storage}run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: {_DEQUEUE_SECONDS}
{_tasks(settings) if on_ecs else _PROCESSES}concurrency:
  runs:
    max_concurrent_runs: {settings.dagster_runs_at_once}
  pools:
    granularity: run
    default_limit: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: {_TASK_START_SECONDS if on_ecs else _START_SECONDS}
  cancel_timeout_seconds: {_CANCEL_SECONDS}
  # A run cannot be resumed: what died is made again by the next run.
  max_resume_run_attempts: 0
  # Nothing else ends a run that hangs, or whose code server died with it.
  max_runtime_seconds: {round(settings.dagster_run_hours * 3600)}
  # Not before a lock that a dead process held on the lake has run out.
  poll_interval_seconds: {_LOOK_SECONDS}
  free_slots_after_run_end_seconds: {_LOOK_SECONDS}
# A run whose process is gone is started once more; one of which a step failed is for people to look at.
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
retention:
  schedule:
    purge_after_days: {_TICK_DAYS}
  sensor:
    purge_after_days: {_ticks()}
  auto_materialize:
    purge_after_days: {_ticks()}
"""


def _tasks(settings: Settings) -> str:
    """The launcher by which each run is a Fargate task; JSON is YAML, too."""
    if settings.ecs_run_spot:
        capacity = "\n      capacityProviderStrategy: [{capacityProvider: FARGATE_SPOT, weight: 1}]"
    else:
        capacity = "\n      launchType: FARGATE"
    return f"""\
# Each run is a task of its own, in the network that is named here and not in that of who starts it.
run_launcher:
  module: dagster_aws.ecs
  class: EcsRunLauncher
  config:
    task_definition: {json.dumps(settings.ecs_task_definition)}
    container_name: {RUN_CONTAINER}
    use_current_ecs_task_config: false
    # Secrets are those of the task definition; without this, whoever starts a run would list all of the account.
    secrets_tag: null
    run_task_kwargs:
      cluster: {json.dumps(settings.ecs_cluster)}{capacity}
      networkConfiguration:
        awsvpcConfiguration:
          subnets: {json.dumps(settings.ecs_subnet_ids)}
          securityGroups: {json.dumps(settings.ecs_security_group_ids)}
          assignPublicIp: {"ENABLED" if settings.ecs_public_ip else "DISABLED"}
"""


def check_launcher(settings: Settings) -> None:
    """Raise SettingsError when what the run launcher needs is not installed; loads nothing of it."""
    if settings.dagster_run_launcher == "ecs" and find_spec("dagster_aws") is None:
        raise SettingsError(
            "CRM_DAGSTER_RUN_LAUNCHER is 'ecs', but dagster_aws is not installed: pip install 'crm-assets[aws]', or "
            "leave CRM_DAGSTER_RUN_LAUNCHER out"
        )


def dagster_home(settings: Settings) -> Path:
    """Dagster's home, made with its `dagster.yaml`, which is written anew when the settings ask for another.

    A file that a person edited or brought is left as it is. Raises SettingsError when the folder or file cannot be
    made, when such a file keeps runs elsewhere than in the PostgreSQL that the settings name, and when what the run
    launcher needs is not installed.
    """
    check_launcher(settings)
    home = home_of(settings)
    variable = _HOME_VARIABLE if os.environ.get(_HOME_VARIABLE) else "CRM_HOME"
    wanted = _with_header(configuration(settings))
    try:
        home.mkdir(parents=True, exist_ok=True)
        found = _found(home)
        if found is not None and not _is_ours(found):
            _refuse_other_storage(settings, home / FILE, found)
        elif found != wanted:
            # Several services may start at once, and each may read while another writes.
            temporary = home / f".{FILE}.{secrets.token_hex(8)}"
            try:
                temporary.write_text(wanted, encoding="utf-8")
                temporary.replace(home / FILE)
            finally:
                with suppress(OSError):
                    temporary.unlink()
    except OSError as error:
        raise SettingsError(
            f"Dagster's home {home} cannot be made ({error.strerror}: {error.filename}): correct {variable}"
        ) from None
    return home


def kept_because(settings: Settings) -> str | None:
    """What a person should know of a `dagster.yaml` that is kept though the settings ask for another; None if nothing.

    Raises SettingsError as `dagster_home` does where the file cannot be used.
    """
    home = home_of(settings)
    try:
        found = _found(home)
    except OSError as error:
        raise SettingsError(f"{home / FILE} cannot be read ({error.strerror}): give this user access to it") from None
    if found is None or _is_ours(found):
        return None
    _refuse_other_storage(settings, home / FILE, found)
    written = _noted_hash(found)
    if written == _sha256(configuration(settings)):
        return None
    if written is None:
        return f"{home / FILE} was not written by crm-assets and is used as it is: settings of Dagster have no effect"
    return (
        f"{home / FILE} was edited and is used as it is, but the settings or this version ask for another by now: move "
        "it away to have it written anew, and put the changes in again"
    )


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """Dagster's instance in its home, which is made if need be; a PostgreSQL that restarts is waited for.

    Raises SettingsError as `dagster_home` does, and RunStorageError when its records cannot be read or written, here or
    while the block runs.
    """
    from dagster import DagsterInstance
    from sqlalchemy.exc import SQLAlchemyError

    from crm_assets.defs.patience import database_awaited

    check_storage(settings, patient=True)
    home = dagster_home(settings)
    try:
        with (
            database_awaited(),
            _in_environment(environment_of(settings)),
            DagsterInstance.from_config(str(home)) as instance,
        ):
            limit_pools(instance)
            yield instance
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise records_fault(settings, error) from error


def records_fault(settings: Settings, error: BaseException) -> RunStorageError:
    """What to tell of an error of the database of Dagster's runs."""
    said = str(error).strip().splitlines()[0].rstrip(".")
    return RunStorageError(
        f"Dagster's records, set up in {home_of(settings) / FILE}, cannot be used: {said}; free space there, give "
        "access to it, or bring its database up, and run again"
    )


def limit_pools(instance: DagsterInstance) -> None:
    """Have the pool of the lake take one run, unless a person has set another limit in Dagster.

    The default limit of `dagster.yaml` holds for a pool only once the daemon has met it: of the first runs that it
    finds queued it would start all.
    """
    from crm_assets.defs.run_tags import LAKE_POOL

    if LAKE_POOL not in instance.event_log_storage.get_concurrency_keys():
        instance.event_log_storage.set_concurrency_slots(LAKE_POOL, 1)


def check_storage(settings: Settings, *, patient: bool = False) -> str:
    """Reach the database of Dagster's runs and say what it is. Makes nothing.

    Args:
        settings: of the deployment.
        patient: wait for a PostgreSQL that restarts as a run does; else it is tried once, for seconds.

    Raises RunStorageError, with the remedy, when it cannot be reached or refuses, SettingsError when what it needs is
    not installed.
    """
    if settings.dagster_postgres_url is None:
        there = any((home_of(settings) / "history").glob("*.db"))
        return f"SQLite below {home_of(settings)}{'' if there else ': not there yet, the first run makes it'}"
    url = settings.dagster_postgres_url.get_secret_value()
    parts = urlsplit(url)
    shown = f"PostgreSQL {parts.path.strip('/')} on {parts.hostname or 'a socket'}:{parts.port or 5432}"
    try:
        import dagster_postgres  # noqa: F401 - only whether it is installed
        import psycopg2

        from crm_assets.defs.patience import connected
    except ImportError as error:
        raise SettingsError(
            f"{_VARIABLE} needs {error.name}, which is not installed: pip install 'crm-assets[postgres]'"
        ) from None
    try:
        # libpq's own URLs name no driver.
        address = url.replace("postgresql+psycopg2", "postgresql", 1)

        def connect() -> Any:
            return psycopg2.connect(address, connect_timeout=CONNECT_SECONDS)

        connection = connected(connect, psycopg2.OperationalError) if patient else connect()
        try:
            version, tables, may_create = _looked_up(connection)
        finally:
            connection.close()
    except psycopg2.Error as error:
        said = _without_secret(" ".join(str(error).split()) or type(error).__name__, parts.password)
        raise RunStorageError(f"{shown}: {said}; {_remedy(said)}") from None
    if not tables and not may_create:
        raise RunStorageError(
            f"{shown}: user {unquote(parts.username or '')} may not make tables there: grant CREATE on the schema, or "
            "give the user a database of its own"
        )
    state = "Dagster's tables are there" if tables else "the first start makes Dagster's tables"
    return f"{shown}: version {version}, {state}"


def _looked_up(connection: Any) -> tuple[str, bool, bool]:
    """Version of the server, whether Dagster's tables are there, and whether the user may make tables."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = %s", (CONNECT_SECONDS * 1000,))
        cursor.execute(
            "SELECT current_setting('server_version'), to_regclass('runs') IS NOT NULL, "
            "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
        )
        version, tables, may_create = cursor.fetchone()
    return str(version), bool(tables), bool(may_create)


def _remedy(said: str) -> str:
    for part, remedy in (
        ("password authentication failed", f"correct user and password in {_VARIABLE}"),
        ("no password supplied", f"put user and password into {_VARIABLE}"),
        ("does not exist", f"create it, or correct its name in {_VARIABLE}"),
        ("translate host name", f"correct the host in {_VARIABLE}"),
        ("too many", "raise max_connections, or stop what holds its connections"),
    ):
        if part in said:
            return remedy
    return f"check that the server runs and that {_VARIABLE} names it"


def _without_secret(said: str, password: str | None) -> str:
    for secret in {password, unquote(password or "")}:
        if secret:
            said = said.replace(secret, "***")
    return said


def _ticks() -> str:
    return f"{{skipped: {_SKIPPED_TICK_DAYS}, success: {_TICK_DAYS}, failure: {_TICK_DAYS}, started: {_TICK_DAYS}}}"


def _with_header(body: str) -> str:
    return f"{_HEADER}\n{_HASH}{_sha256(body)}\n{body}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _found(home: Path) -> str | None:
    """The file's content; None when there is none. Raises OSError."""
    try:
        return (home / FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _noted_hash(found: str) -> str | None:
    """The hash that the header notes; None where a person removed it or wrote the file."""
    match = re.search(rf"^{re.escape(_HASH)}([0-9a-f]{{64}})$", found, re.MULTILINE)
    return match[1] if match else None


def _is_ours(found: str) -> bool:
    """Whether the content is as it was once written."""
    header, _, body = found.partition(_HASH)
    noted, _, body = body.partition("\n")
    return found == _FIRST_VERSION or (header == f"{_HEADER}\n" and noted == _sha256(body))


def _refuse_other_storage(settings: Settings, file: Path, found: str) -> None:
    import yaml

    try:
        read = yaml.safe_load(found)
    except yaml.YAMLError:
        raise SettingsError(f"{file} is not YAML: mend it, or remove it to have it written anew") from None
    storage = read.get("storage") if isinstance(read, Mapping) else None
    if settings.dagster_postgres_url and not (isinstance(storage, Mapping) and "postgres" in storage):
        raise SettingsError(
            f"{_VARIABLE} is set, but {file}, which was edited, keeps runs elsewhere: put `storage: postgres` into it, "
            "or remove it to have it written anew"
        )


@contextmanager
def _in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def main() -> None:
    """Make Dagster's home for the settings of the environment, and print its folder."""
    try:
        settings = load_settings()
        home = dagster_home(settings)
        with open_instance(settings):
            pass
        kept = kept_because(settings)
    except CrmAssetsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        sys.exit(error.exit_code)
    if kept:
        print(kept, file=sys.stderr)  # noqa: T201 - as above
    print(home)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
