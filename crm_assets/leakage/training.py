"""Probes of a training: what it learnt from, and whether anything later had a hand in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.history.outcomes import OPEN_OUTCOME, OUTCOMES, OUTCOMES_ALLOWED
from crm_assets.leakage.finding import Finding, Probe, Verdict
from crm_assets.modelling.candidate import Known, ProbabilityModel, TrainingHistory
from crm_assets.modelling.deals import Deals, to_days
from crm_assets.modelling.training_rows import KEY

if TYPE_CHECKING:
    import pandas as pd

_ROWS, _DEALS, _SCORES, _BACKTEST = "training rows", "training deals", "scores", "backtest_predictions"
_FAR = 10.0
TOLERANCE = 1e-9
"""Two scores that differ by less are the same: sums of floats may be taken in another order."""
_EXAMPLES = 3


class Training(Protocol):
    """What is trained from a history, month by month; `modelling.backtest.RollingOrigin` is one."""

    def training_rows(self, month: Month) -> pd.DataFrame:
        """The rows that the model of `month` learns from."""
        ...

    def known(self, month: Month) -> Known:
        """Those rows and the deals that it learns from."""
        ...

    def model_for(self, month: Month) -> ProbabilityModel:
        """The model of `month`."""
        ...

    def too_little(self, month: Month) -> str | None:
        """Why no model can be trained at `month`; None when one can."""
        ...

    def test_months(self, month: Month) -> list[Month]:
        """Books that the backtest as of `month` predicts, each by the model of its own month."""
        ...

    def predictions(self, month: Month) -> pd.DataFrame:
        """What the backtest predicts for the book of `month`: keys, `probability`."""
        ...


Train: TypeAlias = Callable[[TrainingHistory], Training]
"""From rows (keys, features, outcome, empty where censored) and deals by month to the training over them."""


def training_findings(
    training: Training,
    train: Train,
    history: TrainingHistory,
    outcomes: pd.DataFrame,
    month: Month,
    *,
    features: Sequence[str],
    seed: int,
) -> list[Finding]:
    """Probe the training of the model of `month`.

    Args:
        training: what is probed, made by `train` of `history`.
        train: makes the training of another history.
        history: one row per opportunity and snapshot month up to any month (keys, features, outcome), and the deals.
        outcomes: the stored outcomes: keys, `matured_month`, `outcome`, `close_date`.
        month: whose model.
        features: columns the model reads.
        seed: of the changes that are made to later rows.
    """
    too_little = training.too_little(month)
    if too_little:
        return [
            Finding(probe, str(month), table, "*", Verdict.NOT_RUN, too_little)
            for probe, table in (
                (Probe.CUT_OFF, _ROWS),
                (Probe.CUT_OFF, _DEALS),
                (Probe.BOTH_SIDES, _ROWS),
                (Probe.LATER_ROWS, _SCORES),
            )
        ]
    used = training.training_rows(month)
    later = _LaterRows(training, train, history, features, seed)
    tests = training.test_months(month)
    return [
        _cut_off(used, outcomes, month),
        _deals_cut_off(training.known(month).deals, month),
        _both_sides(training, used, history.rows, month),
        later.finding(month, _SCORES, lambda which: book_scores(which, history.rows, month)),
        *(later.finding(test, _BACKTEST, partial(_backtest, month=test)) for test in tests[-1:]),
    ]


def _finding(probe: Probe, month: Month, fault: pd.DataFrame | None, told: str, column: str) -> Finding:
    if fault is None or fault.empty:
        return Finding(probe, str(month), _ROWS, column, Verdict.PASSED, told, rows=0)
    shown = ", ".join(f"{row.opportunity_id} of {row.snapshot_month}" for row in fault.head(_EXAMPLES).itertuples())
    return Finding(probe, str(month), _ROWS, column, Verdict.FAILED, f"{told}: {shown}", rows=len(fault))


def _cut_off(used: pd.DataFrame, outcomes: pd.DataFrame, month: Month) -> Finding:
    """Every training row's outcome is stored, had matured by `month`, and is the one stored."""
    columns = [*KEY, "matured_month", "outcome", "close_date"]
    known = used[[*KEY, "outcome"]].merge(outcomes[columns], on=KEY, how="left", suffixes=("", "_stored"))
    unmatured = known[~(known["matured_month"] <= str(month))]
    if len(unmatured):
        told = f"{len(unmatured)} of {len(known)} training rows had no outcome yet at the end of {month}"
        return _finding(Probe.CUT_OFF, month, unmatured, told, "matured_month")
    undue = known[~_in_its_month(known)]
    if len(undue):
        told = (
            f"{len(undue)} of {len(known)} training rows have an outcome of another month than the one after their "
            "snapshot"
        )
        return _finding(Probe.CUT_OFF, month, undue, told, "close_date")
    other = known[known["outcome"] != known["outcome_stored"]]
    told = f"{len(other)} of {len(known)} training rows have another outcome than {OUTCOMES.name}"
    if len(other):
        return _finding(Probe.CUT_OFF, month, other, told, "outcome")
    return _finding(Probe.CUT_OFF, month, None, f"{len(known)} training outcomes had matured by {month}", "*")


