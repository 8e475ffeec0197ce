"""README and docs name only what exists: files, headings, make targets, commands and settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_assets.cli import main
from crm_assets.settings import PREFIX, TESTS_ONLY, Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LARGEST_IMAGE_BYTES = 300_000

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=.*")

every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every command in the page's shell blocks and inline code, without comments and variables before it."""
    text = page.read_text(encoding="utf-8")
    lines = [line for kind, block in _FENCE.findall(text) if kind == "sh" for line in block.splitlines()]
    lines += re.findall(r"`((?:crm-assets|make) [^`]+)`", _FENCE.sub("", text))
    for line in lines:
        words = shlex.split(line, comments=True)
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        if words:
            yield words


def anchors(page: Path) -> set[str]:
    """Anchors of the page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def targets() -> set[str]:
    """Targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def options(verb: str) -> set[str]:
    """Options that the verb's help names."""
    told = CliRunner().invoke(main, [verb, "--help"])
    assert told.exit_code == 0, f"crm-assets {verb}: {told.output}"
    return set(re.findall(r"^\s+(?:-\w, )?(--[a-z0-9-]+)", told.output, re.MULTILINE))


@every_page
def test_links_and_images_exist(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"
        if target.suffix == ".png":
            assert target.read_bytes().startswith(b"\x89PNG")
            assert target.stat().st_size < LARGEST_IMAGE_BYTES, f"{link} is too large"


@every_page
def test_make_targets_exist(page: Path) -> None:
    for words in commands(page):
        if words[0] == "make":
            named = {word for word in words[1:] if "=" not in word and word.islower()}
            assert named <= targets(), f"{shlex.join(words)}: no such target"


@every_page
def test_commands_exist(page: Path) -> None:
    for words in commands(page):
        if words[0] == "crm-assets":
            named = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
            assert named <= options(words[1]), f"{shlex.join(words)}: no such option"


@every_page
def test_settings_exist(page: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | TESTS_ONLY
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", page.read_text(encoding="utf-8")))
    assert named <= known


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        links = {link.partition("#")[0] for link in _LINK.findall(page.read_text(encoding="utf-8"))}
        found = {(page.parent / link).resolve() for link in links if link.endswith(".md")}
        ahead += found - reached
    assert reached == set(PAGES)


def test_every_image_is_shown() -> None:
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in _LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert set((ROOT / "docs" / "images").rglob("*.png")) <= shown


def test_quick_start_is_in_the_readme() -> None:
    """The checks above have something to look at."""
    words = list(commands(ROOT / "README.md"))
    assert ["make", "demo"] in words
    assert ["crm-assets", "run", "--source", "exports/crm"] in words
