"""`python -m crm_assets_tests.benchmarks [engines|demo|speed|quality|forecast|gate]`: all without one.

Figures go to `bench/`.
"""

from __future__ import annotations

import click

from crm_assets_tests.benchmarks.demo import demo
from crm_assets_tests.benchmarks.engines import engines
from crm_assets_tests.benchmarks.model_forecast import forecast_quality
from crm_assets_tests.benchmarks.model_gate import gate
from crm_assets_tests.benchmarks.model_quality import quality
from crm_assets_tests.benchmarks.model_speed import speed


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure speed and memory."""
    if context.invoked_subcommand is None:
        # Through their own command lines: `invoke` would hand them their defaults unread.
        engines.main(args=[], standalone_mode=False)
        demo.main(args=[], standalone_mode=False)
        speed.main(args=[], standalone_mode=False)
        quality.main(args=[], standalone_mode=False)
        forecast_quality.main(args=[], standalone_mode=False)
        gate.main(args=[], standalone_mode=False)


benchmarks.add_command(engines)
benchmarks.add_command(demo)
benchmarks.add_command(speed)
benchmarks.add_command(quality)
benchmarks.add_command(forecast_quality)
benchmarks.add_command(gate)

if __name__ == "__main__":
    benchmarks()
