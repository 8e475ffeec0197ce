"""The names that the CRM knew at a month-end."""

from __future__ import annotations

from typing import Any

import polars as pl

from crm_assets.serving.book import Book


def catalogue(book: Book) -> dict[str, list[dict[str, Any]]]:
    """The fields `agents` and `products` of `CatalogueAnswer`, by name."""

    def of(subject: str, *columns: str) -> list[dict[str, Any]]:
        return book.lookups.filter(pl.col("subject") == subject).select("name", *columns).sort("name").to_dicts()

    return {"agents": of("agent", "manager", "regional_office"), "products": of("product", "series", "list_price")}
