"""Run the page: `python -m crm_assets.app`, which the container does."""

from __future__ import annotations

import sys

from crm_assets.app.server import serve
from crm_assets.errors import CrmAssetsError
from crm_assets.settings import load_settings


def main() -> None:
    """The command."""
    try:
        serve(load_settings())
    except CrmAssetsError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} is not installed: pip install 'crm-assets[app]'\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
