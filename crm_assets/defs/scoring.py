"""Scores of the book by the champion as of the month, why they moved, the revenue they add up to, and how it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import HISTORY_MONTHS, Made, Needs, history_of, monthly_asset
from crm_assets.defs.withdrawal import withdrawal
from crm_assets.features.registry import CAUSES, FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.history.wins import WINS, won_deals
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.cold_start import RUNGS
from crm_assets.modelling.forecast import FORECAST, INTERVAL_ENDS, TOTAL, forecast
from crm_assets.modelling.forecast_accuracy import ACCURACY, accuracy_figures, backtested_forecasts, informed
from crm_assets.modelling.forecast_accuracy import forecast_accuracy as judged_forecasts
from crm_assets.modelling.movement import PARTS, PLAYERS, SCORE_CHANGES, changes_by_cause
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.modelling.reasons import SCORE_REASONS
from crm_assets.modelling.win_model import FATES

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
        Column(
            "probability_lost",
            Kind.FLOAT,
            "Probability that it is lost by the end of the next month",
            unit="probability",
            minimum=0,
        ),
        Column(
            "probability_abandoned",
            Kind.FLOAT,
            "Probability that it was abandoned and never closes",
            unit="probability",
            minimum=0,
        ),
        Column(
            "expected_close_month",
            Kind.STRING,
            "Month, YYYY-MM, by whose end half of such deals have closed that ever do; empty where it was probably "
            "abandoned",
        ),
        Column("rung", Kind.STRING, "Rung of the cold-start ladder that gave it", required=True, allowed=RUNGS),
        Column("model_version", Kind.STRING, "Version of the champion that gave it", required=True),
        Column("model_month", Kind.STRING, "Month at whose end that model was trained", required=True),
        Column("features_sha256", Kind.STRING, "Content hash of the features it was computed from", required=True),
    ),
    key=("opportunity_id",),
)

SHADOW_SCORES = Table(
    "shadow_scores",
    "One row per opportunity in the book, while there is a challenger: its probability beside the champion's.",
    (
        *(FEATURE_TABLE.column(name) for name in ("opportunity_id", "snapshot_month")),
        Column("probability", Kind.FLOAT, "The challenger's probability", unit="probability", required=True, minimum=0),
        Column("model_version", Kind.STRING, "Version of the challenger", required=True),
        Column(
            "champion_probability",
            Kind.FLOAT,
            "The champion's, the score",
            unit="probability",
            required=True,
            minimum=0,
        ),
        Column("champion_version", Kind.STRING, "Version of the champion", required=True),
    ),
    key=("opportunity_id",),
)


@monthly_asset(
    SCORES,
    group=_GROUP,
    needs=(Needs(FEATURE_TABLE.name), Needs(WIN_MODEL.name)),
    kinds=("lightgbm", "mlflow"),
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
    scored, probability = scored_in_batches(inputs.registry.load(version, decided["champion_sha256"]), book)
    scored = scored.with_columns(
        pl.lit(version).alias("model_version"),
        pl.lit(decided["champion_month"]).alias("model_month"),
        pl.lit(inputs.fingerprint(FEATURE_TABLE.name, month)).alias("features_sha256"),
    ).with_columns((pl.col("probability") * pl.col("list_price")).alias("expected_value"))
    notes = {
        "model_version": version,
        "model_sha256": decided["champion_sha256"],
        "rung": decided["champion_rung"],
        "expected_wins": round(float(probability.sum()), 2),
        "mean_probability": round(float(probability.mean()), 4) if len(probability) else None,
    }
    return Made(
        nw.from_native(scored.lazy()),
        notes=notes,
        plots={"score_histogram": lambda: plots.png(plots.score_histogram(probability))},
    )


SCORED_AT_ONCE = 100_000
"""Opportunities that are scored together, which bounds the memory that a month takes."""


def scored_in_batches(model: WinModel, book: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """The book with what the model gives, and the probabilities, (n,)."""
    parts = []
    for part in book.iter_slices(SCORED_AT_ONCE):
        rows = part.select(model.features).to_pandas()
        fates = pl.from_pandas(model.fates(rows), schema_overrides=_FATES)
        parts.append(part.with_columns(pl.Series("probability", model.predict(rows)), *fates))
    scored = pl.concat(parts) if parts else book.with_columns(pl.lit(None, kind).alias(n) for n, kind in _FATES.items())
    if not parts:
        scored = scored.with_columns(pl.lit(None, pl.Float64()).alias("probability"))
    return scored.with_columns(pl.lit(model.rung).alias("rung")), scored["probability"].to_numpy()


_FATES = {name: SCORES.polars_schema()[name] for name in FATES}


@monthly_asset(
    SCORE_REASONS,
    group=_GROUP,
    needs=(Needs(SCORES.name), Needs(FEATURE_TABLE.name), Needs(WIN_MODEL.name)),
    kinds=("lightgbm", "mlflow"),
    code=("modelling", "defs/scoring"),
)
def score_reasons(inputs: Inputs, month: Month) -> Made:
    """Why each score is what it is: parts due to age, month, agent, cohort and product, in figures and in words."""
    scored = inputs.frame(SCORES.name, month)
    if scored.is_empty():
        return Made(inputs.no_rows(SCORE_REASONS), notes={"status": "no scores"})
    from crm_assets.modelling.reasons import PARTS as SUBJECT_PARTS
    from crm_assets.modelling.reasons import reasons

    version, model = _champion(inputs, month)
    book = inputs.frame(FEATURE_TABLE.name, month)
    told = pl.concat(
        [
            pl.from_pandas(
                reasons(model, part.to_pandas()), schema_overrides={"raises": pl.String(), "lowers": pl.String()}
            )
            for part in book.iter_slices(SCORED_AT_ONCE)
        ]
    ).with_columns(pl.lit(str(month)).alias("snapshot_month"), pl.lit(version).alias("model_version"))
    sizes = told.select(pl.col(*SUBJECT_PARTS).abs().mean()).row(0, named=True)
    notes = {"rows": told.height, **{f"mean_absolute_{part}": round(size, 4) for part, size in sizes.items()}}
    return Made(nw.from_native(told.lazy()), notes=notes)


@monthly_asset(
    SHADOW_SCORES,
    group=_GROUP,
    needs=(Needs(SCORES.name), Needs(FEATURE_TABLE.name), Needs(WIN_MODEL.name)),
    kinds=("lightgbm", "mlflow"),
    code=("modelling", "defs/scoring"),
)
def shadow_scores(inputs: Inputs, month: Month) -> Made:
    """The book as the month's challenger would score it, beside the champion; nobody acts on them."""
    decided = inputs.frame(WIN_MODEL.name, month).row(0, named=True)
    version, scored = decided["model_version"], inputs.frame(SCORES.name, month)
    if version is None or version == decided["champion_version"] or scored.is_empty():
        status = "no challenger beside the champion" if version else "no model was trained"
        return Made(inputs.no_rows(SHADOW_SCORES), notes={"status": status})
    rolled_back = withdrawal(inputs, month, decided["model_sha256"])
    if rolled_back is not None:
        return Made(
            inputs.no_rows(SHADOW_SCORES), notes={"status": f"the month's model was rolled back: {rolled_back}"}
        )
    model = inputs.registry.load(version, decided["model_sha256"])
    shadow, _ = scored_in_batches(model, inputs.frame(FEATURE_TABLE.name, month))
    rows = shadow.select(
        "opportunity_id", "snapshot_month", "probability", pl.lit(version).alias("model_version")
    ).join(
        scored.select(
            "opportunity_id",
            pl.col("probability").alias("champion_probability"),
            pl.col("model_version").alias("champion_version"),
        ),
        on="opportunity_id",
        how="left",
        maintain_order="left",
    )
    apart = (rows["probability"] - rows["champion_probability"]).abs()
    notes = {
        "model_version": version,
        "mean_absolute_difference": round(float(apart.mean() or 0.0), 4),  # type: ignore[arg-type]  # of floats
        "expected_wins": round(float(rows["probability"].sum()), 2),
        "champion_expected_wins": round(float(rows["champion_probability"].sum()), 2),
    }
    return Made(nw.from_native(rows.lazy()), notes=notes)


