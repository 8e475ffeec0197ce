"""The model: its rolling-origin backtest, the month's model, and whether it becomes champion."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import HISTORY_MONTHS, Made, Needs, history_of, monthly_asset
from crm_assets.defs.training import (
    TRAINING_CODE,
    TRAINING_SETTINGS,
    contract,
    known_history,
    model_of,
    month_model,
    rolling_origin,
)
from crm_assets.defs.withdrawal import withdrawal
from crm_assets.errors import LeakageError
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.leakage.finding import LEAKAGE_REPORT, Verdict, faults_of
from crm_assets.modelling.backtest import BACKTEST, CANDIDATE_BACKTEST
from crm_assets.modelling.cold_start import MODEL, RUNGS, WORDS
from crm_assets.modelling.promotion import (
    DECISION,
    FAILED,
    FIGURES,
    NOT_APPLICABLE,
    PROMOTION_CHECKS,
    WIN_MODEL,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_assets.defs.platform import Platform
    from crm_assets.lake import Manifest
    from crm_assets.modelling.backtest import BacktestReport, RollingOrigin
    from crm_assets.modelling.promotion import PromotionDecision
    from crm_assets.modelling.win_model import WinModel
    from crm_assets.registry import CandidateRun, ModelReference

_GROUP = "model"
_CHAMPION = ("champion_version", "champion_sha256", "champion_month", "champion_rung")
_LEARNT_FROM = (history_of(FEATURE_TABLE.name), history_of(OUTCOMES.name), history_of(SNAPSHOTS.name))
_CHAMPIONS_BEFORE = Needs(WIN_MODEL.name, -HISTORY_MONTHS, -1)


@monthly_asset(
    BACKTEST,
    group=_GROUP,
    needs=_LEARNT_FROM,
    kinds=("lightgbm",),
    code=(*TRAINING_CODE, "defs/model"),
    settings=TRAINING_SETTINGS,
)
def backtest_predictions(inputs: Inputs, month: Month) -> Made:
    """Each of the newest matured months predicted by the model that could have been trained before it."""
    report = rolling_origin(inputs).report(month, inputs.settings.backtest_months)
    if report.reason:
        return Made(inputs.no_rows(BACKTEST), notes={"status": report.reason})
    predictions = report.predictions.sort_values(["snapshot_month", "opportunity_id"], kind="stable")
    return Made(nw.from_native(pl.from_pandas(predictions).lazy()), notes=report.as_metrics())


@monthly_asset(
    CANDIDATE_BACKTEST,
    group=_GROUP,
    needs=_LEARNT_FROM,
    kinds=("lightgbm",),
    code=(*TRAINING_CODE, "defs/model"),
    settings=TRAINING_SETTINGS,
)
def candidate_predictions(inputs: Inputs, month: Month) -> Made:
    """What every candidate, chosen or not, predicted of the backtest's months."""
    origin = rolling_origin(inputs)
    months = origin.test_months(month)[-inputs.settings.backtest_months :]
    if not months:
        return Made(inputs.no_rows(CANDIDATE_BACKTEST))
    found = origin.candidate_predictions(months).sort_values(list(CANDIDATE_BACKTEST.key), kind="stable")
    return Made(nw.from_native(pl.from_pandas(found).lazy()))


def _rolled_back(platform: Platform, manifest: Manifest) -> str | None:
    """Why the decision of a stored month does not hold any more; None while it does."""
    for name in ("model_sha256", "champion_sha256"):
        sha256 = manifest.notes.get(name)
        promoted = name != "model_sha256" or manifest.notes.get("promoted")
        found = withdrawal(platform, Month.parse(manifest.month), sha256) if sha256 and promoted else None
        if found is not None:
            return f"its champion was rolled back: {found}"
    return None


