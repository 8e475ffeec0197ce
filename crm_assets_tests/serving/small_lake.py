"""A small simulated CRM in a lake of its own, models of every kind trained on it, and a registry to put them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import Table
from crm_assets.defs.scoring import SCORES, scored_in_batches
from crm_assets.engines import open_engine
from crm_assets.errors import RegistryError
from crm_assets.features.lookups import FEATURE_LOOKUPS, feature_lookups
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake, Provenance
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Candidate, Known
from crm_assets.modelling.catboost_boosting import CatBoost
from crm_assets.modelling.cold_start import best_rung
from crm_assets.modelling.deals import DEAL_COLUMNS, Deals
from crm_assets.modelling.hazard_candidate import HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.logistic import Logistic
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.modelling.win_model import WinModel
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.registry import ModelReference
from crm_assets.settings import Settings
from crm_assets.simulator import Simulation, SimulationConfig, simulate
from crm_assets.sources import canonical_url
from crm_assets_tests.history.on_polars import MonthTables, collected, lazy, month_tables

FIRST, LAST = Month(2017, 1), Month(2017, 8)
MONTHS = month_range(Month(2017, 6), LAST)
"""Those in the lake."""
RUNG_WINS = {"overall_rate": 5, "quarter_rate": 15, "age_table": 30}
RECIPES: Mapping[str, Candidate] = {
    "cure_hazard": HazardCandidate(),
    "lightgbm": LightGBM(iterations=20),
    "catboost": CatBoost(iterations=20),
    "logistic": Logistic(),
    "blend": Blend(((HazardCandidate(), 0.7), (LightGBM(iterations=20), 0.3))),
}


@dataclass(frozen=True)
class Business:
    """A simulated CRM.

    Attributes:
        simulation: of it.
        months: month -> its tables.
    """

    simulation: Simulation
    months: Mapping[Month, MonthTables]

    @classmethod
    def of(cls, opportunities: int = 700, seed: int = 5) -> Business:
        simulation = simulate(SimulationConfig(opportunities=opportunities, first=FIRST, last=LAST, seed=seed))
        months = {}
        for month in month_range(FIRST, LAST):
            raw = simulation.tables(month)
            months[month] = month_tables(raw["sales_pipeline"], month, raw["products"], raw["sales_teams"])
        return cls(simulation, months)

    def known(self, month: Month = LAST) -> Known:
        """What was known at the end of a month."""
        books = []
        for earlier in month_range(FIRST, month.previous):
            made = self.months[earlier]
            told = self.months[earlier.next].outcomes(made).select("opportunity_id", "outcome")
            books.append(made.features.join(told, on="opportunity_id", how="inner"))
        deals = Deals.from_snapshot(self.months[month].snapshots.select(DEAL_COLUMNS).to_pandas(), month)
        return Known(month, pl.concat(books).to_pandas(), deals)

    def lookups(self, month: Month) -> pl.DataFrame:
        made, raw = self.months[month], self.simulation.tables(month)
        snapshots, closings = lazy(made.snapshots), lazy(made.closings)
        return collected(feature_lookups(snapshots, closings, lazy(raw["products"]), lazy(raw["sales_teams"]), month))


def model_of(name: str, known: Known) -> WinModel:
    """A model of a candidate or of a rung."""
    if name in RECIPES:
        return WinModel.of(RECIPES[name].fit(known), known, HazardCandidate().fit(known), contract="c")
    won = known.rows["outcome"] == "won"
    position = known.month.next.quarter_position
    # Positive rows of the position to predict, so that the rung is not held back for want of them.
    rows = known.rows[~won]
    taken = known.rows[won].sample(RUNG_WINS[name], random_state=1)
    import pandas as pd

    rows = pd.concat([taken, rows.sample(150, random_state=1)])
    table = best_rung(rows, position)
    assert table is not None
    assert table.rung == name
    return WinModel.of(table, Known(known.month, rows, known.deals), None, contract="c")


def write(lake: Lake, table: Table, month: Month, rows: pl.DataFrame, inputs: Mapping[str, str] | None = None) -> str:
    """Store rows, with empty columns where they lack one of the contract's; their content hash."""
    lacking = [
        pl.lit(None, dtype).alias(name) for name, dtype in table.polars_schema().items() if name not in rows.columns
    ]
    frame: nw.LazyFrame[pl.LazyFrame] = nw.from_native(rows.with_columns(lacking).lazy())
    sink, made = open_engine("polars").sink, Provenance("code", dict(inputs or {}))
    return lake.write_table(table.name, month, frame, table, sink=sink, provenance=made).sha256