@monthly_asset(
    SCORE_CHANGES,
    group=_GROUP,
    needs=(Needs(SCORES.name, -1, 0), Needs(FEATURE_TABLE.name, -1, 0), Needs(WIN_MODEL.name, -1, 0)),
    kinds=("lightgbm", "mlflow"),
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
    read = [name for name in CAUSES if name in {*model_before.features, *model.features}]
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
        plots={"parts_by_cause": lambda: plots.png(plots.parts_by_cause(by_cause))},
    )


def _champion(inputs: Inputs, month: Month) -> tuple[str, WinModel]:
    """Version and model of the champion as of a month that has scores."""
    decided = inputs.frame(WIN_MODEL.name, month).row(0, named=True)
    version = decided["champion_version"]
    return version, inputs.registry.load(version, decided["champion_sha256"])


def wins_known(inputs: Inputs, month: Month) -> pl.DataFrame:
    """The won deals of a month's snapshot, rows of WINS."""
    (snapshots,) = inputs.engine_frames(SNAPSHOTS.name, month=month)
    rows: pl.DataFrame = won_deals(snapshots).collect(backend="polars").to_native()
    return rows.cast(dict(WINS.polars_schema()))  # type: ignore[arg-type]  # a schema is a mapping


def _backtest_at_present_prices(inputs: Inputs, month: Month) -> pl.DataFrame:
    """The month's rolling-origin predictions with the list price of the snapshot."""
    predictions, snapshots = inputs.engine_frames(BACKTEST.name, SNAPSHOTS.name, month=month)
    priced = predictions.join(snapshots.select("opportunity_id", "list_price"), on="opportunity_id", how="inner")
    rows: pl.DataFrame = priced.collect(backend="polars").to_native()
    return rows.sort(BACKTEST.key)


