"""The chosen deals as a file for a spreadsheet."""

from __future__ import annotations

from io import BytesIO

import polars as pl

from crm_assets.serving.pages import COLUMNS

FILE_COLUMNS = [name for name in COLUMNS if name not in {"main_cause", "main_subject", "main_part", "raises", "lowers"}]
"""Of the pipeline's rows, without what is for machines and what a sheet has no room for."""

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""Format -> what it is on the web."""

_FORMULA = r"^[=+\-@\t\r\n]"
"""How text begins that a spreadsheet takes for a formula; see OWASP, "CSV Injection"."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Without it Excel takes UTF-8 for the alphabet of its country."""
_FORMATS = {
    "probability": "0.0%",
    "probability_lost": "0.0%",
    "probability_abandoned": "0.0%",
    "previous": "0.0%",
    "change": "+0.0%;-0.0%",
    "list_price": "#,##0",
    "expected_value": "#,##0",
    "engage_date": "yyyy-mm-dd",
}
_WIDTHS = {"account": 24, "sales_agent": 20, "manager": 20, "cause_in_words": 18, "main_reason": 70}


def as_csv(rows: pl.DataFrame) -> bytes:
    """Rows as CSV in UTF-8; an apostrophe stands before text that would otherwise become a formula."""
    text = [
        pl.when(pl.col(name).str.contains(_FORMULA)).then(pl.lit("'") + pl.col(name)).otherwise(name).alias(name)
        for name, kind in rows.schema.items()
        if kind == pl.String
    ]
    return _BYTE_ORDER_MARK + rows.with_columns(text).write_csv().encode()


def as_workbook(rows: pl.DataFrame, title: str) -> bytes:
    """Rows as a workbook of Excel with one sheet; text is written as text, whatever it begins with."""
    from xlsxwriter import Workbook

    content = BytesIO()
    told = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with Workbook(content, {**told, "default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet(title)
        formats = {name: book.add_format({"num_format": form}) for name, form in _FORMATS.items()}
        for at, name in enumerate(rows.columns):
            sheet.set_column(at, at, _WIDTHS.get(name, 12), formats.get(name))
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, rows.columns, book.add_format({"bold": True}))
        for at, row in enumerate(rows.iter_rows(), 1):
            sheet.write_row(at, 0, row)
    return content.getvalue()
