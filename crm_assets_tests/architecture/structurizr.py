"""Reads the part of Structurizr's DSL that docs/architecture/workspace.dsl is written in, and refuses everything else.

The language: https://docs.structurizr.com/dsl/language. Structurizr itself is Java and in no package registry.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NAMED = {
    # Keyword -> what may follow its name, in this order.
    "person": ("description", "tags"),
    "softwareSystem": ("description", "tags"),
    "container": ("description", "technology", "tags"),
    "component": ("description", "technology", "tags"),
    "group": (),
    "deploymentEnvironment": (),
    "deploymentNode": ("description", "technology", "tags"),
    "infrastructureNode": ("description", "technology", "tags"),
}
"""Elements that have a name."""
INSIDE = {
    "model": {"person", "softwareSystem", "deploymentEnvironment"},
    "softwareSystem": {"container"},
    "container": {"component", "group"},
    "group": {"component"},
    "deploymentEnvironment": {"deploymentNode"},
    "deploymentNode": {"deploymentNode", "infrastructureNode", "containerInstance"},
}
"""Block -> the elements it may hold."""
VIEWS = {"systemContext": 2, "container": 2, "component": 2, "deployment": 3}
"""Kind of view -> words before its description: what it is of, for a deployment its environment, and its key."""
STYLES = frozenset({"shape", "background", "color"})
DIRECTIONS = frozenset({"tb", "lr"})


class DslError(ValueError):
    """A line that is not of the part of the language that is read here."""


@dataclass
class Element:
    """One element of the model.

    Attributes:
        id: its path in the model, unique; where the file gives it no name, one that is made up and starts with '#'.
        kind: the keyword, as `container`.
        name: as shown; of an instance that of its container.
        of: id of the container that an instance is of.
        parent: id of the element it is in, "" at the top. A group is one.
    """

    id: str
    kind: str
    name: str
    parent: str
    description: str = ""
    technology: str = ""
    tags: str = ""
    of: str = ""
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Relationship:
    """An arrow from one element to another."""

    source: str
    target: str
    description: str
    technology: str = ""


@dataclass
class View:
    """One picture: `of` is the element it is about, `environment` that of a deployment, `arrows` whether it has any."""

    kind: str
    of: str
    key: str
    description: str
    environment: str = ""
    include: list[str] = field(default_factory=list)
    arrows: bool = True
    direction: str = "tb"


@dataclass
class Workspace:
    """What the file says. Elements are in its order, by id."""

    name: str
    elements: dict[str, Element]
    relationships: list[Relationship]
    views: list[View]
    styles: dict[str, dict[str, str]]

    def of_kind(self, *kinds: str) -> list[Element]:
        """The elements of these kinds."""
        return [element for element in self.elements.values() if element.kind in kinds]

    def ancestors(self, element: Element) -> Iterator[Element]:
        """What the element is in, from the nearest on."""
        while element.parent:
            element = self.elements[element.parent]
            yield element

    def environment(self, element: Element) -> str:
        """Name of the deployment environment the element is in; "" for what is not deployed."""
        return next((each.name for each in self.ancestors(element) if each.kind == "deploymentEnvironment"), "")


@dataclass
class _Line:
    number: int
    words: list[str]
    block: list[_Line] | None = None

    def wrong(self, why: str) -> DslError:
        return DslError(f"line {self.number}: {why}: {' '.join(self.words)}")


def read_workspace(path: Path) -> Workspace:
    """The workspace in a file. Raises DslError with the number of the first line that is not understood."""
    lines = _lines(path.read_text(encoding="utf-8"))
    if len(lines) != 1 or lines[0].words[0] != "workspace":
        raise DslError("the file holds one workspace and nothing else")
    return _Reader(lines[0]).workspace


def _lines(text: str) -> list[_Line]:
    """The lines with their blocks; one that opens a block ends with a brace, which stands nowhere else but alone."""
    top = _Line(0, ["file"], [])
    open_blocks = [top]
    for number, text_line in enumerate(text.splitlines(), 1):
        if not text_line.strip() or text_line.strip().startswith("//"):
            continue
        try:
            words = shlex.split(text_line)
        except ValueError as error:
            raise DslError(f"line {number}: {error}") from None
        if words == ["}"]:
            open_blocks.pop()
            if not open_blocks:
                raise DslError(f"line {number}: closes what was never opened")
            continue
        line = _Line(number, words)
        block = open_blocks[-1].block
        assert block is not None
        block.append(line)
        if words[-1] == "{":
            line.words, line.block = words[:-1], []
            open_blocks.append(line)
    if len(open_blocks) > 1:
        raise open_blocks[-1].wrong("is never closed")
    assert top.block is not None
    return top.block


class _Reader:
    def __init__(self, line: _Line) -> None:
        self.workspace = Workspace(line.words[1], {}, [], [], {})
        settings = []
        for part in line.block or ():
            match part.words:
                case ["!identifiers", "hierarchical"] | ["!impliedRelationships", "false"]:
                    settings.append(part.words[0])
                case ["model"]:
                    self._arrows: list[_Line] = []
                    self._elements(part, "model", "")
                    self._relationships()
                case ["views"]:
                    self._views(part)
                case _:
                    raise part.wrong("is not read here")
        # Names are read as paths, and no arrow is made up.
        if set(settings) != {"!identifiers", "!impliedRelationships"}:
            raise line.wrong("must say '!identifiers hierarchical' and '!impliedRelationships false'")

    def _elements(self, line: _Line, kind: str, parent: str) -> None:
        for part in line.block or ():
            words, given = part.words, ""
            if len(words) > 2 and words[1] == "=":
                given, words = words[0], words[2:]
            if "->" in words and not given:
                self._arrows.append(part)
            elif words == ["properties"] and parent:
                self._properties(part, self.workspace.elements[parent])
            elif words[0] in INSIDE.get(kind, ()):
                self._element(part, given, words, parent)
            else:
                raise part.wrong(f"cannot stand in a {kind}")

    def _element(self, line: _Line, given: str, words: Sequence[str], parent: str) -> None:
        kind, elements = words[0], self.workspace.elements
        path = f"{self._named(parent)}.{given}".lstrip(".") if given else f"#{line.number}"
        if path in elements:
            raise line.wrong(f"{path} is there already")
        if kind == "containerInstance":
            if len(words) != 2 or words[1] not in elements or elements[words[1]].kind != "container":
                raise line.wrong("is an instance of no container")
            elements[path] = Element(path, kind, elements[words[1]].name, parent, of=words[1])
        else:
            after = NAMED[kind]
            if not 2 <= len(words) <= 2 + len(after):
                raise line.wrong(f"a {kind} has a name and at most {', '.join(after) or 'nothing else'}")
            given_words = dict(zip(after, words[2:], strict=False))
            elements[path] = Element(
                path,
                kind,
                words[1],
                parent,
                description=given_words.get("description", ""),
                technology=given_words.get("technology", ""),
                tags=given_words.get("tags", ""),
            )
        self._elements(line, kind, path)

    def _named(self, path: str) -> str:
        """The path that identifiers start with: groups have none."""
        while path and self.workspace.elements[path].kind == "group":
            path = self.workspace.elements[path].parent
        return path

    def _properties(self, line: _Line, element: Element) -> None:
        for part in line.block or ():
            if len(part.words) != 2 or part.block is not None:
                raise part.wrong("a property is a name and a value")
            element.properties[part.words[0]] = part.words[1]

    def _relationships(self) -> None:
        for line in self._arrows:
            match line.words:
                case [source, "->", target, description, *rest] if len(rest) <= 1 and line.block is None:
                    for end in (source, target):
                        if end not in self.workspace.elements:
                            raise line.wrong(f"{end} is not in the model")
                    self.workspace.relationships.append(Relationship(source, target, description, *rest))
                case _:
                    raise line.wrong("an arrow has two ends, a description and at most a technology")

    def _views(self, line: _Line) -> None:
        for part in line.block or ():
            kind, *rest = part.words
            if kind == "styles":
                self._styles(part)
            elif kind in VIEWS and len(rest) == VIEWS[kind] + 1:
                view = View(kind, rest[0], rest[-2], rest[-1], environment=rest[1] if kind == "deployment" else "")
                self._view(part, view)
            else:
                raise part.wrong("is no view that is read here")

    def _view(self, line: _Line, view: View) -> None:
        if view.of not in self.workspace.elements:
            raise line.wrong(f"{view.of} is not in the model")
        for part in line.block or ():
            match part.words:
                case ["include", *ids] if ids and all(id_ == "*" or id_ in self.workspace.elements for id_ in ids):
                    view.include += ids
                case ["exclude", "relationship==*"]:
                    view.arrows = False
                case ["autoLayout", direction] if direction in DIRECTIONS:
                    view.direction = direction
                case _:
                    raise part.wrong("is not read in a view")
        self.workspace.views.append(view)

    def _styles(self, line: _Line) -> None:
        for part in line.block or ():
            match part.words:
                case ["element", tag]:
                    style = {each.words[0]: each.words[1] for each in part.block or () if len(each.words) == 2}
                    if not set(style) <= STYLES or len(style) != len(part.block or ()):
                        raise part.wrong(f"a style has {', '.join(sorted(STYLES))}")
                    self.workspace.styles[tag] = style
                case _:
                    raise part.wrong("is no style")
