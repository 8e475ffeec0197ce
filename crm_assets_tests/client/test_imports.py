"""What the client loads: nothing heavy before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pytest_httpserver import HTTPServer

from crm_assets_tests.client.test_session import Script

HEAVY = ("dagster", "polars", "pandas", "numpy", "mlflow", "sklearn", "matplotlib", "narwhals")


@pytest.mark.parametrize("connects", [False, True])
def test_nothing_heavy_is_loaded(httpserver: HTTPServer, connects: bool) -> None:
    url = Script(httpserver).url
    lines = ["import sys", "from crm_assets.client import Platform"]
    if connects:
        lines.append(f"assert Platform.connect({url!r}).backfill(['scores'], '2017-01').state == 'done'")
    lines.append(f"print([name for name in {HEAVY} if name in sys.modules])")
    told = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout.strip()) == (0, "[]"), told.stderr
