from __future__ import annotations

import csv
import gzip
import io
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_assets.contracts import (
    ACCOUNTS,
    CRM_TABLES,
    DATA_DICTIONARY,
    PRODUCTS,
    SALES_PIPELINE,
    SALES_TEAMS,
    Column,
    Kind,
    Table,
)
from crm_assets.errors import SourceError
from crm_assets.sources.reading import Reading, read_table

HEADER = "opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value"
WON = "A1,Anna,GTX Pro,Acme,Won,2017-03-01,2017-04-30,4800"
OPEN = "A2,Anna,GTX Pro,,Engaging,2017-05-31,,"
PIPELINE_COLUMNS = (
    "opportunity_id, sales_agent, product, account, deal_stage, engage_date, close_date, close_value, in any order"
)


def read_csv(folder: Path, text: str | bytes, table: Table = SALES_PIPELINE) -> Reading:
    file = folder / f"{table.name}.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(file, table, file.name)


def refusal_of_csv(folder: Path, text: str | bytes, table: Table = SALES_PIPELINE) -> str:
    with pytest.raises(SourceError) as caught:
        read_csv(folder, text, table)
    return str(caught.value)


def pipeline(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


def parquet(folder: Path, frame: pl.DataFrame, table: Table) -> Path:
    file = folder / f"{table.name}.parquet"
    frame.write_parquet(file)
    return file


def refusal_of_parquet(folder: Path, frame: pl.DataFrame, table: Table) -> str:
    with pytest.raises(SourceError) as caught:
        read_table(parquet(folder, frame, table), table, f"{table.name}.parquet")
    return str(caught.value)


PRODUCT = pl.DataFrame({"product": ["P"], "series": ["S"], "sales_price": [1.5]})
DEALS = pl.DataFrame(
    {
        "opportunity_id": ["A1", "A2"],
        "sales_agent": ["Anna", "Anna"],
        "product": ["GTX Pro", "GTX Pro"],
        "account": ["Acme", None],
        "deal_stage": ["Won", "Engaging"],
        "engage_date": [date(2017, 3, 1), date(2017, 5, 31)],
        "close_date": [date(2017, 4, 30), None],
        "close_value": [4800.0, None],
    }
)


class TestGoodCsv:
    def test_is_typed_as_the_contract_says(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, pipeline(WON, OPEN))
        assert reading.frame.collect_schema() == SALES_PIPELINE.polars_schema()
        assert_frame_equal(reading.frame.collect(), DEALS)
        assert reading.notes == ()

    def test_columns_may_be_in_any_order(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, "sales_price,product,series\n1.5,P,S\n", PRODUCTS)
        assert_frame_equal(reading.frame.collect(), PRODUCT)

    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    def test_any_line_end_and_blank_lines(self, tmp_path: Path, line_end: str) -> None:
        text = pipeline(WON, "", OPEN, "").replace("\n", line_end)
        assert_frame_equal(read_csv(tmp_path, text).frame.collect(), DEALS)

    def test_no_line_end_at_the_end(self, tmp_path: Path) -> None:
        assert_frame_equal(read_csv(tmp_path, pipeline(WON, OPEN).rstrip("\n")).frame.collect(), DEALS)

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, b"\xef\xbb\xbf" + '"product",series,sales_price\nÉ,S,1\n'.encode(), PRODUCTS)
        assert reading.frame.collect()["product"].to_list() == ["É"]
        assert reading.notes == ()

    def test_latin_1_is_read_and_noted(self, tmp_path: Path) -> None:
        text = "product,series,sales_price\nM\u00fcller\u2019s,S,1\n".encode("cp1252")
        reading = read_csv(tmp_path, text, PRODUCTS)
        assert reading.frame.collect()["product"].to_list() == ["M\u00fcller\u2019s"]
        assert reading.notes == ("products.csv is not UTF-8 and was read as Latin-1 (Windows-1252).",)

    def test_half_a_character_at_the_end_is_not_utf_8(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, b"product,sales_price,series\nP,1,S\xc3", PRODUCTS)
        assert reading.frame.collect()["series"].to_list() == ["S\u00c3"]
        assert len(reading.notes) == 1

    def test_white_space_is_trimmed_where_that_loses_nothing(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, "product, series ,sales_price\n P , S, 1.5\nQ,S,2\nR,S,   3  \n", PRODUCTS)
        frame = reading.frame.collect()
        assert frame["sales_price"].to_list() == [1.5, 2.0, 3.0]
        assert frame["product"].to_list() == [" P ", "Q", "R"]
        assert frame["series"].to_list() == [" S", "S", "S"]
        assert reading.notes == (
            "products.csv: white space removed around the column name ' series '.",
            "products.csv: white space removed around 2 values of column sales_price.",
        )

    def test_empty_cells_are_null(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, 'account,sector,year_established,revenue,employees,office_location,subsidiary_of\n'
                                     '"","", ,"",,,\nA,,,,,,\n', ACCOUNTS)  # fmt: skip
        assert reading.frame.collect().row(0) == (None,) * 7

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1054", 1054.0), ("-1.5", -1.5), ("+.5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("0", 0.0), ("0.1", 0.1)],
    )
    def test_numbers(self, tmp_path: Path, text: str, value: float) -> None:
        reading = read_csv(tmp_path, f"product,series,sales_price\nP,S,{text}\n", PRODUCTS)
        assert reading.frame.collect()["sales_price"].to_list() == [value]

    @pytest.mark.parametrize(("text", "value"), [("2822", 2822), ("2822.0", 2822), ("-7", -7), ("007", 7)])
    def test_whole_numbers(self, tmp_path: Path, text: str, value: int) -> None:
        header = ",".join(ACCOUNTS.column_names)
        reading = read_csv(tmp_path, f"{header}\nA,,,,{text},,\n", ACCOUNTS)
        assert reading.frame.collect()["employees"].to_list() == [value]

    def test_booleans(self, tmp_path: Path) -> None:
        table = Table("flags", "", (Column("flag", Kind.BOOLEAN, ""), Column("name", Kind.STRING, "")))
        reading = read_csv(tmp_path, "flag,name\ntrue,a\nFalse,b\n,c\n", table)
        assert reading.frame.collect()["flag"].to_list() == [True, False, None]
        assert refusal_of_csv(tmp_path, "flag,name\ntrue,a\nyes,b\n", table) == (
            "flags.csv line 3, column flag: 'yes' is not true or false. Mend the file, or leave the cell empty if it "
            "is not known."
        )

    def test_a_quote_inside_an_unquoted_value(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, 'product,series,sales_price\n5" screen,S,1\n', PRODUCTS)
        assert reading.frame.collect()["product"].to_list() == ['5" screen']

    def test_an_optional_table_may_have_no_rows(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, "Table,Field,Description\n", DATA_DICTIONARY)
        assert reading.frame.collect_schema() == DATA_DICTIONARY.polars_schema()
        assert reading.frame.collect().height == 0

    def test_values_are_left_as_in_the_source(self, tmp_path: Path) -> None:
        reading = read_csv(tmp_path, pipeline("A1,,GTXPro,Nobody,Dreaming,,2017-04-30,-1"))
        assert reading.frame.collect().row(0) == (
            "A1", None, "GTXPro", "Nobody", "Dreaming", None, date(2017, 4, 30), -1.0,
        )  # fmt: skip

    def test_long_values_with_line_breaks_in_a_long_file(self, tmp_path: Path) -> None:
        value = "a\n" * 60_000
        frame = pl.DataFrame({"product": [value] * 150, "series": "S", "sales_price": 1.0})
        file = tmp_path / "products.csv"
        frame.write_csv(file)
        assert_frame_equal(read_table(file, PRODUCTS, file.name).frame.collect(), frame)


