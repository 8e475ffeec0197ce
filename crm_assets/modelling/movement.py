"""Why a score moved: the change of a probability from one month to the next, split by cause.

The parts are the Shapley values of a game of four players: the three causes of features, and the model. A coalition is
worth what its model predicts for the opportunity with the features of its causes as of the later month and all others
as of the earlier one; without `model` in it the earlier model predicts. A player's part is its mean contribution over
all 24 orders in which the four can change one after the other. Parts sum to the change, and what did not change has no
part.

Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953. Štrumbelj and Kononenko,
"Explaining prediction models and individual predictions with feature contributions", Knowledge and Information Systems
41 (2014). With four players the sum is exact; nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import QualityError
from crm_assets.features.feature import Cause
from crm_assets.features.registry import CAUSES, FEATURE_TABLE
from crm_assets.modelling.candidate import ProbabilityModel
from crm_assets.modelling.feature_frame import FeatureMismatchError
from crm_assets.modelling.shapley import shapley_values

if TYPE_CHECKING:
    import pandas as pd

MODEL, NOTHING = "model", "nothing"
PLAYERS: Mapping[str, str] = {
    Cause.DEAL.value: "the deal changed",
    Cause.TIME.value: "time passed",
    Cause.WORLD.value: "the world changed",
    MODEL: "the model changed",
}
"""What a probability can move by -> the same in words."""
PARTS: tuple[str, ...] = tuple(f"by_{player}" for player in PLAYERS)
"""Columns of the parts, in the order of PLAYERS."""
ID = "opportunity_id"


def _part(name: str, description: str) -> Column:
    return Column(name, Kind.FLOAT, description, unit="probability", required=True)


SCORE_CHANGES = Table(
    "score_changes",
    "One row per opportunity that has a score this month and the month before: how far it moved, and by what.",
    (
        FEATURE_TABLE.column(ID),
        Column("snapshot_month", Kind.STRING, "Month at whose end it was scored, YYYY-MM", required=True),
        Column("previous_month", Kind.STRING, "The month before, YYYY-MM", required=True),
        Column("model_version", Kind.STRING, "Version of the champion that gave the probability", required=True),
        Column("previous_model_version", Kind.STRING, "Version of the champion of the month before", required=True),
        Column(
            "probability_before",
            Kind.FLOAT,
            "Score of the month before: of a win by the end of this month",
            unit="probability",
            required=True,
            minimum=0,
        ),
        Column(
            "probability",
            Kind.FLOAT,
            "Score of this month: of a win by the end of the next",
            unit="probability",
            required=True,
            minimum=0,
        ),
        _part("change", "Probability minus the one before; the sum of the four parts"),
        _part("by_deal", "Part of the change that comes of the deal's own features"),
        _part("by_time", "Part that comes of its age and of the month that is predicted"),
        _part("by_world", "Part that comes of the histories of agent, manager, region, product and cohort"),
        _part("by_model", "Part that comes of another champion; 0 when it is the same"),
        Column(
            "main_cause",
            Kind.STRING,
            "The part furthest from 0; nothing where all are 0",
            required=True,
            allowed=(*PLAYERS, NOTHING),
        ),
    ),
    key=(ID,),
)


def changes_by_cause(
    before: pd.DataFrame,
    now: pd.DataFrame,
    model_before: ProbabilityModel,
    model_now: ProbabilityModel,
    *,
    causes: Mapping[str, Cause] = CAUSES,
    opportunities: Collection[str] | None = None,
) -> pd.DataFrame:
    """Split the change of each probability from the earlier month to the later one.

    Args:
        before: rows of the earlier month: `opportunity_id`, once each, and features; the order does not matter.
        now: rows of the later month, with the same features.
        model_before: gave the earlier probabilities; it reads of the features what it needs, and nothing else.
        model_now: gave the later ones; the same object when the model did not change.
        causes: feature -> what a change of it counts as. Other columns are not handed to the models.
        opportunities: which to explain; those in both months when None.

    Returns:
        One row per opportunity, sorted by `opportunity_id`: `probability_before`, `probability`, `change` between them,
        the four PARTS that sum to it, and `main_cause`, the player of the part furthest from 0 (the first of equal
        ones), NOTHING where all are 0. A part is exactly 0 where no feature of its cause changed, or the model did not.

    Raises:
        QualityError: an opportunity stands twice in a month, or one that was asked for is missing in one.
        FeatureMismatchError: a feature is in one month only, or a model needs one that is in neither.
    """
    import pandas as pd

    columns = _features(before, now, causes)
    earlier, later = _aligned(before, now, opportunities)
    changed = _changed(earlier, later, columns)
    if model_before is not model_now:
        changed |= _bit(MODEL)
    worth = _worth(earlier, later, (model_before, model_now), columns, changed)
    first, last = worth[0], worth[-1]
    parts = shapley_values(worth)
    largest = np.abs(parts).argmax(axis=0)
    main = np.where(parts.any(axis=0), np.array([*PLAYERS], dtype=object)[largest], NOTHING)
    return pd.DataFrame(
        {
            ID: earlier.index.to_numpy(dtype=object),
            "probability_before": first,
            "probability": last,
            "change": last - first,
            **dict(zip(PARTS, parts, strict=True)),
            "main_cause": main,
        }
    )


def _bit(player: str) -> int:
    return 1 << [*PLAYERS].index(player)


def _features(before: pd.DataFrame, now: pd.DataFrame, causes: Mapping[str, Cause]) -> dict[str, Cause]:
    """The features that are there, with their causes."""
    lonely = [name for name in causes if (name in before.columns) != (name in now.columns)]
    if lonely:
        raise FeatureMismatchError(
            f"the features {', '.join(lonely)} are in one of the two months only: rebuild opportunity_features of both"
        )
    return {name: cause for name, cause in causes.items() if name in now.columns}


def _aligned(
    before: pd.DataFrame, now: pd.DataFrame, opportunities: Collection[str] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the opportunities in both months, by id, in the same order."""
    months = {"earlier": before.set_index(ID), "later": now.set_index(ID)}
    for which, rows in months.items():
        repeated = rows.index[rows.index.duplicated()].unique()
        if len(repeated):
            raise QualityError(
                f"the {which} month holds {len(repeated)} opportunities more than once "
                f"({', '.join(map(str, repeated[:5]))}): rebuild its features"
            )
    earlier, later = months.values()
    wanted = sorted(earlier.index.intersection(later.index) if opportunities is None else set(opportunities))
    for which, rows in months.items():
        missing = [name for name in wanted if name not in rows.index]
        if missing:
            raise QualityError(
                f"the {which} month lacks the features of {len(missing)} opportunities ({', '.join(missing[:5])}): "
                "rebuild them, or ask for opportunities that are in both months"
            )
    return earlier.loc[wanted], later.loc[wanted]


