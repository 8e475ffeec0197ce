"""`python -m crm_assets_tests.benchmarks [NAME]`: one, or all but those that take an hour or a server.

Figures go to `bench/`.
"""

from __future__ import annotations

import click

from crm_assets_tests.benchmarks.backfill import backfill
from crm_assets_tests.benchmarks.demo import demo
from crm_assets_tests.benchmarks.engines import engines
from crm_assets_tests.benchmarks.landing import landing
from crm_assets_tests.benchmarks.model_forecast import forecast_quality
from crm_assets_tests.benchmarks.model_gate import gate
from crm_assets_tests.benchmarks.model_quality import quality
from crm_assets_tests.benchmarks.model_speed import speed
from crm_assets_tests.benchmarks.monitoring import monitoring
from crm_assets_tests.benchmarks.monitoring_performance import performance
from crm_assets_tests.benchmarks.page import page
from crm_assets_tests.benchmarks.run_queue import queue
from crm_assets_tests.benchmarks.serving import serving

_ALL = (engines, demo, speed, quality, forecast_quality, gate)
_LONG = (monitoring, performance, queue)
_WITH_SERVER = (backfill, landing, serving, page)


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure speed, memory and how good the model is."""
    if context.invoked_subcommand is None:
        for command in _ALL:
            # Through its own command line: `invoke` would hand it its defaults unread.
            command.main(args=[], standalone_mode=False)


for _command in (*_ALL, *_LONG, *_WITH_SERVER):
    benchmarks.add_command(_command)

if __name__ == "__main__":
    benchmarks()
