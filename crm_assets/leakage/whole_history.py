"""Every probe over every month of a source, and the newest model trained anew in other worlds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.history.outcomes import OUTCOMES, outcomes
from crm_assets.leakage.finding import Finding, Probe, Verdict
from crm_assets.leakage.gate import feature_findings, outcome_findings
from crm_assets.leakage.rebuild import Rebuild, Rebuilt, rebuilt
from crm_assets.leakage.training import Train, book_scores, changed_scores, training_findings
from crm_assets.leakage.worlds import World, another_future, irrelevant, other_ids, truncated
from crm_assets.modelling.candidate import TrainingHistory
from crm_assets.modelling.deals import DEAL_COLUMNS, Deals

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["opportunity_id", "snapshot_month"]


def history_findings(
    worlds: Sequence[World],
    train: Train,
    *,
    features: Sequence[str],
    seed: int,
    rebuild: Rebuild = rebuilt,
    understood: Collection[str] = (),
    probed: Collection[Month] | None = None,
    progress: Callable[[Month], None] = lambda month: None,
) -> Iterator[Finding]:
    """Probe the features and the training of every month.

    Args:
        worlds: what the source gives for each month, months in order and without a gap.
        train: the training to be probed.
        features: columns the model reads.
        seed: of the other worlds.
        rebuild: makes a month's tables.
        understood: features that people have looked into and found honest.
        probed: months to probe, all when None; those before them are what their models learn from.
        progress: told each month before it is made.
    """
    made: list[Rebuilt] = []
    matured: list[pl.DataFrame] = []
    for world in worlds:
        progress(world.month)
        made.append(rebuild(world))
        if probed is None or world.month in probed:
            yield from feature_findings(world, seed=seed, rebuild=rebuild)
        if len(made) > 1:
            matured.append(matured_outcomes(made[-2], made[-1]))
        if len(made) > 1 and (probed is None or world.month.previous in probed):
            yield from outcome_findings(made[-2].features, made[-2].closings, matured[-1], understood=understood)
    history = history_of(made, matured)
    training, told = train(history), pl.concat(matured) if matured else pl.DataFrame(schema=OUTCOMES.polars_schema())
    matured_rows = told.to_pandas()
    for world in [world for world in worlds if probed is None or world.month in probed]:
        yield from training_findings(training, train, history, matured_rows, world.month, features=features, seed=seed)
    last = worlds[-1].month
    if training.too_little(last):
        return
    book = made[-1].snapshots.filter("in_book")["opportunity_id"]

    def scores_of(other: Sequence[World]) -> dict[str, float]:
        months = [rebuild(world) for world in other]
        told = [matured_outcomes(before, after) for before, after in itertools.pairwise(months)]
        changed = history_of(months, told)
        return book_scores(train(changed), changed.rows, last)

    yield from _scores_in_other_worlds(worlds, book, scores_of, book_scores(training, history.rows, last), seed)


def matured_outcomes(previous: Rebuilt, current: Rebuilt) -> pl.DataFrame:
    """Rows of `OUTCOMES`: what a month tells about the book of the month before."""
    found: nw.LazyFrame[Any] = outcomes(
        nw.from_native(previous.snapshots.lazy()), nw.from_native(current.snapshots.lazy())
    )
    native: pl.LazyFrame = found.to_native()
    return native.collect().cast(dict(OUTCOMES.polars_schema()))  # type: ignore[arg-type]  # a schema is a mapping


def history_of(made: Sequence[Rebuilt], matured: Sequence[pl.DataFrame]) -> TrainingHistory:
    """What models learn from: the months in order, and what each but the first tells about the one before.

    Args:
        made: tables of each month.
        matured: rows of `OUTCOMES` of each month but the first.
    """
    snapshots = {
        Month.parse(month.snapshots["snapshot_month"][0]): month.snapshots for month in made if month.snapshots.height
    }
    return TrainingHistory(
        _rows(made, matured),
        lambda month: Deals.from_snapshot(snapshots[month].select(DEAL_COLUMNS).to_pandas(), month),
    )


def _rows(made: Sequence[Rebuilt], matured: Sequence[pl.DataFrame]) -> pd.DataFrame:
    features = pl.concat([month.features for month in made])
    known = pl.concat([rows.select(*_KEY, "outcome") for rows in matured] or [_no_outcomes()])
    return features.join(known, on=_KEY, how="left", maintain_order="left").to_pandas()


def _no_outcomes() -> pl.DataFrame:
    return pl.DataFrame(schema={name: pl.String() for name in (*_KEY, "outcome")})


def _scores_in_other_worlds(
    worlds: Sequence[World],
    book: pl.Series,
    scores_of: Callable[[Sequence[World]], dict[str, float]],
    expected: Mapping[str, float],
    seed: int,
) -> list[Finding]:
    """The newest book's scores, by a model that was trained anew on a history made anew in each other world.

    One late export is changed for all of its months; of extracts only the newest, because the older ones were true.
    """
    last = worlds[-1]
    ids = other_ids(worlds, seed)

    def everywhere(change: Callable[[World], World]) -> list[World]:
        if last.exported_on is None:
            return [*worlds[:-1], change(last)]
        tables = change(last).tables
        return [World(tables, world.month, world.exported_on, world.days_late) for world in worlds]

    cut_off = scores_of(everywhere(lambda world: truncated(world, book)))
    otherwise = scores_of(everywhere(lambda world: another_future(world, book, seed)))
    renamed = scores_of([irrelevant(world, ids, seed) for world in worlds])
    shuffled = {old: renamed[new] for old, new in ids.items() if new in renamed}
    return [
        _compared(probe, last.month, found, expected)
        for probe, found in (
            (Probe.TRUNCATION, cut_off),
            (Probe.ANOTHER_FUTURE, otherwise),
            (Probe.IRRELEVANCE, shuffled),
        )
    ]


def _compared(probe: Probe, month: Month, found: Mapping[str, float], expected: Mapping[str, float]) -> Finding:
    where = (probe, str(month), "scores", "probability")
    moved, example = changed_scores(found, expected)
    if not moved:
        return Finding(*where, Verdict.PASSED, f"{len(expected)} scores of a model trained anew are the same", rows=0)
    return Finding(*where, Verdict.FAILED, f"{moved} of {len(expected)} scores change, {example}", rows=moved)
