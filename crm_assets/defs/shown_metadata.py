"""Tables and pictures as metadata that Dagster's pages show."""

from __future__ import annotations

import base64

import dagster as dg
import polars as pl

_COLUMNS = 12


def picture(title: str, image: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as metadata that Dagster's page shows."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(image).decode()})")


def markdown(rows: pl.DataFrame) -> str:
    """The rows as a Markdown table of the first columns."""
    if rows.is_empty():
        return "no rows"
    shown = rows.select(rows.columns[:_COLUMNS])
    lines = [" | ".join(shown.columns), " | ".join("---" for _ in shown.columns)]
    lines += [" | ".join("" if value is None else _cell(value) for value in row) for row in shown.iter_rows()]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")
