"""Opens Dagster, webserver and daemon, on the lake and MLflow store that the settings name: `make dev`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from crm_assets.alerts.sending import open_targets
from crm_assets.dagster_home import environment_of, kept_because, open_instance
from crm_assets.errors import CrmAssetsError
from crm_assets.settings import Settings, load_settings
from crm_assets.sources import Evidence, open_source


def main() -> None:
    """Replace this process by Dagster's; further arguments go to it, for example `--port 3001`."""
    try:
        settings = load_settings()
        # A wrong URL shows now, and not when there is something to tell.
        open_targets(settings)
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
