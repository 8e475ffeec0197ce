"""The page as its command runs it, in a process of its own on a free port of the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from crm_assets_tests.serving.server_process import free_port

START_SECONDS = 60
_ROOT = Path(__file__).parents[2]


@contextmanager
def page_server(variables: Mapping[str, str], folder: Path, port: int | None = None) -> Iterator[str]:
    """The page's address, `http://127.0.0.1:PORT`, once it answers; its process ends with the block.

    Args:
        variables: of its environment, the only ones of the project.
        folder: its working folder, for its log, too.
        port: to listen on; a free one when None.

    Raises RuntimeError with what it printed when it ends or does not answer in time.
    """
    port = port or free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "STREAMLIT_"))}
    environment = {**kept, "PYTHONPATH": str(_ROOT), **variables, "CRM_APP_PORT": str(port)}
    address, log = f"http://127.0.0.1:{port}", folder / "page.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "crm_assets.app"], env=environment, cwd=folder, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the page does not answer:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)
        yield address
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/_stcore/health", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
