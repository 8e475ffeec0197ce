"""The pages that people read, and the blocks of commands on them.

A block that `make test-docs` cannot run is marked on the line before it, where readers do not see it:

    <!-- run by: crm_assets_tests/serving/test_docs.py::test_every_command_of_the_page_answers -->
    <!-- not run: servers, which go on until they are stopped -->
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

SHELL = ("sh", "bash", "shell", "console")
"""Languages of a block whose lines are commands."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
LINKED_IMAGE = re.compile(r"\[(!\[[^\]]*\]\([^)\s]+\))\]\(([^)\s]+)\)")
_MARK = re.compile(r"<!-- (run by|not run): ((?:(?!-->).)+) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        line: where it starts.
        language: that of its fence.
        text: its lines.
        mark: `run by`, `not run`, or "" where `make test-docs` runs it.
        why: the test that runs it, or the reason why none does.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        """Where it stands, as a message says it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> Iterator[list[str]]:
        """Words of each line of shell without comments; one that ends in a backslash goes on in the next."""
        for line in self.text.replace("\\\n", " ").splitlines() if self.language in SHELL else ():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                # A quotation over several lines.
                words = line.split()
            if words:
                yield words


def pages() -> list[Path]:
    """README, documentation and what else is written in Markdown for people."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for folder in ("docker", "terraform", "checks", "deploy"):
        found += [page for page in (ROOT / folder).rglob("*.md") if not any(part[0] == "." for part in page.parts[1:])]
    return sorted(found)


@cache
def prose(page: Path) -> str:
    """The page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """What the page's links and images lead to."""
    text = prose(page)
    return [*LINK.findall(LINKED_IMAGE.sub(r"\1", text)), *(target for _, target in LINKED_IMAGE.findall(text))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of shell and Python on the page."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found["language"] in (*SHELL, "python"):
            mark = _MARK.search(text, 0, found.start())
            line = text.count("\n", 0, found.start()) + 1
            why = (mark[1], " ".join(mark[2].split())) if mark else ()
            yield Block(page, line, found["language"], textwrap.dedent(found["text"]), *why)


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it and the site."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of the page's headings; a heading that is there again has a number behind it."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return frozenset(found)
