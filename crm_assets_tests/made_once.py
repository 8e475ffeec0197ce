"""What takes long to make and nobody changes: made by the first worker that wants it, for all of them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this name with what `make` put into it; whoever wants to change it takes a copy."""
    base = tmp_path_factory.getbasetemp()
    # Each worker has a folder of its own in the one of the session.
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = root / f"made_once_{name}", root / f"made_once_{name}.done"
    with (root / f"made_once_{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
