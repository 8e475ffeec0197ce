"""The notebooks hold no outputs, use public names alone, and run."""

from __future__ import annotations

import ast
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.notebooks.execution import NOTEBOOKS, executed, pictures

SECONDS = 60
"""What a notebook may take on a quiet machine with two cores."""

PUBLIC = ("backtesting", "calendar", "features", "history", "modelling", "settings", "simulator", "sources")
"""What of the package notebooks may import: what a month is made of, and not how the platform runs it."""

PICTURES = "NOTEBOOK_PICTURES"
"""Variable with the folder that the pictures are written to; they go nowhere without it."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def code(path: Path) -> ast.Module:
    """The cells as one module, without magics."""
    lines = [line for cell in cells(path) if cell["cell_type"] == "code" for line in [*cell["source"], "\n"]]
    return ast.parse("".join(line for line in lines if not line.startswith("%")))


def test_there_are_two() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_explore_the_crm.ipynb", "02_from_history_to_probability.ipynb"]


@every_notebook
def test_outputs_are_stripped(path: Path) -> None:
    for cell in cells(path):
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "run nbstripout"
            assert cell["execution_count"] is None, "run nbstripout"
        assert set(cell["metadata"]) <= {"picture"}


@every_notebook
def test_only_public_names_are_imported(path: Path) -> None:
    for node in ast.walk(code(path)):
        if isinstance(node, ast.Import):
            assert not any(name.name.startswith("crm_assets") for name in node.names), "import names, not modules"
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "crm_assets":
            module = importlib.import_module(str(node.module))
            assert str(node.module).split(".")[1] in PUBLIC, node.module
            for name in node.names:
                assert not any(part.startswith("_") for part in f"{node.module}.{name.name}".split("."))
                assert getattr(module, name.name).__doc__, f"{name.name} says nothing of itself"
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), node.attr


@every_notebook
def test_links_lead_somewhere(path: Path) -> None:
    for cell in cells(path):
        for part in "".join(cell["source"]).split("](")[1:]:
            assert (path.parent / part.partition(")")[0]).is_file(), part


@pytest.mark.notebooks
@every_notebook
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(path.parents[1]))
    # The kernel says otherwise that it talks over TCP, and this process that pytest turns warnings into errors.
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    started = time.monotonic()
    notebook = executed(path, tmp_path)
    seconds = time.monotonic() - started
    drawn = pictures(notebook)
    assert set(drawn) == {cell["metadata"]["picture"] for cell in cells(path) if "picture" in cell["metadata"]}
    assert not list(tmp_path.iterdir()), "it leaves files behind"
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", output.get("text")
    if folder := os.environ.get(PICTURES):
        for name, png in drawn.items():
            (Path(folder) / f"{path.stem[:2]}-{name}.png").write_bytes(png)
    assert seconds < SECONDS, f"{seconds:.0f} s"
