"""What models are trained on and chosen from in this deployment: settings and the lake, handed to `modelling`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crm_assets.calendar import Month
from crm_assets.code_version import code_version
from crm_assets.defs.inputs import Inputs
from crm_assets.features.registry import AS_OF, FEATURE_TABLE
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_assets.modelling.backtest import RollingOrigin
    from crm_assets.modelling.candidate import Candidate, TrainingHistory
    from crm_assets.modelling.deals import Deals
    from crm_assets.modelling.win_model import WinModel
    from crm_assets.settings import Settings

TRAINING_CODE = ("history", "engines", "features", "modelling", "defs/training")
TRAINING_SETTINGS = (
    "candidates",
    "min_training_wins",
    "backtest_months",
    "trees",
    "tuning_seconds",
    "tuning_trials",
    "seed",
)
CONTRACT_CODE = ("calendar", "contracts", "history", "features")
"""Modules that decide what the rows mean that a model is trained on."""

_KEYS = ("opportunity_id", "snapshot_month")


def contract() -> str:
    """Digest of the definitions of the rows that models are trained on."""
    return code_version(*CONTRACT_CODE)


def candidates_of(settings: Settings) -> list[Candidate]:
    """The candidates of `CRM_CANDIDATES`, the preferred one first, with their settings, tuned if asked for.

    Raises SettingsError when one is unknown.
    """
    from crm_assets.modelling.blend import BLEND
    from crm_assets.modelling.candidates import blend_of, candidate_named
    from crm_assets.modelling.catboost_boosting import CATBOOST
    from crm_assets.modelling.hazard_candidate import CURE_HAZARD
    from crm_assets.modelling.lightgbm_boosting import LIGHTGBM
    from crm_assets.modelling.tuned_candidate import tuned

    boosted = {"iterations": settings.trees, "seed": settings.seed}
    given = {LIGHTGBM: boosted, CATBOOST: boosted}

    made: dict[str, Candidate] = {}

    def recipe(name: str) -> Candidate:
        # Each once: what a tuned one found in a fit is asked of the same object, also as a member of the blend.
        if name not in made:
            made[name] = blend_of(recipe(CURE_HAZARD), recipe(LIGHTGBM)) if name == BLEND else single(name)
        return made[name]

    def single(name: str) -> Candidate:
        untuned = candidate_named(name, **given.get(name, {}))
        if settings.tuning_seconds == 0:
            return untuned
        return tuned(untuned, seconds=settings.tuning_seconds, trials=settings.tuning_trials, seed=settings.seed)

    return [recipe(name) for name in settings.candidate_names]


def training_over(settings: Settings, history: TrainingHistory) -> RollingOrigin:
    """The rolling-origin training of the win model over this history."""
    from crm_assets.modelling.backtest import RollingOrigin

    return RollingOrigin(history, candidates_of(settings), min_wins=settings.min_training_wins)


def rolling_origin(inputs: Inputs) -> RollingOrigin:
    """The run's rolling-origin backtest; the steps of a run share it, so that each month is fitted once."""
    last, settings = inputs.last_month, inputs.settings
    made_from = tuple(
        inputs.fingerprint(name, month)
        for name in (FEATURE_TABLE.name, OUTCOMES.name, SNAPSHOTS.name)
        for month in inputs.months(name, last)
    )
    key = (made_from, *(getattr(settings, name) for name in TRAINING_SETTINGS))

    def make() -> RollingOrigin:
        features = inputs.run_history(FEATURE_TABLE.name, _columns())
        outcomes = inputs.run_history(OUTCOMES.name, [*_KEYS, "outcome"])
        return training_over(settings, _history(features, outcomes, inputs.run_frame))

    return inputs.shared("rolling origin", key, make)


def known_history(inputs: Inputs, month: Month) -> TrainingHistory:
    """Features and deals up to `month` with the outcomes that had matured by then, and nothing later."""
    features = inputs.history(FEATURE_TABLE.name, month, _columns())
    return _history(features, inputs.history(OUTCOMES.name, month, [*_KEYS, "outcome"]), inputs.frame)


def month_model(inputs: Inputs, month: Month) -> WinModel:
    """The model trained on what was known at `month`. Raises QualityError when that is too little."""
    origin = rolling_origin(inputs)
    models: dict[Month, WinModel] = inputs.shared("month models", origin, dict)
    if month not in models:
        models[month] = model_of(origin, month, origin.chosen(month))
    return models[month]


def model_of(origin: RollingOrigin, month: Month, candidate: str) -> WinModel:
    """The model of a month with a candidate in it. Raises QualityError when too little had matured."""
    from crm_assets.modelling.hazard_candidate import CURE_HAZARD, FittedHazard, HazardCandidate
    from crm_assets.modelling.win_model import WinModel

    fitted, known = origin.fitted(candidate, month), origin.known(month)
    names = [given.name for given in origin.candidates]
    hazard = origin.fitted(CURE_HAZARD, month) if CURE_HAZARD in names else HazardCandidate().fit(known)
    assert isinstance(hazard, FittedHazard)
    return WinModel.of(fitted, known, hazard, contract=contract())


def _columns() -> list[str]:
    from crm_assets.modelling.candidates import MODEL_COLUMNS

    return list(dict.fromkeys([*_KEYS, AS_OF, *MODEL_COLUMNS]))


def _history(
    features: pl.DataFrame, outcomes: pl.DataFrame, read: Callable[[str, Month, list[str]], pl.DataFrame]
) -> TrainingHistory:
    from crm_assets.modelling.candidate import TrainingHistory
    from crm_assets.modelling.deals import DEAL_COLUMNS, Deals

    rows = features.join(outcomes, on=_KEYS, how="left", maintain_order="left").to_pandas()

    def deals(month: Month) -> Deals:
        return Deals.from_snapshot(read(SNAPSHOTS.name, month, list(DEAL_COLUMNS)).to_pandas(), month)

    return TrainingHistory(rows, deals)
