"""Every candidate by its name, and fitted ones read back; importing this loads none of their libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_assets.errors import CrmAssetsError, SettingsError
from crm_assets.features.registry import AS_OF, WIN_MODEL_FEATURES
from crm_assets.modelling.blend import BLEND, Blend, FittedBlend
from crm_assets.modelling.candidate import Candidate, Fitted
from crm_assets.modelling.catboost_boosting import CATBOOST, CatBoost, FittedCatBoost
from crm_assets.modelling.cold_start import RUNGS, RateTable
from crm_assets.modelling.hazard_candidate import CURE_HAZARD, HAZARD_FEATURES, FittedHazard, HazardCandidate
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


HAZARD_WEIGHT = 0.7
"""Weight of the cure-hazard model in the blend; the trees have the rest. Chosen on simulated businesses."""


def blend_of(hazard: Candidate, trees: Candidate) -> Blend:
    """The blend of a cure-hazard model and trees."""
    return Blend(((hazard, HAZARD_WEIGHT), (trees, 1 - HAZARD_WEIGHT)))


MODEL_COLUMNS = tuple(dict.fromkeys((AS_OF, *WIN_MODEL_FEATURES, *HAZARD_FEATURES)))
"""Columns of the feature table that candidates read."""

CANDIDATES: Mapping[str, Entry] = {
    LOGISTIC: Entry(Logistic, FittedLogistic.from_dict),
    RANDOM_FOREST: Entry(RandomForest, FittedTrees.from_dict),
    LIGHTGBM: Entry(LightGBM, FittedTrees.from_dict),
    CATBOOST: Entry(CatBoost, FittedCatBoost.from_dict),
    CURE_HAZARD: Entry(HazardCandidate, FittedHazard.from_dict),
    BLEND: Entry(lambda: blend_of(HazardCandidate(), LightGBM()), FittedBlend.from_dict),
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
    if name in RUNGS:
        return RateTable.from_dict(content)
    if name not in CANDIDATES:
        raise CrmAssetsError(
            f"a fitted model of the candidate {name!r} cannot be read: there are {', '.join(CANDIDATES)}; train anew"
        )
    try:
        return CANDIDATES[name].read(content)
    except KeyError as error:
        raise CrmAssetsError(f"a fitted model of the candidate {name} lacks {error}: train and save it anew") from error
