"""One month made from raw tables by one engine, from file to file, as the lake holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import SALES_PIPELINE, Table
from crm_assets.engines import Engine
from crm_assets.features.lookups import FEATURE_LOOKUPS, feature_lookups
from crm_assets.features.registry import FEATURE_TABLE, features
from crm_assets.history.closings import DAILY_CLOSINGS, daily_closings
from crm_assets.history.outcomes import OUTCOMES, outcomes
from crm_assets.history.replay import replay
from crm_assets.history.snapshots import QUARANTINE, SNAPSHOTS, snapshot
from crm_assets.history.wins import WINS, won_deals

MADE = (SNAPSHOTS, QUARANTINE, DAILY_CLOSINGS, WINS, OUTCOMES, FEATURE_TABLE, FEATURE_LOOKUPS)


class MonthFiles:
    """The files of one engine's months.

    Args:
        engine: makes them.
        folder: where they are, in a folder a month.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder

    def path(self, name: str, month: Month) -> Path:
        return self._folder / str(month) / f"{name}.parquet"

    def make(
        self, raw: Mapping[str, pl.DataFrame], month: Month, *, roll_back: bool = False
    ) -> dict[str, pl.DataFrame]:
        """What `raw` gives for `month`: the tables `MADE` by name, outcomes only where the month before was made.

        `roll_back` replays the pipeline, one late export, to the month-end.
        """
        engine = self._engine
        self.path("", month).parent.mkdir(parents=True)
        names = (SALES_PIPELINE.name, "products", "sales_teams")
        for name in names:
            raw[name].write_parquet(self.path(name, month))
        pipeline, products, teams = (engine.scan(self.path(name, month)) for name in names)
        if roll_back:
            engine.sink(replay(pipeline, month.end, date(2017, 12, 31)), self.path("replayed", month))
            pipeline = engine.scan(self.path("replayed", month))
        good, bad = snapshot(pipeline, products, teams, month)
        engine.sink(good, self.path(SNAPSHOTS.name, month))
        engine.sink(bad, self.path(QUARANTINE.name, month))
        snapshots = engine.scan(self.path(SNAPSHOTS.name, month))
        engine.sink(daily_closings(snapshots), self.path(DAILY_CLOSINGS.name, month))
        engine.sink(won_deals(snapshots), self.path(WINS.name, month))
        closings = engine.scan(self.path(DAILY_CLOSINGS.name, month))
        engine.sink(features(snapshots, closings, month), self.path(FEATURE_TABLE.name, month))
        counts = feature_lookups(snapshots, closings, products, teams, month)
        engine.sink(counts, self.path(FEATURE_LOOKUPS.name, month))
        before = self.path(SNAPSHOTS.name, month.previous)
        if before.exists():
            engine.sink(outcomes(engine.scan(before), snapshots), self.path(OUTCOMES.name, month))
        return {table.name: pl.read_parquet(path) for table, path in self._made(month)}

    def _made(self, month: Month) -> list[tuple[Table, Path]]:
        paths = [(table, self.path(table.name, month)) for table in MADE]
        return [(table, path) for table, path in paths if path.exists()]
