"""Simulated CRMs month by month as monitoring sees them, with and without something wrong in one month."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crm_assets.calendar import Month, month_range
from crm_assets.defs.leakage import world_of
from crm_assets.defs.training import training_over
from crm_assets.leakage.rebuild import Rebuilt, rebuilt
from crm_assets.leakage.whole_history import history_of, matured_outcomes
from crm_assets.modelling.cross_fit import cross_fitted
from crm_assets.modelling.deals import DEAL_COLUMNS
from crm_assets.monitoring.drift import MonthRows
from crm_assets.monitoring.injection import inject
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

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.modelling.backtest import RollingOrigin

REPLACED = 0.25
"""Chance of a month that its model takes the champion's place: as often as in the demo."""


def rebuilt_months(url: str, months: list[Month] | None = None) -> dict[Month, Rebuilt]:
    """The tables of a source's months."""
    settings = Settings(source_url=url, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
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
    """

    month: Month
    champion: Champion
    rows: MonthRows
    reference: pd.DataFrame


class MonitoredCrm:
    """The history of one CRM with champions that are replaced now and then, and their references.

    Args:
        url: of the source.
        seed: of the months in which the champion is replaced.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.made = rebuilt_months(url)
        self._random = np.random.default_rng([seed, 5])
        matured = [matured_outcomes(a, b) for a, b in itertools.pairwise(self.made.values())]
        self._history = history_of(list(self.made.values()), matured)
        self.tables = MonthTables(lambda m: self.made[m].features, lambda m: self.made[m].snapshots, list(self.made))

    @cached_property
    def _origin(self) -> RollingOrigin:
        settings = Settings(_env_file=None)  # type: ignore[call-arg]  # as above
        return training_over(settings, self._history)

    @cached_property
    def months(self) -> list[Compared]:
        """The months that have a champion."""
        found: list[Compared] = []
        champion: Champion | None = None
        reference: pd.DataFrame | None = None
        for month in self.made:
            if self._origin.too_little(month):
                continue
            if champion is None or self._random.random() < REPLACED:
                champion = self._champion(month)
            reference, _ = reference_as_of(month, champion, self.tables, reference)
            found.append(Compared(month, champion, self.rows(month, champion, self.made[month]), reference))
        return found

    def _champion(self, month: Month) -> Champion:
        origin = self._origin
        # The preferred candidate without the choice among them, which would take most of the time.
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
    return Compared(compared.month, compared.champion, rows, compared.reference)
