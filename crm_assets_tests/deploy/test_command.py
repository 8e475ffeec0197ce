"""How another program is started, and ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.command import DeployError, run

# A shell is there at once, and a Python may not be when it is interrupted.
ENDS = "trap 'echo in order >\"$0\"; exit 0' INT; while :; do sleep 0.1; done"
GOES_ON = "trap '' INT; while :; do sleep 0.1; done"


def test_what_takes_too_long_is_ended_in_order(tmp_path: Path) -> None:
    note = tmp_path / "note"
    with pytest.raises(DeployError, match=r"took longer than 1 s and was ended"):
        run(["bash", "-c", ENDS, str(note)], seconds=1)
    assert note.read_text() == "in order\n"


def test_what_does_not_end_is_killed() -> None:
    with pytest.raises(DeployError, match=r"took longer than 1 s and was ended"):
        run(["bash", "-c", GOES_ON], seconds=1, ending=0.2)


def test_what_fails_or_is_not_there_is_told() -> None:
    run([sys.executable, "-c", ""], seconds=60)
    with pytest.raises(DeployError, match="failed with code 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"], seconds=60)
    with pytest.raises(DeployError, match="is not installed"):
        run(["no-such-program"])
