"""Import time of the code location in this process, as each of Dagster's own processes pays it."""

from __future__ import annotations

import time

from crm_assets_tests.benchmarks.process import tell


def main() -> None:
    """Tell the seconds that Dagster's own import takes, and ours with it."""
    began = time.perf_counter()
    import dagster  # noqa: F401  # timed

    dagster_imported = time.perf_counter() - began
    import crm_assets.definitions

    imported = time.perf_counter() - began
    crm_assets.definitions.defs()
    tell(dagster=dagster_imported, imported=imported, loaded=time.perf_counter() - began)


if __name__ == "__main__":
    main()
