"""How quick training and scoring are, next to the bare fits and predictions of the libraries below."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
from rich.console import Console

from crm_assets.backtesting import history_in_memory
from crm_assets.calendar import Month
from crm_assets.defs.scoring import scored_in_batches
from crm_assets.defs.training import candidates_of, model_of, training_over
from crm_assets.features.registry import WIN_MODEL_FEATURES
from crm_assets.modelling.reasons import reasons
from crm_assets.modelling.training_rows import label
from crm_assets.settings import Settings
from crm_assets_tests.benchmarks.process import ROOT

if TYPE_CHECKING:
    from crm_assets.modelling.candidate import Candidate

RESULTS = ROOT / "bench" / "model_speed.json"
MILLION, REASONED = 1_000_000, 20_000
AIM_SECONDS, AIM_OVERHEAD = 60.0, 0.25
REPEATS = 5


def _seconds(work: Callable[[], Any], repeats: int = REPEATS, clock: Callable[[], float] = time.perf_counter) -> float:
    """The fastest of several."""
    taken = []
    for _ in range(repeats):
        began = clock()
        work()
        taken.append(clock() - began)
    return min(taken)


@click.command()
def speed() -> None:
    """How quick training and scoring are."""
    console, told = Console(width=120), dict[str, float]()
    settings = Settings(source_url="simulator:", _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
    history = history_in_memory(settings, lambda month: None)
    last = Month.parse(history.rows["snapshot_month"].max())

    began = time.perf_counter()
    origin = training_over(settings, history)
    for month in [*origin.test_months(last), last]:
        origin.model_for(month)
    report = origin.report(last, len(origin.test_months(last)))
    told["training_and_backtest"] = time.perf_counter() - began
    _say(
        console,
        told["training_and_backtest"] <= AIM_SECONDS,
        f"training of every month and backtest over {len(report.months)} months: {told['training_and_backtest']:.1f} s",
    )
    for recipe in candidates_of(settings.model_copy(update={"candidates": "catboost,lightgbm"})):
        told |= _overhead(console, recipe, origin.known(last), history.rows)
    model = model_of(origin, last, origin.chosen(last))
    book = pl.from_pandas(history.rows[history.rows["snapshot_month"] == str(last)])
    many = _many(book, MILLION)
    began = time.perf_counter()
    scored_in_batches(model, many)
    told["million_scored"] = time.perf_counter() - began
    told["million_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    _say(
        console,
        told["million_scored"] <= AIM_SECONDS,
        f"a million scored: {told['million_scored']:.1f} s, peak {told['million_peak_mb']:.0f} MB with the frame",
    )
    few = many.head(REASONED).to_pandas()
    told["reasons_seconds"] = _seconds(lambda: reasons(model, few), 1)
    console.print(f"reasons of {REASONED:,} opportunities that are all different: {told['reasons_seconds']:.1f} s")
    alike = book.to_pandas()
    told["book_reasons_seconds"] = _seconds(lambda: reasons(model, alike), 1)
    console.print(f"reasons of the demo's book of {len(alike):,}: {told['book_reasons_seconds']:.2f} s")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), **told}, indent=2) + "\n"
    )
    console.print(f"Figures: {RESULTS}")


def _say(console: Console, met: bool, told: str) -> None:
    console.print(f"{'met   ' if met else 'missed'}  {told}", highlight=False)


def _many(book: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Rows like those of the book, hardly any of them equal."""
    random = np.random.default_rng(7)
    return book[random.integers(0, book.height, rows)].with_columns(
        pl.Series("opportunity_id", [f"{number:07d}" for number in range(rows)]),
        pl.Series("age_days", random.integers(0, 200, rows)),
        pl.Series("cohort_size", random.integers(1, 300, rows)),
        pl.Series("cohort_share_open", random.random(rows)),
        pl.Series("agent_share_open_100", random.random(rows)),
    )


def _overhead(console: Console, recipe: Candidate, known: Any, rows: Any) -> dict[str, float]:
    """Processor seconds of the candidate's fit and prediction, and of the library's own on the same frame."""
    name, fitted = recipe.name, recipe.fit(known)
    bare_fit, bare_predict = _bare(name, known, rows, recipe)
    found = {
        "fit": _seconds(lambda: recipe.fit(known), clock=time.process_time),
        "bare_fit": _seconds(bare_fit, clock=time.process_time),
        "predict": _seconds(lambda: fitted.predict(rows), clock=time.process_time),
        "bare_predict": _seconds(bare_predict, clock=time.process_time),
    }
    found["overhead"] = (found["fit"] + found["predict"]) / (found["bare_fit"] + found["bare_predict"]) - 1
    _say(
        console,
        found["overhead"] <= AIM_OVERHEAD,
        f"{name}: fit {found['fit']:.3f} s (bare {found['bare_fit']:.3f}), predict {found['predict']:.3f} s "
        f"(bare {found['bare_predict']:.3f}), overhead {found['overhead']:.0%}",
    )
    return {f"{name}_{figure}": value for figure, value in found.items()}


def _bare(name: str, known: Any, rows: Any, recipe: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    features, won = list(WIN_MODEL_FEATURES), label(known.rows)
    train, ask = known.rows[features].astype("float64"), rows[features].astype("float64")
    if name == "catboost":
        from catboost import CatBoostClassifier

        def fit_trees() -> Any:
            return CatBoostClassifier(
                iterations=recipe.iterations,
                depth=recipe.depth,
                learning_rate=recipe.learning_rate,
                l2_leaf_reg=recipe.l2,
                thread_count=1,
                random_seed=7,
                allow_writing_files=False,
                logging_level="Silent",
            ).fit(train, won)

        trees = fit_trees()
        return fit_trees, lambda: trees.predict_proba(ask, thread_count=1)
    import lightgbm

    parameters = {
        "objective": "binary",
        "num_leaves": recipe.leaves,
        "learning_rate": recipe.learning_rate,
        "min_data_in_leaf": recipe.rows_per_leaf,
        "lambda_l2": recipe.l2,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }

    def fit() -> Any:
        return lightgbm.train(parameters, lightgbm.Dataset(train, won), num_boost_round=recipe.iterations)

    booster = fit()
    return fit, lambda: booster.predict(ask, num_threads=1)
