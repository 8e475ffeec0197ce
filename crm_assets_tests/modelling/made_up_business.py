"""A small business whose laws are known: deals that are abandoned, close and are won as a cure-hazard model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month, month_range
from crm_assets.modelling.candidate import Known, TrainingHistory
from crm_assets.modelling.cure_hazard import fortnight
from crm_assets.modelling.deals import OPEN, Deals, to_days

if TYPE_CHECKING:
    import pandas as pd

FIRST, LAST = Month(2016, 10), Month(2017, 9)
AGENTS = ("Ann", "Bob", "Cid", "Dee", "Eve", "Fay")
REGION_OF = {"Ann": "East", "Bob": "East", "Cid": "East", "Dee": "West", "Eve": "West", "Fay": "West"}
PRODUCTS = ("GTX", "MG")


@dataclass(frozen=True)
class Laws:
    """What the business is like.

    Attributes:
        hazard: daily, by position of the month in its quarter.
        slow_after: age in days from which the hazard is a third.
        abandoned: agent -> probability; others have the probability of "".
        bad_cohort: region and fortnight of which all deals are abandoned.
        speed: agent -> factor of the hazard; others have 1.
        won: product -> probability that a closing is a win; others have the probability of "".
        first_close: no closing before that day is in the books.
    """

    hazard: tuple[float, float, float] = (0.01, 0.02, 0.06)
    slow_after: int = 60
    abandoned: Mapping[str, float] = field(default_factory=lambda: {"Ann": 0.6, "": 0.15})
    bad_cohort: tuple[str, int] | None = None
    speed: Mapping[str, float] = field(default_factory=lambda: {"Bob": 2.0})
    won: Mapping[str, float] = field(default_factory=lambda: {"GTX": 0.8, "": 0.4})
    first_close: int = 0


@dataclass(frozen=True)
class Business:
    """All that ever happens to deals; arrays of shape (n,).

    Attributes:
        engaged: day of engagement.
        closed: day of close; OPEN when never.
        won: whether it is won.
        agent, region, product: names.
        abandoned: whether it never closes.
    """

    engaged: NDArray[np.int64]
    closed: NDArray[np.int64]
    won: NDArray[np.bool_]
    agent: NDArray[np.str_]
    region: NDArray[np.str_]
    product: NDArray[np.str_]
    abandoned: NDArray[np.bool_]

    @classmethod
    def of(cls, deals: int, seed: int, laws: Laws | None = None, agents: tuple[str, ...] = AGENTS) -> Self:
        """Draw deals that are engaged from FIRST to LAST."""
        laws, random = laws or Laws(), np.random.default_rng(seed)
        begin, end = int(to_days(FIRST.start)), int(to_days(LAST.end))
        engaged = random.integers(begin, end + 1, deals)
        agent = random.choice(np.array(agents), deals)
        region = np.array([REGION_OF.get(name, "West") for name in agent])
        product = random.choice(np.array(PRODUCTS), deals)
        chance = np.array([laws.abandoned.get(name, laws.abandoned[""]) for name in agent])
        if laws.bad_cohort is not None:
            of, when = laws.bad_cohort
            chance[(region == of) & (fortnight(engaged) == when)] = 1.0
        abandoned = random.random(deals) < chance
        speed = np.array([laws.speed.get(name, 1.0) for name in agent])
        closed = np.full(deals, OPEN)
        for day in range(max(begin, laws.first_close), end + 1):
            position = (np.datetime64(day, "D").astype("datetime64[M]").astype(int)) % 3
            age = day - engaged
            hazard = laws.hazard[position] * speed * np.where(age >= laws.slow_after, 1 / 3, 1.0)
            closes = (age >= 1) & (closed == OPEN) & ~abandoned & (random.random(deals) < 1 - (1 - hazard))
            closed[closes] = day
        won = random.random(deals) < np.array([laws.won.get(name, laws.won[""]) for name in product])
        return cls(engaged, closed, won & (closed != OPEN), agent, region, product, abandoned)

    def with_(self, **columns: NDArray[np.int64] | NDArray[np.bool_] | NDArray[np.str_]) -> Self:
        """The same with other columns."""
        return replace(self, **columns)  # type: ignore[arg-type]

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """These deals, in this order."""
        return type(self)(
            self.engaged[which],
            self.closed[which],
            self.won[which],
            self.agent[which],
            self.region[which],
            self.product[which],
            self.abandoned[which],
        )

    def snapshot(self, month: Month) -> pd.DataFrame:
        """Rows of a snapshot as of the end of a month."""
        import pandas as pd

        at = int(to_days(month.end))
        closed = (self.closed != OPEN) & (self.closed <= at)
        close = pd.Series(np.where(closed, self.closed, 0).astype("datetime64[D]")).where(closed)
        rows = pd.DataFrame(
            {
                "opportunity_id": [f"D{number:05d}" for number in range(len(self.engaged))],
                "engage_date": self.engaged.astype("datetime64[D]"),
                "close_date": close,
                "deal_stage": np.where(closed, np.where(self.won, "Won", "Lost"), "Engaging"),
                "sales_agent": self.agent.astype(object),
                "regional_office": self.region.astype(object),
                "product": self.product.astype(object),
            }
        )
        return rows[self.engaged <= at].reset_index(drop=True)

    def deals(self, month: Month) -> Deals:
        """The deals as of the end of a month."""
        return Deals.from_snapshot(self.snapshot(month), month)

    def book(self, month: Month, *, censored: bool = False) -> pd.DataFrame:
        """The month's open deals with their features, and what the next month brought unless `censored`."""
        at, end = int(to_days(month.end)), int(to_days(month.next.end))
        rows = self.snapshot(month)
        known = self.take(self.engaged <= at)
        rows = rows.assign(
            snapshot_month=str(month),
            as_of=np.datetime64(month.end),
            age_days=at - known.engaged,
            next_quarter_position=month.next.quarter_position,
            engage_fortnight=fortnight(known.engaged),
        )
        still_open = rows["close_date"].isna()
        cohort = still_open.groupby([rows["regional_office"], rows["engage_fortnight"]])
        rows["cohort_size"], rows["cohort_share_open"] = cohort.transform("size"), cohort.transform("mean")
        for days in (100, 138):
            shares = still_open[rows["age_days"] >= days].groupby(rows["sales_agent"]).mean()
            rows[f"agent_share_open_{days}"] = rows["sales_agent"].map(shares).astype(float)
        due = (known.closed != OPEN) & (known.closed <= end)
        outcome = np.where(due, np.where(known.won, "won", "lost"), "open").astype(object)
        rows["outcome"] = None if censored else outcome
        return rows[still_open].drop(columns=["close_date", "deal_stage", "engage_date"]).reset_index(drop=True)

    def history(self, last: Month = LAST) -> TrainingHistory:
        """Books of all months up to `last`, the last one censored, and the deals of each month."""
        import pandas as pd

        books = [self.book(month, censored=month == last) for month in month_range(FIRST, last)]
        return TrainingHistory(pd.concat(books, ignore_index=True), self.deals)

    def known(self, month: Month) -> Known:
        """What was known at the end of a month."""
        rows = self.history(month).rows
        return Known(month, rows[rows["snapshot_month"] < str(month)].reset_index(drop=True), self.deals(month))
