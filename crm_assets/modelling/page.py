"""A page of text, tables and pictures as Markdown and as one HTML file, and what stands on such a page read back.

The HTML needs nothing from elsewhere: its style is in it, its pictures are SVG in the text, and a policy has the
browser refuse whatever it would fetch. It follows the reader's light or dark setting and fits a phone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import TypeAlias


@dataclass(frozen=True)
class Paragraph:
    """Text; what stands in backticks is shown as code. A `note` is set smaller."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        header: titles of the columns.
        rows: texts, as many in each as there are titles.
        left: number of columns, from the first, that are set to the left; the others are numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True)
class Picture:
    """An SVG with what it shows in words. Markdown leaves it out: `drawn_in` names the file that it points to."""

    title: str
    svg: str
    drawn_in: str


Block: TypeAlias = Paragraph | Bullets | Grid | Picture


@dataclass(frozen=True)
class Section:
    """A headed part of a page."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: its heading.
        lead: what comes before the first section.
        sections: the rest.
    """

    title: str
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]

    def opening(self) -> str:
        """Heading and lead as Markdown."""
        return "\n\n".join([f"# {_marked_down(self.title)}", *map(_block_as_markdown, self.lead)]) + "\n"

    def markdown(self) -> str:
        """The page as Markdown."""
        parts = [self.opening().rstrip()]
        for section in self.sections:
            parts += [f"## {_marked_down(section.title)}", *map(_block_as_markdown, section.blocks)]
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The page as one HTML file."""
        links = "".join(f'<a href="#{_anchor(section)}">{_coded(section.title)}</a>\n' for section in self.sections)
        body = [f"<h1>{_coded(self.title)}</h1>", *map(_block_as_html, self.lead), f"<nav>\n{links}</nav>"]
        for section in self.sections:
            inside = "\n".join(map(_block_as_html, section.blocks))
            body.append(f'<section id="{_anchor(section)}">\n<h2>{_coded(section.title)}</h2>\n{inside}\n</section>')
        head = _HEAD.replace("TITLE", escape(self.title))
        lines = ["<!DOCTYPE html>", '<html lang="en">', "<head>", head, "</head>", "<body>", "<main>", *body]
        return "\n".join([*lines, "</main>", "</body>", "</html>", ""])


COLOURS = """:root { color-scheme: light dark; --ink: #1d2127; --faint: #5c6470; --line: #d8dce2; --paper: #ffffff;
  --accent: #1f5a93; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --faint: #9aa3af; --line: #3a414b; --paper: #16191d;
  --accent: #7db4e8; } }"""
"""Style that gives the names of colours a meaning in light and in dark."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_HEAD = f"""<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>TITLE</title>
<style>
{COLOURS}
body {{ margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }}
main {{ max-width: 56rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }}
h1 {{ font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }}
h2 {{ font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--line); }}
p, ul {{ margin: .6rem 0; max-width: 44rem; }}
li {{ margin: .35rem 0; }}
.note {{ color: var(--faint); font-size: .9rem; }}
nav {{ display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1.4rem 0 0; font-size: .9rem; }}
a {{ color: var(--accent); }}
code {{ font-size: .88em; overflow-wrap: anywhere; }}
/* A shadow at the edge behind which a table goes on. */
.wide {{ overflow-x: auto; margin: .9rem 0; background:
  linear-gradient(to right, var(--paper) 40%, transparent) left / 2rem 100% no-repeat local,
  linear-gradient(to left, var(--paper) 40%, transparent) right / 2rem 100% no-repeat local,
  linear-gradient(to right, rgb(0 0 0 / .25), transparent) left / .8rem 100% no-repeat scroll,
  linear-gradient(to left, rgb(0 0 0 / .25), transparent) right / .8rem 100% no-repeat scroll; }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .32rem .9rem .32rem 0; text-align: right;
  vertical-align: top; white-space: nowrap; }}
th {{ color: var(--faint); font-weight: 600; vertical-align: bottom; white-space: normal; }}
th.left, td.left {{ text-align: left; }}
td.text {{ white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }}
.range {{ display: block; color: var(--faint); font-size: .92em; white-space: nowrap; }}
.keep {{ white-space: nowrap; }}
@media (max-width: 40rem) {{ td.text {{ min-width: 7rem; }} th, td {{ padding-right: .7rem; }} }}
figure {{ margin: 1rem 0; }}
figcaption {{ color: var(--faint); font-size: .9rem; max-width: 44rem; }}
svg {{ width: 100%; max-width: 30rem; height: auto; display: block; }}
</style>"""

_TEXT_FROM = 18
"""Letters from which on a cell may break into lines."""


_RANGE = re.compile(r" (\([^()]+ to [^()]+\))$")
"""An interval behind a number."""


def _anchor(section: Section) -> str:
    return re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")


def _marked_down(text: str) -> str:
    """The text with all that Markdown would take for its own escaped, but for code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_|\[\]#])", r"\\\1", escape(part, quote=False)) for part in parts[::2]]
    parts[1::2] = [part.replace("|", "\\|") for part in parts[1::2]]
    return "`".join(parts)


def _coded(text: str) -> str:
    """The text as HTML, with code where it has backticks."""
    parts = [escape(part, quote=False) for part in text.split("`")]
    # A browser breaks lines after hyphens.
    parts[::2] = [re.sub(r"(?<!\S)(\d{4}-\d\d)\b", r"<span class=keep>\1</span>", part) for part in parts[::2]]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    return "".join(parts)


