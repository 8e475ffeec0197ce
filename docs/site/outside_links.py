"""Links that lead out of docs/ are for readers of the repository; on the site they become the name of the file."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page as MkDocs should read it."""
    return _OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    text, path = link[1], link[2].lstrip("./")
    return text if text.strip("`").endswith(path.rsplit("/", 1)[-1]) else f"{text} (`{path}`)"