class TestBadCsvFile:
    def test_no_bytes(self, tmp_path: Path) -> None:
        assert refusal_of_csv(tmp_path, b"") == "sales_pipeline.csv is empty (0 bytes). Export or copy it again."

    @pytest.mark.parametrize("content", [b"\n\r\n\n", b"\xef\xbb\xbf", b",,\n1,2,3\n"])
    def test_no_header(self, tmp_path: Path, content: bytes) -> None:
        assert refusal_of_csv(tmp_path, content, PRODUCTS) == (
            "products.csv has no header. Its first line must name the columns."
        )

    @pytest.mark.parametrize("table", [table for table in CRM_TABLES if not table.optional])
    @pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
    def test_no_rows(self, tmp_path: Path, table: Table, end: str) -> None:
        assert refusal_of_csv(tmp_path, ",".join(table.column_names) + end, table) == (
            f"{table.name}.csv has a header but no rows. Export it again."
        )

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "an old Excel workbook"),
            (gzip.compress(pipeline(WON).encode()), "compressed by gzip"),
            (pipeline(WON).encode("utf-16"), "UTF-16 text"),
            (pipeline(WON).encode("utf-16-le"), "binary (it holds NUL characters)"),
            (pipeline(WON).encode() + b"\0", "binary (it holds NUL characters)"),
        ],
    )
    def test_other_formats(self, tmp_path: Path, content: bytes, what: str) -> None:
        assert refusal_of_csv(tmp_path, content) == (
            f"sales_pipeline.csv is not CSV: it is {what}. Save it as CSV in UTF-8, or give a Parquet file that ends "
            "in .parquet."
        )

    def test_excel_workbook(self, tmp_path: Path) -> None:
        workbook = io.BytesIO()
        with zipfile.ZipFile(workbook, "w") as archive:
            archive.writestr("xl/workbook.xml", "<workbook/>")
        assert "it is an Excel workbook or another zip archive." in refusal_of_csv(tmp_path, workbook.getvalue())

    def test_parquet_called_csv(self, tmp_path: Path) -> None:
        content = io.BytesIO()
        DEALS.write_parquet(content)
        assert "it is a Parquet file." in refusal_of_csv(tmp_path, content.getvalue())

    def test_neither_utf_8_nor_latin_1(self, tmp_path: Path) -> None:
        assert refusal_of_csv(tmp_path, pipeline(WON).encode() + b"\x81\xff") == (
            "sales_pipeline.csv is neither UTF-8 nor Latin-1 text. Save it as CSV in UTF-8."
        )

    @pytest.mark.parametrize(("separator", "what"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
    def test_other_separators(self, tmp_path: Path, separator: str, what: str) -> None:
        assert refusal_of_csv(tmp_path, pipeline(WON).replace(",", separator)) == (
            f"sales_pipeline.csv separates its columns by {what}. Save it with commas."
        )


class TestBadHeader:
    def test_missing_column(self, tmp_path: Path) -> None:
        assert refusal_of_csv(tmp_path, HEADER.replace(",engage_date", "") + "\n") == (
            f"sales_pipeline.csv lacks the column engage_date. Table sales_pipeline has exactly the columns "
            f"{PIPELINE_COLUMNS}. Rename, add or remove columns."
        )

    def test_extra_column(self, tmp_path: Path) -> None:
        assert refusal_of_csv(tmp_path, HEADER + ",probability\n") == (
            f"sales_pipeline.csv has the unknown column 'probability'. Table sales_pipeline has exactly the columns "
            f"{PIPELINE_COLUMNS}. Rename, add or remove columns."
        )

    def test_misspelt_column(self, tmp_path: Path) -> None:
        message = refusal_of_csv(tmp_path, HEADER.replace("engage_date", "Engage Date") + "\n")
        assert message.startswith(
            "sales_pipeline.csv lacks the column engage_date, has the unknown column 'Engage Date', perhaps meant as "
            "engage_date. "
        )

    def test_column_without_a_name(self, tmp_path: Path) -> None:
        message = refusal_of_csv(tmp_path, "," + HEADER + "\n")
        assert message.startswith("sales_pipeline.csv has the unknown column ''. ")

    @pytest.mark.parametrize("name", ["account", " account "])
    def test_duplicate_column(self, tmp_path: Path, name: str) -> None:
        assert refusal_of_csv(tmp_path, f"{HEADER},{name}\n") == (
            "sales_pipeline.csv: 2 columns are called 'account' (columns 4, 9). Keep one of them."
        )


class TestBadRecords:
    def test_too_few_values(self, tmp_path: Path) -> None:
        assert refusal_of_csv(tmp_path, pipeline(WON, "A2,Anna,GTX Pro,,Engaging,2017-05-31,")) == (
            "sales_pipeline.csv line 3: 7 values where the header has 8 columns. Mend the line; a comma inside a value "
            "needs double quotes around the value."
        )

    def test_too_many_values(self, tmp_path: Path) -> None:
        long = "A1,Anna,GTX Pro,Acme, Inc.,Won,2017-03-01,2017-04-30,4800"
        assert refusal_of_csv(tmp_path, pipeline(WON, long, "", long, OPEN, "x", long)) == (
            "sales_pipeline.csv line 3: 9 values where the header has 8 columns; 4 such lines, first at lines 3, 5, 7. "
            "Mend the line; a comma inside a value needs double quotes around the value."
        )

    def test_a_line_of_blanks_is_no_blank_line(self, tmp_path: Path) -> None:
        assert "line 3: 1 value where" in refusal_of_csv(tmp_path, pipeline(WON, "  "))

    @pytest.mark.parametrize(
        ("lines", "line"),
        [
            (['A,"Dustin,Central', "B,Dustin,Central"], 2),
            (["A,Dustin,Central", 'B,Dustin,"Central', "C,Dustin,Central"], 3),
            (['A,"Dus', 'tin",Central', 'B,Dustin,"Central', 'C,Dustin,"West', "D,Dustin,East"], 4),
            (["A,Dustin,Central", 'B,"Dustin "the boss" Brinkmann",Central'], 3),
        ],
    )
    def test_quotes_that_do_not_match(self, tmp_path: Path, lines: list[str], line: int) -> None:
        text = "\n".join([",".join(SALES_TEAMS.column_names), *lines]) + "\n"
        message = refusal_of_csv(tmp_path, text, SALES_TEAMS)
        assert message.startswith(
            f"sales_teams.csv line {line}: the quotes of the record that begins there do not match ("
        )
        assert message.endswith('Close every quote, and double those inside a value: "5"" screen".')

    def test_a_quote_that_swallows_the_rest(self, tmp_path: Path) -> None:
        assert csv.field_size_limit() == 131_072
        lines = ['A,Dustin,"Central', *["B,Dustin,Central"] * 10_000]
        text = "\n".join([",".join(SALES_TEAMS.column_names), *lines]) + "\n"
        assert "line 2: the quotes of the record" in refusal_of_csv(tmp_path, text, SALES_TEAMS)


class TestBadCells:
    def test_one_date(self, tmp_path: Path) -> None:
        assert refusal_of_csv(tmp_path, pipeline(WON, OPEN.replace("2017-05-31", "2017-13-40"))) == (
            "sales_pipeline.csv line 3, column engage_date: '2017-13-40' is not a date (YYYY-MM-DD). Mend the file, or "
            "leave the cell empty if it is not known."
        )

    def test_many_dates_by_the_lines_they_are_in(self, tmp_path: Path) -> None:
        bad = OPEN.replace("2017-05-31", "31/05/2017")
        note = WON.replace("Acme", '"Acme\r\nand\n\nSons"')
        assert refusal_of_csv(tmp_path, pipeline(note, bad, "", note, note, bad, WON, bad, bad)) == (
            "sales_pipeline.csv line 6, column engage_date: '31/05/2017' is not a date (YYYY-MM-DD); 4 such values, "
            "first at lines 6, 16, 18. Mend the file, or leave the cell empty if it is not known."
        )

    @pytest.mark.parametrize(
        "text",
        ["2017-02-29", "2017-5-1", "01.05.2017", "2017-05-01 00:00:00", "20170501", "tomorrow", "0000-01-01", "42856",
         "\u0662017-05-01", "2017-05-01x"],
    )  # fmt: skip
    def test_dates(self, tmp_path: Path, text: str) -> None:
        message = refusal_of_csv(tmp_path, pipeline(WON.replace("2017-04-30", text)))
        assert message.startswith(f"sales_pipeline.csv line 2, column close_date: {text!r} is not a date (YYYY-MM-DD).")

    @pytest.mark.parametrize(
        "text",
        [
            "1,234.5",
            "1.234,5",
            "$5",
            "5 USD",
            "nan",
            "NaN",
            "inf",
            "-Infinity",
            "1e999",
            "0x1F",
            "1_000",
            "\u0663",
            "-",
        ],
    )
    def test_numbers(self, tmp_path: Path, text: str) -> None:
        assert refusal_of_csv(tmp_path, f'product,series,sales_price\nP,S,1\nQ,S,"{text}"\n', PRODUCTS) == (
            f"products.csv line 3, column sales_price: {text!r} is not a number (as in 1234.5: no thousands "
            "separators, no signs of currency, no NaN or infinity). Mend the file."
        )

    @pytest.mark.parametrize("text", ["12.5", "1e3", ".0", ".", "1.5.0", "99999999999999999999", "many", "1 000"])
    def test_whole_numbers(self, tmp_path: Path, text: str) -> None:
        header = ",".join(ACCOUNTS.column_names)
        assert refusal_of_csv(tmp_path, f"{header}\nA,,1990,1,{text},,\n", ACCOUNTS) == (
            f"accounts.csv line 2, column employees: {text!r} is not a whole number (as in 1234: at most 64 bits, no "
            "thousands separators). Mend the file, or leave the cell empty if it is not known."
        )

    def test_every_bad_column_is_named(self, tmp_path: Path) -> None:
        text = pipeline(WON.replace("2017-03-01", "soon").replace("4800", "lots"))
        assert [line.split(":")[0] for line in refusal_of_csv(tmp_path, text).split("\n")] == [
            "sales_pipeline.csv line 2, column engage_date",
            "sales_pipeline.csv line 2, column close_value",
        ]

    def test_a_long_value_is_cut(self, tmp_path: Path) -> None:
        message = refusal_of_csv(tmp_path, pipeline(WON.replace("4800", "9" * 500 + "!")))
        assert f"'{'9' * 56}... is not a number" in message


class TestParquet:
    def test_is_typed_and_ordered_as_the_contract_says(self, tmp_path: Path) -> None:
        file = parquet(tmp_path, DEALS.select(reversed(DEALS.columns)), SALES_PIPELINE)
        reading = read_table(file, SALES_PIPELINE, file.name)
        assert_frame_equal(reading.frame.collect(), DEALS)
        assert reading.notes == ()

    def test_stays_lazy(self, tmp_path: Path) -> None:
        file = parquet(tmp_path, DEALS, SALES_PIPELINE)
        assert "Parquet SCAN" in read_table(file, SALES_PIPELINE, file.name).frame.explain()

    @pytest.mark.parametrize(
        ("found", "value"),
        [
            (pl.Series([3], dtype=pl.UInt8), 3.0),
            (pl.Series([2**53], dtype=pl.Int64), 2.0**53),
            (pl.Series([0.5], dtype=pl.Float32), 0.5),
            (pl.Series([Decimal("0.10")], dtype=pl.Decimal(12, 2)), 0.1),
            (pl.Series(["1.5"]), 1.5),
            (pl.Series([None], dtype=pl.Null), None),
            (pl.Series([None], dtype=pl.Float64), None),
        ],
    )
    def test_lossless_casts_to_numbers(self, tmp_path: Path, found: pl.Series, value: float | None) -> None:
        file = parquet(tmp_path, PRODUCT.with_columns(sales_price=found), PRODUCTS)
        frame = read_table(file, PRODUCTS, file.name).frame
        assert frame.collect_schema() == PRODUCTS.polars_schema()
        assert frame.collect()["sales_price"].to_list() == [value]

    @pytest.mark.parametrize(
        ("found", "value"),
        [
            (pl.Series([3], dtype=pl.Int16), 3),
            (pl.Series([2**63 - 1], dtype=pl.UInt64), 2**63 - 1),
            (pl.Series([1996.0]), 1996),
            (pl.Series([Decimal("7.00")], dtype=pl.Decimal(12, 2)), 7),
            (pl.Series([None], dtype=pl.Float64), None),
        ],
    )
    def test_lossless_casts_to_whole_numbers(self, tmp_path: Path, found: pl.Series, value: int | None) -> None:
        frame = pl.DataFrame([[name] for name in "abcdefg"], schema=ACCOUNTS.column_names)
        frame = frame.with_columns(year_established=1990, revenue=1.0, employees=found)
        file = parquet(tmp_path, frame, ACCOUNTS)
        assert read_table(file, ACCOUNTS, file.name).frame.collect()["employees"].to_list() == [value]

    @pytest.mark.parametrize(
        ("found", "value"),
        [
            (pl.Series(["P"], dtype=pl.Categorical), "P"),
            (pl.Series([17]), "17"),
            (pl.Series([""]), None),
            (pl.Series([None], dtype=pl.Null), None),
        ],
    )
    def test_lossless_casts_to_text(self, tmp_path: Path, found: pl.Series, value: str | None) -> None:
        file = parquet(tmp_path, PRODUCT.with_columns(product=found), PRODUCTS)
        assert read_table(file, PRODUCTS, file.name).frame.collect()["product"].to_list() == [value]

    @pytest.mark.parametrize(
        "zone_and_unit",
        [(None, "ms"), (None, "ns"), ("UTC", "us"), ("Europe/Berlin", "us"), ("America/New_York", "us")],
    )
    def test_timestamps_at_midnight_are_dates(self, tmp_path: Path, zone_and_unit: tuple[str | None, Any]) -> None:
        zone, unit = zone_and_unit
        midnight = pl.col("engage_date").cast(pl.Datetime(unit)).dt.replace_time_zone(zone)
        file = parquet(tmp_path, DEALS.with_columns(midnight), SALES_PIPELINE)
        assert_frame_equal(read_table(file, SALES_PIPELINE, file.name).frame.collect(), DEALS)

    def test_dates_as_text(self, tmp_path: Path) -> None:
        file = parquet(tmp_path, DEALS.with_columns(pl.col("engage_date").cast(pl.String)), SALES_PIPELINE)
        assert_frame_equal(read_table(file, SALES_PIPELINE, file.name).frame.collect(), DEALS)

    def test_other_timestamps(self, tmp_path: Path) -> None:
        times = pl.Series([None, datetime(2017, 5, 31, 9, 30)])
        assert refusal_of_parquet(tmp_path, DEALS.with_columns(engage_date=times), SALES_PIPELINE) == (
            "sales_pipeline.parquet row 2, column engage_date: 2017-05-31 09:30:00.000000 is not a date (YYYY-MM-DD). "
            "Mend the file, or leave the cell empty if it is not known."
        )

    def test_dates_that_python_has_not(self, tmp_path: Path) -> None:
        far = DEALS.with_columns(engage_date=pl.Series([0, 9_000_000], dtype=pl.Int32).cast(pl.Date))
        message = refusal_of_parquet(tmp_path, far, SALES_PIPELINE)
        assert message.startswith("sales_pipeline.parquet row 2, column engage_date: +26611-03-02 is not a date")

    @pytest.mark.parametrize("number", [17_000, 17_000.0])
    def test_numbers_are_no_dates(self, tmp_path: Path, number: float) -> None:
        frame = DEALS.with_columns(engage_date=number)
        kind = frame.schema["engage_date"]
        assert refusal_of_parquet(tmp_path, frame, SALES_PIPELINE) == (
            f"sales_pipeline.parquet: column engage_date is of type {kind}, where a date (YYYY-MM-DD) is needed. Write "
            "the column as date."
        )

    @pytest.mark.parametrize(
        ("found", "kind"),
        [(pl.Series([b"x"]), "Binary"), (pl.Series([True]), "Boolean"), (pl.Series([["x"]]), "List(String)"),
         (pl.Series([1.5]), "Float64"), (pl.Series([date(2017, 1, 1)]), "Date")],
    )  # fmt: skip
    def test_what_is_no_text(self, tmp_path: Path, found: pl.Series, kind: str) -> None:
        message = refusal_of_parquet(tmp_path, PRODUCT.with_columns(product=found), PRODUCTS)
        assert message == (
            f"products.parquet: column product is of type {kind}, where text is needed. Write the column as string."
        )

    @pytest.mark.parametrize(
        ("found", "shown"),
        [(pl.Series([1.0, float("nan")]), "NaN"), (pl.Series([1.0, float("-inf")]), "-inf"),
         (pl.Series([1, 2**53 + 1]), str(2**53 + 1)), (pl.Series(["1", "1,5"]), "'1,5'"),
         (pl.Series([1, 2**63 - 1]), str(2**63 - 1))],
    )  # fmt: skip
    def test_what_is_no_number(self, tmp_path: Path, found: pl.Series, shown: str) -> None:
        frame = pl.concat([PRODUCT, PRODUCT]).with_columns(sales_price=found)
        assert refusal_of_parquet(tmp_path, frame, PRODUCTS).startswith(
            f"products.parquet row 2, column sales_price: {shown} is not a number (as in 1234.5"
        )

    @pytest.mark.parametrize(
        ("found", "shown"), [(12.5, "12.5"), (float("nan"), "NaN"), (float("inf"), "inf"), (1e30, "1e+30")]
    )
    def test_what_is_no_whole_number(self, tmp_path: Path, found: float, shown: str) -> None:
        frame = pl.DataFrame([[name] for name in "abcdefg"], schema=ACCOUNTS.column_names)
        frame = frame.with_columns(year_established=1990, revenue=1.0, employees=found)
        assert refusal_of_parquet(tmp_path, frame, ACCOUNTS).startswith(
            f"accounts.parquet row 1, column employees: {shown} is not a whole number"
        )

    def test_missing_and_extra_columns(self, tmp_path: Path) -> None:
        message = refusal_of_parquet(tmp_path, PRODUCT.rename({"series": "Series"}), PRODUCTS)
        assert message == (
            "products.parquet lacks the column series, has the unknown column 'Series', perhaps meant as series. "
            "Table products has exactly the columns product, series, sales_price, in any order. Rename, add or "
            "remove columns."
        )

    def test_no_rows(self, tmp_path: Path) -> None:
        assert refusal_of_parquet(tmp_path, PRODUCT.clear(), PRODUCTS) == (
            "products.parquet has no rows. Export it again."
        )
        empty = pl.DataFrame(schema=DATA_DICTIONARY.polars_schema())
        file = parquet(tmp_path, empty, DATA_DICTIONARY)
        assert_frame_equal(read_table(file, DATA_DICTIONARY, file.name).frame.collect(), empty)

    def test_no_bytes(self, tmp_path: Path) -> None:
        file = tmp_path / "products.parquet"
        file.touch()
        with pytest.raises(SourceError, match=r"^products\.parquet is empty \(0 bytes\)"):
            read_table(file, PRODUCTS, file.name)

    @pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
    def test_truncated(self, tmp_path: Path, kept: float) -> None:
        file = parquet(tmp_path, DEALS, SALES_PIPELINE)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(SourceError) as caught:
            read_table(file, SALES_PIPELINE, file.name)
        assert str(caught.value).startswith(
            "sales_pipeline.parquet cannot be read as Parquet; it may be truncated or of another format (parquet: "
        )
        assert str(caught.value).endswith("Export or copy it again.")

    def test_csv_called_parquet(self, tmp_path: Path) -> None:
        file = tmp_path / "products.parquet"
        file.write_text("product,series,sales_price\nP,S,1\n")
        with pytest.raises(
            SourceError, match=r"^products\.parquet cannot be read as Parquet; it may be truncated or of"
        ):
            read_table(file, PRODUCTS, file.name)

    def test_glob_characters_in_the_name_mean_themselves(self, tmp_path: Path) -> None:
        folder = tmp_path / "2017[05]*"
        folder.mkdir()
        file = parquet(folder, PRODUCT, PRODUCTS)
        assert_frame_equal(read_table(file, PRODUCTS, file.name).frame.collect(), PRODUCT)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12) | (
    st.text("\",;\n\r \t'|é\ufeffa1", min_size=1, max_size=8)
)
CELLS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: TEXT,
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates(),
}


