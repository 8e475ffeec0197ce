"""Blocks of Terraform's files as text, for what can be told without Terraform.

It relies on `terraform fmt`, which terraform/check.sh asks for: a block ends with a brace as far left as its first
word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r'^(?P<kind>\w+)(?P<labels>(?: "[^"]*")*) \{(?:\}|\n(?P<body>.*?)^\})', re.MULTILINE | re.DOTALL)
_ACTION = re.compile(r'"(?P<action>[a-z0-9-]+:(?:[A-Z*?][\w*?]*|\*))"')
_DENIES = re.compile(r'\b[eE]ffect\s*=\s*"Deny"')
_ACTIONS = re.compile(r"\b(?:[aA]ctions?|[nN]ot_?[aA]ctions?)\"?\s*[=:]\s*(?P<list>\[.*?\]|\"[^\"]*\")", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block at the top of a file.

    Args:
        file: that it is in.
        kind: its first word, as `variable`.
        labels: what stands in quotes after that.
        body: the lines between its braces.
    """

    file: Path
    kind: str
    labels: tuple[str, ...]
    body: str

    def sets(self, name: str) -> bool:
        """Whether it has an argument or a block of that name itself."""
        return re.search(rf"^  {name}(?:\s*=| \{{)", self.body, re.MULTILINE) is not None

    def value(self, name: str) -> str:
        """The text of an argument that stands on one line; empty without it."""
        found = re.search(rf"^  {name}\s*= (.*)$", self.body, re.MULTILINE)
        return found[1] if found else ""


def blocks(file: Path) -> Iterator[Block]:
    """The blocks of a file, in their order."""
    for found in _BLOCK.finditer(file.read_text()):
        labels = tuple(re.findall(r'"([^"]*)"', found["labels"]))
        yield Block(file, found["kind"], labels, found["body"] or "")


def actions_in(text: str) -> frozenset[str]:
    """Every action of IAM that is named in a text, and `*` where one is all there is of a list of them.

    What a statement denies is left out.
    """
    text = _without_denials(text)
    named = {found["action"] for found in _ACTION.finditer(text)}
    listed = {one for found in _ACTIONS.finditer(text) for one in re.findall(r'"([^"]*)"', found["list"])}
    return frozenset(named | {one for one in listed if "*" in one})


def _without_denials(text: str) -> str:
    while found := _DENIES.search(text):
        begin, end = _around(text, found.start())
        text = text[:begin] + text[end:]
    return text


def _around(text: str, place: int) -> tuple[int, int]:
    """Where the braces begin and end that a place is in, or the place itself where it is in none."""
    ends, depth = [], 0
    for at in range(place - 1, -1, -1):
        depth += {"}": 1, "{": -1}.get(text[at], 0)
        if depth < 0:
            ends.append(at)
            break
    depth = 0
    for at in range(place, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth < 0:
            ends.append(at + 1)
            break
    return (ends[0], ends[1]) if len(ends) == 2 else (place, place + 1)
