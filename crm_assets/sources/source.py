"""The protocol of every source: the CRM's tables as of a month-end, or the history they follow from."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol, TypeAlias

from crm_assets.calendar import Month

if TYPE_CHECKING:
    import polars as pl

Progress: TypeAlias = Callable[[str], None]
"""Told in one line what takes a while, before it begins."""


class Evidence(enum.StrEnum):
    """What a source knows of a past month."""

    EXTRACT = "monthly extract"
    """The tables as they were at the end of that month."""

    FIELD_HISTORY = "field history"
    """What changed in the pipeline when, and when that was recorded; `history.field_history` makes it as of any day."""

    EXPORT = "one late export"
    """The tables as they were on one later day, for every month; `history.replay` rolls them back."""


@dataclass(frozen=True)
class Extract:
    """What a listing tells of a month's extract.

    Attributes:
        facts: digest of names, sizes and times of its tables; as long as it is the same, so is the content.
        missing: files that are not there yet.
    """

    facts: str
    missing: tuple[str, ...] = ()


class Source(Protocol):
    """Where raw tables come from. Every method raises SourceError when the source cannot be read or is at fault."""

    @property
    def url(self) -> str:
        """The canonical URL: equal for two spellings of one source."""
        ...

    @property
    def evidence(self) -> Evidence:
        """Whether the tables of a month are those of its end, follow from field history, or are one late export."""
        ...

    @property
    def exported_on(self) -> date | None:
        """Day field history or one late export was taken, up to whose end it tells; None for monthly extracts."""
        ...

    def months(self) -> list[Month]:
        """Every month the source can tell about, sorted; months may be missing between them."""
        ...

    def fingerprint(self, month: Month) -> str:
        """SHA-256, in hexadecimal, of all that the tables of `month` are made from."""
        ...

    def tables(self, month: Month) -> Mapping[str, pl.LazyFrame]:
        """The tables of `contracts.CRM_TABLES` by name, typed as their contracts say, with the values of the source.

        A source that lacks an optional table gives it without rows. One late export comes as it was exported. A source
        of field history gives `contracts.FIELD_HISTORY_TABLES`: every change it tells, in place of `sales_pipeline`.
        """
        ...

    def notes(self, month: Month) -> list[str]:
        """What was mended without loss while the tables of `month` were read, one sentence each; mostly empty."""
        ...
