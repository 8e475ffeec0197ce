"""Simulated CRMs month by month as monitoring sees them, with and without something wrong in one month."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import polars as pl

from crm_assets.calendar import Month, month_range
from crm_assets.defs.leakage import world_of
from crm_assets.defs.training import training_over
from crm_assets.leakage.rebuild import Rebuilt, rebuilt
from crm_assets.leakage.whole_history import history_of, matured_outcomes
from crm_assets.modelling.cross_fit import cross_fitted
from crm_assets.modelling.deals import DEAL_COLUMNS
from crm_assets.monitoring.drift import MonthRows
from crm_assets.monitoring.estimated_performance import TrackRecord
from crm_assets.monitoring.injection import inject
from crm_assets.monitoring.performance_comparison import compared_performance, failed_checks
from crm_assets.monitoring.reference_rows import (
    Champion,
    MonthTables,
    book_rows,
    closing_rows,
    intake_rows,
    reference_as_of,
)
from crm_assets.settings import Settings
from crm_assets.sources import open_source
from crm_assets_tests.benchmarks.champions import Held, champion_of, first_wins, informed

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.modelling.backtest import RollingOrigin

SEED = 7


def _settings(**values: Any) -> Settings:
    return Settings(**values, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument


def rebuilt_months(url: str, months: list[Month] | None = None) -> dict[Month, Rebuilt]:
    """The tables of a source's months."""
    settings = _settings(source_url=url)
    source = open_source(url)
    held = source.months()
    return {m: rebuilt(world_of(source, settings, m)) for m in months or month_range(held[0], held[-1])}


@dataclass(frozen=True)
class Compared:
    """A month with the reference of its champion.

    Attributes:
        month: the month.
        champion: at its end.
        rows: of the month.
        reference: to compare it with.
        failed: checks of performance that failed for the scores that matured in it -> whether badly.
    """

    month: Month
    champion: Champion
    rows: MonthRows
    reference: pd.DataFrame
    failed: Mapping[str, bool]


class MonitoredCrm:
    """The history of one CRM with its champions, by the cold-start ladder and the promotion gate, and their references.

    Args:
        url: of the source.
    """

    def __init__(self, url: str) -> None:
        self.made = rebuilt_months(url)
        self._champions: dict[Month, Champion] = {}
        self._held: dict[Month, Held] = {}
        matured = [matured_outcomes(a, b) for a, b in itertools.pairwise(self.made.values())]
        self._history = history_of(list(self.made.values()), matured)
        self.tables = MonthTables(lambda m: self.made[m].features, lambda m: self.made[m].snapshots, list(self.made))

    @cached_property
    def _origin(self) -> RollingOrigin:
        # The preferred candidate without the choice among them, which would take most of the time.
        return training_over(_settings(candidates=_settings().candidate_names[0]), self._history)

    @cached_property
    def months(self) -> list[Compared]:
        """The months that have a champion."""
        found: list[Compared] = []
        champion: Champion | None = None
        reference: pd.DataFrame | None = None
        for month in self.made:
            held = champion_of(month, self._held.get(month.previous), self._origin, _settings())
            if held is None:
                continue
            self._held[month] = held
            champion = self._known_as(held, champion)
            reference, _ = reference_as_of(month, champion, self.tables, reference)
            self._champions[month] = champion
            rows, failed = self.rows(month, champion, self.made[month]), self.failed(month, self.made[month])
            found.append(Compared(month, champion, rows, reference, failed))
        return found

    def failed(self, month: Month, made: Rebuilt) -> dict[str, bool]:
        """Checks of performance that fail for last month's scores once `month` has these tables -> whether badly."""
        before, champion = month.previous, self._champions.get(month.previous)
        if champion is None or not self._held[before].is_model or not informed(before, self._first_win):
            return {}
        book = self.made[before].features
        scores = book.select("opportunity_id", "snapshot_month", "regional_office", "product", "list_price").to_pandas()
        scores = scores.assign(probability=champion.predict(book.to_pandas()), model_version=champion.version)
        comparison = compared_performance(
            scores,
            matured_outcomes(self.made[before], made).to_pandas(),
            month=before,
            record=self._record(before),
            seed=SEED,
            segments=(),
        )
        return failed_checks(pl.from_pandas(comparison.table).iter_rows(named=True))

    @cached_property
    def _first_win(self) -> Month:
        return first_wins(self._origin.history.rows)

    def _record(self, month: Month) -> TrackRecord:
        """How far the backtest of the preferred candidate as of `month` was off."""
        newest = self._origin.test_months(month)[-_settings().backtest_months :]
        tested = [m for m in newest if informed(m, self._first_win)]
        return TrackRecord.learnt(self._origin.pooled(tested), SEED)

    def _known_as(self, held: Held, before: Champion | None) -> Champion:
        """The champion as monitoring knows it."""
        if before is not None and before.version == str(held.since):
            return before
        return (
            self._champion(held.since)
            if held.is_model
            else Champion(str(held.since), held.since, held.model.predict, partial(self._rates, held))
        )

    def _rates(self, held: Held, months: Any) -> pl.DataFrame:
        """What a table of win rates says of earlier months; it has nothing to remember single rows by."""
        rows = self._origin.training_rows(held.since)
        wanted = rows[rows["snapshot_month"].isin([str(m) for m in months])]
        keys = wanted[["snapshot_month", "opportunity_id"]]
        return pl.from_pandas(keys.assign(probability=held.model.predict(wanted)))

    def _champion(self, month: Month) -> Champion:
        origin = self._origin
        recipe = origin.candidates[0]
        model = origin.fitted(recipe.name, month)
        rows = origin.training_rows(month)
        snapshot = self.made[month].snapshots.select("opportunity_id", *DEAL_COLUMNS).to_pandas()

        def out_of_sample(months: Any) -> pl.DataFrame:
            wanted = rows["snapshot_month"].isin([str(m) for m in months]).to_numpy()
            keys = rows.loc[wanted, ["snapshot_month", "opportunity_id"]]
            told = keys.assign(probability=cross_fitted(recipe, month, rows, snapshot, wanted))
            return pl.from_pandas(told)

        return Champion(str(month), month, model.predict, out_of_sample)

    @staticmethod
    def rows(month: Month, champion: Champion, made: Rebuilt) -> MonthRows:
        """What monitoring is handed of a month."""
        features = made.features
        return month_rows(month, features, made.snapshots, champion)


def month_rows(month: Month, features: pl.DataFrame, snapshot: pl.DataFrame, champion: Champion) -> MonthRows:
    """What monitoring is handed of a month with these tables."""
    scored = features.select("opportunity_id", "snapshot_month").with_columns(
        pl.Series("probability", champion.predict(features.to_pandas()), dtype=pl.Float64)
    )
    return MonthRows(
        intake=intake_rows(features, snapshot, month).to_pandas(),
        book=book_rows(features, scored).to_pandas(),
        closings=closing_rows(snapshot, month).to_pandas(),
    )


def injected(compared: Compared, made: Rebuilt, kind: str, seed: int, **given: Any) -> Compared:
    """The same month with something wrong in its tables."""
    features, snapshot = inject(kind, made.features, made.snapshots, compared.month, seed=seed, **given)
    rows = month_rows(compared.month, features, snapshot, compared.champion)
    # Last month's scores are what they were, and so are the outcomes.
    return replace(compared, rows=rows)
