"""Probes of a training: what it learnt from, and whether anything later had a hand in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from crm_assets.calendar import Month
from crm_assets.history.outcomes import OUTCOMES, OUTCOMES_ALLOWED
from crm_assets.leakage.finding import Finding, Probe, Verdict
from crm_assets.modelling.backtest import ProbabilityModel
from crm_assets.modelling.win_model import KEY

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-9
"""Two scores that differ by less are the same: sums of floats may be taken in another order."""
_EXAMPLES = 3


class Training(Protocol):
    """What is trained from a table of rows, month by month; `modelling.backtest.RollingOrigin` is one."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        """The rows that the model of `month` learns from."""
        ...

    def model_for(self, month: Month) -> ProbabilityModel:
        """The model of `month`."""
        ...

    def test_months(self, month: Month) -> list[Month]:
        """Books that the backtest as of `month` predicts, each by the model of its own month."""
        ...


Train: TypeAlias = Callable[["pd.DataFrame"], Training]
"""From a table of rows (keys, features, outcome, empty where censored) to the training over it."""


def training_findings(
    training: Training,
    train: Train,
    rows: pd.DataFrame,
    outcomes: pd.DataFrame,
    month: Month,
    *,
    features: Sequence[str],
    seed: int,
) -> list[Finding]:
    """Probe the training of the model of `month`.

    Args:
        training: what is probed, made by `train` of `rows`.
        train: makes the training of other rows.
        rows: one row per opportunity and snapshot month up to any month: keys, features, outcome.
        outcomes: the stored outcomes: keys, `matured_month`, `outcome`.
        month: whose model.
        features: columns the model reads.
        seed: of the changes that are made to later rows.
    """
    used = training.training_rows(month)
    return [
        _cut_off(used, outcomes, month),
        _both_sides(training, used, rows, month),
        _later_rows(rows, training, train, month, features=features, seed=seed),
    ]


def _finding(probe: Probe, month: Month, fault: pd.DataFrame | None, told: str, column: str) -> Finding:
    if fault is None or fault.empty:
        return Finding(probe, str(month), "training rows", column, Verdict.PASSED, told, rows=0)
    shown = ", ".join(f"{row.opportunity_id} of {row.snapshot_month}" for row in fault.head(_EXAMPLES).itertuples())
    return Finding(probe, str(month), "training rows", column, Verdict.FAILED, f"{told}: {shown}", rows=len(fault))


def _cut_off(used: pd.DataFrame, outcomes: pd.DataFrame, month: Month) -> Finding:
    """Every training row's outcome is stored, had matured by `month`, and is the one stored."""
    known = used[[*KEY, "outcome"]].merge(
        outcomes[[*KEY, "matured_month", "outcome"]], on=KEY, how="left", suffixes=("", "_stored")
    )
    unmatured = known[~(known["matured_month"] <= str(month))]
    if len(unmatured):
        told = f"{len(unmatured)} of {len(known)} training rows had no outcome yet at the end of {month}"
        return _finding(Probe.CUT_OFF, month, unmatured, told, "matured_month")
    other = known[known["outcome"] != known["outcome_stored"]]
    told = f"{len(other)} of {len(known)} training rows have another outcome than {OUTCOMES.name}"
    if len(other):
        return _finding(Probe.CUT_OFF, month, other, told, "outcome")
    return _finding(Probe.CUT_OFF, month, None, f"{len(known)} training outcomes had matured by {month}", "*")


def _both_sides(training: Training, used: pd.DataFrame, rows: pd.DataFrame, month: Month) -> Finding:
    """No row that a model is tested on, or scores, is among those it learnt from."""
    faults = []
    tested = 0
    for test in [*training.test_months(month), month]:
        learnt = used if test == month else training.training_rows(test)
        book = rows.loc[rows["snapshot_month"] == str(test), KEY]
        tested += len(book)
        faults.append(book.merge(learnt[KEY], on=KEY, how="inner"))
    import pandas as pd

    both = pd.concat(faults)
    told = f"{len(both)} of {tested} rows that are predicted are among the rows their model learnt from"
    return _finding(Probe.BOTH_SIDES, month, both if len(both) else None, told, "*")


def _later_rows(
    rows: pd.DataFrame, training: Training, train: Train, month: Month, *, features: Sequence[str], seed: int
) -> Finding:
    """The model gives the same scores when every row that was not known at `month` is another.

    Outcomes of the book of `month` and of later ones are drawn at random, the features of later books shuffled, and a
    book is added after the last.
    """
    book = rows[rows["snapshot_month"] == str(month)]
    if book.empty:
        return Finding(Probe.LATER_ROWS, str(month), "scores", "probability", Verdict.NOT_RUN, "the book is empty")
    other = train(_with_another_future(rows, month, features=features, seed=seed))
    expected, found = training.model_for(month).predict(book), other.model_for(month).predict(book)
    gap = np.abs(found - expected)
    moved = gap > TOLERANCE
    if not moved.any():
        told = f"{len(book)} scores are the same whatever happens after {month}"
        return Finding(Probe.LATER_ROWS, str(month), "scores", "probability", Verdict.PASSED, told, rows=0)
    at = int(np.argmax(gap))
    told = (
        f"{int(moved.sum())} of {len(book)} scores change when only rows after {month} do, that of "
        f"{book['opportunity_id'].iloc[at]} from {expected[at]:.6f} to {found[at]:.6f}: the training reads later rows"
    )
    return Finding(Probe.LATER_ROWS, str(month), "scores", "probability", Verdict.FAILED, told, rows=int(moved.sum()))


def _with_another_future(rows: pd.DataFrame, month: Month, *, features: Sequence[str], seed: int) -> pd.DataFrame:
    import pandas as pd

    random = np.random.default_rng(seed)
    added = rows[rows["snapshot_month"] == str(month)].assign(
        snapshot_month=max(str(month.next), str(Month.parse(rows["snapshot_month"].max()).next))
    )
    changed = pd.concat([rows, added], ignore_index=True)
    unknown = (changed["snapshot_month"] >= str(month)).to_numpy()
    changed.loc[unknown, "outcome"] = random.choice(np.array(OUTCOMES_ALLOWED, dtype=object), int(unknown.sum()))
    later = np.flatnonzero((changed["snapshot_month"] > str(month)).to_numpy())
    for name in features:
        column = changed[name].to_numpy(copy=True)
        column[later] = column[random.permutation(later)]
        changed[name] = column
    return changed
