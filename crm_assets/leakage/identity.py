"""Whether two tables are the same to the last bit, and where they first differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """A column that differs between two tables.

    Attributes:
        column: its name; `*` where rows are missing, added or in another order.
        rows: how many rows differ.
        key: of the first row that differs.
        found, expected: its values there, as text.
        rounding: whether all differences are as small as those of sums taken in another order.
    """

    column: str
    rows: int
    key: str
    found: str
    expected: str
    rounding: bool = False

    def __str__(self) -> str:
        told = f"{self.rows} rows differ, the first is {self.key}: {self.found}, not {self.expected}"
        if self.rounding:
            told += " (only by rounding: sum whole numbers, so that the order of rows has no influence)"
        return told


def differences(found: pl.DataFrame, expected: pl.DataFrame, key: list[str]) -> list[Difference]:
    """Every column that differs, in order; none when the tables are the same.

    Args:
        found, expected: of the same columns, each row identified by `key`.
        key: columns.

    Where the rows themselves differ, only that is told: their columns cannot be compared.
    """
    if found.columns != expected.columns:
        told = f"columns {', '.join(found.columns)}"
        return [Difference("*", 0, "the header", told, f"columns {', '.join(expected.columns)}")]
    if not found.select(key).equals(expected.select(key)):
        return [_of_rows(found, expected, key)]
    return [
        difference
        for name in expected.columns
        if (difference := _of_column(found[name], expected[name], expected.select(key))) is not None
    ]


def _of_rows(found: pl.DataFrame, expected: pl.DataFrame, key: list[str]) -> Difference:
    missing = expected.join(found, on=key, how="anti", nulls_equal=True).select(key)
    added = found.join(expected, on=key, how="anti", nulls_equal=True).select(key)
    if missing.is_empty() and added.is_empty():
        return Difference("*", found.height, "the order", "rows in another order", "the same order")
    first = (missing if missing.height else added).row(0)
    told = (f"{missing.height} rows are missing", f"{added.height} are new")
    return Difference("*", missing.height + added.height, _shown_key(first), " and ".join(told), "the same rows")


def _of_column(found: pl.Series, expected: pl.Series, keys: pl.DataFrame) -> Difference | None:
    if found.dtype != expected.dtype:
        return Difference(expected.name, len(expected), "every row", f"type {found.dtype}", f"type {expected.dtype}")
    differs = ~_same(found, expected)
    if not differs.any():
        return None
    at = int(np.argmax(differs))
    return Difference(
        expected.name,
        int(differs.sum()),
        _shown_key(keys.row(at)),
        _shown(found[at]),
        _shown(expected[at]),
        rounding=found.dtype == pl.Float64() and _is_rounding(found, expected),
    )


def _is_rounding(found: pl.Series, expected: pl.Series) -> bool:
    if not (found.is_null() == expected.is_null()).all():
        return False
    first, second = (series.drop_nulls().to_numpy() for series in (found, expected))
    return bool(np.allclose(first, second, rtol=_ROUNDING, atol=0, equal_nan=True))


def _same(found: pl.Series, expected: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Row by row, whether values are the same; floats by their bits, so that 0.0 is not -0.0."""
    same = found.eq_missing(expected).to_numpy()
    if found.dtype == pl.Float64():
        first, second = (series.fill_null(0.0).to_numpy().view(np.int64) for series in (found, expected))
        same = same & (first == second)
    return np.asarray(same, dtype=np.bool_)


def _shown(value: object) -> str:
    return "empty" if value is None else repr(value) if isinstance(value, float | str) else str(value)


def _shown_key(key: tuple[object, ...]) -> str:
    return " of ".join(str(part) for part in key)
