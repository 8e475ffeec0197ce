"""The page of a drift report: the verdict as plain HTML, and below it Evidently's picture of every tested column."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from crm_assets.monitoring.drift_columns import CATEGORICAL, PREDICTION, as_model_numbers
from crm_assets.monitoring.drift_level import HIGH, LOW, MEDIUM, NONE, DriftThresholds
from crm_assets.monitoring.evidently_table import evidently_page
from crm_assets.monitoring.reference import POSITION_NAMES
from crm_assets.monitoring.rows import as_labels

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.monitoring.drift import DriftReport

LEVEL_COLOURS = {NONE: "#2e7d32", LOW: "#8a6d00", MEDIUM: "#c25700", HIGH: "#b71c1c", None: "#5f6368"}

_LARGEST_DRAWN = 1e12

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
    title, verdict = _verdict(report, body)
    head = _HEAD.replace("TITLE", title)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{verdict}\n</body>\n</html>\n'


def compared_page(report: DriftReport, current: pd.DataFrame, reference: pd.DataFrame) -> str:
    """The verdict, the column table, and a picture of each tested column; the same bytes for the same rows.

    Args:
        report: the report, complete but for its page.
        current, reference: the rows it compares.
    """
    ordered = report.columns.assign(second=report.columns["kind"] != PREDICTION).sort_values(
        ["second", "drifted", "psi"], ascending=[True, False, False], kind="stable"
    )
    title, verdict = _verdict(report, _sides(report) + _findings(report) + _column_rows(ordered) + _rules(report))
    tested = ordered[ordered["p_value"].notna()]
    now, before = _as_tested(current, tested), _as_tested(reference, tested)
    drifted = {
        name: bool(verdict)
        for name, verdict in zip(tested["column"], tested["drifted"], strict=True)
        if _can_be_drawn(now[name]) and _can_be_drawn(before[name])
    }
    page = evidently_page(now[list(drifted)], before[list(drifted)], drifted, report.p_threshold or 0.0)
    for mark, added in (("<head>", _HEAD.replace("TITLE", title)), ("<body>", verdict)):
        start, found, end = page.partition(mark)
        if not found:
            raise RuntimeError(f"Evidently's page has no {mark}: its template has changed")
        page = f"{start}{found}\n{added}{end}"
    return page


def _verdict(report: DriftReport, body: str) -> tuple[str, str]:
    title = f"Drift in {report.month}"
    badge = (
        f'<span class="level" style="background: {LEVEL_COLOURS[report.level]}">{report.level or "not compared"}</span>'
    )
    return title, f'<section class="verdict">\n<h1>{title} {badge}</h1>\n{body}\n</section>'


def _sides(report: DriftReport) -> str:
    reference = f"{report.rows_reference:,} reference rows"
    if report.reference_months:
        position = POSITION_NAMES[report.month.next.quarter_position]
        months = ", ".join(report.reference_months)
        reference += f" (the books of {escape(months)}, which precede the {position} month of a quarter too)"
    return (
        f"<p>The book of {report.month} as scored by model version {escape(report.model_version)}, "
        f"{report.rows_current:,} opportunities, against {reference}.</p>"
    )


def _findings(report: DriftReport) -> str:
    monitored = int((report.columns["kind"] != PREDICTION).sum())
    drifted = round((report.share_drifted or 0.0) * monitored)
    scores = "have drifted" if report.prediction_drifted else "have not drifted"
    text = (
        f"<p><b>{drifted} of {monitored}</b> monitored columns have drifted. The scores {scores}: "
        f"PSI <b>{report.prediction_psi:.3f}</b>.</p>"
    )
    if report.new_category_columns:
        text += f"<p>Categories that the reference lacks in: {escape(', '.join(report.new_category_columns))}.</p>"
    if report.untested_columns:
        text += f"<p>Not tested: {escape(', '.join(report.untested_columns))}; the table says why.</p>"
    return text


def _rules(report: DriftReport) -> str:
    at: DriftThresholds = report.thresholds
    return (
        f'<p class="note">Drifted: a p-value of at most {_p(report.p_threshold)}, which is {report.alpha:g} divided by '
        f"the {report.tests} tests made. PSI says how much: {at.small_psi:g} is small, {at.large_psi:g} large. "
        f"HIGH: the scores drifted with a large PSI, or at least {at.large_share:.0%} of the columns with a small one. "
        "MEDIUM: the scores drifted with a small PSI, or a column with a large one. LOW: anything drifted, or a new "
        "category. The levels are rules of thumb, not calibrated on this history; and rows are not independent, so the "
        "tests find more between real months than their p-values promise.</p>"
        '<p class="note">Below, the tested columns in the same order; open a row for its distribution.</p>'
    )


def _column_rows(columns: pd.DataFrame) -> str:
    header = "".join(
        f"<th{' class=number' if numeric else ''}>{name}</th>"
        for name, numeric in (
            ("Column", False),
            ("Drifted", False),
            ("PSI", True),
            ("Test", False),
            ("Statistic", True),
            ("p (values)", True),
            ("Missing now", True),
            ("in reference", True),
            ("p (missing)", True),
            ("Remarks", False),
        )
    )
    return f"<table><tr>{header}</tr>{''.join(_column_row(row) for row in columns.to_dict('records'))}</table>"


def _column_row(row: Mapping[Hashable, Any]) -> str:
    tested, drifted = _given(row["drifted"]), _given(row["drifted"]) and bool(row["drifted"])
    remarks = [f"new: {row['new_categories']}"] if row["new_categories"] else []
    remarks += [f"values not tested: {row['reason']}"] if _given(row["reason"]) else []
    cells = [
        (escape(str(row["column"])) + (" (the scores)" if row["kind"] == PREDICTION else ""), False),
        (("yes" if drifted else "no") if tested else "not tested", False),
        (f"{row['psi']:.3f}", True),
        (escape(str(row["test"])), False),
        (f"{row['statistic']:.3f}" if _given(row["statistic"]) else "", True),
        (_p(row["p_value"]), True),
        (f"{row['missing_current']:.1%}", True),
        (f"{row['missing_reference']:.1%}", True),
        (_p(row["p_missing"]), True),
        (escape("; ".join(remarks)), False),
    ]
    filled = "".join(f"<td{' class=number' if number else ''}>{text}</td>" for text, number in cells)
    return f"<tr{' class=drifted' if drifted else ''}>{filled}</tr>"


def _as_tested(rows: pd.DataFrame, tested: pd.DataFrame) -> pd.DataFrame:
    """The tested columns of `rows` as the tests read them: float64, or text without missing values."""
    import pandas as pd

    read: dict[str, NDArray[Any]] = {}
    for name, kind in zip(tested["column"], tested["kind"], strict=True):
        categorical = kind == CATEGORICAL
        read[name] = as_labels(rows[name]).astype(object) if categorical else as_model_numbers(rows[name], "the rows")
    return pd.DataFrame(read)


def _can_be_drawn(values: pd.Series) -> bool:
    """Whether the bins of a histogram one wide can be told apart at the size of the values."""
    return values.dtype == object or bool(values.abs().max() < _LARGEST_DRAWN)


def _given(value: Any) -> bool:
    import pandas as pd

    return not pd.isna(value)


def _p(value: Any) -> str:
    if not _given(value):
        return ""
    if value < 1e-99:
        return "&lt; 1e-99"
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"
