"""What a monthly asset is: one pure function from the months it needs to the month it makes.

An asset is declared once, by `monthly_asset`. Dagster's lineage and partition mappings, the inputs recorded in the
lake and the question whether a month is up to date are all answered from that declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_assets.calendar import Month, month_range
from crm_assets.code_version import code_version
from crm_assets.contracts import Table

if TYPE_CHECKING:
    import narwhals as nw
    import polars as pl

    from crm_assets.defs.inputs import Inputs
    from crm_assets.defs.platform import Platform
    from crm_assets.lake import Manifest
    from crm_assets.lake.lake import DocumentSuffix

SOURCE = "source"
"""Name of the source itself among the inputs of what is read from it."""

HISTORY_MONTHS = 60
"""How far back an asset reads that learns from history."""


@dataclass(frozen=True)
class Needs:
    """Months of another asset that an asset reads, as offsets from its own month, both ends included."""

    asset: str
    first: int = 0
    last: int = 0

    def months(self, month: Month) -> list[Month]:
        """The months it reads to make `month`."""
        return month_range(month.shift(self.first), month.shift(self.last))


def history_of(asset: str) -> Needs:
    """The asset's own month and all before it."""
    return Needs(asset, -HISTORY_MONTHS, 0)


def month_before(asset: str) -> Needs:
    """The month before."""
    return Needs(asset, -1, -1)


@dataclass(frozen=True)
class Made:
    """What an asset made for one month.

    Attributes:
        frame: the rows, lazy, with at least the columns of the asset's table.
        notes: figures and facts about it, stored in the lake's manifest and shown in Dagster.
        documents: file ending -> content, stored beside the table.
        plots: title -> what draws it as a PNG, shown in Dagster. Only those of a run's newest month are drawn: nobody
            looks at the pictures of a backfill's earlier months, and drawing them takes longer than the rest.
        shown: title -> rows, shown in Dagster as a table.
        texts: title -> Markdown, shown in Dagster.
        links: title -> address, shown in Dagster.
    """

    frame: nw.LazyFrame[Any]
    notes: Mapping[str, Any] = field(default_factory=dict)
    documents: Mapping[DocumentSuffix, bytes] = field(default_factory=dict)
    plots: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    shown: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MonthlyAsset:
    """A declared asset.

    Attributes:
        name: path in the lake and asset key, parts separated by `/`.
        table: contract of its rows.
        make: from its inputs and a month to that month's content.
        needs: what it reads.
        group: group in Dagster's graph.
        description: for the asset's page.
        kinds: tags on the node of the graph.
        code: modules whose source decides its content.
        settings: names of the settings that shape its content.
        source_fingerprint: whether it is read from the source, so that a change there makes it stale.
        probes_source: whether it reads the source besides other assets, so that it cannot be made from the lake alone.
        log: table of the lake that it is gathered from, so that rows added to a month make it stale.
        preview_by: column whose highest values Dagster's preview shows; the first rows when None.
        keep_replaced: whether the lake keeps the table of a month that is made again and comes out otherwise.
        stored: told of the newest month of a run once it is stored, or found up to date.
        lost: tells why what a stored month stands for outside the lake is gone; None while it is there.
    """

    name: str
    table: Table
    make: Callable[[Inputs, Month], Made]
    needs: tuple[Needs, ...]
    group: str
    description: str
    kinds: frozenset[str]
    code: tuple[str, ...]
    settings: tuple[str, ...] = ()
    source_fingerprint: bool = False
    probes_source: bool = False
    log: Table | None = None
    preview_by: str | None = None
    keep_replaced: bool = False
    lost: Callable[[Platform, Manifest], str | None] | None = None
    stored: Callable[[Platform, Manifest], None] | None = None

    @property
    def key(self) -> list[str]:
        """The asset key's parts."""
        return self.name.split("/")

    @property
    def code_version(self) -> str:
        """Digest of the code that makes it."""
        return code_version("calendar", "contracts", *self.code)


def monthly_asset(
    table: Table,
    *,
    group: str,
    needs: Sequence[Needs],
    kinds: Sequence[str],
    code: Sequence[str],
    settings: Sequence[str] = (),
    probes_source: bool = False,
    log: Table | None = None,
    preview_by: str | None = None,
    keep_replaced: bool = False,
    lost: Callable[[Platform, Manifest], str | None] | None = None,
    stored: Callable[[Platform, Manifest], None] | None = None,
) -> Callable[[Callable[[Inputs, Month], Made]], MonthlyAsset]:
    """Declare the decorated function as the asset that makes `table`; its docstring is the asset's description."""

    def declare(make: Callable[[Inputs, Month], Made]) -> MonthlyAsset:
        return MonthlyAsset(
            name=table.name,
            table=table,
            make=make,
            needs=tuple(needs),
            group=group,
            description=" ".join((make.__doc__ or table.description).split()),
            kinds=frozenset(kinds),
            code=tuple(code),
            settings=tuple(settings),
            probes_source=probes_source,
            log=log,
            preview_by=preview_by,
            keep_replaced=keep_replaced,
            lost=lost,
            stored=stored,
        )

    return declare
