"""The model: its rolling-origin backtest, the month's model and whether it becomes champion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, history_of, month_before, monthly_asset
from crm_assets.errors import LeakageError
from crm_assets.features.registry import CATEGORICAL, FEATURE_TABLE, WIN_MODEL_FEATURES
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.leakage.finding import LEAKAGE_REPORT, Verdict, faults_of
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.promotion import FIGURES, WIN_MODEL

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.defs.platform import Platform
    from crm_assets.lake import Manifest
    from crm_assets.modelling.backtest import BacktestReport, RollingOrigin
    from crm_assets.modelling.promotion import PromotionDecision
    from crm_assets.modelling.win_model import TrainingParameters
    from crm_assets.registry import ModelReference
    from crm_assets.settings import Settings

_GROUP = "model"
MODEL_CODE = ("history", "engines", "features", "modelling")
MODEL_SETTINGS = ("min_training_wins", "backtest_months", "catboost_iterations", "seed")
_GATE_SETTINGS = ("promotion_margin", "calibration_limit")
_CHAMPION = ("champion_version", "champion_sha256", "champion_month")


_KEYS = ("opportunity_id", "snapshot_month")


def known_rows(inputs: Inputs, month: Month) -> pd.DataFrame:
    """Features up to `month` with the outcomes that had matured by then, and nothing later."""
    features = inputs.history(FEATURE_TABLE.name, month, [*_KEYS, *WIN_MODEL_FEATURES])
    return _with_outcomes(features, inputs.history(OUTCOMES.name, month, [*_KEYS, "outcome"]))


def _with_outcomes(features: pl.DataFrame, outcomes: pl.DataFrame) -> pd.DataFrame:
    return features.join(outcomes, on=_KEYS, how="left", maintain_order="left").to_pandas()


def training_parameters(settings: Settings) -> TrainingParameters:
    """What the settings say about training."""
    from crm_assets.modelling.win_model import TrainingParameters

    return TrainingParameters(iterations=settings.catboost_iterations, seed=settings.seed)


def rolling_origin(inputs: Inputs) -> RollingOrigin:
    """The run's rolling-origin backtest; the steps of a run share it, so that each month is fitted once."""
    last = inputs.last_month
    made_from = tuple(
        inputs.fingerprint(name, month)
        for name in (FEATURE_TABLE.name, OUTCOMES.name)
        for month in inputs.months(name, last)
    )

    key = (made_from, training_parameters(inputs.settings), inputs.settings.min_training_wins)

    def make() -> RollingOrigin:
        features = inputs.run_history(FEATURE_TABLE.name, [*_KEYS, *WIN_MODEL_FEATURES])
        outcomes = inputs.run_history(OUTCOMES.name, [*_KEYS, "outcome"])
        return training_over(inputs.settings, _with_outcomes(features, outcomes))

    return inputs.shared("rolling origin", key, make)


def training_over(settings: Settings, rows: pd.DataFrame) -> RollingOrigin:
    """The rolling-origin training of the win model over these rows."""
    from crm_assets.modelling.backtest import RollingOrigin
    from crm_assets.modelling.win_model import WinModel

    parameters = training_parameters(settings)
    categories = [name for name in WIN_MODEL_FEATURES if name in CATEGORICAL]
    return RollingOrigin(
        rows,
        lambda matured: WinModel.fit(matured, WIN_MODEL_FEATURES, categories, parameters),
        min_wins=settings.min_training_wins,
    )


@monthly_asset(
    BACKTEST,
    group=_GROUP,
    needs=(history_of(FEATURE_TABLE.name), history_of(OUTCOMES.name)),
    kinds=("catboost",),
    code=(*MODEL_CODE, "defs/model"),
    settings=MODEL_SETTINGS,
)
def backtest_predictions(inputs: Inputs, month: Month) -> Made:
    """Each of the newest matured months predicted by the model that could have been trained before it."""
    report = rolling_origin(inputs).report(month, inputs.settings.backtest_months)
    if report.reason:
        return Made(inputs.no_rows(BACKTEST), notes={"status": report.reason})
    predictions = report.predictions.sort_values(["snapshot_month", "opportunity_id"], kind="stable")
    return Made(nw.from_native(pl.from_pandas(predictions).lazy()), notes=report.as_metrics())


def _lost_model(platform: Platform, manifest: Manifest) -> str | None:
    """Why the model of a stored month cannot be used any more; None while the registry has it, or none was trained."""
    version, sha256 = manifest.notes.get("model_version"), manifest.notes.get("model_sha256")
    if (
        version is None
        or platform.shared("model versions", None, platform.registry.versions).get(str(version)) == sha256
    ):
        return None
    return f"version {version} is not in the model store {platform.registry.tracking_uri}"


