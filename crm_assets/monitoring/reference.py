"""The reference set: what the champion's out-of-sample predictions and their features looked like when it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_assets.contracts import Column, Kind, Table
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.rows import as_probabilities, require_columns, require_one

if TYPE_CHECKING:
    import pandas as pd

KEY_COLUMNS = ("snapshot_month", "opportunity_id")

MONITORED_NUMBERS = ("list_price",)
MONITORED_CATEGORIES = ("product", "regional_office", "manager")
"""What the business cannot choose to look alike: price, product mix, regions and teams. Ages and histories follow the
calendar and add up over time, so they differ every month."""
MONITORED = (*MONITORED_NUMBERS, *MONITORED_CATEGORIES)

REFERENCE = Table(
    "reference_set",
    "One row per opportunity and month that the champion's recipe predicted out of sample: what normal looks like.",
    (
        Column("snapshot_month", Kind.STRING, "Month whose book it was in, YYYY-MM", required=True),
        Column("opportunity_id", Kind.STRING, "Identifier of the opportunity", required=True),
        FEATURE_TABLE.column("next_quarter_position"),
        Column("model_version", Kind.STRING, "Version of the champion", required=True),
        BACKTEST.column("probability"),
        *(FEATURE_TABLE.column(name) for name in MONITORED),
    ),
    key=KEY_COLUMNS,
)

POSITION_NAMES = {1: "first", 2: "second", 3: "third"}
"""Months of a quarter by position, for messages."""


def reference_set(backtest_rows: pd.DataFrame, *, model_version: str) -> pd.DataFrame:
    """The rows that later months are compared with.

    Predictions a model makes of its own training rows are too sure of themselves, so the reference holds those of the
    rolling-origin backtest, where every row was predicted by a model that had not seen it. Every row is taken: a sample
    by outcome would not look like a book, in which most deals stay open.

    Args:
        backtest_rows: one row per snapshot month and opportunity: `snapshot_month` ("2017-05"), `opportunity_id`,
            `next_quarter_position` (1, 2 or 3), `probability` out of sample, and `MONITORED`. Others are left out.
        model_version: version of the champion whose backtest it is.

    Returns:
        Rows of REFERENCE, sorted by month and opportunity; as many as `backtest_rows`.

    Raises:
        MonitoringError: a column is missing, a row is repeated, a probability or quarter position is out of range, or
            the rows are marked with another model version.
    """
    place = "the backtest rows"
    require_columns(backtest_rows, [name for name in REFERENCE.column_names if name != "model_version"], place)
    as_probabilities(backtest_rows["probability"], place)
    wrong = backtest_rows.loc[~backtest_rows["next_quarter_position"].isin([1, 2, 3]), "next_quarter_position"]
    if len(wrong):
        raise MonitoringError(f"{place} have next_quarter_position {wrong.iloc[0]}; it is 1, 2 or 3")
    repeated = backtest_rows[backtest_rows.duplicated(list(KEY_COLUMNS))]
    if len(repeated):
        month, opportunity = (repeated.iloc[0][name] for name in KEY_COLUMNS)
        raise MonitoringError(
            f"{place} repeat opportunity {opportunity!r} in {month}; {len(repeated)} rows are repeats"
        )
    if "model_version" in backtest_rows:
        require_one(backtest_rows, "model_version", model_version, place, "use the champion's own backtest")
    reference = backtest_rows.assign(model_version=model_version)[REFERENCE.column_names]
    return reference.sort_values(list(KEY_COLUMNS), kind="stable").reset_index(drop=True)


def reference_for(reference: pd.DataFrame, next_quarter_position: int) -> tuple[pd.DataFrame, str | None]:
    """The reference rows of one quarter position, and why there are none (None when there are some).

    The business swings with the quarter: against months of another position every month would look drifted.

    Args:
        reference: a reference set.
        next_quarter_position: position in its quarter of the month after the one to compare: 1, 2 or 3.
    """
    rows = reference[reference["next_quarter_position"] == next_quarter_position].reset_index(drop=True)
    if len(rows):
        return rows, None
    held = sorted(set(reference["next_quarter_position"]))
    others = " and ".join(POSITION_NAMES[position] for position in held)
    return rows, (
        f"the reference holds no book that precedes the {POSITION_NAMES[next_quarter_position]} month of a quarter, "
        + (f"only the {others}" if held else "it is empty")
    )
