"""The pages that are made from the code are committed as the code makes them."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import pytest

from crm_assets.contracts import CRM_TABLES, OPPORTUNITY_HISTORY
from crm_assets.defs.assets import ASSETS
from crm_assets.features.registry import FEATURES
from crm_assets.modelling.movement import PLAYERS
from crm_assets.reference_pages import PAGES, main
from crm_assets.settings import Settings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", PAGES)
def test_committed_page_is_what_the_code_makes(name: str) -> None:
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == PAGES[name](), f"docs/{name} is out of date: run make docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_depends_on_no_machine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = PAGES[name]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRM_LAKE_URL", "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PAGES[name]() == here
    for told in (str(ROOT), str(Path.home()), str(tmp_path), f"/{getpass.getuser()}/"):
        assert told not in here


def test_every_column_has_a_row() -> None:
    page = PAGES["tables.md"]()
    tables = {table.name: table for table in (*(asset.table for asset in ASSETS), *CRM_TABLES, OPPORTUNITY_HISTORY)}
    assert page.count("\n### ") == len(tables)
    for name, table in tables.items():
        section = page.split(f"### {name}\n")[1].split("\n### ")[0]
        assert table.description in section
        for column in table.columns:
            (row,) = [line for line in section.splitlines() if line.startswith(f"| `{column.name}` |")]
            assert column.description in row
            assert column.kind.value in row
            assert (column.unit or "") in row
            for value in (*column.allowed, *column.aliases, *column.aliases.values(), *(column.references or ())):
                assert value in row


def test_every_feature_has_a_row() -> None:
    rows = PAGES["features.md"]().splitlines()
    for feature in FEATURES:
        (row,) = [line for line in rows if line.startswith(f"| `{feature.name}` |")]
        assert feature.description in row
        assert f"| {PLAYERS[feature.cause.value]} |" in row
        assert all(f"`{place}`" in row for place in feature.reads)


def test_every_setting_has_a_row() -> None:
    rows = PAGES["configuration.md"]().splitlines()
    for name, field in Settings.model_fields.items():
        (row,) = [line for line in rows if line.startswith(f"| `CRM_{name.upper()}` |")]
        assert field.description is not None
        assert field.description in row
        assert field.default in {None, ""} or f"`{field.default}`".lower() in row.lower()


@pytest.mark.parametrize("name", PAGES)
def test_tables_of_a_page_are_whole(name: str) -> None:
    """Every row of a Markdown table has as many cells as its header."""
    width = 0
    for line in PAGES[name]().splitlines():
        cells = line.replace("\\|", "").count("|")
        if line.startswith("|"):
            assert cells == (width or cells), line
            width = cells
        else:
            width = 0


def test_make_docs_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reference_pages", str(tmp_path)])
    main()
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        name: make() for name, make in PAGES.items()
    }


def test_folder_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reference_pages"])
    with pytest.raises(SystemExit, match="usage"):
        main()
