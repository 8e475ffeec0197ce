"""Checks of our own for checkov, which terraform/check.sh hands it."""

from pathlib import Path

__all__ = [path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__"]
