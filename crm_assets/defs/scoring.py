"""Scores of the book by the champion as of the month, and the revenue they add up to."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, monthly_asset
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.modelling.forecast import FORECAST, TOTAL, forecast
from crm_assets.modelling.promotion import WIN_MODEL

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


SCORING_ASSETS = (scores, revenue_forecast)