@monthly_asset(
    FORECAST,
    group=_GROUP,
    needs=(Needs(SCORES.name), Needs(SNAPSHOTS.name), Needs(BACKTEST.name)),
    kinds=("parquet",),
    code=("history", "engines", "modelling", "defs/scoring"),
    settings=("seed",),
)
def revenue_forecast(inputs: Inputs, month: Month) -> Made:
    """Expected wins and revenue of the next month from the open deals and new business, with intervals."""
    scored = inputs.frame(SCORES.name, month)
    if scored.is_empty():
        return Made(inputs.no_rows(FORECAST), notes={"status": "no scores"})
    from crm_assets.modelling import plots
    from crm_assets.modelling.month_effect import MonthEffect, past_months

    seed, wins = inputs.settings.seed, wins_known(inputs, month).to_pandas()
    predictions = _backtest_at_present_prices(inputs, month).to_pandas()
    effect = MonthEffect.learnt(past_months(informed(predictions, wins)))
    rolled = pl.from_pandas(forecast(scored.to_pandas(), wins, month=month, effect=effect, seed=seed))
    backtest = backtested_forecasts(predictions, wins, month=month, seed=seed)
    total = rolled.filter(pl.col("level") == TOTAL).row(0, named=True)
    shown = ("deals", "expected_wins", "expected_revenue", *INTERVAL_ENDS, "naive_revenue")
    notes = {name: round(total[name], 2) for name in shown if total[name] is not None}
    notes |= {"month_effect": round(effect.tau, 4), "month_effect_months": effect.months}
    notes |= {f"backtest_{name}": value for name, value in accuracy_figures(backtest).items()}
    judged = pl.from_pandas(backtest)
    return Made(
        nw.from_native(rolled.lazy()),
        notes=notes,
        plots={
            "backtested_forecasts": lambda: plots.png(plots.forecasts(backtest, "Backtested forecasts of the total"))
        },
        shown={"backtest": judged} if judged.height else {},
    )


@monthly_asset(
    ACCURACY,
    group=_GROUP,
    needs=(Needs(FORECAST.name, -HISTORY_MONTHS, -1), history_of(SNAPSHOTS.name)),
    kinds=("parquet",),
    code=("history", "engines", "modelling", "defs/scoring"),
)
def forecast_accuracy(inputs: Inputs, month: Month) -> Made:
    """Every stored forecast whose month is over: its intervals, what came, and the seasonal naive forecast."""
    made_at = inputs.months(FORECAST.name, month.previous)
    totals = inputs.history(FORECAST.name, month.previous).filter(pl.col("level") == TOTAL) if made_at else None
    if totals is None or totals.is_empty():
        return Made(inputs.no_rows(ACCURACY), notes={"status": "no forecast of a month that is over"})
    from crm_assets.modelling import plots

    # Each month as its own snapshot tells it: at the list price of then, like the forecast.
    over = [Month.parse(text) for text in totals["forecast_month"]]
    wins = pl.concat([wins_known(inputs, m).filter(pl.col("won_month") == str(m)) for m in over])
    judged = judged_forecasts(totals.to_pandas(), wins.to_pandas())
    return Made(
        nw.from_native(pl.from_pandas(judged).lazy()),
        notes=accuracy_figures(judged),
        plots={"forecasts": lambda: plots.png(plots.forecasts(judged))},
    )


SCORING_ASSETS = (scores, score_reasons, shadow_scores, score_changes, revenue_forecast, forecast_accuracy)
