"""Realised performance: how the scores of one month turned out a month later, overall and by segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.history.outcomes import OUTCOMES_ALLOWED, WON_OUTCOME
from crm_assets.modelling.metrics import measure
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.rows import as_labels, as_numbers, as_probabilities, require_columns, require_one

if TYPE_CHECKING:
    import pandas as pd

MEASURED, NOT_MEASURED = "measured", "not measured"
OVERALL, ALL = "overall", "all"
SEGMENTS = ("regional_office", "product")
SMALL_SEGMENT = 100
"""Rows below which a segment is marked as small: its figures swing so much that they say little."""

PERFORMANCE = Table(
    "model_performance",
    "One row overall and one per region and product: how the scores of the month before turned out.",
    (
        Column("level", Kind.STRING, "overall, or the column the segments come from", required=True),
        Column("segment", Kind.STRING, "Value of that column, or all", required=True),
        Column("snapshot_month", Kind.STRING, "Month that was scored, YYYY-MM", required=True),
        Column("matured_month", Kind.STRING, "Month at whose end the outcomes were known, YYYY-MM", required=True),
        Column("model_version", Kind.STRING, "Version of the champion that gave the scores"),
        Column(
            "scored",
            Kind.INTEGER,
            "Opportunities of the month that were scored",
            unit="opportunities",
            required=True,
            minimum=0,
        ),
        Column(
            "censored",
            Kind.INTEGER,
            "Those of whose outcome nothing is known",
            unit="opportunities",
            required=True,
            minimum=0,
        ),
        Column(
            "rows",
            Kind.INTEGER,
            "Those whose outcome has matured; the figures below are of these",
            unit="opportunities",
            required=True,
            minimum=0,
        ),
        Column("small", Kind.BOOLEAN, f"Whether they are fewer than {SMALL_SEGMENT}", required=True),
        Column("wins", Kind.INTEGER, "Those won by the end of the next month", unit="opportunities", required=True),
        Column("predicted_wins", Kind.FLOAT, "Sum of the probabilities", unit="opportunities"),
        Column("forecast_error", Kind.FLOAT, "Predicted minus realised wins", unit="opportunities"),
        Column("auc", Kind.FLOAT, "Area under the ROC curve; empty unless there are wins and others"),
        Column("average_precision", Kind.FLOAT, "Area under the precision-recall curve; empty as auc is"),
        Column("brier", Kind.FLOAT, "Mean squared error of the probabilities", unit="squared probability"),
        Column("log_loss", Kind.FLOAT, "Mean negative log likelihood", unit="nats"),
        Column("calibration_error", Kind.FLOAT, "Expected calibration error over ten bins", unit="probability"),
        Column("expected_revenue", Kind.FLOAT, "Sum of probability times list price", unit="USD"),
        Column("realised_revenue", Kind.FLOAT, "Sum of the closing values of the won", unit="USD"),
        Column("revenue_error", Kind.FLOAT, "Expected minus realised revenue", unit="USD"),
    ),
    key=("level", "segment"),
)


@dataclass(frozen=True)
class Performance:
    """How the scores of one month turned out.

    Attributes:
        month: the snapshot month that was scored; its outcomes are known a month later.
        model_version: version of the model that scored it; None when nothing was scored.
        status: "measured" or "not measured".
        reason: why it was not measured; None when it was.
        unscored: opportunities with an outcome that were not scored.
        table: rows of PERFORMANCE: one overall, then one per segment. Without matured rows the counts stand there
            and the figures are NaN.
    """

    month: Month
    model_version: str | None
    status: str
    reason: str | None
    unscored: int
    table: pd.DataFrame = field(repr=False, compare=False)

    def summary(self) -> dict[str, Any]:
        """The overall row as plain values, undefined ones None, with `status`, `reason` and `unscored`."""
        overall = self.table.iloc[0].to_dict()
        figures = {
            str(name): None if isinstance(value, float) and math.isnan(value) else value
            for name, value in overall.items()
        }
        return figures | {"status": self.status, "reason": self.reason, "unscored": self.unscored}


def realised_performance(
    scores: pd.DataFrame, outcomes: pd.DataFrame, *, month: Month, segments: Sequence[str] = SEGMENTS
) -> Performance:
    """Measure the scores of `month` against what became of the opportunities by the end of the month after.

    Won is a win; lost and still open are not, as the score is the probability of a win within the month. A scored
    opportunity without an outcome (its row is missing, or its `outcome` is) is censored: counted as such, not as lost.

    Args:
        scores: one row per scored opportunity: `opportunity_id`, `probability`, `list_price` (USD), `model_version` and
            `segments`. Where it has `snapshot_month`, that is checked.
        outcomes: rows of `history.outcomes.OUTCOMES` for the book of `month`: `opportunity_id`, `outcome`; without
            `close_value` (USD) the realised revenue is NaN. Where it has `snapshot_month`, that is checked.
        month: the snapshot month that was scored.
        segments: columns of `scores` to measure by, too.

    Raises:
        MonitoringError: a column is missing, an opportunity is repeated, a probability or outcome is invalid, a won
            opportunity has no value, a score no list price, or the rows are of another month or of several model
            versions.
    """
    place, place_outcomes = f"the scores of {month}", f"the outcomes of the book of {month}"
    _check_table(scores, ["probability", "list_price", "model_version", *segments], month, place)
    _check_table(outcomes, ["outcome"], month, place_outcomes)
    versions = sorted({str(version) for version in scores["model_version"]})
    if len(versions) > 1:
        raise MonitoringError(f"{place} are of model versions {', '.join(versions)}: measure one at a time")
    rows = _joined(scores, outcomes, place, place_outcomes, segments)
    version = versions[0] if versions else None
    groups = [(OVERALL, ALL, rows)]
    groups += [(name, str(value), part) for name in segments for value, part in rows.groupby(name, sort=True)]
    same = {"snapshot_month": str(month), "matured_month": str(month.next), "model_version": version}
    table = [{**same, "level": level, "segment": segment, **_figures(part)} for level, segment, part in groups]
    matured = int(rows["matured"].sum())
    reason = None
    if matured == 0:
        reason = (
            "nothing was scored" if rows.empty else f"none of the {len(rows)} scored opportunities has an outcome yet"
        )
    return Performance(
        month=month,
        model_version=version,
        status=MEASURED if reason is None else NOT_MEASURED,
        reason=reason,
        unscored=int((outcomes["outcome"].notna() & ~outcomes["opportunity_id"].isin(scores["opportunity_id"])).sum()),
        table=_as_table(table),
    )


def _as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=PERFORMANCE.column_names).astype(PERFORMANCE.pandas_types())


def _check_table(frame: pd.DataFrame, names: Sequence[str], month: Month, place: str) -> None:
    require_columns(frame, ["opportunity_id", *names], place)
    if "snapshot_month" in frame:
        require_one(frame, "snapshot_month", str(month), place, "hand in the rows of that month alone")
    repeated = frame.loc[frame["opportunity_id"].duplicated(), "opportunity_id"]
    if len(repeated):
        raise MonitoringError(f"{place} repeat opportunity {repeated.iloc[0]!r}; {len(repeated)} rows are repeats")


def _joined(
    scores: pd.DataFrame, outcomes: pd.DataFrame, place: str, place_outcomes: str, segments: Sequence[str]
) -> pd.DataFrame:
    """One row per score: probability, list_price, matured, won, close_value and the segments as text."""
    import pandas as pd

    known = outcomes[outcomes["outcome"].notna()]
    unknown = sorted({str(value) for value in known["outcome"]} - {*OUTCOMES_ALLOWED})
    if unknown:
        raise MonitoringError(
            f"{place_outcomes} have outcome {', '.join(unknown)}; it is {', '.join(OUTCOMES_ALLOWED)}"
        )
    won = known[known["outcome"] == WON_OUTCOME].set_index("opportunity_id")
    value = pd.Series(math.nan, index=won.index)
    if "close_value" in won:
        value = pd.Series(as_numbers(won["close_value"], place_outcomes), index=won.index)
        if value.isna().any():
            without = value.index[value.isna()]
            raise MonitoringError(f"{place_outcomes} have {len(without)} won without close_value, e.g. {without[0]!r}")
    list_price = as_numbers(scores["list_price"], place)
    if np.isnan(list_price).any():
        raise MonitoringError(f"{place} have {int(np.isnan(list_price).sum())} rows without list_price")
    identifier = scores["opportunity_id"]
    return pd.DataFrame(
        {
            "probability": as_probabilities(scores["probability"], place),
            "list_price": list_price,
            "matured": identifier.isin(known["opportunity_id"]).to_numpy(),
            "won": identifier.isin(won.index).to_numpy(),
            "close_value": value.reindex(identifier).to_numpy(),
            **{name: as_labels(scores[name]) for name in segments},
        }
    )


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    matured = rows[rows["matured"]]
    counts = {
        "scored": len(rows),
        "censored": len(rows) - len(matured),
        "small": len(matured) < SMALL_SEGMENT,
    }
    metrics = measure(matured["won"], matured["probability"])
    if matured.empty:
        return {**metrics.as_dict(), **counts}
    predicted = math.fsum(matured["probability"])
    expected = math.fsum(matured["probability"] * matured["list_price"])
    realised = math.fsum(matured.loc[matured["won"], "close_value"])
    return {
        **metrics.as_dict(),
        **counts,
        "predicted_wins": predicted,
        "forecast_error": predicted - metrics.wins,
        "expected_revenue": expected,
        "realised_revenue": realised,
        "revenue_error": expected - realised,
    }
