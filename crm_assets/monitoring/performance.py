"""Realised performance: how the scores of one month turned out a month later, overall and by segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.history.outcomes import OUTCOMES_ALLOWED, WON_OUTCOME
from crm_assets.modelling.metrics import measure
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.rows import as_labels, as_numbers, as_probabilities, require_columns, require_one

if TYPE_CHECKING:
    import pandas as pd

MEASURED, NOT_MEASURED = "measured", "not measured"
OVERALL = "overall"
SEGMENTS = ("regional_office", "product")

PERFORMANCE_TABLE = {
    "snapshot_month": "object",
    "model_version": "object",
    "level": "object",
    "segment": "object",
    "scored": "int64",
    "rows": "int64",
    "censored": "int64",
    "wins": "int64",
    "predicted_wins": "float64",
    "forecast_error": "float64",
    "auc": "float64",
    "average_precision": "float64",
    "brier": "float64",
    "log_loss": "float64",
    "calibration_error": "float64",
    "expected_revenue": "float64",
    "realised_revenue": "float64",
    "revenue_error": "float64",
}
"""Columns of `Performance.table` and their pandas types.

`level` is "overall" or the column the segments come from, `segment` its value ("all" overall). `scored` opportunities
are `rows` whose outcome has matured and `censored` ones, of which nothing is known; every other figure is of `rows`
alone and NaN where undefined. `wins` and `predicted_wins` (sum of probabilities) count opportunities, `forecast_error`
is predicted minus realised. `auc` to `calibration_error` are those of `modelling.metrics.Metrics`. `expected_revenue`
(sum of probability times list price), `realised_revenue` (sum of the closing values of the won) and `revenue_error`
(expected minus realised) are in USD.
"""


@dataclass(frozen=True)
class Performance:
    """How the scores of one month turned out.

    Attributes:
        month: the snapshot month that was scored; its outcomes are known a month later.
        model_version: version of the model that scored it; None when nothing was scored.
        status: "measured" or "not measured".
        reason: why it was not measured; None when it was.
        unscored: opportunities with an outcome that were not scored.
        table: rows of PERFORMANCE_TABLE: one overall, then one per segment. Without matured rows the counts stand there
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
    groups = [(OVERALL, "all", rows)]
    groups += [(name, str(value), part) for name in segments for value, part in rows.groupby(name, sort=True)]
    table = [
        {"snapshot_month": str(month), "model_version": version, "level": level, "segment": segment} | _figures(part)
        for level, segment, part in groups
    ]
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

    return pd.DataFrame(rows, columns=list(PERFORMANCE_TABLE)).astype(PERFORMANCE_TABLE)


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
    counts = {"scored": len(rows), "censored": len(rows) - len(matured)}
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
