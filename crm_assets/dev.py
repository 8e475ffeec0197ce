"""Opens Dagster, webserver and daemon, on the lake and MLflow store that the settings name: `make dev`."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from crm_assets.alerts.sending import open_targets
from crm_assets.dagster_home import environment_of, kept_because, open_instance
from crm_assets.errors import CrmAssetsError, SettingsError
from crm_assets.settings import Settings, load_settings
from crm_assets.sources import Evidence, open_source


def main() -> None:
    """Replace this process by Dagster's; further arguments go to it, for example `--port 3001`."""
    try:
        settings = load_settings()
        # A wrong URL shows now, and not when there is something to tell.
        open_targets(settings)
        _free(sys.argv[1:])
        months = _months(settings)
        with open_instance(settings):
            pass
        kept = kept_because(settings)
    except CrmAssetsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        sys.exit(error.exit_code)
    if kept:
        print(kept, file=sys.stderr)  # noqa: T201 - a command's message
    # Beside the interpreter in a virtual environment that is not activated, else on the path.
    dagster = shutil.which("dagster", path=Path(sys.executable).parent) or "dagster"
    arguments = [dagster, "dev", "--module-name", "crm_assets.definitions", *sys.argv[1:]]
    os.execvpe(dagster, arguments, {**os.environ, **months, **environment_of(settings)})


def _free(arguments: Sequence[str]) -> None:
    """See that the webserver's address is free: Dagster would tell only a minute later, its daemon running by then.

    Raises SettingsError when it is not.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--port", "-p", "--dagit-port", default="3000")
    parser.add_argument("--host", "-h", "--dagit-host", default="127.0.0.1")
    asked, _ = parser.parse_known_args(arguments)
    if not asked.port.isdigit():
        return
    with socket.socket(socket.AF_INET6 if ":" in asked.host else socket.AF_INET) as probe:
        # As the webserver does, so that one that has just ended is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((asked.host, int(asked.port)))
        except (OSError, OverflowError) as error:
            # A number that is no port at all gives no system's error.
            why = getattr(error, "strerror", error)
            raise SettingsError(
                f"{asked.host}:{asked.port} cannot be opened ({why}): end what runs there, or choose another port with "
                "`make dev PORT=3001`"
            ) from None


def _months(settings: Settings) -> dict[str, str]:
    """The source's own months as the settings of Dagster's partitions, where none are set.

    The code location never opens the source, so it would show every month since 2016-10. A source of monthly extracts
    goes on, so its last month is left open. Raises SourceError when the source cannot be read.
    """
    if settings.source_url.startswith("simulator:"):
        return {}
    source = open_source(settings.source_url, exported_on=settings.exported_on)
    months = source.months()
    found = {}
    if settings.first_month is None:
        found["CRM_FIRST_MONTH"] = str(months[0])
    if settings.last_month is None and source.evidence is not Evidence.EXTRACT:
        found["CRM_LAST_MONTH"] = str(months[-1])
    return found


if __name__ == "__main__":
    main()
