"""Scores of the book by the champion as of the month, why they moved, and the revenue they add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.features.registry import FEATURE_NAMES, FEATURE_TABLE
from crm_assets.modelling.forecast import FORECAST, TOTAL, forecast
from crm_assets.modelling.movement import PARTS, PLAYERS, SCORE_CHANGES, changes_by_cause
from crm_assets.modelling.promotion import WIN_MODEL

if TYPE_CHECKING:
    from crm_assets.modelling.win_model import WinModel

_GROUP = "scoring"
NO_CHAMPION = "no champion yet"

SCORES = Table(
    "scores",
    "One row per opportunity in the book: the champion's probability that it is won by the end of the next month.",
    (
        *(FEATURE_TABLE.column(name) for name in ("opportunity_id", "snapshot_month", "as_of")),
        *(
            FEATURE_TABLE.column(name)
            for name in ("sales_agent", "manager", "regional_office", "product", "list_price", "age_days")
        ),
        Column(
            "probability",
            Kind.FLOAT,
            "Probability of a win by the end of the next month",
            unit="probability",
            required=True,
            minimum=0,
        ),
        Column("expected_value", Kind.FLOAT, "Probability times list price", unit="USD", required=True, minimum=0),
        Column("model_version", Kind.STRING, "Version of the champion that gave it", required=True),
        Column("model_month", Kind.STRING, "Month at whose end that model was trained", required=True),
        Column("features_sha256", Kind.STRING, "Content hash of the features it was computed from", required=True),
    ),
    key=("opportunity_id",),
)


@monthly_asset(
    SCORES,
    group=_GROUP,
    needs=(Needs(FEATURE_TABLE.name), Needs(WIN_MODEL.name)),
    kinds=("catboost", "mlflow"),
    code=("modelling", "defs/scoring"),
    preview_by="expected_value",
    keep_replaced=True,
)
def scores(inputs: Inputs, month: Month) -> Made:
    """The champion as of the month-end applied to the book; no rows while there is no champion."""
    decided = inputs.frame(WIN_MODEL.name, month).row(0, named=True)
    version = decided["champion_version"]
    if version is None:
        return Made(inputs.no_rows(SCORES), notes={"status": NO_CHAMPION})
    from crm_assets.modelling import plots

    book = inputs.frame(FEATURE_TABLE.name, month)
    probability = inputs.registry.load(version, decided["champion_sha256"]).predict(book.to_pandas())
    scored = book.with_columns(
        pl.Series("probability", probability),
        pl.lit(version).alias("model_version"),
        pl.lit(decided["champion_month"]).alias("model_month"),
        pl.lit(inputs.fingerprint(FEATURE_TABLE.name, month)).alias("features_sha256"),
    ).with_columns((pl.col("probability") * pl.col("list_price")).alias("expected_value"))
    notes = {
        "model_version": version,
        "model_sha256": decided["champion_sha256"],
        "expected_wins": round(float(probability.sum()), 2),
        "mean_probability": round(float(probability.mean()), 4) if len(probability) else None,
    }
    return Made(
        nw.from_native(scored.lazy()),
        notes=notes,
        plots={"score_histogram": plots.png(plots.score_histogram(probability))},
    )


@monthly_asset(
    SCORE_CHANGES,
    group=_GROUP,
    needs=(Needs(SCORES.name, -1, 0), Needs(FEATURE_TABLE.name, -1, 0), Needs(WIN_MODEL.name, -1, 0)),
    kinds=("catboost", "mlflow"),
    code=("features", "modelling", "defs/scoring"),
)
def score_changes(inputs: Inputs, month: Month) -> Made:
    """Why each score differs from that of the month before: the deal changed, time passed, the world or the model."""
    before = inputs.frame(SCORES.name, month.previous) if len(inputs.months(SCORES.name, month)) > 1 else None
    if before is None or before.is_empty():
        return Made(inputs.no_rows(SCORE_CHANGES), notes={"status": "no scores the month before"})
    now = inputs.frame(SCORES.name, month)
    compared = now.join(before, on="opportunity_id", how="semi")["opportunity_id"].to_list()
    if not compared:
        return Made(inputs.no_rows(SCORE_CHANGES), notes={"status": "no opportunity has a score in both months"})
    from crm_assets.modelling import plots

    version_before, model_before = _champion(inputs, month.previous)
    version, model = _champion(inputs, month)
    read = [name for name in FEATURE_NAMES if name in {*model_before.features, *model.features}]
    rows_before, rows = (
        inputs.frame(FEATURE_TABLE.name, m, ["opportunity_id", *read]).to_pandas() for m in (month.previous, month)
    )
    # Equal content is the same model, under whatever version it was registered.
    model_before = model if model_before.sha256 == model.sha256 else model_before
    changes = pl.from_pandas(
        changes_by_cause(rows_before, rows, model_before, model, opportunities=compared)
    ).with_columns(
        pl.lit(str(month)).alias("snapshot_month"),
        pl.lit(str(month.previous)).alias("previous_month"),
        pl.lit(version).alias("model_version"),
        pl.lit(version_before).alias("previous_model_version"),
    )
    sizes = changes.select(pl.col("change", *PARTS).abs().mean()).row(0)
    by_cause = dict(zip(PLAYERS.values(), sizes[1:], strict=True))
    notes = {"rows": changes.height, "mean_absolute_change": round(sizes[0], 4)}
    notes |= {f"mean_absolute_{part}": round(size, 4) for part, size in zip(PARTS, sizes[1:], strict=True)}
    return Made(
        nw.from_native(changes.lazy()),
        notes=notes,
        plots={"parts_by_cause": plots.png(plots.parts_by_cause(by_cause))},
    )


def _champion(inputs: Inputs, month: Month) -> tuple[str, WinModel]:
    """Version and model of the champion as of a month that has scores."""
    decided = inputs.frame(WIN_MODEL.name, month).row(0, named=True)
    version = decided["champion_version"]
    return version, inputs.registry.load(version, decided["champion_sha256"])


@monthly_asset(
    FORECAST,
    group=_GROUP,
    needs=(Needs(SCORES.name),),
    kinds=("parquet",),
    code=("modelling", "defs/scoring"),
    settings=("seed",),
)
def revenue_forecast(inputs: Inputs, month: Month) -> Made:
    """Expected wins and revenue of the next month from the deals that are open now, with intervals."""
    scored = inputs.frame(SCORES.name, month)
    if scored.is_empty():
        return Made(inputs.no_rows(FORECAST), notes={"status": "no scores"})
    rolled = pl.from_pandas(forecast(scored.to_pandas(), month=month, seed=inputs.settings.seed))
    total = rolled.filter(pl.col("level") == TOTAL).row(0, named=True)
    notes = {name: total[name] for name in ("deals", "expected_wins", "expected_revenue", "low_80", "high_80")}
    return Made(nw.from_native(rolled.lazy()), notes=notes)


SCORING_ASSETS = (scores, score_changes, revenue_forecast)
