"""Features of any opportunity as of a month-end, known to the CRM or only thought of, by the registry's expressions.

Each feature is about one subject: the agent, the product, the day of engagement, or the cohort of office and week. Its
expression is evaluated once for every value of that subject, over the stored counts, so that the features of an
opportunity are looked up. A feature of more than one subject is evaluated when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.engines.dialect import days_between
from crm_assets.features.counts import ALL, CLOSED, ENGAGED, GROUPS, week_of
from crm_assets.features.feature import Feature
from crm_assets.features.lookups import COHORT, FEATURE_LOOKUPS
from crm_assets.features.registry import AS_OF, FEATURES, since_last_close, with_next_month

AGENT, PRODUCT, DAY = "agent", "product", "day"
_COUNTS = (*CLOSED, *ENGAGED)
_DAYS_AHEAD = 3 * 366
"""Days of engagement up to the month-end that are evaluated at once; earlier ones when they are asked for."""
_KEPT = 4096
"""Days and prices that are kept once they were asked for: each is held in memory."""
_ALONE = 1
"""What a cohort counts in which nobody else was engaged."""

Value = int | float | str | date | None


@dataclass(frozen=True)
class Fields:
    """What the features of an opportunity follow from.

    Attributes:
        sales_agent: who owns it; one the CRM does not know counts as one without deals, manager and office.
        product: on offer; one the CRM does not know has no family.
        engage_date: day of engagement, not after the month-end.
        list_price: USD; that of the product when None.
    """

    sales_agent: str
    product: str
    engage_date: date
    list_price: float | None = None


class AsOfFeatures:
    """The features that any opportunity would have in the book of a month.

    An opportunity that stands in the CRM is among the counts, so its own fields give the features of the batch. One
    that does not is compared with the CRM as it stands and does not count itself, except where nobody else is in its
    cohort.

    Args:
        lookups: rows of `FEATURE_LOOKUPS` of one month.
        month: that month.
        definitions: the features; those of the registry unless given.

    Raises ValueError when the rows are of another month.
    """

    def __init__(self, lookups: pl.DataFrame, month: Month, definitions: Iterable[Feature] = FEATURES) -> None:
        if lookups["snapshot_month"].unique().to_list() != [str(month)]:
            raise ValueError(f"the lookups are not of {month}: hand over one month of {FEATURE_LOOKUPS.name}")
        self.month = month
        self.definitions = {feature.name: feature for feature in definitions}
        by_subject = {
            subject: lookups.filter(pl.col("subject") == subject).drop("subject", "snapshot_month", AS_OF)
            for subject in (*GROUPS, ALL, COHORT)
        }
        self._everyone = self._dated(_prefixed(by_subject[ALL], ALL))
        # The day first: what follows from it alone is known of a cohort without others as well.
        self._frames = {
            DAY: self._days([month.end - timedelta(days=ahead) for ahead in range(_DAYS_AHEAD)]),
            AGENT: self._dated(_agents(by_subject)),
            PRODUCT: self._dated(_products(by_subject)),
            COHORT: by_subject[COHORT].select(
                pl.col("name").alias("regional_office"),
                "week",
                pl.col("engaged").alias("cohort_engaged"),
                pl.col("open").alias("cohort_open"),
            ),
        }
        self.subjects = {name: self._subject(feature) for name, feature in self.definitions.items()}
        """Feature -> the subject that it is about; None for one of several."""
        self.agents: Mapping[str, Mapping[str, Value]] = self._evaluated(AGENT, self._frames[AGENT], "sales_agent")
        self.products: Mapping[str, Mapping[str, Value]] = self._evaluated(PRODUCT, self._frames[PRODUCT], "product")
        self._cohorts = self._evaluated(COHORT, self._frames[COHORT], "regional_office", "week")
        self._recent = self._evaluated(DAY, self._frames[DAY], "engage_date")
        self._offices = dict(self._frames[AGENT].select("sales_agent", "regional_office").iter_rows())
        self._weeks = dict(self._frames[DAY].select("engage_date", "week").iter_rows())
        self._prices = dict(self._frames[PRODUCT].select("product", "list_price").iter_rows())
        self._of_price = {
            name
            for name, subject in self.subjects.items()
            if subject == PRODUCT and not _resolves(self._frames[PRODUCT].drop("list_price"), self.definitions[name])
        }
        self._unknown_agent = self._of_nobody(AGENT)
        self._unknown_product = self._of_nobody(PRODUCT)
        self._no_cohort = self._of_nobody(COHORT)
        self._older: dict[date, tuple[Mapping[str, Value], int]] = {}
        self._priced: dict[tuple[str, float], Mapping[str, Value]] = {}

    def of(self, fields: Fields) -> dict[str, Value]:
        """Every feature of one opportunity, and `as_of`."""
        (row,) = self.rows([fields], list(self.definitions))
        return row

    def rows(self, opportunities: Sequence[Fields], wanted: Sequence[str]) -> list[dict[str, Value]]:
        """Those of the features, and of `as_of`, that are wanted, of each opportunity in order."""
        names: dict[str, list[str]] = {subject: [] for subject in (AGENT, PRODUCT, DAY, COHORT)}
        joint: list[str] = []
        for name in wanted:
            if name == AS_OF:
                continue
            subject = self.subjects[name]
            (joint if subject is None else names[subject]).append(name)
        days = self._days_long_ago(opportunities)
        # Whoever does not ask for what depends on the price need not have it evaluated at that price.
        priced = self._at_prices(opportunities) if any(name in self._of_price for name in names[PRODUCT]) else {}
        found = [self._row(fields, names, days, priced) for fields in opportunities]
        if AS_OF in wanted:
            for row in found:
                row[AS_OF] = self.month.end
        if joint and found:
            for row, more in zip(found, self._joined(opportunities, joint), strict=True):
                row.update(more)
        return found

    def price_of(self, fields: Fields) -> float | None:
        """The list price of an opportunity; None where neither it nor the CRM says one."""
        if fields.list_price is not None:
            return fields.list_price
        return self._prices.get(fields.product)

    def _row(
        self,
        fields: Fields,
        names: Mapping[str, Sequence[str]],
        days: Mapping[date, tuple[Mapping[str, Value], int]],
        priced: Mapping[tuple[str, float | None], Mapping[str, Value]],
    ) -> dict[str, Value]:
        agent = self.agents.get(fields.sales_agent)
        if agent is None:
            agent = {**self._unknown_agent, "sales_agent": fields.sales_agent}
        product = priced.get((fields.product, fields.list_price)) or self.products.get(fields.product)
        if product is None:
            product = {**self._unknown_product, "product": fields.product}
        recent = self._recent.get(fields.engage_date)
        day, week = days[fields.engage_date] if recent is None else (recent, self._weeks[fields.engage_date])
        cohort = self._cohorts.get((self._offices.get(fields.sales_agent), week), self._no_cohort)
        row: dict[str, Value] = {name: agent[name] for name in names[AGENT]}
        for name in names[PRODUCT]:
            row[name] = product[name]
        for name in names[DAY]:
            row[name] = day[name]
        for name in names[COHORT]:
            row[name] = cohort[name]
        return row

    def _days_long_ago(self, opportunities: Sequence[Fields]) -> dict[date, tuple[Mapping[str, Value], int]]:
        """Day of engagement that is not recent -> its features and week; what is not kept is evaluated at once."""
        wanted = {fields.engage_date for fields in opportunities if fields.engage_date not in self._recent}
        found = {day: kept for day in wanted if (kept := self._older.get(day)) is not None}
        new = [day for day in wanted if day not in found]
        if new:
            frame = self._days(new)
            features = self._evaluated(DAY, frame, "engage_date")
            made = {day: (features[day], week) for day, week in frame.select("engage_date", "week").iter_rows()}
            _keep(self._older, made)
            found |= made
        return found

    def _at_prices(self, opportunities: Sequence[Fields]) -> dict[tuple[str, float | None], Mapping[str, Value]]:
        """Product and price of its own -> the product's features at it; what is not kept is evaluated at once."""
        wanted = {(each.product, each.list_price) for each in opportunities if each.list_price is not None}
        found: dict[tuple[str, float | None], Mapping[str, Value]] = {}
        found |= {key: kept for key in wanted if (kept := self._priced.get(key)) is not None}
        new = [key for key in wanted if key not in found]
        if new:
            known = self._frames[PRODUCT]
            strangers = pl.DataFrame({"product": sorted({name for name, _ in new} - self.products.keys())})
            strangers = self._nobody(PRODUCT).drop("product").join(strangers.cast(pl.String), how="cross")
            every = pl.concat([known, strangers.select(known.columns)]).drop("list_price")
            asked = pl.DataFrame(
                new, schema={name: known.schema[name] for name in ("product", "list_price")}, orient="row"
            )
            frame = asked.join(every, on="product", how="left", maintain_order="left").select(known.columns)
            made = self._evaluated(PRODUCT, frame, "product", "list_price")
            _keep(self._priced, made)
            found |= made
        return found

    def _dated(self, frame: pl.DataFrame) -> pl.DataFrame:
        """With `as_of` and what follows from the month."""
        rows = with_next_month(nw.from_native(frame.lazy()), self.month).with_columns(
            nw.lit(self.month.end).alias(AS_OF)
        )
        if "agent_last_close" in frame.columns:
            rows = since_last_close(rows)
        native: pl.LazyFrame = rows.to_native()
        return native.collect()

    def _days(self, days: Sequence[date]) -> pl.DataFrame:
        frame = self._dated(pl.DataFrame({"engage_date": days}, schema={"engage_date": pl.Date}))
        rows = nw.from_native(frame.lazy())
        rows = rows.with_columns(
            days_between(rows, nw.col(AS_OF), nw.col("engage_date")).alias("age_days"),
            week_of(rows, "engage_date").alias("week"),
        )
        native: pl.LazyFrame = rows.to_native()
        return native.collect()

    def _subject(self, feature: Feature) -> str | None:
        return next((subject for subject, frame in self._frames.items() if _resolves(frame, feature)), None)

    def _evaluated(self, subject: str, frame: pl.DataFrame, *key: str) -> dict[Any, dict[str, Value]]:
        """Key of the subject, a tuple where it is of several columns, -> name -> value of its features."""
        names = [name for name, about in self.subjects.items() if about == subject]
        values = nw.from_native(frame).select(*(self.definitions[name].expression.alias(name) for name in names))
        rows = values.to_native().rows() if names else [()] * frame.height
        keys = frame.get_column(key[0]).to_list() if len(key) == 1 else frame.select(key).rows()
        return {at: dict(zip(names, row, strict=True)) for at, row in zip(keys, rows, strict=True)}

    def _nobody(self, subject: str) -> pl.DataFrame:
        """One row of the subject's frame of which only what holds for all is filled in."""
        frame = self._frames[subject]
        held = self._everyone.select(name for name in self._everyone.columns if name in frame.columns)
        empty = frame.clear().drop(held.columns)
        nobody = pl.DataFrame([dict.fromkeys(empty.columns)], schema=empty.schema)
        return pl.concat([nobody, held], how="horizontal").select(frame.columns)

    def _of_nobody(self, subject: str) -> dict[str, Value]:
        frame = self._nobody(subject)
        if subject == COHORT:
            alone = pl.lit(_ALONE, pl.Int64)
            frame = frame.with_columns(alone.alias("cohort_engaged"), alone.alias("cohort_open"))
        return next(iter(self._evaluated(subject, frame, frame.columns[0]).values()))

    def _joined(self, opportunities: Sequence[Fields], names: Sequence[str]) -> list[dict[str, Value]]:
        """Features of several subjects."""
        parts = []
        for fields in opportunities:
            agent = self._frames[AGENT].filter(pl.col("sales_agent") == fields.sales_agent)
            product = self._frames[PRODUCT].filter(pl.col("product") == fields.product)
            parts.append(self._wide(fields, agent, product))
        rows = nw.from_native(pl.concat(parts))
        values = rows.select(*(self.definitions[name].expression.alias(name) for name in names)).to_native()
        return list(values.iter_rows(named=True))

    def _wide(self, fields: Fields, agent: pl.DataFrame, product: pl.DataFrame) -> pl.DataFrame:
        if agent.is_empty():
            agent = self._nobody(AGENT).with_columns(pl.lit(fields.sales_agent).alias("sales_agent"))
        if product.is_empty():
            product = self._nobody(PRODUCT).with_columns(pl.lit(fields.product).alias("product"))
        if fields.list_price is not None:
            product = product.with_columns(pl.lit(fields.list_price).alias("list_price"))
        wide = self._days([fields.engage_date])
        for frame in (agent, product):
            wide = pl.concat(
                [wide, frame.drop([name for name in frame.columns if name in wide.columns])], how="horizontal"
            )
        cohort = self._frames[COHORT]
        wide = wide.join(cohort, on=["regional_office", "week"], how="left")
        alone = (pl.col(name).fill_null(_ALONE) for name in ("cohort_engaged", "cohort_open"))
        return wide.with_columns(*alone)


