"""The page of a drift report: the verdict as plain HTML, and below it Evidently's picture of what was compared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.monitoring.drift_columns import (
    CATEGORICAL,
    MIN_ROWS,
    NUMERIC,
    PREDICTION,
    PROBABILITY,
    as_model_numbers,
)
from crm_assets.monitoring.drift_level import HIGH, HIGH_BAD_SHARE, HIGH_FACTOR, LOW, MEDIUM, NONE
from crm_assets.monitoring.evidently_table import Drawn, evidently_page
from crm_assets.monitoring.reference import BOOK, CLOSINGS, INTAKE, POSITION_NAMES
from crm_assets.monitoring.rows import as_labels

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from crm_assets.monitoring.drift import DriftReport, Sides

LEVEL_COLOURS = {NONE: "#2e7d32", LOW: "#8a6d00", MEDIUM: "#c25700", HIGH: "#b71c1c", None: "#5f6368"}

_LARGEST_DRAWN = 1e12
DRAWN_ROWS = 5_000
"""Rows of a side that are drawn at most, evenly spread over all; tests and figures take every row."""

# The browser itself refuses whatever the page, or the script inside it, would fetch from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
_HEAD = f"""<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>TITLE</title>
<style>
.verdict {{ max-width: 1180px; margin: 24px auto; padding: 0 24px; font: 15px/1.5 system-ui, sans-serif; color: #202124;
  background: #fff; }}
.verdict h1 {{ font-size: 26px; margin: 0 0 12px; }}
.verdict p {{ margin: 6px 0; max-width: 60em; }}
.verdict .level {{ color: #fff; border-radius: 4px; padding: 2px 10px; font-size: 18px; vertical-align: 3px; }}
.verdict table {{ border-collapse: collapse; margin: 16px 0; width: 100%; }}
.verdict th, .verdict td {{ border-bottom: 1px solid #dadce0; padding: 5px 10px; text-align: left;
  vertical-align: top; }}
.verdict td.number, .verdict th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.verdict tr.drifted td:first-child {{ font-weight: 600; }}
.verdict .note {{ color: #5f6368; }}
</style>"""


def not_compared_page(report: DriftReport) -> str:
    """A small page that says why the month was not compared."""
    body = f"<p>Not compared: {escape(report.reason or '')}.</p>" + _sides(report)
    if len(report.columns):
        body += _table(report.columns)
    title, verdict = _verdict(report, body)
    head = _HEAD.replace("TITLE", title)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{verdict}\n</body>\n</html>\n'


def compared_page(report: DriftReport, sides: Sides) -> str:
    """The verdict, the table, and a picture of the scores and each intake column; the same bytes for the same rows.

    The reference's scores are drawn at the month's ages, as they are compared.

    Args:
        report: the report, complete but for its page.
        sides: the rows it compares.
    """
    columns = report.columns
    weight = columns["kind"].map({PREDICTION: 0}).fillna(1)
    ordered = columns.assign(second=weight, bad_first=columns["bad"] == "").sort_values(
        ["moved", "second", "drifted", "bad_first"], ascending=[False, True, False, True], kind="stable"
    )
    title, verdict = _verdict(report, _sides(report) + _findings(report) + _table(ordered) + _rules(report))
    page = evidently_page(_drawn(report, sides))
    for mark, added in (("<head>", _HEAD.replace("TITLE", title)), ("<body>", verdict)):
        start, found, end = page.partition(mark)
        if not found:
            raise RuntimeError(f"Evidently's page has no {mark}: its template has changed")
        page = f"{start}{found}\n{added}{end}"
    return page


def _verdict(report: DriftReport, body: str) -> tuple[str, str]:
    title = f"Drift of online traffic in {report.month}" if report.of_traffic else f"Drift in {report.month}"
    badge = (
        f'<span class="level" style="background: {LEVEL_COLOURS[report.level]}">{report.level or "not compared"}</span>'
    )
    return title, f'<section class="verdict">\n<h1>{title} {badge}</h1>\n{body}\n</section>'


def _sides(report: DriftReport) -> str:
    book = f"{report.rows_reference[BOOK]:,} reference rows"
    if report.reference_months.get(BOOK):
        position = POSITION_NAMES[report.month.quarter_position]
        months = escape(", ".join(report.reference_months[BOOK]))
        book += f" (the books at the end of {months}, the {position} month of a quarter too)"
    whole = "What the API was asked about of the book" if report.of_traffic else "The book"
    text = (
        f"<p>{whole} of {report.month} as scored by model version {escape(report.model_version)}, "
        f"{report.rows[BOOK]:,} opportunities, against {book}."
    )
    for part, name in ((INTAKE, "deals engaged in the month"), (CLOSINGS, "deals closed in it")):
        if part not in report.rows:
            continue
        months_of = report.reference_months.get(part, ())
        span = f" of {months_of[0]} to {months_of[-1]}" if months_of else ""
        text += f" {report.rows[part]:,} {name} against {report.rows_reference[part]:,}{span}."
    return text + "</p>"


def _findings(report: DriftReport) -> str:
    items = "".join(f"<li>{escape(why[0].upper() + why[1:])}</li>" for why in report.why)
    listed = f"<ul>{items}</ul>" if items else "<p>Nothing differs beyond chance.</p>"
    psi = "not compared" if report.prediction_psi is None else f"{report.prediction_psi:.3f}"
    return (
        f"<p>Scores at fixed age: PSI <b>{psi}</b>. Intake columns that moved: <b>{report.share_drifted:.0%}</b>. "
        f"Quality: <b>{report.quality:.2f}</b> of 1.</p>{listed}"
    )


def _rules(report: DriftReport) -> str:
    at = report.thresholds
    limits = "; ".join(
        f"{_p(report.p_threshold(part))} for the {report.tests[part]} tests of the {part}"
        for part in (INTAKE, CLOSINGS)
        if report.tests.get(part)
    )
    return (
        f'<p class="note">Differs: a p-value of at most {limits}. Moved: '
        f"an intake column that differs with a PSI of {at.column_psi:g}, a share won that differs by {at.win_rate:.0%} "
        f"of itself, or the scores with a PSI of {at.prediction_psi:g}. HIGH: {at.high_share:.0%} of the intake "
        f"columns moved, the scores with {HIGH_FACTOR:g} times their PSI, at least {HIGH_BAD_SHARE:.0%} of a "
        f"column's values are bad, or scores turned out badly off. "
        f"MEDIUM: anything moved, quality is below {at.quality:g}, or last month's scores promised other wins. "
        "LOW: anything differs, or a month told deals apart otherwise than expected. "
        "Quality is 1 less the largest share of bad values in a column.</p>"
        "<p class=\"note\">Below, the scores, the reference's at this month's ages, and the columns of the intake; "
        "open a row for its distribution. Months of many rows are drawn from a part of them.</p>"
    )


_HEADINGS = (
    ("What", False),
    ("Part", False),
    ("Differs", False),
    ("Moved", False),
    ("PSI or change", True),
    ("Test", False),
    ("p (values)", True),
    ("Missing now", True),
    ("in reference", True),
    ("p (missing)", True),
    ("Remarks", False),
)


def _table(columns: pd.DataFrame) -> str:
    header = "".join(f"<th{' class=number' if number else ''}>{name}</th>" for name, number in _HEADINGS)
    return f"<table><tr>{header}</tr>{''.join(_row(row) for row in columns.to_dict('records'))}</table>"


def _row(row: Mapping[Hashable, Any]) -> str:
    remarks = [str(row["bad"])] if row["bad"] else []
    remarks += [f"new: {row['new_categories']}"] if row["new_categories"] else []
    remarks += [f"not compared: {row['reason']}"] if _given(row["reason"]) else []
    size = f"{row['psi']:.3f}" if _given(row["psi"]) else f"{row['change']:+.1%}" if _given(row["change"]) else ""
    cells = (
        escape(str(row["column"])) + (" (the scores)" if row["kind"] == PREDICTION else ""),
        escape(str(row["part"])),
        "" if not _given(row["drifted"]) else "yes" if row["drifted"] else "no",
        "yes" if row["moved"] else "",
        size,
        escape(str(row["test"])) if _given(row["test"]) else "",
        _p(row["p_value"]),
        *(f"{row[name]:.1%}" if _given(row[name]) else "" for name in ("missing_current", "missing_reference")),
        _p(row["p_missing"]),
        escape("; ".join(remarks)),
    )
    filled = "".join(
        f"<td{' class=number' if number else ''}>{text}</td>"
        for text, (_, number) in zip(cells, _HEADINGS, strict=True)
    )
    return f"<tr{' class=drifted' if row['moved'] or row['bad'] else ''}>{filled}</tr>"


def _drawn(report: DriftReport, sides: Sides) -> list[Drawn]:
    """The scores and the intake columns, as they were compared; what cannot be drawn is left out."""
    drawn = []
    for row in report.columns.to_dict("records"):
        name = str(row["column"])
        if row["kind"] == PREDICTION:
            before = sides.book[name].to_numpy(dtype=np.float64)[_representatives(sides.weights)]
            now = sides.month.book[name].to_numpy(dtype=np.float64)
        elif row["part"] == INTAKE and row["kind"] == CATEGORICAL:
            before, now = (as_labels(rows[name]).astype(object) for rows in (sides.intake, sides.month.intake))
        elif row["part"] == INTAKE and row["kind"] == NUMERIC:
            both = (as_model_numbers(rows[name], "the rows") for rows in (sides.intake, sides.month.intake))
            before, now = (values[~np.isnan(values)] for values in both)
        else:
            continue
        sampled = _spread(before), _spread(now)
        if _given(row["psi"]) and all(len(side) >= MIN_ROWS and _can_be_drawn(side) for side in sampled):
            drawn.append(Drawn(name, *sampled, psi=float(row["psi"]), moved=bool(row["moved"])))
    return sorted(drawn, key=lambda column: column.name != PROBABILITY)


def _spread(values: NDArray[Any]) -> NDArray[Any]:
    """At most DRAWN_ROWS of the values, evenly spread over them."""
    if len(values) <= DRAWN_ROWS:
        return values
    return values[np.linspace(0, len(values) - 1, DRAWN_ROWS).astype(np.int64)]


def _representatives(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row numbers, each as often as its weight says, as many as there are rows (systematic sampling)."""
    cumulated = np.cumsum(weights)
    if not len(cumulated) or cumulated[-1] <= 0:
        return np.arange(len(weights))
    points = (np.arange(len(weights)) + 0.5) / len(weights) * cumulated[-1]
    rows: NDArray[np.int64] = np.searchsorted(cumulated, points).astype(np.int64)
    return rows


def _can_be_drawn(values: NDArray[Any]) -> bool:
    """Whether the bins of a histogram one wide can be told apart at the size of the values."""
    return values.dtype == object or bool(np.abs(values).max() < _LARGEST_DRAWN)


def _given(value: Any) -> bool:
    import pandas as pd

    return not pd.isna(value)


def _p(value: Any) -> str:
    if not _given(value):
        return ""
    if value < 1e-99:
        return "&lt; 1e-99"
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"
