"""Every candidate by its name, and fitted ones read back; importing this loads none of their libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_assets.errors import CrmAssetsError, SettingsError
from crm_assets.modelling.candidate import Candidate, Fitted
from crm_assets.modelling.catboost_boosting import CATBOOST, CatBoost, FittedCatBoost
from crm_assets.modelling.lightgbm_boosting import LIGHTGBM, LightGBM
from crm_assets.modelling.lightgbm_trees import FittedTrees
from crm_assets.modelling.logistic import LOGISTIC, FittedLogistic, Logistic
from crm_assets.modelling.random_forest import RANDOM_FOREST, RandomForest


@dataclass(frozen=True)
class Entry:
    """A candidate of a name.

    Attributes:
        make: makes the recipe, of default settings and features unless they are given by keyword.
        read: makes a fitted candidate of its `to_dict`.
    """

    make: Callable[..., Candidate]
    read: Callable[[Mapping[str, Any]], Fitted]


CANDIDATES: Mapping[str, Entry] = {
    LOGISTIC: Entry(Logistic, FittedLogistic.from_dict),
    RANDOM_FOREST: Entry(RandomForest, FittedTrees.from_dict),
    LIGHTGBM: Entry(LightGBM, FittedTrees.from_dict),
    CATBOOST: Entry(CatBoost, FittedCatBoost.from_dict),
}


def candidate_named(name: str, **given: Any) -> Candidate:
    """The recipe of that name; `given` are its fields other than their defaults. Raises SettingsError on a name that is
    none.
    """
    if name not in CANDIDATES:
        raise SettingsError(f"{name!r} is no candidate model: choose among {', '.join(CANDIDATES)}")
    return CANDIDATES[name].make(**given)


def fitted_from_dict(content: Mapping[str, Any]) -> Fitted:
    """A fitted candidate of what its `to_dict` gave. Raises CrmAssetsError when it is none."""
    name = str(content.get("candidate"))
    if name not in CANDIDATES:
        raise CrmAssetsError(
            f"a fitted model of the candidate {name!r} cannot be read: there are {', '.join(CANDIDATES)}; train anew"
        )
    try:
        return CANDIDATES[name].read(content)
    except KeyError as error:
        raise CrmAssetsError(f"a fitted model of the candidate {name} lacks {error}: train and save it anew") from error
