"""What the site's build does besides: links for readers of the repository, and nothing fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import BuildError
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

WRITTEN_ELSEWHERE = {"terraform.md": "terraform/README.md"}
"""Page -> the file that it is, from the project's root."""

HIDDEN = {"index.md": ["navigation"], "architecture.md": ["navigation", "toc"]}
"""Page -> the columns that it has not beside it, for its pictures are wide."""

_OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)\s]*)?\)")
_SHIM = "https://unpkg.com/iframe-worker/shim"
_FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?https?:|<link\b[^>]*\bhref=[\"']?https?:[^>]*>")


def on_files(files: Any, *, config: Any) -> Any:
    """The pages, with those that are written beside what they tell of."""
    for page, written in WRITTEN_ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(Path(config["docs_dir"]).parent / written)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page with links as the site has them; of files that it does not have, the names."""
    page.meta["hide"] = HIDDEN.get(page.file.src_uri, [])
    if page.file.src_uri in WRITTEN_ELSEWHERE:
        markdown = markdown.replace("](../docs/", "](")
    for name, written in WRITTEN_ELSEWHERE.items():
        markdown = markdown.replace(f"](../{written}", f"]({name}")
    return _OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    text, path = link[1], link[2].lstrip("./")
    return text if text.strip("`").endswith(path.rsplit("/", 1)[-1]) else f"{text} (`{path}`)"


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """The page with the site's own copy of what the theme fetches for the search in files."""
    return output.replace(_SHIM, get_relative_url("site/iframe-worker.js", page.url))


def on_post_template(output: str, **_: Any) -> str:
    """As `on_post_page`, for pages such as 404."""
    return output.replace(_SHIM, "/site/iframe-worker.js")


def on_post_build(*, config: Any, **_: Any) -> None:
    """Raises BuildError when a page would fetch something from elsewhere."""
    for page in Path(config["site_dir"]).rglob("*.html"):
        if found := _FETCHED.search(page.read_text(encoding="utf-8")):
            raise BuildError(f"{page.name} fetches what the site does not hold: {found[0]}")
