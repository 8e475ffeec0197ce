"""Small tables that wrap on a phone and that a screen reader reads, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A Markdown table; the cells are Markdown, so what comes from the data is `written`.

    Args:
        header: of the columns.
        rows: their cells.
        numbers: places of the columns that are set to the right.
    """
    right = set(numbers)
    rule = ["---:" if at in right else "---" for at in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))