def _keep(kept: dict[Any, Any], made: Mapping[Any, Any]) -> None:
    """Add to what is kept, and begin anew where that would be too much."""
    if len(kept) + len(made) > _KEPT:
        kept.clear()
    if len(made) <= _KEPT:
        kept.update(made)


def _resolves(frame: pl.DataFrame, feature: Feature) -> bool:
    """Whether the frame has every column that the feature's expression reads."""
    try:
        nw.from_native(frame.lazy()).select(feature.expression).collect_schema()
    except nw.exceptions.ColumnNotFoundError:
        return False
    return True


def _prefixed(rows: pl.DataFrame, prefix: str, *more: str) -> pl.DataFrame:
    return rows.select(*more, *(pl.col(name).alias(f"{prefix}_{name}") for name in _COUNTS))


def _agents(by_subject: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Per agent the counts of agent, manager, office and all deals, named as in the counted book."""
    agents = _prefixed(
        by_subject[AGENT].rename({"name": "sales_agent"}),
        AGENT,
        "sales_agent",
        "manager",
        "regional_office",
        "last_close",
    ).rename({"last_close": "agent_last_close"})
    for prefix in ("manager", "region"):
        by = GROUPS[prefix]
        rows = by_subject[prefix].drop("manager", "regional_office").rename({"name": by})
        agents = agents.join(_prefixed(rows, prefix, by), on=by, how="left", maintain_order="left")
    return agents.join(_prefixed(by_subject[ALL], ALL), how="cross", maintain_order="left")


def _products(by_subject: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Per product its counts and those of all deals, named as in the counted book."""
    rows = by_subject[PRODUCT].rename({"name": "product"})
    products = _prefixed(rows, PRODUCT, "product", "series", "list_price")
    return products.join(_prefixed(by_subject[ALL], ALL), how="cross", maintain_order="left")
