"""Shows how far a backfill is: a bar in a terminal or a notebook, nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from crm_assets.client.backfill import OnProgress, Progress, State, silent


@contextmanager
def shown(on_progress: OnProgress | None) -> Iterator[OnProgress]:
    """What to tell progress to while the block runs: `on_progress`, or else a bar where somebody looks."""
    if on_progress is not None:
        yield on_progress
    elif (display := _notebook_display()) is not None:
        yield _in_notebook(display)
    elif sys.stderr.isatty():
        with _in_terminal() as bar:
            yield bar
    else:
        yield silent


def told(progress: Progress) -> str:
    """The progress in a few words."""
    if progress.state is State.QUEUED:
        return "queued"
    if progress.state is State.RUNNING:
        return f"{progress.asset or 'starting'} {progress.month or ''}".rstrip()
    return str(progress.state)


@contextmanager
def _in_terminal() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar: Bar
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda progress: bar.update(
            task, completed=progress.done, total=progress.total or None, description=told(progress)
        )


def _notebook_display() -> Callable[..., Any] | None:
    """IPython's `display` in a process that a notebook runs; None elsewhere. Loads nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # The class of the shell behind a notebook's kernel; the terminal's is another.
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    # Not installed with this project: whoever runs a notebook brings it, with types or without.
    from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

    found: Callable[..., Any] = display
    return found


class _Drawing:
    """A bar as HTML for the notebook, and as text for where its output is printed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def _repr_html_(self) -> str:
        done, total = self._progress.done, self._progress.total or 1
        words = escape(f"{done} of {self._progress.total}, {told(self._progress)}")
        return f'<progress value="{done}" max="{total}"></progress> {words}'

    def __repr__(self) -> str:
        return f"{self._progress.done} of {self._progress.total}, {told(self._progress)}"


def _in_notebook(display: Callable[..., Any]) -> OnProgress:
    """Draws into one place of the cell's output. Rich would need ipywidgets for that."""
    handle = display(_Drawing(Progress(0, 0, None, None, State.QUEUED)), display_id=True)

    def draw(progress: Progress) -> None:
        handle.update(_Drawing(progress))

    return draw
