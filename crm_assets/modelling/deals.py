"""Engaged opportunities as they were known at the end of a day: what models of durations learn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import WON

if TYPE_CHECKING:
    import pandas as pd

Days = NDArray[np.int64]
"""Days since 1970-01-01."""
Codes = NDArray[np.int64]

OPEN = -1
"""Close day of an open deal."""

DEAL_COLUMNS = ("engage_date", "close_date", "deal_stage", "sales_agent", "regional_office", "product")
"""Columns of a snapshot that deals are made of."""


@dataclass(frozen=True)
class Deals:
    """Engaged opportunities as known at the end of a day; arrays of shape (n,).

    Attributes:
        as_of: that day.
        engaged: day of engagement, not after `as_of`.
        closed: day of close, not after `as_of`; OPEN while open.
        won: whether it was won; False while open.
        agent, region, product: codes into the names.
        agents, regions, products: the names, in order, among them some of no deal.
    """

    as_of: int
    engaged: Days
    closed: Days
    won: NDArray[np.bool_]
    agent: Codes
    region: Codes
    product: Codes
    agents: tuple[str, ...]
    regions: tuple[str, ...]
    products: tuple[str, ...]

    @classmethod
    def from_snapshot(cls, rows: pd.DataFrame, month: Month) -> Self:
        """The engaged opportunities among the rows of a month's snapshot.

        Args:
            rows: `DEAL_COLUMNS` of `history.snapshots.SNAPSHOTS`; rows without an engage date are left out.
            month: the snapshot month.
        """
        # By what they say and not by their ids: sums of floats go by the order of deals.
        engaged = rows.loc[rows["engage_date"].notna(), list(DEAL_COLUMNS)].sort_values(list(DEAL_COLUMNS))
        close = engaged["close_date"]
        coded = {
            name: np.unique(engaged[name].to_numpy(dtype=str), return_inverse=True)
            for name in ("sales_agent", "regional_office", "product")
        }
        (agents, agent), (regions, region), (products, product) = coded.values()
        return cls(
            as_of=int(to_days(month.end)),
            engaged=to_days(engaged["engage_date"]),
            closed=np.where(close.notna(), to_days(close.where(close.notna(), np.datetime64(month.end))), OPEN),
            won=np.asarray(engaged["deal_stage"] == WON, dtype=np.bool_),
            agent=agent,
            region=region,
            product=product,
            agents=tuple(agents.tolist()),
            regions=tuple(regions.tolist()),
            products=tuple(products.tolist()),
        )

    def __len__(self) -> int:
        return len(self.engaged)

    @property
    def is_closed(self) -> NDArray[np.bool_]:
        """Which are closed."""
        return np.asarray(self.closed != OPEN, dtype=np.bool_)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all of it: equal for equal deals in the same order."""
        found = hashlib.sha256(str(self.as_of).encode())
        found.update("\0".join((*self.agents, "", *self.regions, "", *self.products)).encode())
        for values in (self.engaged, self.closed, self.won, self.agent, self.region, self.product):
            found.update(np.ascontiguousarray(values).view(np.uint8).data)
        return found.digest()

    def only(self, which: NDArray[np.bool_]) -> Deals:
        """The deals among `which`, (n,)."""
        columns = ("engaged", "closed", "won", "agent", "region", "product")
        return replace(self, **{name: getattr(self, name)[which] for name in columns})

    def as_known_at(self, day: int) -> Deals:
        """The deals as they were known at the end of an earlier day."""
        known = self.only(self.engaged <= day)
        still_open = (known.closed == OPEN) | (known.closed > day)
        return replace(known, as_of=day, closed=np.where(still_open, OPEN, known.closed), won=known.won & ~still_open)


def to_days(dates: object) -> Days:
    """Days since 1970-01-01 of a date, or of an array or series of dates."""
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64)
