"""Programs that stand in for AWS's command line, Docker and Terraform: they note how they were called, and answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_STAND_IN = """#!{python}
import json, os, pathlib, sys
home = pathlib.Path({home!r})
called = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
with (home / "calls").open("a") as calls:
    calls.write(json.dumps([called, sys.stdin.read() if "--password-stdin" in called else ""]) + "\\n")
for answer in json.loads((home / "answers").read_text()):
    if all(word in called for word in answer["words"]):
        for flag, text in answer["files"].items():
            pathlib.Path(called[called.index(flag) + 1]).write_text(text)
        for path, text in answer["made"].items():
            pathlib.Path(path).write_text(text)
        sys.stdout.write(answer["out"])
        sys.stderr.write(answer["err"])
        sys.exit(answer["code"])
"""


@dataclass
class Programs:
    """The stand-ins in a folder of their own, and what they answer; the first answer that fits is given."""

    home: Path
    answers: list[dict[str, Any]] = field(default_factory=list)

    def answer(
        self,
        *words: str,
        out: str = "",
        err: str = "",
        code: int = 0,
        files: Mapping[str, str] | None = None,
        made: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a call that has all these words; `files` go to the path behind a flag, `made` to their own."""
        told = {"words": words, "out": out, "err": err, "code": code, "files": files or {}, "made": made or {}}
        self.answers.append(told)
        (self.home / "answers").write_text(json.dumps(self.answers))

    @property
    def calls(self) -> list[list[str]]:
        """Each call, with the program's name first."""
        return [call for call, _ in self._noted()]

    @property
    def inputs(self) -> list[str]:
        """What was handed over on standard input."""
        return [given for _, given in self._noted() if given]

    def _noted(self) -> list[Any]:
        file = self.home / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def stand_ins(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Programs:
    """Put stand-ins of these names in front of every other program."""
    folder.mkdir()
    for name in names:
        program = folder / name
        program.write_text(_STAND_IN.format(python=sys.executable, home=str(folder)))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    programs = Programs(folder)
    (folder / "answers").write_text("[]")
    return programs
