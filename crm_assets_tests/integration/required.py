"""What becomes of a test whose server is not installed: it fails, so that nothing is untested without being noticed."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "TESTS_MAY_SKIP"
"""Names of what the tests may do without on this machine, with commas in between: `postgresql,seaweedfs`."""


def not_installed(name: str, remedy: str) -> NoReturn:
    """Fail the test for want of a program, or skip it where `TESTS_MAY_SKIP` names it.

    Args:
        name: in small letters, as the variable has it.
        remedy: how it is installed.
    """
    if name in {part.strip() for part in os.environ.get(VARIABLE, "").lower().split(",")}:
        pytest.skip(f"{name} is not installed, and {VARIABLE} names it")
    pytest.fail(f"{name} is not installed: {remedy}; {VARIABLE}={name} skips what needs it", pytrace=False)