def _decide(inputs: Inputs, month: Month, model: WinModel, champion: dict[str, str | None]) -> PromotionDecision:
    """What the promotion gate says of the month's model."""
    from crm_assets.modelling.promotion import GateLimits, champion_predictions, decide

    origin, settings = rolling_origin(inputs), inputs.settings
    # Of earlier months too: their rows are what it learnt from.
    failed = inputs.history(LEAKAGE_REPORT.name, month).filter(pl.col("verdict") == Verdict.FAILED)
    rows = origin.history.rows
    unseen, challenger = None, origin.report(month, settings.backtest_months).predictions
    is_model = champion["champion_rung"] == MODEL
    if champion["champion_version"] is not None:
        since = Month.parse(str(champion["champion_month"]))
        loaded = inputs.registry.load(str(champion["champion_version"]), str(champion["champion_sha256"]))
        unseen = champion_predictions(loaded, rows, since, month)
        challenger = origin.pooled(origin.test_months(month, since))
    return decide(
        unseen,
        challenger,
        trained_on=model.contract,
        current=contract(),
        leakage_faults=faults_of(failed),
        withdrawn=withdrawal(inputs, month, model.sha256),
        champion_is_model=is_model,
        segments=rows,
        limits=GateLimits(
            margin=settings.promotion_margin,
            calibration=settings.calibration_limit,
            months=settings.backtest_months,
            seed=settings.seed,
        ),
    )


def _lost_model(platform: Platform, manifest: Manifest) -> str | None:
    """Why the models of a stored month cannot be used any more; None while they can, or none was trained."""
    versions = platform.shared("model versions", None, platform.registry.versions)
    for kind in ("model", "champion"):
        version, sha256 = manifest.notes.get(f"{kind}_version"), manifest.notes.get(f"{kind}_sha256")
        if version is not None and versions.get(str(version)) != sha256:
            return f"version {version} is not in the model store {platform.registry.tracking_uri}"
    return _rolled_back(platform, manifest)


def point_aliases(platform: Platform, manifest: Manifest) -> None:
    """Point the registry's aliases at the champion and the challenger of a stored month.

    It follows the table, so that they name what the lake names also when the run is killed in between: the next run of
    any month does it then. A backfill of the past does not move them, nor does a month whose champion was rolled back.
    """
    month, notes = Month.parse(manifest.month), manifest.notes
    if str(month) != platform.lake.months(WIN_MODEL.name)[-1] or _rolled_back(platform, manifest):
        return
    registry = platform.registry
    champion, version = notes.get("champion_version"), notes.get("model_version")
    pointed = registry.champion()
    if champion is not None and (pointed is None or pointed.version != champion):
        registry.set_champion(str(champion))
    beside = version not in {None, champion} and withdrawal(platform, month, notes.get("model_sha256")) is None
    pointed = registry.challenger()
    if beside != (pointed is not None) or (pointed is not None and pointed.version != version):
        registry.set_challenger(str(version) if beside else None)


@monthly_asset(
    WIN_MODEL,
    group=_GROUP,
    needs=(*_LEARNT_FROM, Needs(BACKTEST.name), history_of(LEAKAGE_REPORT.name), _CHAMPIONS_BEFORE),
    kinds=("lightgbm", "mlflow"),
    code=(*TRAINING_CODE, "defs/model", "registry"),
    settings=(*TRAINING_SETTINGS, "promotion_margin", "calibration_limit"),
    lost=_lost_model,
    stored=point_aliases,
)
def win_model(inputs: Inputs, month: Month) -> Made:
    """The model trained on what had matured by the month-end, and the champion from then on.

    It becomes champion when it passes the promotion gate: it must have passed the leakage gate, be better than the
    champion beyond noise on rows that neither had seen, be calibrated in every month and be worse in no region, product
    or agent. While no model has passed, the best rung of the cold-start ladder is champion, a table of win rates.
    """
    origin = rolling_origin(inputs)
    champion = _champion_before(inputs, month)
    row: dict[str, Any] = {"snapshot_month": str(month), "promoted": False, "test_months": 0}
    notes: dict[str, Any] = {}
    plots: dict[str, Callable[[], bytes]] = {}
    links: dict[str, str] = {}
    too_little = origin.too_little(month)
    if too_little:
        row |= {"status": "not trained", "reason": too_little}
        checks = pl.DataFrame([_not_trained(month, too_little)], schema=PROMOTION_CHECKS.polars_schema())
    else:
        report = origin.report(month, inputs.settings.backtest_months)
        model = month_model(inputs, month)
        decision = _decide(inputs, month, model, champion)
        reference, plots = _log(inputs, month, model, report, decision)
        if decision.promoted:
            _confirm(inputs, month, model)
            champion = _as_champion(reference, model)
        row |= _trained(model, reference, report, decision)
        notes["run_id"] = reference.run_id
        if pages := inputs.settings.mlflow_pages:
            links["mlflow_run"] = f"{pages}/{inputs.registry.page_of(reference.run_id)}"
        checks = pl.from_pandas(
            decision.as_table(month, reference.version), schema_overrides=dict(PROMOTION_CHECKS.polars_schema())
        )
    if champion["champion_rung"] != MODEL:
        champion, told = _best_rung(inputs, month, champion)
        row["reason"] = f"{row['reason']}; {told}"
    row |= champion
    return Made(
        _one_row(row),
        notes={**_notes(row), **notes},
        documents={"json": checks.write_json().encode()},
        plots=plots,
        shown={"promotion": checks.select("check", "verdict", "detail")},
        links=links,
    )


