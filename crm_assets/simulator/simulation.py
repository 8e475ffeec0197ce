"""The simulated CRM: its tables as of any month-end, its event history, and its true probabilities."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import (
    CRM_TABLES,
    DATA_DICTIONARY,
    ENGAGING,
    FIELD_HISTORY_TABLES,
    LOST,
    OPPORTUNITY_HISTORY,
    PRODUCTS,
    PROSPECTING,
    SALES_PIPELINE,
    STAGES,
    WON,
)
from crm_assets.errors import SettingsError
from crm_assets.simulator.business import Business
from crm_assets.simulator.config import SimulationConfig
from crm_assets.simulator.history import ID_LENGTH, History, Progress, live
from crm_assets.simulator.organisation import MISSPELT
from crm_assets.simulator.truth import true_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENT_FIELDS = ("sales_agent", "product", "account", "deal_stage", "close_value")
"""Fields of an opportunity whose changes are events. Both of its dates are those of its changes of stage."""
EVENT_SCHEMA = {**OPPORTUNITY_HISTORY.polars_schema(), "field": pl.Enum(EVENT_FIELDS)}
"""The contract's, with the field as a category: there are many changes."""


def simulate(config: SimulationConfig, progress: Progress | None = None) -> Simulation:
    """Simulate the whole history of one CRM.

    Args:
        config: what to simulate.
        progress: told in one line what begins.
    """
    business = Business(config)
    return Simulation(business, live(business, progress or (lambda line: None)))