def _block_as_markdown(block: Block) -> str:
    if isinstance(block, Paragraph):
        return _marked_down(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {_marked_down(item)}" for item in block.items)
    if isinstance(block, Picture):
        return f"![{_marked_down(block.title)}]({block.drawn_in})"
    ruler = ["---" if at < block.left else "---:" for at in range(len(block.header))]
    lines = [map(_marked_down, block.header), ruler, *(map(_marked_down, row) for row in block.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _block_as_html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p{' class=note' if block.note else ''}>{_coded(block.text)}</p>"
    if isinstance(block, Bullets):
        return "<ul>\n" + "\n".join(f"<li>{_coded(item)}</li>" for item in block.items) + "\n</ul>"
    if isinstance(block, Picture):
        return f"<figure>\n{block.svg}\n<figcaption>{_coded(block.title)}</figcaption>\n</figure>"

    def cell(at: int, text: str) -> str:
        shown = _RANGE.sub(r"<span class=range> \1</span>", _coded(text))
        if at >= block.left:
            return f"<td>{shown}</td>"
        breaks = len(text) >= _TEXT_FROM and shown == _coded(text)
        return f'<td class="left{" text" if breaks else ""}">{shown}</td>'

    header = "".join(
        f"<th{' class=left' if at < block.left else ''}>{_coded(title)}</th>" for at, title in enumerate(block.header)
    )
    rows = "\n".join(f"<tr>{''.join(cell(at, text) for at, text in enumerate(row))}</tr>" for row in block.rows)
    return f'<div class="wide"><table>\n<tr>{header}</tr>\n{rows}\n</table></div>'


NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?!\w)")
"""A number as it is printed; digits inside a word, such as those of a hash, are none."""


def printed_on_markdown(text: str) -> dict[str, str]:
    """What stands on a page that `Page.markdown` wrote, by its place: `section, row, column`, or `section, text 2`."""
    places = _Places()
    for line in text.splitlines():
        if line.startswith("#"):
            places.head(line.lstrip("# "))
        elif line.startswith("| "):
            places.row([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif line:
            places.text(line)
        else:
            places.end_of_table()
    return places.found


def printed_on_html(text: str) -> dict[str, str]:
    """What stands on a page that `Page.html` wrote, by place as `printed_on_markdown` names them, and its pictures."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.places.found


class _Places:
    """Collects texts by where they stand."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._section, self._texts = "", 0
        self._header: Sequence[str] = ()

    def head(self, title: str) -> None:
        self._section, self._texts = title, 0
        self._put(f"{title}, heading", title)

    def text(self, text: str, what: str = "text") -> None:
        self._texts += 1
        self._put(f"{self._section}, {what} {self._texts}", text)

    def row(self, cells: Sequence[str]) -> None:
        if not self._header:
            self._header = cells
            self._put(f"{self._section}, header", " | ".join(cells))
            return
        if set("".join(cells)) <= {"-", ":"} and any(cells):
            return
        for title, cell in zip(self._header, cells, strict=False):
            self._put(", ".join(part for part in (self._section, cells[0], title) if part), cell)

    def end_of_table(self) -> None:
        self._header = ()

    def _put(self, place: str, text: str) -> None:
        name, times = place, 1
        while name in self.found:
            times += 1
            name = f"{place} ({times})"
        self.found[name] = text


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.places = _Places()
        self._text: list[str] = []
        self._cells: list[str] = []
        self._drawing: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "svg":
            self._drawing = []
        if self._drawing is not None:
            self._drawing.append(" ".join([tag, *(f"{name}={value}" for name, value in attrs)]))
        elif tag in {"h1", "h2", "p", "li", "td", "th", "figcaption", "style", "title"}:
            self._text = []
        elif tag == "tr":
            self._cells = []

    def handle_endtag(self, tag: str) -> None:
        text = "".join(self._text).strip()
        if tag == "svg" and self._drawing is not None:
            self.places.text("\n".join(self._drawing), "picture")
            self._drawing = None
        elif self._drawing is not None:
            return
        elif tag in {"h1", "h2"}:
            self.places.head(text)
        elif tag in {"p", "li", "figcaption"}:
            self.places.text(text)
        elif tag in {"td", "th"}:
            self._cells.append(text)
        elif tag == "tr":
            self.places.row(self._cells)
        elif tag == "table":
            self.places.end_of_table()

    def handle_data(self, data: str) -> None:
        if self._drawing is not None:
            self._drawing.append(data.strip())
        else:
            self._text.append(data)


def differences(stored: dict[str, str], right: dict[str, str]) -> Iterator[str]:
    """One sentence per place where a page says something else than it should, the numbers first."""
    for place in dict.fromkeys([*right, *stored]):
        is_there, should = stored.get(place), right.get(place)
        if is_there == should:
            continue
        if is_there is None or should is None:
            yield f"{place}: {'missing' if is_there is None else 'should not be there'}"
            continue
        one, other = NUMBER.findall(is_there), NUMBER.findall(should)
        wrong = [pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]]
        if len(one) == len(other) and wrong:
            yield f"{place}: " + ", ".join(f"{number} is printed, not {right}" for number, right in wrong)
        else:
            yield f"{place}: {_short(is_there)!r} is printed, not {_short(should)!r}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
