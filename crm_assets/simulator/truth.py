"""The true probability of what an open deal does in the month after a snapshot, given all that can be known of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from crm_assets.calendar import Month
from crm_assets.simulator.business import Business
from crm_assets.simulator.history import History

SCHEMA = {
    "snapshot_month": pl.String(),
    "probability_won": pl.Float64(),
    "probability_lost": pl.Float64(),
    "probability_abandoned": pl.Float64(),
}


def true_probabilities(
    business: Business, history: History, month: Month
) -> tuple[npt.NDArray[np.int64], pl.DataFrame]:
    """What the deals open at the end of `month` do in the month after it.

    For a deal of age a with prior probability p of being abandoned and survival S, by Bayes' rule
    P(abandoned | open at a) = p / (p + (1 - p) S(a)). It closes in the next month, of d days, with probability
    P(not abandoned | open at a) * (1 - S(a + d) / S(a)), and is won with the probability of that month, which is the
    same on all of its days.

    Returns:
        (k,) positions of the k deals in `history`, and (k, 4) the columns of `SCHEMA`.
    """
    end, next_end = business.day(month), business.day(month.next)
    book = np.flatnonzero((history.engaged <= end) & (history.closed > end))
    agent, product, engaged = history.agent[book], history.product[book], history.engaged[book]
    prior = business.abandonment(agent, engaged)
    open_now = business.still_open(agent, engaged, end)
    alive = (1 - prior) * open_now
    # A deal past the greatest age of closing is abandoned for certain, though its prior may be too small to tell.
    abandoned = np.where(open_now == 0, 1.0, prior / np.maximum(prior + alive, np.finfo(np.float64).tiny))
    closes = (1 - prior) * (open_now - business.still_open(agent, engaged, next_end))
    closes = np.divide(closes, prior + alive, out=np.zeros(len(book)), where=open_now > 0)
    won = closes * business.win_probability(agent, product, business.month(month.next))
    columns = (pl.repeat(str(month), len(book), eager=True), won, closes - won, abandoned)
    return book, pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), schema=SCHEMA)