def write_month(
    lake: Lake, business: Business, month: Month, model: WinModel, version: str = "1", *, trained: Month = FIRST
) -> pl.DataFrame:
    """Store a month as the batch does, with a champion that is said to be of the month `trained`; the scores."""
    made = business.months[month]
    inputs = {f"{SNAPSHOTS.name}/{month}": write(lake, SNAPSHOTS, month, made.snapshots)}
    features = write(lake, FEATURE_TABLE, month, made.features, inputs)
    write(lake, FEATURE_LOOKUPS, month, business.lookups(month), inputs)
    decided = {
        "snapshot_month": str(month),
        "status": "trained",
        "reason": "it is the first",
        "promoted": True,
        "champion_version": version,
        "champion_sha256": model.sha256,
        "champion_month": str(trained),
        "champion_rung": model.rung,
        "test_months": 0,
    }
    write(lake, WIN_MODEL, month, pl.DataFrame([decided]))
    scored, _ = scored_in_batches(model, made.features)
    scored = scored.with_columns(
        pl.lit(version).alias("model_version"),
        pl.lit(str(trained)).alias("model_month"),
        pl.lit(features).alias("features_sha256"),
        (pl.col("probability") * pl.col("list_price")).alias("expected_value"),
    ).select(SCORES.column_names)
    write(lake, SCORES, month, scored)
    return scored


def new_lake(folder: Path) -> Lake:
    return Lake.open(str(folder), source=canonical_url("simulator:"), create=True)


@dataclass
class Shelf:
    """A registry in memory.

    Attributes:
        versions: version -> model.
        aliases: alias -> version.
        away: what it says instead of answering.
        broken: versions that cannot be loaded.
        trained: version -> the month it is said to be of, the first unless given.
    """

    versions: dict[str, WinModel] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    away: str | None = None
    broken: set[str] = field(default_factory=set)
    trained: dict[str, Month] = field(default_factory=dict)
    loads: int = 0

    def put(self, version: str, model: WinModel, alias: str = "champion") -> None:
        self.versions[version] = model
        self.aliases[alias] = version

    def champion(self) -> ModelReference | None:
        return self._named("champion")

    def challenger(self) -> ModelReference | None:
        return self._named("challenger")

    def _named(self, alias: str) -> ModelReference | None:
        if self.away:
            raise RegistryError(self.away, transient=True)
        version = self.aliases.get(alias)
        if version is None:
            return None
        return ModelReference("m", version, "", self.trained.get(version, FIRST), self.versions[version].sha256)

    def load(self, version: str, sha256: str) -> WinModel:
        if self.away:
            raise RegistryError(self.away, transient=True)
        self.loads += 1
        if version in self.broken:
            raise RegistryError(f"version {version} is damaged")
        assert self.versions[version].sha256 == sha256
        return self.versions[version]


def settings_in(folder: Path, **given: object) -> Settings:
    """Settings of a deployment in a folder, whatever the environment says; its registry is away."""
    base = Settings(  # type: ignore[call-arg]  # pydantic-settings' own argument
        _env_file=None, lake_url=str(folder / "lake"), home=folder / "home", mlflow_tracking_uri="http://127.0.0.1:9"
    )
    return replace_in(base, **given)


def replace_in(settings: Settings, **given: object) -> Settings:
    return Settings.model_validate({**settings.model_dump(), **given})


def logged(lake: Lake, month: Month) -> pl.DataFrame:
    """What the API has logged of a month."""
    return lake.log(PREDICTION_LOG).scan(month).collect()