def _deals_cut_off(deals: Deals, month: Month) -> Finding:
    """No deal that is learnt from was engaged, or closed, after the month-end."""
    where = (Probe.CUT_OFF, str(month), _DEALS)
    last = int(to_days(month.end))
    for column, late in (
        ("as_of", int(deals.as_of > last)),
        ("engage_date", int((deals.engaged > last).sum())),
        ("close_date", int((deals.closed > last).sum())),
    ):
        if late:
            told = f"{late} of {len(deals)} deals that the model learns from are dated after {month}"
            return Finding(*where, column, Verdict.FAILED, told, rows=late)
    return Finding(*where, "*", Verdict.PASSED, f"{len(deals)} deals were engaged and closed by {month}", rows=0)


def _in_its_month(known: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a row matured in the month after its snapshot, and closed in that month if it closed at all."""
    import pandas as pd

    after = {text: Month.parse(text).next for text in known["snapshot_month"].unique()}
    matures = known["matured_month"] == known["snapshot_month"].map({text: str(m) for text, m in after.items()})
    closed = pd.to_datetime(known["close_date"])
    first = pd.to_datetime(known["snapshot_month"].map({text: m.start for text, m in after.items()}))
    last = pd.to_datetime(known["snapshot_month"].map({text: m.end for text, m in after.items()}))
    in_month = (closed >= first) & (closed <= last)
    stayed = known["outcome_stored"] == OPEN_OUTCOME
    return np.asarray(matures & np.where(stayed, closed.isna(), in_month), dtype=np.bool_)


def _both_sides(training: Training, used: pd.DataFrame, rows: pd.DataFrame, month: Month) -> Finding:
    """No row that a model is tested on, or scores, is among those it learnt from."""
    import pandas as pd

    faults = []
    tested = 0
    for test in [*training.test_months(month), month]:
        learnt = used if test == month else training.training_rows(test)
        book = rows.loc[rows["snapshot_month"] == str(test), KEY]
        tested += len(book)
        faults.append(book.merge(learnt[KEY], on=KEY, how="inner"))
    both = pd.concat(faults)
    told = f"{len(both)} of {tested} rows that are predicted are among the rows their model learnt from"
    return _finding(Probe.BOTH_SIDES, month, both if len(both) else None, told, "*")


def book_scores(training: Training, rows: pd.DataFrame, month: Month) -> dict[str, float]:
    """Opportunity -> score of the book of `month`, by its model."""
    book = rows[rows["snapshot_month"] == str(month)]
    return dict(zip(book["opportunity_id"], training.model_for(month).predict(book).tolist(), strict=True))


def changed_scores(found: Mapping[str, float], expected: Mapping[str, float]) -> tuple[int, str]:
    """How many scores are others than expected, missing or new ones included, and the one that changed most."""
    names = [name for name in expected if name in found]
    unmatched = sorted(found.keys() ^ expected.keys())
    gap = np.abs(np.array([found[name] - expected[name] for name in names]))
    moved = int((gap > TOLERANCE).sum())
    if moved:
        worst = names[int(gap.argmax())]
        return moved + len(unmatched), f"that of {worst} from {expected[worst]:.6f} to {found[worst]:.6f}"
    return len(unmatched), f"{unmatched[0]} is scored in one world and not in the other" if unmatched else ""


def _backtest(training: Training, month: Month) -> dict[str, float]:
    """Opportunity -> probability that the backtest gives to the book of `month`."""
    found = training.predictions(month)
    return dict(zip(found["opportunity_id"], found["probability"].tolist(), strict=True))


@dataclass(frozen=True)
class _LaterRows:
    """What a training gives when everything that was not known at a month is other.

    Outcomes of the book of that month and of later ones are drawn at random; features of later books are numbers and
    categories that occur nowhere else, so that not even a scaler or an encoder may know them; a book is added. The
    deals of later months were all won the day they were engaged.
    """

    training: Training
    train: Train
    history: TrainingHistory
    features: Sequence[str]
    seed: int

    def finding(self, month: Month, table: str, read: Callable[[Training], dict[str, float]]) -> Finding:
        """Whether what `read` takes from the training is the same, else the column of the rows that changes it."""
        where = (Probe.LATER_ROWS, str(month), table)
        try:
            expected = read(self.training)
        except QualityError as error:
            # What it learns from is told by the other probes, and may be why.
            return Finding(*where, "probability", Verdict.NOT_RUN, f"no model can be trained: {error}")
        if not expected:
            return Finding(*where, "probability", Verdict.NOT_RUN, "the book is empty")
        everything = ["outcome", *self.features, _DEALS]
        moved, example = self._moved(month, everything, read, expected)
        if not moved:
            told = f"{len(expected)} probabilities are the same whatever happens after {month}"
            return Finding(*where, "probability", Verdict.PASSED, told, rows=0)
        guilty = [name for name in everything if self._moved(month, [name], read, expected)[0]]
        told = (
            f"{moved} of {len(expected)} probabilities change when only rows after {month} do, {example}: the training "
            f"reads {', '.join(guilty) or 'how many rows there are'} of later rows"
        )
        return Finding(*where, guilty[0] if len(guilty) == 1 else "probability", Verdict.FAILED, told, rows=moved)

    def _moved(
        self,
        month: Month,
        columns: Sequence[str],
        read: Callable[[Training], dict[str, float]],
        expected: dict[str, float],
    ) -> tuple[int, str]:
        """How many probabilities change, and the one that changes most."""
        try:
            found = read(self.train(self._another_history(month, columns)))
        # A training that breaks on rows which it must not read has read them, however it breaks.
        except Exception as error:
            return len(expected), f"it fails with {type(error).__name__}: {error}"
        # Rows that only the other world has an outcome for are no fault; rows that it lacks are.
        return changed_scores({name: value for name, value in found.items() if name in expected}, expected)

    def _another_history(self, month: Month, columns: Sequence[str]) -> TrainingHistory:
        deals = self.history.deals

        def other_deals(of: Month) -> Deals:
            return _all_won(deals(of)) if of > month else deals(of)

        rows = self._with_another_future(month, columns)
        return TrainingHistory(rows, other_deals if _DEALS in columns else deals)

    def _with_another_future(self, month: Month, columns: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        random = np.random.default_rng(self.seed)
        rows = self.history.rows
        last = Month.parse(rows["snapshot_month"].max())
        added = rows[rows["snapshot_month"] == str(month)].assign(snapshot_month=str(max(month, last).next))
        changed = pd.concat([rows, added], ignore_index=True)
        unknown = (changed["snapshot_month"] >= str(month)).to_numpy()
        later = (changed["snapshot_month"] > str(month)).to_numpy()
        if "outcome" in columns:
            drawn = random.choice(np.array(OUTCOMES_ALLOWED, dtype=object), int(unknown.sum()))
            # A book that had an outcome has one here too, so that the backtest predicts the same rows.
            changed.loc[unknown, "outcome"] = drawn
        for name in (name for name in self.features if name in columns):
            if pd.api.types.is_numeric_dtype(changed[name].dtype):
                span = 1 + float(np.nanmax(np.abs(changed[name].to_numpy(dtype=np.float64)), initial=0.0))
                values = np.where(later, random.uniform(-_FAR * span, _FAR * span, len(changed)), changed[name])
                changed[name] = values
            else:
                changed[name] = changed[name].where(~later, "nobody has heard of it")
        return changed


def _all_won(deals: Deals) -> Deals:
    """The deals as if each had been won on the day it was engaged."""
    return replace(deals, closed=deals.engaged.copy(), won=np.ones(len(deals), dtype=np.bool_))