class Simulation:
    """One simulated CRM. Made by `simulate`.

    Attributes:
        config: what was simulated.
    """

    def __init__(self, business: Business, history: History) -> None:
        self.config: SimulationConfig = business.config
        self._business = business
        self._history = history
        self._start = np.datetime64(business.config.first.start, "D")

    def check(self, month: Month) -> None:
        """Raise SettingsError when `month` is not one of the configuration's."""
        if not self.config.first <= month <= self.config.last:
            raise SettingsError(
                f"the simulation {self.config.url()} has no month {month}; it runs from {self.config.first} to "
                f"{self.config.last}: ask for one of those, or simulate others with months=FIRST:LAST"
            )

    def tables(self, month: Month) -> dict[str, pl.DataFrame]:
        """The tables of `contracts.CRM_TABLES` as an export at the end of `month` would hold them.

        Opportunities that exist by then, in order of their creation, with the stage, values and account that they have
        by then; products that are on the price list, at that month's prices; misspellings that the contract mends.
        Raises SettingsError when the month is not one of the configuration's.
        """
        self.check(month)
        organisation = self._business.organisation
        listed = np.flatnonzero(self._business.product_start <= self._business.month(month))
        products = [self._business.products[code] for code in listed]
        frames = {
            "accounts": organisation.accounts,
            "products": pl.DataFrame(
                {
                    "product": [product.name for product in products],
                    "series": [product.series for product in products],
                    "sales_price": self._business.price[listed, self._business.month(month)],
                },
                schema=PRODUCTS.polars_schema(),
            ),
            "sales_teams": organisation.sales_teams,
            "sales_pipeline": self._pipeline(self._business.day(month)),
            "data_dictionary": _data_dictionary(),
        }
        return {table.name: frames[table.name] for table in CRM_TABLES}

    def late_export(self) -> dict[str, pl.DataFrame]:
        """One export at the end of the last month, as users have it whose CRM kept no monthly extracts."""
        return self.tables(self.config.last)

    def field_history(self) -> dict[str, pl.DataFrame]:
        """The tables of `contracts.FIELD_HISTORY_TABLES`: every change, and the other tables as of the last month."""
        tables = {**self.late_export(), OPPORTUNITY_HISTORY.name: self.events()}
        return {table.name: tables[table.name] for table in FIELD_HISTORY_TABLES}

    def events(self, month: Month | None = None) -> pl.DataFrame:
        """Every change of an opportunity in `month`, or in all months: `contracts.OPPORTUNITY_HISTORY`, oldest first.

        `field` is one of `EVENT_FIELDS`; this CRM records a change on its day. Created: `sales_agent`, `product` and
        `deal_stage` Prospecting. Engaged: `deal_stage` Engaging. Won or lost: `deal_stage` and `close_value` (USD).
        `account` changes once, when it is filled in. A deal that is abandoned leaves no event. Raises SettingsError
        when the month is not one of the configuration's.
        """
        if month is None:
            return pl.concat([self.events(each) for each in self.config.months])
        self.check(month)
        history, start, end = self._history, self._business.day(month.previous), self._business.day(month)

        def changed(day: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.flatnonzero((day > start) & (day <= end))

        created, accounted = changed(history.created), changed(history.account_known)
        engaged, closed = changed(history.engaged), changed(history.closed)
        stage = np.where(history.won[closed], STAGES.index(WON), STAGES.index(LOST))
        changes: tuple[tuple[str, npt.NDArray[Any], npt.NDArray[Any], str | None, pl.Series], ...] = (
            ("sales_agent", created, history.created, None, self._agent_names(created)),
            ("product", created, history.created, None, self._product_names(created)),
            ("deal_stage", created, history.created, None, pl.repeat(PROSPECTING, len(created), eager=True)),
            ("account", accounted, history.account_known, None, self._account_names(accounted)),
            ("deal_stage", engaged, history.engaged, PROSPECTING, pl.repeat(ENGAGING, len(engaged), eager=True)),
            ("deal_stage", closed, history.closed, ENGAGING, _named(STAGES, stage)),
            ("close_value", closed, history.closed, None, pl.Series(history.value[closed]).cast(pl.String())),
        )
        frames = [
            pl.DataFrame(
                {
                    "object_id": self._ids.gather(who),
                    "field": pl.repeat(field, len(who), dtype=EVENT_SCHEMA["field"], eager=True),
                    "old_value": pl.repeat(old, len(who), dtype=pl.String(), eager=True),
                    "new_value": new,
                    "changed_at": self._dates(day[who]),
                }
            )
            for field, who, day, old, new in changes
        ]
        events = pl.concat(frames).sort("changed_at", maintain_order=True)
        return events.with_columns(recorded_at=pl.col("changed_at")).match_to_schema(EVENT_SCHEMA)

    def truth(self, month: Month) -> pl.DataFrame:
        """The true probabilities for every deal that is engaged and open at the end of `month`, for the month after.

        Returns columns `opportunity_id`, `snapshot_month` (`2017-05`), `probability_won`, `probability_lost` (by the
        end of the next month), and `probability_abandoned` (never to close). See `truth.true_probabilities`. Raises
        SettingsError when the month is not one of the configuration's.
        """
        self.check(month)
        book, frame = true_probabilities(self._business, self._history, month)
        return frame.insert_column(0, self._ids.gather(book).alias("opportunity_id"))

    def _pipeline(self, end: int) -> pl.DataFrame:
        history = self._history
        known = slice(0, int(np.searchsorted(history.created, end, side="right")))
        who = np.arange(known.stop)
        engaged, closed = history.engaged[known] <= end, history.closed[known] <= end
        stage = np.where(closed, np.where(history.won[known], 2, 3), engaged).astype(np.uint8)
        columns = {
            "opportunity_id": self._ids[known],
            "sales_agent": self._agent_names(who),
            "product": self._product_names(who),
            "account": _blank(self._account_names(who), history.account_known[known] <= end),
            "deal_stage": _named(STAGES, stage),
            "engage_date": _blank(self._dates(np.where(engaged, history.engaged[known], 0)), engaged),
            "close_date": _blank(self._dates(np.where(closed, history.closed[known], 0)), closed),
            "close_value": _blank(pl.Series(history.value[known]), closed),
        }
        return pl.DataFrame(columns, schema=SALES_PIPELINE.polars_schema())

    @cached_property
    def _ids(self) -> pl.Series:
        import pyarrow as pa

        characters = self._history.id_characters()
        offsets = np.arange(0, characters.size + 1, ID_LENGTH, dtype=np.int64)
        array = pa.LargeStringArray.from_buffers(len(characters), pa.py_buffer(offsets), pa.py_buffer(characters))
        return pl.Series("opportunity_id", array)

    def _agent_names(self, who: npt.NDArray[Any]) -> pl.Series:
        return self._business.organisation.sales_teams["sales_agent"].gather(self._history.agent[who])

    def _product_names(self, who: npt.NDArray[Any]) -> pl.Series:
        """The product of each opportunity as its agent spells it."""
        names = [product.name for product in self._business.products]
        misspelt = [MISSPELT.get(name, name) for name in names]
        agent, product = self._history.agent[who], self._history.product[who]
        code = product + len(names) * self._business.organisation.agent_misspells[agent].astype(np.int16)
        return _named([*names, *misspelt], code)

    def _account_names(self, who: npt.NDArray[Any]) -> pl.Series:
        return self._business.organisation.accounts["account"].gather(self._history.account[who])

    def _dates(self, day: npt.NDArray[Any]) -> pl.Series:
        since_1970 = (self._start.astype(np.int64) + day).astype(np.int32)
        return pl.Series(since_1970).cast(pl.Date())


def _named(names: Iterable[str], codes: npt.NDArray[Any]) -> pl.Series:
    return pl.Series(list(names), dtype=pl.String()).gather(codes)


def _blank(values: pl.Series, keep: npt.NDArray[np.bool_]) -> pl.Series:
    """`values`, null where not to keep."""
    return pl.select(pl.when(pl.Series(keep)).then(values)).to_series()


def _data_dictionary() -> pl.DataFrame:
    rows = [
        (table.name, column.name, column.description)
        for table in CRM_TABLES
        if table is not DATA_DICTIONARY
        for column in table.columns
    ]
    return pl.DataFrame(rows, schema=DATA_DICTIONARY.polars_schema(), orient="row")
