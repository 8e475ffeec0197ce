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
from crm_assets.errors import QualityError

if TYPE_CHECKING:
    import pandas as pd

Days = NDArray[np.int64]
"""Days since 1970-01-01."""
Codes = NDArray[np.int64]

OPEN = -1
"""Close day of an open deal."""

DEAL_COLUMNS = ("engage_date", "close_date", "deal_stage", "sales_agent", "regional_office", "product")
"""Columns of a snapshot that deals are made of."""

_COLUMNS = ("engaged", "closed", "won", "agent", "region", "product")


@dataclass(frozen=True)
class Deals:
    """Engaged opportunities as known at the end of a day; arrays of shape (n,).

    Attributes:
        as_of: that day.
        engaged: day of engagement, not after `as_of`.
        closed: day of close, not after `as_of`; OPEN while open.
        won: whether it was won; False while open.
        agent, region, product: codes into the names.
        agents, regions, products: the names, in order; after `only`, among them some of no deal.
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

        Raises QualityError when a deal has no agent, office or product.
        """
        engaged = rows.loc[rows["engage_date"].notna(), list(DEAL_COLUMNS)]
        for name in ("sales_agent", "regional_office", "product"):
            empty = int(engaged[name].isna().sum())
            if empty:
                raise QualityError(
                    f"{empty} engaged opportunities of the snapshot of {month} have no {name}: an empty name would be "
                    "learnt as one of its own; mend the snapshot"
                )
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
        )._in_order()

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
        return replace(self, **{name: getattr(self, name)[which] for name in _COLUMNS})

    def as_known_at(self, day: int) -> Deals:
        """The deals as they were known at the end of an earlier day: equal whatever is known of them since."""
        known = self.only(self.engaged <= day)
        still_open = (known.closed == OPEN) | (known.closed > day)
        closed, won = np.where(still_open, OPEN, known.closed), known.won & ~still_open
        agents, agent = _in_use(known.agents, known.agent)
        regions, region = _in_use(known.regions, known.region)
        products, product = _in_use(known.products, known.product)
        return Deals(day, known.engaged, closed, won, agent, region, product, agents, regions, products)._in_order()

    def _in_order(self) -> Self:
        """The same by what they say and not by their ids: sums of floats go by the order of deals."""
        last = np.where(self.closed == OPEN, np.iinfo(np.int64).max, self.closed)
        order = np.lexsort((self.product, self.region, self.agent, self.won, last, self.engaged))
        return replace(self, **{name: getattr(self, name)[order] for name in _COLUMNS})


def _in_use(names: tuple[str, ...], codes: Codes) -> tuple[tuple[str, ...], Codes]:
    """The names that some deal has, and the codes into them."""
    used = np.bincount(codes, minlength=len(names)) > 0
    return tuple(name for name, use in zip(names, used, strict=True) if use), (np.cumsum(used) - 1)[codes]


def to_days(dates: object) -> Days:
    """Days since 1970-01-01 of a date, or of an array or series of dates."""
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64)
