"""`python -m crm_assets_tests.benchmarks [engines|demo]`, both without an argument; figures go to `bench/` as JSON."""

from __future__ import annotations

import click

from crm_assets_tests.benchmarks.demo import demo
from crm_assets_tests.benchmarks.engines import engines


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure speed and memory."""
    if context.invoked_subcommand is None:
        # Through their own command lines: `invoke` would hand them their defaults unread.
        engines.main(args=[], standalone_mode=False)
        demo.main(args=[], standalone_mode=False)


benchmarks.add_command(engines)
benchmarks.add_command(demo)

if __name__ == "__main__":
    benchmarks()
