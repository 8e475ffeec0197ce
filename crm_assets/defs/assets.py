"""Declared monthly assets as Dagster assets: the one place where a declaration becomes a definition."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from crm_assets.calendar import Month
from crm_assets.defs.automation import automation_condition
from crm_assets.defs.column_schemas import column_lineage, table_schema
from crm_assets.defs.drift import DRIFT_ASSETS
from crm_assets.defs.feature_table import FEATURE_ASSETS
from crm_assets.defs.history import HISTORY_ASSETS
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.leakage import LEAKAGE_ASSETS
from crm_assets.defs.model import backtest_predictions, candidate_predictions, promotion_checks, win_model
from crm_assets.defs.model_card import model_card
from crm_assets.defs.monthly import Made, MonthlyAsset
from crm_assets.defs.online import ONLINE_ASSETS
from crm_assets.defs.partitions import partition_mapping
from crm_assets.defs.performance import PERFORMANCE_ASSETS
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import current, out_of_date
from crm_assets.defs.raw import RAW_ASSETS
from crm_assets.defs.run_tags import LAKE_POOL, ONLY_OUT_OF_DATE_TAG, retrained_for
from crm_assets.defs.scoring import SCORING_ASSETS
from crm_assets.defs.writeback import score_writeback
from crm_assets.lake import Provenance

OWNER = "team:crm-data"
GROUPS = ("raw", "history", "features", "model", "scoring", "monitoring")
"""The groups of the graph in reading order, by which Dagster's lists are to be in order, too."""

ASSETS: tuple[MonthlyAsset, ...] = (
    *RAW_ASSETS,
    *HISTORY_ASSETS,
    *FEATURE_ASSETS,
    backtest_predictions,
    candidate_predictions,
    *LEAKAGE_ASSETS,
    win_model,
    promotion_checks,
    model_card,
    *SCORING_ASSETS,
    score_writeback,
    *PERFORMANCE_ASSETS,
    *DRIFT_ASSETS,
    *ONLINE_ASSETS,
)
"""Every asset, each below those it reads."""


@dataclass(frozen=True)
class MonthsToMake:
    """What a step hands to the IO manager: months that are made one by one as they are stored.

    Attributes:
        asset: to make.
        platform: the deployment.
        months: in order.
        keep_up_to_date: whether months that would come out as they are stored are not made again.
        step: that makes them.
    """

    asset: MonthlyAsset
    platform: Platform
    months: tuple[Month, ...]
    keep_up_to_date: bool = False
    step: dg.AssetExecutionContext | None = None

    def made(self) -> Iterator[tuple[Month, tuple[Made, Provenance] | None]]:
        """Each month, in order, with what was made for it and from what; None where what is stored is kept."""
        if self.asset.source_fingerprint:
            # A fault in any month shows before the first one is stored, so that the lake stays as it was.
            for month in self.months:
                self.platform.source.tables(month)
        for month in self.months:
            # Asked when its turn has come: a month may be made of the one before.
            if self.keep_up_to_date and out_of_date(self.platform, self.asset, month) is None:
                yield month, None
                continue
            # Taken before anything is read: what changes from here on is not what the month was made from.
            made_from = current(self.platform, self.asset, month)
            made = self.asset.make(Inputs(self.asset, self.platform, month, self.months[-1], self.step), month)
            yield month, (made, made_from)


def shown_group(group: str) -> str:
    """Name of a group in Dagster, which lists groups by their names: `1_raw`, `2_history` and so on."""
    return f"{GROUPS.index(group) + 1}_{group}"


def dagster_asset(
    asset: MonthlyAsset, partitions: dg.PartitionsDefinition[Any], freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetsDefinition:
    """The Dagster asset of a declaration.

    What it reads is declared as lineage and read from the lake by the asset itself, month by month: Dagster would load
    every mapped month at once.
    """
    key = dg.AssetKey(asset.key)
    metadata: dict[str, Any] = {"dagster/column_schema": table_schema(asset.table)}
    if lineage := column_lineage(asset.table):
        metadata["dagster/column_lineage"] = lineage

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(dg.AssetKey(needs.asset.split("/")), partition_mapping=partition_mapping(needs))
            for needs in asset.needs
        ],
        partitions_def=partitions,
        group_name=shown_group(asset.group),
        description=asset.description,
        kinds=set(asset.kinds),
        tags={"domain": "sales", "stage": asset.group},
        owners=[OWNER],
        pool=LAKE_POOL,
        automation_condition=automation_condition(asset),
        code_version=asset.code_version,
        metadata=metadata,
        io_manager_key="lake_io",
        freshness_policy=freshness,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def make(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> MonthsToMake:
        if reason := retrained_for(context.run.tags):
            platform = platform.retraining(reason)
        months = tuple(Month.parse(key) for key in context.partition_keys)
        keep = context.run.tags.get(ONLY_OUT_OF_DATE_TAG) == "true"
        return MonthsToMake(asset, platform, months, keep_up_to_date=keep, step=context)

    return make
