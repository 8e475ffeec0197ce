"""The files that belong to the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path


def tracked(root: Path) -> list[Path]:
    """Paths below `root`, relative to it, of what Git keeps and of new files that it does not ignore."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return sorted({Path(name) for name in listed.split("\0") if name and (root / name).is_file()})
