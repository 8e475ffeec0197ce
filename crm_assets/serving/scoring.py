"""From an opportunity to its score: looked up where it stands in the book, computed where it is thought of."""

from __future__ import annotations

import difflib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from crm_assets.defs.scoring import scored_in_batches
from crm_assets.errors import CrmAssetsError
from crm_assets.features.as_of import Fields, Value
from crm_assets.features.registry import AS_OF, CATEGORICAL
from crm_assets.modelling.model_at import ModelAt
from crm_assets.modelling.win_model import FATES, WinModel
from crm_assets.serving.book import Book

if TYPE_CHECKING:
    import pandas as pd

UnknownPolicy = Literal["refuse", "overall"]

_KEPT = 5_000
"""Computed scores that are kept, for the same opportunity is often asked for again."""
_OFFERED = 3


@dataclass(frozen=True)
class Fault:
    """What is wrong with one value of a request.

    Attributes:
        pointer: where it stands, a JSON pointer from the opportunity.
        detail: what is wrong and the remedy.
    """

    pointer: str
    detail: str


class RefusedError(CrmAssetsError):
    """A request that cannot be answered as it is.

    Attributes:
        faults: all that is wrong with it.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Asked:
    """An opportunity as a request names it: by its id alone, or by its fields.

    Attributes:
        opportunity_id: of one in the book; None for one that is told by its fields.
        sales_agent, product: see `Fields`.
        engage_date: day of engagement; None where the age is given.
        age_days: days from engagement to the month-end.
        list_price: USD; that of the product when None.
    """

    opportunity_id: str | None = None
    sales_agent: str | None = None
    product: str | None = None
    engage_date: date | None = None
    age_days: int | None = None
    list_price: float | None = None


@dataclass(frozen=True)
class Told:
    """An opportunity whose features can be computed.

    Attributes:
        opportunity_id: where it stands in the book with these very fields, else None.
        fields: what its features follow from.
        unknown: names of the fields whose value the CRM does not know, which count as average.
    """

    opportunity_id: str | None
    fields: Fields
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class VersionedModel:
    """A version of the registry.

    Attributes:
        version: counted by the registry.
        sha256: of the model's content.
        month: at whose end it was trained, YYYY-MM.
        model: what was registered.
    """

    version: str
    sha256: str
    month: str
    model: WinModel


@dataclass(eq=False)
class Scorer:
    """The scores one model gives the opportunities of one month.

    Attributes:
        book: of the month.
        served: the model.
        scored: the rows of the book with what the model gives, in their order.
    """

    book: Book
    served: VersionedModel
    scored: pl.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        self.scored = scored_in_batches(self.served.model, self.book.rows)[0].with_columns(
            (pl.col("probability") * pl.col("list_price")).alias("expected_value")
        )
        self._kept: OrderedDict[Fields, dict[str, Any]] = OrderedDict()
        self._model = ModelAt(self.served.model, self.book.month)
        self._read = list(dict.fromkeys((*self.served.model.features, "age_days")))

    @cached_property
    def known(self) -> dict[str, dict[str, Any]]:
        """opportunity_id -> its answer."""
        rows = self.scored.select("opportunity_id", "probability", "expected_value", *FATES, "list_price", "age_days")
        return {row["opportunity_id"]: row for row in rows.iter_rows(named=True)}

    def scores(self, told: Sequence[Told]) -> list[dict[str, Any]]:
        """Of each opportunity probability, expected_value, the fates, list_price and age_days."""
        new = list({one.fields: None for one in told if one.opportunity_id is None and one.fields not in self._kept})
        computed = dict(zip(new, self.computed(new), strict=True)) if new else {}
        answers = []
        for one in told:
            if one.opportunity_id is not None:
                answers.append(self.known[one.opportunity_id])
            else:
                # Another request may have pushed it out meanwhile.
                found = computed.get(one.fields) or self._kept.get(one.fields) or self.computed([one.fields])[0]
                answers.append({"opportunity_id": None, **found})
        for fields, answer in computed.items():
            self._kept[fields] = answer
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return answers

    def frame(self, fields: Sequence[Fields], more: Sequence[str] = ()) -> pd.DataFrame:
        """The features of each opportunity that the model reads, and those of `more`."""
        import pandas as pd

        names = list(dict.fromkeys((*self.served.model.features, *more)))
        rows = self.book.features.rows(fields, names)
        return pd.DataFrame({name: _column(name, [row[name] for row in rows]) for name in names})

    def computed(self, fields: Sequence[Fields]) -> list[dict[str, Any]]:
        """The answers of opportunities that are told by their fields, without looking at what is kept."""
        rows = self.book.features.rows(fields, self._read)
        prices = [self.book.features.price_of(each) for each in fields]
        return [
            {
                "probability": scored.probability,
                "expected_value": None if price is None else scored.probability * price,
                "probability_lost": scored.probability_lost,
                "probability_abandoned": scored.probability_abandoned,
                "expected_close_month": scored.expected_close_month,
                "list_price": price,
                "age_days": row["age_days"],
            }
            for row, price, scored in zip(rows, prices, self._model(rows), strict=True)
        ]


def _column(name: str, values: list[Value]) -> Any:
    if name == AS_OF:
        return np.array(values, dtype="datetime64[s]")
    return np.array(values, dtype=object if name in CATEGORICAL else np.float64)


def resolved(asked: Asked, book: Book, policy: UnknownPolicy) -> Told:
    """The opportunity that is asked for.

    Raises RefusedError naming every field that is wrong: an id that is not in the book, an agent or a product that the
    CRM does not know (unless `policy` lets them count as average), a day after the month-end.
    """
    if asked.opportunity_id is not None:
        if asked.opportunity_id not in book.at:
            raise RefusedError([Fault("/opportunity_id", _why_not_in_book(asked.opportunity_id, book))])
        return Told(asked.opportunity_id, book.fields[asked.opportunity_id])
    return _by_fields(asked, book, policy)


def changed(asked: Asked, change: Mapping[str, Any], book: Book, policy: UnknownPolicy) -> tuple[Told, Told]:
    """An opportunity before and after its fields are changed. Raises RefusedError as `resolved` does."""
    before = resolved(asked, book, policy)
    fields = before.fields
    kept: dict[str, Any] = {
        "sales_agent": fields.sales_agent,
        "product": fields.product,
        "engage_date": fields.engage_date,
        "list_price": None if "product" in change else fields.list_price,
    }
    if "age_days" in change:
        del kept["engage_date"]
    after = _by_fields(Asked(**{**kept, **change}), book, policy)
    same = after.fields == before.fields
    return before, Told(before.opportunity_id if same else None, after.fields, after.unknown)


def _by_fields(asked: Asked, book: Book, policy: UnknownPolicy) -> Told:
    faults, unknown = [], []
    known = {"sales_agent": book.features.agents, "product": book.features.products}
    for name, among in known.items():
        value = getattr(asked, name)
        if value not in among:
            unknown.append(name)
            if policy == "refuse":
                faults.append(Fault(f"/{name}", _unknown(name, value, list(among), book)))
    end = book.month.end
    engaged = asked.engage_date
    if engaged is None:
        try:
            engaged = end - timedelta(days=asked.age_days or 0)
        except OverflowError:
            faults.append(Fault("/age_days", f"{asked.age_days} days before {end} there was no calendar"))
    elif engaged > end:
        faults.append(
            Fault("/engage_date", f"{engaged} is after {end}, the day as of which is scored: give one up to that day")
        )
    if faults:
        raise RefusedError(faults)
    assert engaged is not None and asked.sales_agent is not None and asked.product is not None
    return Told(None, Fields(asked.sales_agent, asked.product, engaged, asked.list_price), tuple(unknown))


def _unknown(name: str, value: str, among: Sequence[str], book: Book) -> str:
    near = difflib.get_close_matches(value, among, n=_OFFERED)
    folded = {other.casefold(): other for other in among}
    if not near and value.casefold() in folded:
        near = [folded[value.casefold()]]
    kind = "agent" if name == "sales_agent" else "product"
    hint = f"did you mean {' or '.join(near)}?" if near else f"the CRM names {len(among)} {kind}s, none like it"
    return f"{json.dumps(value, ensure_ascii=False)} is no {kind} at the end of {book.month}: {hint}"


def _why_not_in_book(opportunity: str, book: Book) -> str:
    stage = book.stages.get(opportunity)
    shown = json.dumps(opportunity, ensure_ascii=False)
    if stage is None:
        return (
            f"there is no opportunity {shown} at the end of {book.month}: give its fields, or an id from /v1/pipeline"
        )
    return f"opportunity {shown} is not open at the end of {book.month}, it is {stage}: only open ones are scored"
