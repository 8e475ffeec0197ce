"""Drift column by column: one row of a table for each thing that is compared."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.monitoring.closing_rates import WonShare, won_shares
from crm_assets.monitoring.drift_level import DriftThresholds
from crm_assets.monitoring.fixed_age import AtFixedAge, psi_at_fixed_age
from crm_assets.monitoring.reference import (
    AGENTS_NUMBERS,
    BOOK,
    BOOK_NUMBERS,
    CLOSINGS,
    INTAKE,
    INTAKE_CATEGORIES,
    INTAKE_NUMBERS,
    PARTS,
    SHARES,
)
from crm_assets.monitoring.rows import MISSING, as_labels, as_numbers, as_probabilities
from crm_assets.monitoring.two_samples import (
    Difference,
    chi_square,
    kolmogorov_smirnov,
    missing_share_p_value,
    new_labels,
    psi_of_labels,
    psi_of_numbers,
)

if TYPE_CHECKING:
    import pandas as pd

NUMERIC, CATEGORICAL, PREDICTION, SHARE_WON = KINDS = ("numeric", "categorical", "prediction", "share won")
KS, CHI_SQUARE, WINS = "Kolmogorov-Smirnov", "chi-square", "wins against expected"
PROBABILITY = "probability"
ALL_CLOSINGS = "all closings"

MIN_ROWS = 30
"""Rows and values that each side must have to be tested."""
OFF_SCALE = 5.0
"""Factor by which both the median and the 90th percentile must be larger, or smaller, for a change of units."""
LEAST_COMPARED = 0.5
"""Share of the book that must be of an age that the reference has."""

DRIFT = Table(
    "drift_report",
    "One row per column of the intake, the book and the closings: how the month compares with the reference.",
    (
        Column("snapshot_month", Kind.STRING, "Month that was compared, YYYY-MM", required=True),
        Column("part", Kind.STRING, "What of the month was compared", required=True, allowed=PARTS),
        Column("column", Kind.STRING, "Column, or whose closings", required=True),
        Column("kind", Kind.STRING, "What is compared", required=True, allowed=KINDS),
        Column("test", Kind.STRING, "Test of the values; empty where only their size is judged"),
        Column("statistic", Kind.FLOAT, "What the test measured"),
        Column("p_value", Kind.FLOAT, "What the test of the values gave", unit="probability"),
        Column(
            "p_missing",
            Kind.FLOAT,
            "What Fisher's test of the missing share gave, made where values are missing",
            unit="probability",
        ),
        Column("psi", Kind.FLOAT, "Population stability index: how far it moved; of the scores at fixed age"),
        Column("change", Kind.FLOAT, "Of closings: wins beyond those expected, relative to them", unit="share"),
        Column("drifted", Kind.BOOLEAN, "Whether a test says so, corrected for their number; empty without a test"),
        Column("moved", Kind.BOOLEAN, "Whether it also moved by as much as the threshold", required=True),
        Column("missing_current", Kind.FLOAT, "Rows of the month without a value", unit="share"),
        Column("missing_reference", Kind.FLOAT, "Rows of the reference without a value", unit="share"),
        Column("new_categories", Kind.STRING, "Categories that the reference lacks, with their rows; blank if none"),
        Column("scale", Kind.FLOAT, "Median over the reference's, of numbers that models read"),
        Column("bad_share", Kind.FLOAT, "Values that are missing, new, out of range or off scale", unit="share"),
        Column("bad", Kind.STRING, "What is bad about them; blank if nothing"),
        Column("reason", Kind.STRING, "Why the values could not be compared; empty if they were"),
    ),
    key=("part", "column"),
)

ONLINE_DRIFT = Table(
    "online_drift_report",
    "One row per column of what the API was asked about: how it compares with the reference.",
    DRIFT.columns,
    DRIFT.key,
)

_NEW_CATEGORIES_NAMED = 10
_PLACE, _REFERENCE_PLACE = "the month's rows", "the reference rows"


def compare_intake(current: pd.DataFrame, reference: pd.DataFrame) -> list[dict[str, Any]]:
    """A row of DRIFT without a verdict for each of the intake columns of two frames."""
    return [
        *(_compare_numbers(name, current[name], reference[name]) for name in INTAKE_NUMBERS),
        *(_compare_labels(name, current[name], reference[name]) for name in INTAKE_CATEGORIES),
    ]


def compare_book(
    current: pd.DataFrame, reference: pd.DataFrame, new: pd.DataFrame, new_reference: pd.DataFrame
) -> tuple[list[dict[str, Any]], AtFixedAge]:
    """Rows of DRIFT without a verdict: the scores at fixed age, and BOOK_NUMBERS for values that are bad.

    Args:
        current, reference: two books.
        new, new_reference: two intakes, which tell the units of a deal's own numbers: a book grows old, and its ages
            with it, while those of the month's new deals are the same every month.

    Returns (rows, how the scores differ at fixed age).
    """
    scores = as_probabilities(current[PROBABILITY], _PLACE), as_probabilities(reference[PROBABILITY], _REFERENCE_PLACE)
    ages = as_numbers(current["age_days"], _PLACE), as_numbers(reference["age_days"], _REFERENCE_PLACE)
    at_age = psi_at_fixed_age(scores[1], ages[1], scores[0], ages[0])
    reason = None
    if at_age.psi is None or at_age.share_compared < LEAST_COMPARED:
        reason = f"only {at_age.share_compared:.0%} of the book has an age that the reference has"
    prediction = {
        "part": BOOK,
        "column": PROBABILITY,
        "kind": PREDICTION,
        "psi": at_age.psi if reason is None else None,
        "reason": reason,
    }
    looked_over = [
        _look_over(name, current[name], reference[name], new[name], new_reference[name]) for name in BOOK_NUMBERS
    ]
    return [prediction, *looked_over], at_age


def compare_closings(current: pd.DataFrame, reference: pd.DataFrame, month: Month) -> list[dict[str, Any]]:
    """Rows of DRIFT without a verdict: the share won of all closings and of each region's."""
    return [_told(share) for share in won_shares(reference, current, month.quarter_position)]