@st.composite
def frames(draw: st.DrawFn, table: Table) -> pl.DataFrame:
    """Any table that fits the contract's types, nulls anywhere but in the first column."""
    rows = draw(st.integers(1, 6))
    columns = {
        column.name: draw(
            st.lists(CELLS[column.kind] if index == 0 else st.none() | CELLS[column.kind], min_size=rows, max_size=rows)
        )
        for index, column in enumerate(table.columns)
    }
    return pl.DataFrame(columns, table.polars_schema())


ANYTHING = Table(
    "anything",
    "One column of each kind.",
    tuple(Column(kind.value, kind, "") for kind in Kind),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("table", [*CRM_TABLES, ANYTHING], ids=lambda table: table.name)
def test_any_table_comes_back_from_csv(tmp_path: Path, table: Table, data: st.DataObject) -> None:
    frame = data.draw(frames(table))
    file = tmp_path / f"{table.name}.csv"
    frame.write_csv(file, quote_style=data.draw(st.sampled_from(["necessary", "always", "non_numeric"])))
    reading = read_table(file, table, file.name)
    assert_frame_equal(reading.frame.collect(), frame, check_exact=True)
    assert reading.notes == ()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_comes_back_from_parquet(tmp_path: Path, data: st.DataObject) -> None:
    frame = data.draw(frames(ANYTHING))
    file = parquet(tmp_path, frame, ANYTHING)
    assert_frame_equal(read_table(file, ANYTHING, file.name).frame.collect(), frame, check_exact=True)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
@given(text=st.text('",,\n\r a', max_size=40))
def test_text_is_read_as_the_csv_module_reads_it_or_refused(tmp_path: Path, text: str) -> None:
    table = Table("pairs", "", (Column("a", Kind.STRING, ""), Column("b", Kind.STRING, "")))
    content = "a,b\n" + text
    try:
        records = [fields for fields in csv.reader(io.StringIO(content, newline=""), strict=True) if fields][1:]
    except csv.Error:
        records = []
    if not records or any(len(fields) != 2 for fields in records):
        refusal_of_csv(tmp_path, content, table)
    else:
        expected = [tuple(value or None for value in fields) for fields in records]
        assert read_csv(tmp_path, content, table).frame.collect().rows() == expected


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXT.filter(lambda text: text.strip() != ""), min_size=1, max_size=8), data=st.data())
def test_the_named_line_is_the_one_that_the_record_begins_in(
    tmp_path: Path, names: list[str], data: st.DataObject
) -> None:
    bad = data.draw(st.integers(0, len(names) - 1))
    records = [io.StringIO(newline="") for _ in names]
    for index, (record, name) in enumerate(zip(records, names, strict=True)):
        csv.writer(record, quoting=csv.QUOTE_ALL).writerow([name, "S", "oops" if index == bad else 1])
    before = "product,series,sales_price\r\n" + "".join(record.getvalue() for record in records[:bad])
    line = len(io.StringIO(before, newline="").readlines()) + 1
    message = refusal_of_csv(
        tmp_path, "product,series,sales_price\r\n" + "".join(record.getvalue() for record in records), PRODUCTS
    )
    assert message.startswith(f"products.csv line {line}, column sales_price: 'oops' is not a number")
