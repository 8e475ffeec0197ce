"""Draws every view of docs/architecture/workspace.dsl beside it: `make diagrams`.

With `--d2` as the path of the D2 program; `--check` draws nothing and tells which pictures are not the model's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crm_assets_tests.architecture.drawing import digest, draw, pictures
from crm_assets_tests.architecture.structurizr import read_workspace

FOLDER = Path(__file__).parents[2] / "docs" / "architecture"


def main() -> int:
    """Exit code 1 where `--check` finds a picture of another model."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m crm_assets_tests.architecture")
    parser.add_argument("--d2", type=Path, default=Path("d2"))
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    old = 0
    for name, source in pictures(read_workspace(FOLDER / "workspace.dsl")):
        file = FOLDER / name
        if not given.check:
            file.write_text(draw(given.d2, source), encoding="utf-8")
        elif not file.is_file() or f'data-view="{digest(source)}"' not in file.read_text(encoding="utf-8"):
            old += 1
            sys.stderr.write(f"{file.name} is not a picture of the model: make diagrams\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
