"""Draws the views of a workspace: as text for D2, which places boxes and arrows, and as the SVG that comes of it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import subprocess
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from crm_assets_tests.architecture.structurizr import Element, View, Workspace

KINDS = {
    "person": "Person",
    "softwareSystem": "Software System",
    "container": "Container",
    "component": "Component",
    "deploymentNode": "Deployment Node",
    "infrastructureNode": "Infrastructure Node",
    "containerInstance": "Container",
}
"""Kind of element -> its name in C4, which is also its tag for styles."""

SHAPES = {"Person": "c4-person", "Cylinder": "cylinder"}
D2_OPTIONS = (
    "--pad=24",
    "--elk-nodeNodeBetweenLayers=40",
    "--elk-edgeNodeBetweenLayers=20",
    "--elk-padding=[top=50,left=30,bottom=30,right=30]",
)
BOUNDARY_STYLE = (
    "fill: transparent; stroke: '#94a3b8'; stroke-dash: 4; border-radius: 8; font-size: 20; font-color: '#334155'"
)
ARROW_STYLE = "stroke: '#64748b'; font-size: 15; font-color: '#334155'"
D2_DIRECTIONS = {"tb": "down", "lr": "right"}
LETTERING = (' style="font-weight:700;font-size:18px"', ' style="font-size:13px"')
"""Of the first lines of a label, its name and its kind. Bold is left to the browser: D2 embeds a font's letters only
for the text it has set in it."""
GAP = 30
BOUNDARIES = frozenset({"group", "deploymentNode"})
LAYOUTS = {"systemContext": "tala", "container": "tala", "component": "elk", "deployment": "elk"}
"""Kind of view -> what places its boxes: layers where arrows go one way, otherwise what keeps them short."""
LETTERS = {"label": 26, "arrow": 20}
"""Letters to a line."""

_LABEL = re.compile(r'<text ([^>]*?)class="text"([^>]*)>(.*?)</text>', re.DOTALL)
_TSPAN = re.compile(r'<tspan x="([^"]*)" dy="([^"]*)">(.*?)</tspan>', re.DOTALL)


def picture(workspace: Workspace, view: View) -> Path:
    """Name of a view's picture."""
    return Path(f"{view.key}.svg")


def digest(source: str) -> str:
    """What a picture is marked with, so that one of an older model is known."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def draw(d2: Path, source: str) -> str:
    """The SVG of a view's D2 text. Raises CalledProcessError where D2 refuses it."""
    done = subprocess.run([d2, *D2_OPTIONS, "-", "-"], input=source, capture_output=True, text=True, check=True)
    svg = _LABEL.sub(_lettering, done.stdout)
    return svg.replace("<svg ", f'<svg data-view="{digest(source)}" ', 1)


def _lettering(found: re.Match[str]) -> str:
    """A box's label with its name large, its kind small, and the rest as plain text."""
    before, after, content = found.groups()
    spans = _TSPAN.findall(content)
    if len(spans) < 2:
        return found[0]
    lines = [
        f'<tspan x="{x}" dy="{dy}"{style}>{text}</tspan>'
        for (x, dy, text), style in zip(spans, (*LETTERING, *itertools.repeat("", len(spans))), strict=False)
    ]
    return f'<text {before}class="text"{after}>{"".join(lines)}</text>'


def d2_source(workspace: Workspace, view: View) -> str:
    """A view as D2 text; equal for equal views."""
    return "\n".join(_View(workspace, view).lines()) + "\n"


