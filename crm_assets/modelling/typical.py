"""Typical deals: what a score is compared with when its reasons are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from crm_assets.modelling.candidate import Fitted, Known
from crm_assets.modelling.training_rows import label

if TYPE_CHECKING:
    import pandas as pd

BOOKS = 3
"""Newest books that typical deals are taken from: one of each position of the month in its quarter."""
PER_BOOK = 2
_PERCENTILES = np.arange(101)
AGE_STEP = 10
"""Days in a step of age in `share_open_by_age`."""


@dataclass(frozen=True)
class Typical:
    """Typical deals of the rows a model was trained on, and figures to put its reasons in words.

    Attributes:
        rows: (6, features) feature rows: of each of the three newest books the deals whose scores are the middle ones
            of its lower and upper half.
        base: mean probability over `rows`, which reasons count from.
        won_at_age: (101,) percentiles 0 to 100 of the days from engagement to a win.
        win_rate_before: position in its quarter of a month -> share of the open deals that were won in such months.
        share_open_by_age: step of AGE_STEP days of age -> median share of its cohort still open.
        agent_share_open: median over rows of the agent's share still open past 138 days.
    """

    rows: pd.DataFrame
    base: float
    won_at_age: Sequence[float]
    win_rate_before: Mapping[int, float]
    share_open_by_age: Mapping[int, float]
    agent_share_open: float | None

    @classmethod
    def of(cls, fitted: Fitted, known: Known) -> Self:
        """The typical deals as a fitted candidate sees the rows it was fitted to."""
        rows = _representative(fitted, known.rows)
        deals = known.deals
        ages = (deals.closed - deals.engaged)[deals.won]
        won, position = label(known.rows), known.rows["next_quarter_position"]
        return cls(
            rows=rows,
            base=float(fitted.predict(rows).mean()),
            won_at_age=np.percentile(ages, _PERCENTILES).tolist() if len(ages) else [],
            win_rate_before={
                int(at): float(won[(position == at).to_numpy()].mean()) for at in sorted(position.dropna().unique())
            },
            share_open_by_age=_medians(known.rows),
            agent_share_open=_median(known.rows, "agent_share_open_138"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        columns = {name: [_plain(value) for value in self.rows[name]] for name in self.rows.columns}
        return {
            "rows": columns,
            "base": self.base,
            "won_at_age": list(self.won_at_age),
            "win_rate_before": [[at, rate] for at, rate in self.win_rate_before.items()],
            "share_open_by_age": [[step, share] for step, share in self.share_open_by_age.items()],
            "agent_share_open": self.agent_share_open,
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        import pandas as pd

        return cls(
            rows=pd.DataFrame(parts["rows"]),
            base=parts["base"],
            won_at_age=parts["won_at_age"],
            win_rate_before=dict(parts["win_rate_before"]),
            share_open_by_age=dict(parts["share_open_by_age"]),
            agent_share_open=parts["agent_share_open"],
        )


def _representative(fitted: Fitted, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    taken = []
    for month in sorted(rows["snapshot_month"].unique())[-BOOKS:]:
        book = rows[rows["snapshot_month"] == month]
        score = fitted.predict(book)
        # By what they say and not by their ids, so that equal rows in another order give the same.
        order = book.assign(score=score)[["score", *fitted.features]].sort_values(["score", *fitted.features]).index
        middles = (np.arange(PER_BOOK) + 0.5) / PER_BOOK
        taken.append(book.loc[order[(middles * len(order)).astype(int)], list(fitted.features)])
    found: pd.DataFrame = pd.concat(taken, ignore_index=True)
    if "as_of" in found.columns:
        found["as_of"] = found["as_of"].astype(str).str.slice(0, 10)
    return found


def _medians(rows: pd.DataFrame) -> dict[int, float]:
    if "cohort_share_open" not in rows.columns:
        return {}
    step = rows["age_days"].to_numpy(dtype=np.float64, na_value=np.nan) // AGE_STEP
    share = rows["cohort_share_open"].to_numpy(dtype=np.float64, na_value=np.nan)
    found = {int(at): share[(step == at) & ~np.isnan(share)] for at in np.unique(step[~np.isnan(step)])}
    return {at: float(np.median(shares)) for at, shares in found.items() if len(shares)}


def _median(rows: pd.DataFrame, name: str) -> float | None:
    if name not in rows.columns or not rows[name].notna().any():
        return None
    return float(rows[name].median())


def _plain(value: Any) -> Any:
    """The value as JSON knows it; None where it is empty."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
