"""README and docs name only what exists: files, headings, make targets, commands and settings."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from crm_assets.cli import main
from crm_assets.settings import PREFIX, TESTS_ONLY, Settings
from crm_assets_tests.docs.pages import ROOT, anchors, blocks, links, pages, prose

PAGES = pages()
LARGEST_IMAGE_BYTES = 300_000

_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=.*")

every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every command in the page's shell blocks and inline code, without comments and variables before it."""
    found = [words for block in blocks(page) for words in block.commands()]
    found += [line.split() for line in re.findall(r"`((?:crm-assets|make) [^`]+)`", prose(page))]
    for words in found:
        after = list(itertools.dropwhile(_ASSIGNMENT.fullmatch, words))
        if after:
            yield after


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


def dead(page: Path, link: str) -> str | None:
    """What is wrong with a link that stays in the project; None where nothing is."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(ROOT):
        return f"{link} leads out of the project"
    if not target.exists():
        return f"{link} leads nowhere"
    if anchor and anchor not in anchors(target):
        return f"{link}: no such heading"
    return None


@every_page
def test_links_and_images_exist(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "mailto:")):
            continue
        assert not (wrong := dead(page, link)), wrong
        target = page.parent / link
        if target.suffix in {".png", ".svg"}:
            assert target.read_bytes().startswith((b"\x89PNG", b"<?xml"))
            assert target.stat().st_size < LARGEST_IMAGE_BYTES, f"{link} is too large"


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("nothing.md", "leads nowhere"),
        ("time.md#what-is-not-there", "no such heading"),
        ("#nor-is-this", "no such heading"),
        ("images/none.png", "leads nowhere"),
        ("../../outside.md", "leads out of the project"),
        ("../nothing.md", "leads nowhere"),
    ],
)
def test_a_dead_link_is_found(link: str, wrong: str) -> None:
    assert str(dead(ROOT / "docs" / "model.md", link)).endswith(wrong)
    assert dead(ROOT / "docs" / "model.md", "time.md#what-goes-wrong") is None
    assert dead(ROOT / "docs" / "model.md", "../README.md#quick-start") is None


def test_links_of_pictures_and_their_targets_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](b.md#c) ![d](e.png) [![f](g.svg)](h.svg)\n```sh\n[x](y.md)\n```\n")
    assert sorted(links(page)) == ["b.md#c", "e.png", "g.svg", "h.svg"]


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


def test_every_page_is_reached_from_the_readme_or_the_site() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md", *(site_page(name) for name in site_pages())]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        found = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ".md" in link}
        ahead += [other for other in found - reached if other.is_file()]
    assert reached == set(PAGES)


def test_every_image_is_shown() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page) if not link.startswith("https:")}
    assert {*(ROOT / "docs").rglob("*.png"), *(ROOT / "docs").rglob("*.svg")} <= shown


def site_pages() -> list[str]:
    """Pages in the navigation of the site, in its order."""
    # Tags such as that of the slugs are MkDocs' own; the navigation has none.
    part = re.search(r"^nav:\n(?:[ ].*\n)+", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert part, "mkdocs.yml has no navigation"
    nav = yaml.safe_load(part[0])

    def named(part: object) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            for inner in part.values():
                yield from named(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from named(inner)

    return list(named(nav))


def site_page(name: str) -> Path:
    """The file of a page of the navigation; the site's own hooks say which lie elsewhere."""
    hooks = (ROOT / "docs" / "site" / "hooks.py").read_text(encoding="utf-8")
    elsewhere = re.search(r"^WRITTEN_ELSEWHERE = (.+)$", hooks, re.MULTILINE)
    assert elsewhere
    written = ast.literal_eval(elsewhere[1]).get(name)
    return ROOT / written if written else ROOT / "docs" / name


def test_every_page_is_in_the_navigation_once() -> None:
    written = [*(ROOT / "docs").rglob("*.md"), ROOT / "terraform" / "README.md"]
    assert sorted(site_page(name) for name in site_pages()) == sorted(written)


def test_quick_start_is_in_the_readme() -> None:
    """The checks above have something to look at."""
    words = list(commands(ROOT / "README.md"))
    assert ["make", "demo"] in words
    assert ["crm-assets", "run", "--source", "exports/crm"] in words


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda form: form.stem
)
def test_forms_for_issues_are_whole(form: Path) -> None:
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        assert set(content) <= {"blank_issues_enabled", "contact_links"}
        return
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in fields)
    for verb in re.findall(r"crm-assets ([a-z][a-z-]*)", form.read_text(encoding="utf-8")):
        assert verb in main.commands, f"there is no crm-assets {verb}"


def test_the_description_of_a_change_names_targets_that_are_there() -> None:
    text = (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")
    named = {word for words in re.findall(r"`make ([a-z -]+)`", text) for word in words.split()}
    assert named
    assert named <= targets()