class _View:
    def __init__(self, workspace: Workspace, view: View) -> None:
        self._workspace = workspace
        self._view = view
        self._shown = self._elements()
        self._paths: dict[str, str] = {}

    def _elements(self) -> list[Element]:
        """What is to be seen, in the order of the model; a boundary stands for what it encloses."""
        workspace, view = self._workspace, self._view
        elements = workspace.elements
        if view.kind == "deployment":
            return [e for e in elements.values() if workspace.environment(e) == view.environment and e.kind != "group"]
        wanted = {id_ for id_ in view.include if id_ != "*"}
        if "*" in view.include:
            inside = {"container": "container", "component": "component"}.get(view.kind)
            own = (
                {e.id for e in workspace.of_kind(inside) if elements[view.of] in workspace.ancestors(e)}
                if inside
                else {view.of}
            )
            kinds = {"person", "softwareSystem", inside}
            wanted |= own
            for arrow in workspace.relationships:
                for one, other in ((arrow.source, arrow.target), (arrow.target, arrow.source)):
                    if one in own and elements[other].kind in kinds and other not in self._around(view.of):
                        wanted.add(other)
        return [e for e in elements.values() if e.id in wanted]

    def _around(self, id_: str) -> set[str]:
        """What a view is of, and what that is in: they are its boundaries, never boxes."""
        of = self._workspace.elements[id_]
        return (
            {of.id, *(each.id for each in self._workspace.ancestors(of))}
            if self._view.kind != "systemContext"
            else set()
        )

    def lines(self) -> Iterator[str]:
        yield f"vars: {{d2-config: {{layout-engine: {LAYOUTS[self._view.kind]}}}}}"
        yield f"direction: {D2_DIRECTIONS[self._view.direction]}"
        yield from self._children("", self._roots(), 0)
        if self._view.arrows:
            yield from self._arrows()

    def _roots(self) -> dict[str, list[Element]]:
        """Id of what is drawn as an enclosing box, "" for the picture -> what is in it."""
        held: dict[str, list[Element]] = {}
        enclosed: set[str] = set()
        for element in self._shown:
            inner = element
            for outer in self._enclosing(element):
                if inner.id not in enclosed:
                    enclosed.add(inner.id)
                    held.setdefault(outer.id, []).append(inner)
                inner = outer
            if inner.id not in enclosed:
                enclosed.add(inner.id)
                held.setdefault("", []).append(inner)
        return held

    def _enclosing(self, element: Element) -> Iterator[Element]:
        for outer in self._workspace.ancestors(element):
            if outer.kind in BOUNDARIES or outer.id == self._view.of != element.id:
                yield outer
            if outer.id == self._view.of:
                return

    def _children(self, of: str, held: dict[str, list[Element]], depth: int) -> Iterator[str]:
        inside = held.get(of, [])
        leaves = [element for element in inside if element.id not in held]
        if self._view.kind != "deployment":
            yield from self._boxes(inside, of, held, depth)
            return
        # No arrow says where a box belongs: they stand in rows and columns, and every second depth turns.
        down = (self._view.direction == "tb") == (depth % 2 == 1)
        boxes = [element for element in inside if element.id in held]
        if not boxes:
            yield from _grid(len(leaves))
            yield from self._boxes(leaves, of, held, depth)
            return
        yield f"grid-{'columns' if down else 'rows'}: 1; grid-gap: {GAP}"
        for part in (leaves, boxes) if inside[0].id not in held else (boxes, leaves):
            if part is leaves and leaves:
                yield "leaves: '' {"
                yield "style: {opacity: 0}"
                yield from _grid(len(leaves), None if down else 1)
            if part is leaves and leaves and of:
                self._paths[of] += ".leaves"
            yield from self._boxes(part, of, held, depth)
            if part is leaves and leaves:
                yield "}"
                self._paths[of] = self._paths[of].removesuffix(".leaves")

    def _boxes(self, elements: list[Element], of: str, held: dict[str, list[Element]], depth: int) -> Iterator[str]:
        for element in elements:
            key = f"e{list(self._workspace.elements).index(element.id)}"
            self._paths[element.id] = f"{self._paths[of]}.{key}" if of else key
            if element.id in held:
                yield f"{key}: {json.dumps(_boundary(element), ensure_ascii=False)} {{"
                yield f"style: {{{BOUNDARY_STYLE}}}"
                yield from self._children(element.id, held, depth + 1)
            else:
                yield f"{key}: {json.dumps(_label(self._workspace, element), ensure_ascii=False)} {{"
                yield from self._look(element)
            yield "}"

    def _look(self, element: Element) -> Iterator[str]:
        styled = self._workspace.elements[element.of] if element.of else element
        style: dict[str, str] = {}
        for tag in (KINDS[styled.kind], *filter(None, styled.tags.split(","))):
            style |= self._workspace.styles.get(tag, {})
        if style.get("shape"):
            yield f"shape: {SHAPES[style['shape']]}"
        fill, letters = style.get("background", "#ffffff"), style.get("color", "#111827")
        yield f"style: {{fill: '{fill}'; stroke: '{fill}'; font-color: '{letters}'; font-size: 16; bold: false" + (
            "}" if style.get("shape") else "; border-radius: 8}"
        )

    def _arrows(self) -> Iterator[str]:
        for source, target, words in self._ends():
            label = json.dumps(words, ensure_ascii=False)
            yield f"{source} -> {target}: {label} {{style: {{{ARROW_STYLE}}}}}"

    def _ends(self) -> Iterator[tuple[str, str, str]]:
        instances: dict[str, list[str]] = {}
        for element in self._shown:
            instances.setdefault(element.of or element.id, []).append(element.id)
        for arrow in self._workspace.relationships:
            words = "" if self._view.kind == "component" else _wrapped(arrow.description, LETTERS["arrow"])
            if arrow.technology:
                words += f"\n[{arrow.technology}]"
            for source in instances.get(arrow.source, []):
                for target in instances.get(arrow.target, []):
                    yield self._paths[source], self._paths[target], words


def _grid(boxes: int, columns: int | None = None) -> Iterator[str]:
    columns = columns or (5 if boxes > 8 else 4 if boxes > 6 else min(boxes, 3))
    yield f"grid-rows: {-(-boxes // columns)}; grid-columns: {columns}; grid-gap: {GAP}"


def _boundary(element: Element) -> str:
    if element.kind == "group":
        return element.name
    return f"{element.name} [{element.technology or KINDS[element.kind]}]"


def _label(workspace: Workspace, element: Element) -> str:
    what = workspace.elements[element.of] if element.of else element
    kind = KINDS[what.kind] if what.kind != "infrastructureNode" else ""
    lines = [_wrapped(what.name, LETTERS["label"]), f"[{': '.join(filter(None, (kind, what.technology)))}]"]
    if what.description:
        lines += [" ", _wrapped(what.description, LETTERS["label"])]
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))


def pictures(workspace: Workspace) -> Iterable[tuple[Path, str]]:
    """File name and D2 text of every view."""
    return [(picture(workspace, view), d2_source(workspace, view)) for view in workspace.views]
