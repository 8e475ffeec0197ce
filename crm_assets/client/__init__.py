"""The Python SDK: a running Dagster, or a deployment in this process, behind one class.

>>> from crm_assets.client import Platform
>>> platform = Platform.connect("http://localhost:3000")  # doctest: +SKIP
>>> platform.backfill(start="2017-01", end="2017-12")  # doctest: +SKIP
>>> platform.scores(as_of="2017-12").rows  # doctest: +SKIP

Importing it loads neither Dagster nor Polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_assets.backfill_plan import MissingInputError, MonthRangeError, Plan, Step, UnknownAssetError
from crm_assets.client.backfill import Backfill, PastRun, Progress, State, silent
from crm_assets.client.errors import (
    ClientError,
    CodeLocationError,
    NoRunError,
    NotDagsterError,
    RunCanceledError,
    RunFailedError,
    UnreachableError,
    WaitTimeoutError,
)
from crm_assets.client.platform import Platform

if TYPE_CHECKING:
    from crm_assets.published import PublishedScores

__all__ = [
    "Backfill",
    "ClientError",
    "CodeLocationError",
    "MissingInputError",
    "MonthRangeError",
    "NoRunError",
    "NotDagsterError",
    "PastRun",
    "Plan",
    "Platform",
    "Progress",
    "PublishedScores",
    "RunCanceledError",
    "RunFailedError",
    "State",
    "Step",
    "UnknownAssetError",
    "UnreachableError",
    "WaitTimeoutError",
    "silent",
]


def __getattr__(name: str) -> Any:
    if name == "PublishedScores":
        from crm_assets.published import PublishedScores

        return PublishedScores
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