def _not_trained(month: Month, reason: str) -> dict[str, Any]:
    row = dict.fromkeys(PROMOTION_CHECKS.column_names)
    told = f"no model was trained: {reason}"
    return row | {"snapshot_month": str(month), "check": DECISION, "verdict": NOT_APPLICABLE, "detail": told}


@monthly_asset(
    PROMOTION_CHECKS,
    group=_GROUP,
    needs=(Needs(WIN_MODEL.name),),
    kinds=("parquet",),
    code=("modelling", "defs/model"),
)
def promotion_checks(inputs: Inputs, month: Month) -> Made:
    """Every reason for or against the month's model becoming champion, as the promotion gate gave them."""
    checks = pl.read_json(inputs.document(WIN_MODEL.name, month, "json"), schema=PROMOTION_CHECKS.polars_schema())
    failed = checks.filter(pl.col("verdict") == FAILED)["check"].to_list()
    return Made(nw.from_native(checks.lazy()), notes={"checks": checks.height, "failed": failed})


def _trained(
    model: WinModel, reference: ModelReference, report: BacktestReport, decision: PromotionDecision
) -> dict[str, Any]:
    return {
        "status": "trained",
        "reason": "; ".join(decision.reasons),
        "candidate": model.candidate,
        "model_version": reference.version,
        "model_sha256": reference.sha256,
        "promoted": decision.promoted,
        "training_rows": model.training["rows"],
        "training_wins": model.training["wins"],
        "test_months": len(report.months),
        **{name: report.pooled.get(name) for name in FIGURES if name != "mean_auc"},
        "mean_auc": report.mean_auc,
    }


def _best_rung(inputs: Inputs, month: Month, champion: dict[str, str | None]) -> tuple[dict[str, str | None], str]:
    """The champion while no model is, and why: the best rung of the ladder, or the one before where there is none."""
    from crm_assets.modelling.cold_start import best_rung
    from crm_assets.modelling.win_model import WinModel

    origin = rolling_origin(inputs)
    rung = best_rung(origin.training_rows(month), month.next.quarter_position)
    if rung is None:
        return champion, "no deal has closed in a month that has matured, so nothing can be scored"
    before = champion["champion_rung"]
    if before is not None and RUNGS.index(before) > RUNGS.index(rung.rung):
        return champion, f"the {WORDS[before]} stays champion"
    model = WinModel.of(rung, origin.known(month), None, contract=contract())
    reference = inputs.registry.log_version(
        model,
        month=month,
        parameters={"candidate": rung.rung},
        metrics={},
        figures={},
        example=origin.training_rows(month).head(5),
        tags={"promoted": "true", "decision": "no model has passed the promotion gate yet", "rung": rung.rung},
    )
    return _as_champion(reference, model), f"until a model passes the gate, the {WORDS[rung.rung]} is champion"


def _as_champion(reference: ModelReference, model: WinModel) -> dict[str, str | None]:
    return dict(
        zip(_CHAMPION, (reference.version, reference.sha256, str(model.training["month"]), model.rung), strict=True)
    )