def _changed(earlier: pd.DataFrame, later: pd.DataFrame, columns: Mapping[str, Cause]) -> NDArray[np.int64]:
    """Per row the coalition of the causes of which some feature changed, shape (n,)."""
    changed = np.zeros(len(later), dtype=np.int64)
    for name, cause in columns.items():
        changed[~_equal(earlier[name], later[name])] |= _bit(cause.value)
    return changed


def _equal(one: pd.Series[Any], other: pd.Series[Any]) -> NDArray[np.bool_]:
    """Where two columns hold the same; empty is the same as empty."""
    import pandas as pd

    if all(pd.api.types.is_numeric_dtype(column.dtype) for column in (one, other)):
        left, right = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (one, other))
        return np.asarray((left == right) | (np.isnan(left) & np.isnan(right)))
    return np.asarray(_objects(one) == _objects(other), dtype=np.bool_)


def _objects(column: pd.Series[Any]) -> NDArray[Any]:
    """The values as Python objects, None where there is none, which unlike NaN equals itself."""
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = None
    return values


def _worth(
    earlier: pd.DataFrame,
    later: pd.DataFrame,
    models: tuple[ProbabilityModel, ProbabilityModel],
    columns: Mapping[str, Cause],
    changed: NDArray[np.int64],
) -> NDArray[np.float64]:
    """What each coalition is worth for each row, shape (16, n).

    A coalition is worth what those of its players are worth that changed in the row. So only these are predicted, and a
    player that did not change adds exactly nothing, also where a model's last bit depends on the rows beside.
    """
    import pandas as pd

    coalitions = np.arange(1 << len(PLAYERS))
    predicted = np.zeros((len(coalitions), len(changed)))
    for coalition in coalitions:
        needed = coalition & changed == coalition
        if not needed.any():
            continue
        sources = {name: later if coalition & _bit(cause.value) else earlier for name, cause in columns.items()}
        rows = pd.DataFrame({name: frame[name][needed] for name, frame in sources.items()}, index=later.index[needed])
        model = models[1] if coalition & _bit(MODEL) else models[0]
        predicted[coalition, needed] = model.predict(rows.reset_index(drop=True))
    return np.take_along_axis(predicted, coalitions[:, None] & changed, axis=0)
