"""Why a score is what it is: its distance from that of typical deals, split by subject, and put in words.

The parts are Shapley values of a game whose players are the subjects of features: age, month, agent, cohort and
product. A coalition is worth the mean prediction over the typical deals of the model when the features of its subjects
are the deal's own and all others those of the typical deal. With five players the sum over all 32 coalitions is exact,
and it is the model that scored which is asked, so the parts and the base sum to the score.

Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017; the typical deals are its
background set, and features are grouped as in Jullum, Redelmeier and Aas, "groupShapley", 2021.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.features.registry import AS_OF, FEATURE_NAMES, FEATURE_TABLE
from crm_assets.modelling.shapley import shapley_values
from crm_assets.modelling.typical import AGE_STEP, Typical
from crm_assets.modelling.win_model import WinModel

if TYPE_CHECKING:
    import pandas as pd


class Subject(enum.Enum):
    """What a feature is about; a reason is given for each."""

    AGE = "age"
    MONTH = "month"
    AGENT = "agent"
    COHORT = "cohort"
    PRODUCT = "product"


_BY_PREFIX = {
    "age_": Subject.AGE,
    "as_of": Subject.MONTH,
    "next_": Subject.MONTH,
    "sales_agent": Subject.AGENT,
    "agent_": Subject.AGENT,
    "manager": Subject.AGENT,
    "region": Subject.COHORT,
    "engage_": Subject.COHORT,
    "cohort_": Subject.COHORT,
    "product": Subject.PRODUCT,
    "series": Subject.PRODUCT,
    "list_price": Subject.PRODUCT,
}


def _subject(name: str) -> Subject:
    return next(subject for prefix, subject in _BY_PREFIX.items() if name.startswith(prefix))


SUBJECTS: Mapping[str, Subject] = {name: _subject(name) for name in (AS_OF, *FEATURE_NAMES)}
"""Column that a model may read -> what it is about."""

PARTS: tuple[str, ...] = tuple(f"due_to_{subject.value}" for subject in Subject)
"""Columns of the parts, in the order of `Subject`."""
WORDED = ("raises", "lowers")
"""Columns of the reasons in words."""
LEAST = 0.005
"""A part below half a percentage point is no reason."""

_MEANT = {
    Subject.AGE: "its age",
    Subject.MONTH: "the month that is predicted",
    Subject.AGENT: "its agent",
    Subject.COHORT: "its office and when it was engaged",
    Subject.PRODUCT: "its product",
}

SCORE_REASONS = Table(
    "score_reasons",
    "One row per scored opportunity: how far its probability is from that of typical deals, and by what.",
    (
        FEATURE_TABLE.column("opportunity_id"),
        Column("snapshot_month", Kind.STRING, "Month at whose end it was scored, YYYY-MM", required=True),
        Column("model_version", Kind.STRING, "Version of the champion that gave the probability", required=True),
        Column("probability", Kind.FLOAT, "The score", unit="probability", required=True, minimum=0),
        Column(
            "base",
            Kind.FLOAT,
            "Mean probability of the model's typical deals; with the five parts it sums to the score",
            unit="probability",
            required=True,
            minimum=0,
        ),
        *(
            Column(f"due_to_{subject.value}", Kind.FLOAT, f"Part due to {meant}", unit="probability", required=True)
            for subject, meant in _MEANT.items()
        ),
        Column("raises", Kind.STRING, "What raises it, in words, the largest part first; empty if nothing does"),
        Column("lowers", Kind.STRING, "What lowers it, in words, the largest part first; empty if nothing does"),
    ),
    key=("opportunity_id",),
)


def reasons(model: WinModel, rows: pd.DataFrame) -> pd.DataFrame:
    """The reasons of each row's score.

    Args:
        model: that scored; on a rung below a model the base is the score and there are no parts.
        rows: features, one row per opportunity, with `opportunity_id`, of one month.

    Returns:
        One row per row, in their order: `opportunity_id`, `probability`, `base`, PARTS, `raises` and `lowers`.
    """
    import pandas as pd

    if model.typical is None:
        probability = model.predict(rows)
        parts = np.zeros((len(PARTS), len(rows)))
        base = probability
    else:
        worth = coalition_worth(model, rows, model.typical)
        parts, probability, base = shapley_values(worth), worth[-1], worth[0]
    told = _in_words(model.typical, rows, parts)
    return pd.DataFrame(
        {
            "opportunity_id": rows["opportunity_id"].to_numpy(dtype=object),
            "probability": probability,
            "base": base,
            **dict(zip(PARTS, parts, strict=True)),
            "raises": [raises for raises, _ in told],
            "lowers": [lowers for _, lowers in told],
        }
    )


def main_parts(parts: NDArray[np.float64]) -> tuple[list[Subject | None], NDArray[np.float64]]:
    """What sets each row apart most.

    Args:
        parts: due to each subject, in the order of Subject, (n, 5).

    Returns:
        The subject of the largest part and that part, (n,); None and NaN where even that is below LEAST.
    """
    at = np.abs(parts).argmax(axis=1)
    largest = parts[np.arange(len(parts)), at]
    told = np.abs(largest) >= LEAST
    subjects = tuple(Subject)
    return (
        [subjects[one] if is_told else None for one, is_told in zip(at, told, strict=True)],
        np.where(told, largest, np.nan),
    )


def coalition_worth(model: WinModel, rows: pd.DataFrame, typical: Typical) -> NDArray[np.float64]:
    """What each coalition of subjects is worth for each row, (32, n); subject i is in coalition c when its bit is set.

    A row is predicted once for all rows that agree in the features of the coalition.
    """
    read = model.fitted.features
    columns = {subject: [name for name in read if SUBJECTS[name] is subject] for subject in Subject}
    codes = {subject: _codes(rows, names) for subject, names in columns.items()}
    worth = np.empty((1 << len(Subject), len(rows)))
    worth[0] = typical.base
    worth[-1] = model.predict(rows)
    for coalition in range(1, len(worth) - 1):
        inside = [subject for at, subject in enumerate(Subject) if coalition >> at & 1]
        own = [name for subject in inside for name in columns[subject]]
        if len(own) == len(read):
            # All that is read is the deal's own; a mean of equal predictions would differ in the last bit.
            worth[coalition] = worth[-1]
            continue
        code = np.zeros(len(rows), dtype=np.int64)
        for subject in inside:
            code = np.unique(code * (codes[subject].max(initial=0) + 1) + codes[subject], return_inverse=True)[1]
        _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        worth[coalition] = _mean_prediction(model, rows.iloc[first], own, typical)[inverse]
    return worth


def _codes(rows: pd.DataFrame, names: list[str]) -> NDArray[np.int64]:
    if not names:
        return np.zeros(len(rows), dtype=np.int64)
    grouped = rows.groupby(names, dropna=False, sort=False)
    return np.asarray(grouped.ngroup(), dtype=np.int64)


def _mean_prediction(model: WinModel, rows: pd.DataFrame, own: list[str], typical: Typical) -> NDArray[np.float64]:
    """Mean prediction over the typical deals of rows that have the columns `own` of theirs, (n,)."""
    import pandas as pd

    if not own:
        return np.full(len(rows), typical.base)
    times = len(typical.rows)
    mixed = {}
    for name in model.fitted.features:
        source = rows if name in own else typical.rows
        values = source[name].to_numpy()
        if name == AS_OF:
            values = np.asarray(values, dtype="datetime64[D]")
        mixed[name] = np.repeat(values, times) if name in own else np.tile(values, len(rows))
    predicted = model.fitted.predict(pd.DataFrame(mixed))
    return np.asarray(predicted.reshape(len(rows), times).mean(axis=1))


def _in_words(
    typical: Typical | None, rows: pd.DataFrame, parts: NDArray[np.float64]
) -> list[tuple[str | None, str | None]]:
    if typical is None:
        return [(None, None)] * len(rows)
    told = []
    for at, row in enumerate(rows.to_dict("records")):
        ordered = sorted(zip(Subject, parts[:, at], strict=True), key=lambda pair: -abs(pair[1]))
        said = [(f"{phrase(subject, row, typical, part)} ({100 * part:+.0f})", part) for subject, part in ordered]
        up = [reason for reason, part in said if part >= LEAST]
        down = [reason for reason, part in said if part <= -LEAST]
        told.append(("; ".join(up) or None, "; ".join(down) or None))
    return told


def phrase(subject: Subject, row: Mapping[Any, Any], typical: Typical, part: float) -> str:
    """What there is to say of a deal about a subject, for a salesperson.

    Args:
        subject: what it is about.
        row: the deal's features.
        typical: of the model.
        part: of the score that is due to the subject. A comparison that speaks for the other direction is left out: in
            the first month of a quarter few deals are won, but those engaged long ago may be won rather then.
    """
    return _PHRASES[subject](row, typical, part)


def _age(row: Mapping[Any, Any], typical: Typical, part: float) -> str:
    age = _number(row, "age_days")
    if age is None:
        return "when it was engaged is unknown"
    days = int(age)
    if not typical.won_at_age:
        return f"engaged {_days(days)} ago"
    if days > typical.won_at_age[-1]:
        return f"engaged {_days(days)} ago, longer than any deal that was won"
    sooner = int(np.searchsorted(typical.won_at_age, days, side="left")) - 1
    longer = 101 - int(np.searchsorted(typical.won_at_age, days, side="right"))
    if sooner >= 50:
        return f"engaged {_days(days)} ago: {sooner} % of the deals that were won were won sooner"
    return f"engaged {_days(days)} ago: {min(longer, 100)} % of the deals that were won took longer"


def _month(row: Mapping[Any, Any], typical: Typical, part: float) -> str:
    month = Month.of(np.datetime64(str(row[AS_OF])[:10], "D").item()).next
    which = {1: "first", 2: "second", 3: "third"}[month.quarter_position]
    rate = typical.win_rate_before.get(month.quarter_position)
    told = f"{month} is the {which} month of a quarter"
    if rate is None or (rate - np.mean(list(typical.win_rate_before.values()))) * part < 0:
        return told
    return f"{told}, in which {_percent(rate)} of the open deals were won"


def _agent(row: Mapping[Any, Any], typical: Typical, part: float) -> str:
    name = _name(row, "sales_agent", "the agent")
    share, usual = _number(row, "agent_share_open_138"), typical.agent_share_open
    if share is None or usual is None or (usual - share) * part < 0:
        return f"sold by {name}"
    return (
        f"sold by {name}, who leaves {_percent(share)} of the deals open for more than 138 days "
        f"({_percent(usual)} is usual)"
    )


def _cohort(row: Mapping[Any, Any], typical: Typical, part: float) -> str:
    office = _name(row, "regional_office", "the same office")
    share, age = _number(row, "cohort_share_open"), _number(row, "age_days")
    usual = None if age is None else typical.share_open_by_age.get(int(age) // AGE_STEP)
    if share is None:
        return f"engaged in {office} when it was"
    told = f"of the deals engaged in {office} at the time {_percent(share)} are still open"
    if usual is None or (usual - share) * part < 0:
        return told
    return f"{told} ({_percent(usual)} is usual at this age)"


def _product(row: Mapping[Any, Any], typical: Typical, part: float) -> str:
    return f"the product is {_name(row, 'product', 'unknown')}"


_PHRASES: Mapping[Subject, Callable[[Mapping[Any, Any], Typical, float], str]] = {
    Subject.AGE: _age,
    Subject.MONTH: _month,
    Subject.AGENT: _agent,
    Subject.COHORT: _cohort,
    Subject.PRODUCT: _product,
}


def _number(row: Mapping[Any, Any], column: str) -> float | None:
    number = row.get(column)
    return None if number is None or np.isnan(number) else float(number)


def _name(row: Mapping[Any, Any], column: str, otherwise: str) -> str:
    name = row.get(column)
    return name if isinstance(name, str) and name else otherwise


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
