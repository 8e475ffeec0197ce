"""A backfill in this process, `python -m ... START END`, or through a Dagster, `python -m ... START END URL`.

The deployment is that of the environment.
"""

from __future__ import annotations

import sys
import time

from crm_assets_tests.benchmarks.process import tell


def main(start: str, end: str, url: str | None = None) -> None:
    """Make the months and tell how long it took, the imports included."""
    began = time.perf_counter()
    from crm_assets.client import Platform, silent

    platform = Platform.connect(url) if url else Platform.local()
    done = platform.backfill(start=start, end=end, on_progress=silent)
    tell(seconds=time.perf_counter() - began, state=done.state, total=done.total)


if __name__ == "__main__":
    main(*sys.argv[1:])