def _confirm(inputs: Inputs, month: Month, registered: WinModel) -> None:
    """Train once more on what was known at `month` alone; raise LeakageError unless that is the registered model."""
    from crm_assets.modelling.backtest import RollingOrigin
    from crm_assets.modelling.tuned_candidate import settled

    candidates = [settled(candidate, month) for candidate in rolling_origin(inputs).candidates]
    alone = RollingOrigin(known_history(inputs, month), candidates, min_wins=inputs.settings.min_training_wins)
    if model_of(alone, month, registered.candidate).sha256 != registered.sha256:
        raise LeakageError(
            f"the model of {month} ({registered.candidate}) is not the one that what was known at the end of {month} "
            "gives: something else had a hand in its training. It does not become champion; look at rolling_origin "
            "and what it calls in crm_assets/defs/training.py"
        )


def _notes(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None and name != "snapshot_month"}


def _one_row(row: dict[str, Any]) -> nw.LazyFrame[Any]:
    full = {name: [row.get(name)] for name in WIN_MODEL.column_names}
    frame: nw.LazyFrame[Any] = nw.from_native(pl.LazyFrame(full, schema=WIN_MODEL.polars_schema()))
    return frame


def _champion_before(inputs: Inputs, month: Month) -> dict[str, str | None]:
    """Version, content hash, month and rung of the champion before `month`'s decision, None where there is none.

    One that was rolled back by then does not count: the last one before it does.
    """
    for earlier in reversed(inputs.months(WIN_MODEL.name, month.previous)):
        previous = inputs.frame(WIN_MODEL.name, earlier).row(0, named=True)
        sha256 = previous["champion_sha256"]
        if sha256 is None:
            break
        if withdrawal(inputs, month, sha256) is None:
            return {name: previous[name] for name in _CHAMPION}
    return dict.fromkeys(_CHAMPION)


def _log(
    inputs: Inputs, month: Month, model: WinModel, report: BacktestReport, decision: PromotionDecision
) -> tuple[ModelReference, dict[str, Callable[[], bytes]]]:
    """Log the month's model to the registry; returns its reference and what draws its plots, by title."""
    from crm_assets.modelling import plots

    origin = rolling_origin(inputs)
    figures = {"feature_importance": plots.feature_importance(model.importance())}
    if report.reason is None:
        won, probability = report.predictions["won"], report.predictions["probability"]
        figures["reliability"] = plots.reliability(won, probability)
        figures["cumulative_gain"] = plots.cumulative_gain(won, probability)
    parameters = {candidate.name: candidate for candidate in origin.candidates}[model.candidate].parameters()
    reference = inputs.registry.log_version(
        model,
        month=month,
        parameters={"candidate": model.candidate, **parameters},
        metrics=report.as_metrics(),
        figures=figures,
        example=origin.training_rows(month).head(5),
        tags={
            "promoted": str(decision.promoted).lower(),
            "decision": "; ".join(decision.reasons),
            "decision_figures": json.dumps(decision.figures),
            "candidate": model.candidate,
            "rung": model.rung,
            "contract": model.contract,
            "training": json.dumps(dict(model.training)),
        },
        candidates=_candidate_runs(origin, month, inputs.settings.backtest_months),
    )
    shown = [name for name in ("reliability", "feature_importance") if name in figures]
    return reference, {name: partial(plots.png, figures[name]) for name in shown}


def _candidate_runs(origin: RollingOrigin, month: Month, window: int) -> list[CandidateRun]:
    """How every candidate did over the backtest's months, and with which settings it was tuned."""
    from crm_assets.modelling.metrics import numbers_only
    from crm_assets.modelling.tuned_candidate import settled, tuning_of
    from crm_assets.registry import CandidateRun

    months = origin.test_months(month)[-window:]
    return [
        CandidateRun(
            candidate.name,
            settled(candidate, month).parameters(),
            numbers_only(origin.figures(candidate.name, months).as_dict(), "backtest_"),
            tuning_of(candidate, month),
        )
        for candidate in origin.candidates
    ]