def judged(
    rows: list[dict[str, Any]], month: Month, thresholds: DriftThresholds
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows of DRIFT with their verdicts, and part -> number of tests made.

    A row has drifted when one of its p-values is at most the alpha of its part over its tests (Bonferroni), and moved
    when it also has a PSI, or a relative change, of the threshold or more. The scores, whose rows are not independent
    because a deal stands in several months, have moved by their PSI alone.
    """
    import pandas as pd

    table = pd.DataFrame([{"snapshot_month": str(month), "moved": False, **row} for row in rows])
    table = table.reindex(columns=DRIFT.column_names)
    table[["new_categories", "bad"]] = table[["new_categories", "bad"]].fillna("")
    table = table.astype(DRIFT.pandas_types())
    p_values = table[["p_value", "p_missing"]].astype(float)
    # Missing numbers of the book are judged by their share: its rows are not independent.
    p_values.loc[table["part"] == BOOK] = np.nan
    tests = {part: int(p_values[table["part"] == part].notna().sum().sum()) for part in (INTAKE, CLOSINGS)}
    limits = table["part"].map({part: thresholds.p_value(part, count) for part, count in tests.items()}).astype(float)
    smallest = p_values.min(axis="columns")
    drifted = smallest <= limits
    table["drifted"] = drifted.astype("boolean").mask(smallest.isna())
    far = (table["psi"].astype(float) >= thresholds.column_psi) & (table["part"] == INTAKE)
    changed = table["change"].astype(float).abs() >= thresholds.win_rate
    scores = (table["kind"] == PREDICTION) & (table["psi"].astype(float) >= thresholds.prediction_psi)
    table["moved"] = ((drifted & (far | changed)) | scores).astype(bool)
    return table.astype(DRIFT.pandas_types()), tests


def no_columns() -> pd.DataFrame:
    """Rows of DRIFT, none."""
    import pandas as pd

    return pd.DataFrame(columns=DRIFT.column_names).astype(DRIFT.pandas_types())


def as_model_numbers(values: pd.Series, place: str) -> NDArray[np.float64]:
    """The values as `rows.as_numbers` reads them, rounded to what a float32 can hold (7 digits).

    The models read no more digits, and engines agree on no more than 9: finer differences are not drift.
    """
    return as_numbers(values, place).astype(np.float32).astype(np.float64)


def _compare_numbers(name: str, current: pd.Series, reference: pd.Series) -> dict[str, Any]:
    now, before = as_model_numbers(current, _PLACE), as_model_numbers(reference, _REFERENCE_PLACE)
    present_now, present_before = now[~np.isnan(now)], before[~np.isnan(before)]
    fewest = min(present_now.size, present_before.size)
    if fewest >= MIN_ROWS:
        difference = kolmogorov_smirnov(present_before, present_now)
    else:
        side = "the month" if fewest == present_now.size else "the reference"
        difference = Difference(None, None, f"{side} has {fewest} values, at least {MIN_ROWS} are needed")
    return {
        "part": INTAKE,
        "column": name,
        "kind": NUMERIC,
        "test": KS,
        **asdict(difference),
        **_missing(now.size - present_now.size, now.size, before.size - present_before.size, before.size),
        "psi": psi_of_numbers(before, now),
    }


def _compare_labels(name: str, current: pd.Series, reference: pd.Series) -> dict[str, Any]:
    now, before = as_labels(current), as_labels(reference)
    absent_now, absent_before = int((now == MISSING).sum()), int((before == MISSING).sum())
    if absent_now == now.size or absent_before == before.size:
        side = "the month" if absent_now == now.size else "the reference"
        difference = Difference(None, None, f"all values of {side} are missing")
    else:
        difference = chi_square(before, now)
    new = new_labels(before, now)
    missing = _missing(absent_now, now.size, absent_before, before.size)
    share_new = sum(new.values()) / now.size
    bad = [missing.pop("bad"), f"{share_new:.1%} in new categories" if new else ""]
    return {
        "part": INTAKE,
        "column": name,
        "kind": CATEGORICAL,
        "test": CHI_SQUARE,
        **asdict(difference),
        **missing,
        "psi": psi_of_labels(before, now),
        "new_categories": _named(new),
        "bad_share": min(1.0, missing["bad_share"] + share_new),
        "bad": ", ".join(part for part in bad if part),
    }


def _missing(absent_now: int, now: int, absent_before: int, before: int) -> dict[str, Any]:
    """Shares of missing values, Fisher's test of them, and how many more there are than there were."""
    share_now, share_before = absent_now / now, absent_before / before
    more = max(0.0, share_now - share_before)
    p_missing = missing_share_p_value(absent_before, before, absent_now, now) if absent_now + absent_before else None
    return {
        "p_missing": p_missing,
        "missing_current": share_now,
        "missing_reference": share_before,
        "bad_share": more,
        "bad": f"{share_now:.1%} missing, {share_before:.1%} in the reference" if more else "",
    }


def _look_over(
    name: str, current: pd.Series, reference: pd.Series, new: pd.Series, new_reference: pd.Series
) -> dict[str, Any]:
    """Missing values, range and units of a number of the book."""
    now, before = as_model_numbers(current, _PLACE), as_model_numbers(reference, _REFERENCE_PLACE)
    known, normal = now[~np.isnan(now)], before[~np.isnan(before)]
    row: dict[str, Any] = {
        "part": BOOK,
        "column": name,
        "kind": NUMERIC,
        **_missing(now.size - known.size, now.size, before.size - normal.size, before.size),
    }
    if not known.size or not normal.size:
        side = "the month" if not known.size else "the reference"
        return {**row, "reason": f"all values of {side} are missing"}
    # Nothing that is a share can be above 1; what else grows may well exceed what it has been.
    most = 1.0 if name in SHARES and normal.max() <= 1 else OFF_SCALE * max(normal.max(), 0.0)
    beyond = (known < min(0.0, normal.min())) | (known > most)
    share_beyond = float(beyond.sum()) / now.size
    scale, off = None, False
    if name not in AGENTS_NUMBERS:
        fresh, usual = as_model_numbers(new, _PLACE), as_model_numbers(new_reference, _REFERENCE_PLACE)
        scale, off = _scale(fresh[~np.isnan(fresh)], usual[~np.isnan(usual)])
    said = [
        row["bad"],
        f"{share_beyond:.1%} out of the range {normal.min():g} to {normal.max():g}" if share_beyond else "",
        f"median {scale:.3g} times the reference's, wrong units?" if off else "",
    ]
    return {
        **row,
        "scale": scale,
        "bad_share": 1.0 if off else min(1.0, row["bad_share"] + share_beyond),
        "bad": ", ".join(part for part in said if part),
    }


def _scale(now: NDArray[np.float64], before: NDArray[np.float64]) -> tuple[float | None, bool]:
    """The median over the reference's, and whether it and the 90th percentile are off by OFF_SCALE to the same side.

    A quantile that is 0 in the reference tells nothing of units.
    """
    if not now.size or not before.size:
        return None, False
    quantiles = [0.5, 0.9]
    pairs = zip(np.quantile(now, quantiles), np.quantile(before, quantiles), strict=True)
    ratios = [float(a / b) if b > 0 else None for a, b in pairs]
    told = [ratio for ratio in ratios if ratio is not None]
    up, down = all(ratio > OFF_SCALE for ratio in told), all(ratio < 1 / OFF_SCALE for ratio in told)
    return ratios[0], bool(told) and (up or down)


def _told(share: WonShare) -> dict[str, Any]:
    return {
        "part": CLOSINGS,
        "column": ALL_CLOSINGS if share.region is None else share.region,
        "kind": SHARE_WON,
        "test": WINS,
        "statistic": share.statistic,
        "p_value": share.p_value,
        "change": share.change,
        "reason": share.reason,
    }


def _named(labels: dict[str, int]) -> str:
    named = [f"{label} ({count})" for label, count in labels.items()]
    more = len(named) - _NEW_CATEGORIES_NAMED
    return ", ".join(named[:_NEW_CATEGORIES_NAMED]) + (f", and {more} more" if more > 0 else "")
