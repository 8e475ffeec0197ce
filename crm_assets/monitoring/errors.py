"""What is wrong with the rows that monitoring was handed."""

from __future__ import annotations

from crm_assets.errors import CrmAssetsError


class MonitoringError(CrmAssetsError):
    """Rows cannot be compared or measured: a column is missing or malformed, or they are of another model or month."""

    exit_code = 7
