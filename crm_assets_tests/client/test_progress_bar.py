"""Where a bar is drawn, and what it shows."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any

import pytest

from crm_assets.client import Progress, State, silent
from crm_assets.client.progress_bar import shown

RUNNING = Progress(12, 54, "2017-03", "scores", State.RUNNING)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with shown(None) as show:
        assert show is silent
        show(RUNNING)


def test_who_wants_to_hear_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    heard: list[Progress] = []
    with shown(heard.append) as show:
        show(RUNNING)
    assert heard == [RUNNING]
    assert terminal.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown(None) as show:
        show(RUNNING)
    drawn = terminal.getvalue()
    assert "scores 2017-03" in drawn
    assert "12/54" in drawn


def test_a_notebook_gets_one_place_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    class ZMQInteractiveShell:
        """Called as the shell of a notebook's kernel is."""

    class Handle:
        def update(self, drawing: object) -> None:
            drawn.append(drawing)

    def display(drawing: object, *, display_id: bool) -> Handle:
        assert display_id
        drawn.append(drawing)
        return Handle()

    ipython, displays = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]  # a module made up
    displays.display = display  # type: ignore[attr-defined]  # a module made up
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    with shown(None) as show:
        show(RUNNING)
    assert [repr(drawing) for drawing in drawn] == ["0 of 0, queued", "12 of 54, scores 2017-03"]
    assert 'value="12" max="54"' in drawn[-1]._repr_html_()