@monthly_asset(
    WIN_MODEL,
    group=_GROUP,
    needs=(
        history_of(FEATURE_TABLE.name),
        history_of(OUTCOMES.name),
        Needs(BACKTEST.name),
        history_of(LEAKAGE_REPORT.name),
        month_before("win_model"),
    ),
    kinds=("catboost", "mlflow"),
    code=(*MODEL_CODE, "defs/model", "registry"),
    settings=(*MODEL_SETTINGS, *_GATE_SETTINGS),
    lost=_lost_model,
)
def win_model(inputs: Inputs, month: Month) -> Made:
    """The model trained on what had matured by the month-end, and the champion from then on.

    It becomes champion when it passed the leakage gate and does better than the champion before it on rows that
    neither had seen.
    """
    origin = rolling_origin(inputs)
    champion = _champion_before(inputs, month)
    row: dict[str, Any] = {"snapshot_month": str(month), "promoted": False, "test_months": 0, **champion}
    too_little = origin.too_little(month)
    if too_little:
        row |= {"status": "not trained", "reason": too_little}
        return Made(_one_row(row), notes=_notes(row))
    report = origin.report(month, inputs.settings.backtest_months)
    decision = _decide(inputs, month, champion, report)
    reference, plots = _log(inputs, month, report, decision)
    if decision.promoted:
        _confirm(inputs, month, reference)
        champion = dict(zip(_CHAMPION, (reference.version, reference.sha256, str(month)), strict=True))
    if champion["champion_version"]:
        _point_alias(inputs, month, champion["champion_version"])
    trained_on = origin.training_rows(month)
    row |= {
        **champion,
        "status": "trained",
        "reason": "; ".join(decision.reasons),
        "model_version": reference.version,
        "model_sha256": reference.sha256,
        "promoted": decision.promoted,
        "training_rows": len(trained_on),
        "training_wins": int((trained_on["outcome"] == "won").sum()),
        "test_months": len(report.months),
        **{name: report.pooled.get(name) for name in FIGURES if name != "mean_auc"},
        "mean_auc": report.mean_auc,
    }
    return Made(_one_row(row), notes={**_notes(row), "run_id": reference.run_id}, plots=plots)


def _confirm(inputs: Inputs, month: Month, registered: ModelReference) -> None:
    """Train once more on the rows known at `month` alone; raise LeakageError unless that is the registered model."""
    from crm_assets.modelling.win_model import WinModel

    alone = training_over(inputs.settings, known_rows(inputs, month)).model_for(month)
    if not isinstance(alone, WinModel) or alone.sha256 != registered.sha256:
        raise LeakageError(
            f"version {registered.version} of {registered.name}, registered for {month}, is not the model that the "
            f"rows known at the end of {month} give: something else had a hand in its training. It does not become "
            "champion; look at training_over and what it calls in crm_assets/defs/model.py"
        )


def _notes(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None and name != "snapshot_month"}


def _one_row(row: dict[str, Any]) -> nw.LazyFrame[Any]:
    full = {name: [row.get(name)] for name in WIN_MODEL.column_names}
    frame: nw.LazyFrame[Any] = nw.from_native(pl.LazyFrame(full, schema=WIN_MODEL.polars_schema()))
    return frame


def _champion_before(inputs: Inputs, month: Month) -> dict[str, str | None]:
    """Version, content hash and month of the champion before `month`'s decision, None where there is none."""
    before = inputs.months(WIN_MODEL.name, month.previous)
    if not before:
        return dict.fromkeys(_CHAMPION)
    previous = inputs.frame(WIN_MODEL.name, before[-1]).row(0, named=True)
    return {name: previous[name] for name in _CHAMPION}


def _decide(inputs: Inputs, month: Month, champion: dict[str, str | None], report: BacktestReport) -> PromotionDecision:
    from crm_assets.modelling.promotion import GateLimits, champion_predictions, decide

    probed = inputs.history(LEAKAGE_REPORT.name, month)
    # Of earlier months too: their rows are what it learnt from.
    failed = probed.filter(pl.col("verdict") == Verdict.FAILED)
    settings, origin = inputs.settings, rolling_origin(inputs)
    model: Any = origin.model_for(month)
    version, sha256, trained_at = (champion[name] for name in _CHAMPION)
    unseen, challenger = None, report.predictions
    if version is not None and sha256 is not None and trained_at is not None:
        since = Month.parse(trained_at)
        unseen = champion_predictions(inputs.registry.load(version, sha256), origin.rows, since, month)
        challenger = origin.pooled(origin.test_months(month, since))
    return decide(
        unseen,
        challenger,
        trained_on=", ".join(model.features),
        current=", ".join(WIN_MODEL_FEATURES),
        leakage_faults=faults_of(failed),
        limits=GateLimits(
            margin=settings.promotion_margin,
            calibration=settings.calibration_limit,
            months=settings.backtest_months,
            seed=settings.seed,
        ),
    )


def _log(inputs: Inputs, month: Month, report: BacktestReport, decision: PromotionDecision) -> tuple[Any, Any]:
    """Log the month's model to the registry; returns its reference and the plots as PNG by title."""
    from crm_assets.modelling import plots

    origin = rolling_origin(inputs)
    model: Any = origin.model_for(month)
    figures = {"feature_importance": plots.feature_importance(model.importance())}
    if report.reason is None:
        won, probability = report.predictions["won"], report.predictions["probability"]
        figures["reliability"] = plots.reliability(won, probability)
        figures["cumulative_gain"] = plots.cumulative_gain(won, probability)
    reference = inputs.registry.log_version(
        model,
        month=month,
        parameters=model.parameters.as_dict(),
        metrics=report.as_metrics(),
        figures=figures,
        example=origin.training_rows(month).head(5),
        tags={
            "promoted": str(decision.promoted).lower(),
            "decision": "; ".join(decision.reasons),
            "decision_figures": json.dumps(decision.figures),
        },
    )
    shown = [name for name in ("reliability", "feature_importance") if name in figures]
    return reference, {name: plots.png(figures[name]) for name in shown}


def _point_alias(inputs: Inputs, month: Month, version: str) -> None:
    """Point the registry's alias at the newest month's champion; a backfill of the past leaves it alone."""
    if month == inputs.last_month and not any(later > month for later in inputs.held(WIN_MODEL.name)):
        inputs.registry.set_champion(version)
