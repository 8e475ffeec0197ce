"""The leakage gate of each month: whether its features and its training use only what was known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import SALES_PIPELINE
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import SOURCE, Made, Needs, history_of, month_before, monthly_asset
from crm_assets.defs.training import TRAINING_CODE, TRAINING_SETTINGS, rolling_origin, training_over
from crm_assets.errors import LakeError
from crm_assets.features.registry import AS_OF, FEATURE_TABLE
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.leakage.finding import LEAKAGE_REPORT, Finding, Probe, Verdict, faults_of, report, worst

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_assets.defs.platform import Platform
    from crm_assets.leakage.worlds import World
    from crm_assets.settings import Settings
    from crm_assets.sources import Source

_RAW = f"raw/{SALES_PIPELINE.name}"
PROBED_TREES = 25
"""Trees of the models that the probe of the training grows and compares."""


def world_of(source: Source, settings: Settings, month: Month) -> World:
    """What the source gives for a month, for the probes to change."""
    from crm_assets.leakage.worlds import World

    tables = {name: rows.collect() for name, rows in source.tables(month).items()}
    return World(tables, month, source.exported_on, settings.extract_days_late)


def probed_features(platform: Platform, month: Month) -> list[Finding]:
    """The probes that make a month's features anew in other worlds; the check on the features and the report share it.

    Raises LakeError when the source no longer holds what the month was made of.
    """
    from crm_assets.leakage.gate import feature_findings

    raw, made = platform.manifest(_RAW, month), platform.manifest(FEATURE_TABLE.name, month)
    if raw is None or made is None or raw.inputs.get(SOURCE) != platform.source.fingerprint(month):
        raise LakeError(
            f"the source holds other data for {month} than the lake's raw tables were made of, so its features cannot "
            f"be probed: make the month again with --months {month}"
        )
    kept: dict[tuple[Month, str], list[Finding]] = platform.shared("probed features", None, dict)
    key = (month, made.sha256)
    if key not in kept:
        world = world_of(platform.source, platform.settings, month)
        stored = pl.read_parquet(platform.lake.table_path(FEATURE_TABLE.name, month))
        kept[key] = feature_findings(world, stored, seed=platform.settings.seed)
    return kept[key]


@monthly_asset(
    LEAKAGE_REPORT,
    group="model",
    needs=(
        history_of(FEATURE_TABLE.name),
        history_of(OUTCOMES.name),
        history_of(SNAPSHOTS.name),
        month_before(DAILY_CLOSINGS.name),
        Needs(_RAW),
    ),
    kinds=("parquet",),
    code=(*TRAINING_CODE, "leakage", "defs/leakage"),
    settings=(*TRAINING_SETTINGS, "understood_features"),
    probes_source=True,
)
def leakage_report(inputs: Inputs, month: Month) -> Made:
    """Probes of the month's features and training: whether anything that was not known by then has a hand in them.

    A model whose month fails one of them is never made champion.
    """
    findings = [*probed_features(inputs.platform, month)]
    findings += _by_outcome(inputs, month)
    findings += _of_training(inputs, month)
    rows = report(findings, str(month))
    counts = {
        f"probes_{verdict.replace(' ', '_')}": rows.filter(pl.col("verdict") == verdict).height for verdict in Verdict
    }
    return Made(
        nw.from_native(rows.lazy()),
        notes={**counts, "faults": faults_of(rows)},
        plots=_plots(rows),
        shown={"probes": shown_probes(rows)},
    )


def _plots(rows: pl.DataFrame) -> dict[str, Callable[[], bytes]]:
    measured = _measured(rows)
    return {} if measured.is_empty() else {"separation": lambda: _separation(measured)}


def separation_picture(rows: pl.DataFrame) -> bytes | None:
    """A PNG of how far each feature of the newest examined month separates the outcomes; None where none was measured.

    Args:
        rows: of `LEAKAGE_REPORT`.
    """
    measured = _measured(rows)
    return None if measured.is_empty() else _separation(measured)


def _measured(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("measured").is_not_null() & (pl.col("probe") != Probe.MISSINGNESS))


def _separation(measured: pl.DataFrame) -> bytes:
    from crm_assets.modelling import plots

    newest = measured.filter(pl.col("examined_month") == pl.col("examined_month").max())
    names, probes, aucs, limits = (newest[name].to_list() for name in ("column", "probe", "measured", "limit"))
    return plots.png(plots.separation(names, probes, aucs, limits))


def shown_probes(rows: pl.DataFrame) -> pl.DataFrame:
    """What people should look at of a leakage report."""
    return worst(rows).select("probe", "verdict", "examined_month", "table", "column", "detail")


def _by_outcome(inputs: Inputs, month: Month) -> list[Finding]:
    """The newest book whose outcomes are known, each feature against what became of it."""
    from crm_assets.leakage.gate import outcome_findings

    if len(inputs.months(FEATURE_TABLE.name, month)) < 2:
        return []
    before = month.previous
    return outcome_findings(
        inputs.frame(FEATURE_TABLE.name, before),
        inputs.frame(DAILY_CLOSINGS.name, before),
        inputs.frame(OUTCOMES.name, month),
        understood=inputs.settings.understood,
    )


def probed_columns() -> list[str]:
    """Columns of later rows that the probes of the training change."""
    from crm_assets.modelling.candidates import MODEL_COLUMNS

    return [name for name in MODEL_COLUMNS if name != AS_OF]


def _of_training(inputs: Inputs, month: Month) -> list[Finding]:
    from crm_assets.leakage.training import training_findings

    origin = rolling_origin(inputs)
    # What a training reads does not depend on how many trees it grows of it.
    few = min(PROBED_TREES, inputs.settings.trees)
    settings = inputs.settings.model_copy(update={"trees": few, "tuning_seconds": 0})
    probed = inputs.shared("probed training", origin, lambda: training_over(settings, origin.history))
    return training_findings(
        probed,
        lambda history: training_over(settings, history),
        origin.history,
        inputs.history(OUTCOMES.name, month).to_pandas(),
        month,
        features=probed_columns(),
        seed=inputs.settings.seed,
    )


LEAKAGE_ASSETS = (leakage_report,)
