"""Where tables and reports live: one Parquet file or document per asset and month, each with its manifest."""

from crm_assets.lake.lake import Lake
from crm_assets.lake.manifest import Manifest, Provenance
from crm_assets.lake.staleness import Stale, UpToDate, judge

__all__ = ["Lake", "Manifest", "Provenance", "Stale", "UpToDate", "judge"]
