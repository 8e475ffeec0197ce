"""Opens Dagster, webserver and daemon, on the lake and MLflow store that the settings name: `make dev`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from crm_assets.errors import CrmAssetsError
from crm_assets.run import dagster_home
from crm_assets.settings import load_settings


def main() -> None:
    """Replace this process by Dagster's; further arguments go to it, for example `--port 3001`."""
    try:
        settings = load_settings()
    except CrmAssetsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        sys.exit(error.exit_code)
    home = str(dagster_home(settings))
    # Beside the interpreter in a virtual environment that is not activated, else on the path.
    dagster = shutil.which("dagster", path=Path(sys.executable).parent) or "dagster"
    arguments = [dagster, "dev", "--module-name", "crm_assets.definitions", *sys.argv[1:]]
    os.execvpe(dagster, arguments, {**os.environ, "DAGSTER_HOME": home})


if __name__ == "__main__":
    main()
