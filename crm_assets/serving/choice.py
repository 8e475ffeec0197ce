"""The open deals that a request chooses, in its order."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from crm_assets.serving.open_deals import ID, SOUGHT
from crm_assets.serving.pipeline_messages import FIELDS, Filters, Ordered


def chosen(rows: pl.DataFrame, asked: Filters, *, but: Iterable[str] = ()) -> pl.DataFrame:
    """Rows of `OpenDeals` that the filters leave; those of the fields in `but` are not applied."""
    return rows.filter(*_conditions(asked, frozenset(but)))


def ordered(rows: pl.DataFrame, asked: Ordered) -> pl.DataFrame:
    """Rows in the order that is asked for; those without a value last, equal ones by their id."""
    descending = [asked.order == "desc"]
    if asked.sort == ID:
        return rows.sort(ID, descending=descending)
    return rows.sort([asked.sort, ID], descending=[*descending, False], nulls_last=True)


def _conditions(asked: Filters, but: frozenset[str]) -> list[pl.Expr]:
    wanted = [
        pl.col(name).is_in(values) for name in FIELDS if name not in but and (values := list(getattr(asked, name)))
    ]
    if asked.min_probability > 0:
        wanted.append(pl.col("probability") >= asked.min_probability)
    if asked.min_age_days is not None:
        wanted.append(pl.col("age_days") >= asked.min_age_days)
    if asked.max_age_days is not None:
        wanted.append(pl.col("age_days") <= asked.max_age_days)
    if asked.abandoned is not None:
        # Where the model cannot tell, nothing is known to be abandoned.
        wanted.append(pl.col("is_abandoned").fill_null(value=False) == (asked.abandoned == "yes"))
    if sought := (asked.search or "").strip():
        wanted.append(pl.col(SOUGHT).str.contains(sought.lower(), literal=True))
    return wanted
