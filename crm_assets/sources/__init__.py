"""Where raw tables come from, one module per kind, one protocol: the tables as of month m."""

from crm_assets.sources.open import canonical_url, open_source
from crm_assets.sources.source import Evidence, Source

__all__ = ["Evidence", "Source", "canonical_url", "open_source"]
