from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES, DATA_DICTIONARY, FIELD_HISTORY_TABLES, OPPORTUNITY_HISTORY
from crm_assets.errors import SourceError
from crm_assets.sources import Evidence
from crm_assets.sources.folder import FolderSource
from crm_assets_tests.sources.conftest import write_tables

MAY = Month(2017, 5)

Crm = dict[str, pl.DataFrame]


def collected(source: FolderSource, month: Month) -> Crm:
    return {name: frame.collect() for name, frame in source.tables(month).items()}


def assert_same_tables(found: Crm, expected: Crm) -> None:
    assert list(found) == [table.name for table in CRM_TABLES] == list(expected)
    for name in expected:
        assert_frame_equal(found[name], expected[name])


def refusal(source: FolderSource, month: Month = MAY) -> str:
    with pytest.raises(SourceError) as caught:
        source.tables(month)
    return str(caught.value)


class TestMonthlyExtracts:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_tables_of_each_month(self, tmp_path: Path, crm: Crm, suffix: str) -> None:
        april = crm | {"products": crm["products"].head(1)}
        write_tables(tmp_path / "2017-05", crm, suffix)
        write_tables(tmp_path / "2017-04", april, suffix)
        source = FolderSource(str(tmp_path))
        assert source.evidence is Evidence.EXTRACT
        assert source.months() == [Month(2017, 4), MAY]
        assert_same_tables(collected(source, MAY), crm)
        assert_same_tables(collected(source, Month(2017, 4)), april)
        assert source.notes(MAY) == []

    def test_months_may_mix_csv_and_parquet(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", {"accounts": crm["accounts"]}, ".parquet")
        write_tables(tmp_path / "2017-05", {name: crm[name] for name in crm if name != "accounts"})
        assert_same_tables(collected(FolderSource(str(tmp_path)), MAY), crm)

    def test_the_optional_table_may_be_absent(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", {name: crm[name] for name in crm if name != "data_dictionary"})
        found = FolderSource(str(tmp_path)).tables(MAY)["data_dictionary"]
        assert found.collect_schema() == DATA_DICTIONARY.polars_schema()
        assert found.collect().height == 0

    def test_other_files_and_folders_are_passed_over(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        write_tables(tmp_path / "2017-05" / "old", crm)
        write_tables(tmp_path / ".trash", crm)
        (tmp_path / "README.md").write_text("How these were made")
        (tmp_path / "2017-05" / "leads.csv").write_text("lead\n")
        (tmp_path / "2017-06").mkdir()
        (tmp_path / "queries").mkdir()
        (tmp_path / "queries" / "export.sql").write_text("select 1")
        assert FolderSource(str(tmp_path)).months() == [MAY]

    def test_a_month_that_lands_later_is_seen(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        source = FolderSource(str(tmp_path))
        assert source.months() == [MAY]
        write_tables(tmp_path / "2017-06", crm)
        assert source.months() == [MAY, MAY.next]

    def test_a_file_that_changes_is_read_again(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        source = FolderSource(str(tmp_path))
        assert_same_tables(collected(source, MAY), crm)
        changed = crm | {"products": crm["products"].with_columns(sales_price=pl.lit(1.0))}
        write_tables(tmp_path / "2017-05", changed)
        assert_same_tables(collected(source, MAY), changed)

    def test_month_without_an_extract(self, tmp_path: Path, crm: Crm) -> None:
        for folder in ("2017-03", "2017-04", "2017-06", "2017-09"):
            write_tables(tmp_path / folder, crm)
        source = FolderSource(str(tmp_path))
        held = "it holds 2017-03 to 2017-04, 2017-06, 2017-09 (2017-05, 2017-07, 2017-08 missing in between)"
        for month in (MAY, Month(2018, 1), Month(2016, 1)):
            expected = (
                f"{tmp_path} has no extract of {month}; {held}. Add the folder {month}, or ask for another month."
            )
            assert refusal(source, month) == expected
            with pytest.raises(SourceError, match=f"has no extract of {month}"):
                source.fingerprint(month)
            with pytest.raises(SourceError, match=f"has no extract of {month}"):
                source.notes(month)

    def test_a_few_dates_after_a_gap_are_refused(self, tmp_path: Path, crm: Crm) -> None:
        """They would make up months in which every deal stays open."""
        many = pl.concat([crm["sales_pipeline"].head(1)] * 200).with_columns(
            opportunity_id=pl.format("X{}", pl.int_range(pl.len()))
        )
        late = pl.when(pl.int_range(pl.len()) == 7).then(date(2018, 4, 30)).otherwise("close_date").alias("close_date")
        folder = str(write_tables(tmp_path, crm | {"sales_pipeline": many.with_columns(late)}))
        with pytest.raises(SourceError) as caught:
            FolderSource(folder).months()
        assert str(caught.value) == (
            f"{tmp_path}/sales_pipeline.csv has 1 dates from 2018-04 on, after months without any: they look mistyped, "
            "and would make up months in which nothing happens. Mend them, or set CRM_EXPORTED_ON to the day the "
            "export was taken."
        )
        known = FolderSource(folder, exported_on=date(2017, 4, 30))
        assert known.months() == [Month(2017, 3), Month(2017, 4)]

    def test_missing_tables(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", {name: crm[name] for name in ("sales_pipeline", "data_dictionary")})
        (tmp_path / "2017-05" / "Accounts.csv").write_text("account\n")
        (tmp_path / "2017-05" / "products.parquet").mkdir()
        (tmp_path / "2017-05" / "products.parquet" / "part-0.parquet").write_text("")
        assert refusal(FolderSource(str(tmp_path))) == (
            f"{tmp_path}/2017-05 lacks accounts.csv, products.csv, sales_teams.csv (or .parquet); it holds "
            "Accounts.csv, data_dictionary.csv, products.parquet/, sales_pipeline.csv. Add what is missing."
        )

    def test_one_table_in_two_formats(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        write_tables(tmp_path / "2017-05", {"products": crm["products"]}, ".parquet")
        assert refusal(FolderSource(str(tmp_path))) == (
            f"{tmp_path}/2017-05 holds both products.csv and products.parquet. Keep one of them."
        )

    @pytest.mark.parametrize("name", ["2017-5", "2017-13", "201705", "2017-05-31", "May", "0000-01", "month=2017-05"])
    def test_folder_that_is_not_named_for_a_month(self, tmp_path: Path, crm: Crm, name: str) -> None:
        write_tables(tmp_path / "2017-04", crm)
        write_tables(tmp_path / name, crm)
        source = FolderSource(str(tmp_path))
        with pytest.raises(SourceError) as caught:
            source.months()
        assert str(caught.value) == (
            f"{tmp_path} holds tables in folders that are not named for a month: {name}. Name the folder of a month "
            "YYYY-MM, for example 2017-05, or move it elsewhere."
        )
        assert refusal(source) == str(caught.value)

    def test_bad_file_is_named_by_its_full_path(self, tmp_path: Path, crm: Crm) -> None:
        folder = write_tables(tmp_path / "2017-05", crm)
        pipeline = folder / "sales_pipeline.csv"
        pipeline.write_text(pipeline.read_text().replace("2017-04-30", "2017-04-31"))
        assert refusal(FolderSource(str(tmp_path))).startswith(
            f"{pipeline} line 2, column close_date: '2017-04-31' is not a date (YYYY-MM-DD)."
        )

    def test_notes(self, tmp_path: Path, crm: Crm) -> None:
        folder = write_tables(tmp_path / "2017-05", crm)
        accounts = folder / "accounts.csv"
        accounts.write_bytes(accounts.read_text("utf-8").encode("latin-1"))
        source = FolderSource(str(tmp_path))
        assert source.notes(MAY) == [f"{accounts} is not UTF-8 and was read as Latin-1 (Windows-1252)."]
        assert_same_tables(collected(source, MAY), crm)


class TestLateExport:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_every_month_has_the_tables_as_exported(self, tmp_path: Path, crm: Crm, suffix: str) -> None:
        source = FolderSource(str(write_tables(tmp_path, crm, suffix)))
        assert source.evidence is Evidence.EXPORT
        assert source.months() == [Month(2017, 3), Month(2017, 4), MAY]
        for month in source.months():
            assert_same_tables(collected(source, month), crm)
        assert len({source.fingerprint(month) for month in source.months()}) == 1

    def test_months_end_with_the_latest_date_of_either_kind(self, tmp_path: Path, crm: Crm) -> None:
        pipeline = crm["sales_pipeline"].with_columns(
            engage_date=pl.Series([None, date(2016, 12, 31), None]),
            close_date=pl.Series([date(2016, 2, 29), None, date(2017, 1, 1)]),
        )
        source = FolderSource(str(write_tables(tmp_path, crm | {"sales_pipeline": pipeline})))
        assert source.exported_on == date(2017, 1, 1)
        assert source.months() == month_range(Month(2016, 2), Month(2016, 12))

    def test_months_end_with_the_last_that_had_ended_on_the_day_of_the_export(self, tmp_path: Path, crm: Crm) -> None:
        folder = str(write_tables(tmp_path, crm))
        march, april = Month(2017, 3), Month(2017, 4)
        for day, months in (
            (date(2017, 6, 29), [march, april, MAY]),
            (date(2017, 5, 31), [march, april, MAY]),
            (date(2017, 5, 30), [march, april]),
            (date(2017, 4, 2), [march]),
        ):
            source = FolderSource(folder, exported_on=day)
            assert (source.exported_on, source.months()) == (day, months)
        with pytest.raises(SourceError) as caught:
            FolderSource(folder, exported_on=date(2017, 3, 30)).months()
        assert str(caught.value) == (
            f"{tmp_path}/sales_pipeline.csv begins on 2017-03-01 and was taken on 2017-03-30 (CRM_EXPORTED_ON), before "
            "that month had ended: no month can be told about."
        )

    def test_month_outside(self, tmp_path: Path, crm: Crm) -> None:
        source = FolderSource(str(write_tables(tmp_path, crm)))
        for month in (Month(2017, 2), Month(2017, 6)):
            assert refusal(source, month) == (
                f"{tmp_path}: the export tells about 2017-03 to 2017-05, not about {month}. Ask for another month."
            )
            with pytest.raises(SourceError, match=f"not about {month}"):
                source.fingerprint(month)

    def test_no_date_at_all(self, tmp_path: Path, crm: Crm) -> None:
        pipeline = crm["sales_pipeline"].with_columns(
            engage_date=pl.lit(None, pl.Date), close_date=pl.lit(None, pl.Date)
        )
        source = FolderSource(str(write_tables(tmp_path, crm | {"sales_pipeline": pipeline})))
        with pytest.raises(SourceError) as caught:
            source.months()
        assert str(caught.value) == (
            f"{tmp_path}/sales_pipeline.csv has no engage_date and no close_date, so nothing tells which months it is "
            "about. Export it with its dates, or give monthly extracts."
        )

    def test_mistyped_year(self, tmp_path: Path, crm: Crm) -> None:
        pipeline = crm["sales_pipeline"].with_columns(close_date=pl.Series([date(2107, 4, 30), None, None]))
        source = FolderSource(str(write_tables(tmp_path, crm | {"sales_pipeline": pipeline})))
        with pytest.raises(SourceError) as caught:
            source.months()
        assert str(caught.value) == (
            f"{tmp_path}/sales_pipeline.csv has dates from 2017-03-01 to 2107-04-30, over 50 years apart. Mend the "
            "mistyped year, or set CRM_EXPORTED_ON to the day the export was taken."
        )

    def test_a_few_dates_after_a_gap_are_refused(self, tmp_path: Path, crm: Crm) -> None:
        """They would make up months in which every deal stays open."""
        many = pl.concat([crm["sales_pipeline"].head(1)] * 200).with_columns(
            opportunity_id=pl.format("X{}", pl.int_range(pl.len()))
        )
        late = pl.when(pl.int_range(pl.len()) == 7).then(date(2018, 4, 30)).otherwise("close_date").alias("close_date")
        folder = str(write_tables(tmp_path, crm | {"sales_pipeline": many.with_columns(late)}))
        with pytest.raises(SourceError) as caught:
            FolderSource(folder).months()
        assert str(caught.value) == (
            f"{tmp_path}/sales_pipeline.csv has 1 dates from 2018-04 on, after months without any: they look mistyped, "
            "and would make up months in which nothing happens. Mend them, or set CRM_EXPORTED_ON to the day the "
            "export was taken."
        )
        known = FolderSource(folder, exported_on=date(2017, 4, 30))
        assert known.months() == [Month(2017, 3), Month(2017, 4)]

    def test_missing_tables(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path, {"sales_pipeline": crm["sales_pipeline"]})
        with pytest.raises(SourceError) as caught:
            FolderSource(str(tmp_path)).months()
        assert str(caught.value) == (
            f"{tmp_path} lacks accounts.csv, products.csv, sales_teams.csv (or .parquet); it holds sales_pipeline.csv. "
            "Add what is missing."
        )

    def test_the_real_export(self, real_export: Path) -> None:
        source = FolderSource(str(real_export))
        assert source.evidence is Evidence.EXPORT
        assert source.months() == month_range(Month(2016, 10), Month(2017, 12))
        tables = collected(source, Month(2016, 10))
        assert {name: frame.height for name, frame in tables.items()} == {
            "accounts": 85, "products": 7, "sales_teams": 35, "sales_pipeline": 8800, "data_dictionary": 21,
        }  # fmt: skip
        for table in CRM_TABLES:
            assert tables[table.name].schema == table.polars_schema()
        pipeline = tables["sales_pipeline"]
        assert pipeline.null_count().row(0, named=True) == {
            "opportunity_id": 0, "sales_agent": 0, "product": 0, "account": 1425, "deal_stage": 0, "engage_date": 500,
            "close_date": 2089, "close_value": 2089,
        }  # fmt: skip
        assert "GTXPro" in pipeline["product"].to_list()
        assert "technolgy" in tables["accounts"]["sector"].to_list()
        assert source.notes(Month(2017, 12)) == []


@pytest.fixture
def kept(crm: Crm) -> Crm:
    """The small CRM with field history from 2017-03 to 2017-05 in place of its pipeline."""
    rows = [
        ("A1", "deal_stage", None, "Prospecting", date(2017, 3, 1), date(2017, 3, 1)),
        ("A1", "deal_stage", "Prospecting", "Engaging", date(2017, 3, 2), date(2017, 5, 31)),
        ("A1", "close_value", None, "4800.0", date(2017, 4, 30), date(2017, 5, 2)),
    ]
    history = pl.DataFrame(rows, OPPORTUNITY_HISTORY.polars_schema(), orient="row")
    return {table.name: history if table is OPPORTUNITY_HISTORY else crm[table.name] for table in FIELD_HISTORY_TABLES}


class TestFieldHistory:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_every_month_has_all_changes_and_the_tables_as_exported(
        self, tmp_path: Path, kept: Crm, suffix: str
    ) -> None:
        source = FolderSource(str(write_tables(tmp_path, kept, suffix)))
        assert source.evidence is Evidence.FIELD_HISTORY
        assert source.months() == [Month(2017, 3), Month(2017, 4), MAY]
        for month in source.months():
            found = collected(source, month)
            assert list(found) == [table.name for table in FIELD_HISTORY_TABLES]
            for name, expected in kept.items():
                assert_frame_equal(found[name], expected)
            assert source.notes(month) == []
        assert refusal(source, Month(2017, 6)) == (
            f"{tmp_path}: the field history tells about 2017-03 to 2017-05, not about 2017-06. Ask for another month."
        )

    def test_months_end_with_the_last_that_had_ended_when_it_was_taken(self, tmp_path: Path, kept: Crm) -> None:
        folder = str(write_tables(tmp_path, kept))
        for day, last in ((None, MAY), (date(2017, 5, 30), Month(2017, 4)), (date(2017, 8, 1), Month(2017, 7))):
            source = FolderSource(folder, exported_on=day)
            assert source.exported_on == (day or date(2017, 5, 31))
            assert source.months() == month_range(Month(2017, 3), last)
        with pytest.raises(SourceError) as caught:
            FolderSource(folder, exported_on=date(2017, 3, 30)).months()
        assert str(caught.value) == (
            f"{tmp_path}/opportunity_history.csv begins on 2017-03-01 and was taken on 2017-03-30 (CRM_EXPORTED_ON), "
            "before that month had ended: no month can be told about."
        )

    def test_mistyped_year(self, tmp_path: Path, kept: Crm) -> None:
        history = kept["opportunity_history"].with_columns(changed_at=pl.lit(date(1917, 3, 1)))
        with pytest.raises(
            SourceError, match=r"opportunity_history\.csv has dates from 1917-03-01 to 2017-05-31, over"
        ):
            FolderSource(str(write_tables(tmp_path, kept | {"opportunity_history": history}))).months()

    def test_fingerprint_is_of_the_history_too(self, tmp_path: Path, kept: Crm) -> None:
        source = FolderSource(str(write_tables(tmp_path, kept)))
        before = source.fingerprint(MAY)
        assert source.fingerprint(Month(2017, 3)) == before
        with (tmp_path / "opportunity_history.csv").open("a") as stream:
            stream.write("A1,account,,Acme,2017-05-31,2017-05-31\n")
        assert source.fingerprint(MAY) != before
        assert source.tables(MAY)["opportunity_history"].collect().height == 4

    def test_wrong_change_is_named_by_its_full_path(self, tmp_path: Path, kept: Crm) -> None:
        file = write_tables(tmp_path, kept) / "opportunity_history.csv"
        file.write_text(file.read_text().replace("4800.0", "cheap"))
        with pytest.raises(SourceError, match=f"^{file} line 4, column new_value: 'cheap', as close_value of 'A1'"):
            FolderSource(str(tmp_path)).months()

    def test_a_few_dates_after_a_gap_are_refused(self, tmp_path: Path, crm: Crm) -> None:
        """They would make up months in which every deal stays open."""
        many = pl.concat([crm["sales_pipeline"].head(1)] * 200).with_columns(
            opportunity_id=pl.format("X{}", pl.int_range(pl.len()))
        )
        late = pl.when(pl.int_range(pl.len()) == 7).then(date(2018, 4, 30)).otherwise("close_date").alias("close_date")
        folder = str(write_tables(tmp_path, crm | {"sales_pipeline": many.with_columns(late)}))
        with pytest.raises(SourceError) as caught:
            FolderSource(folder).months()
        assert str(caught.value) == (
            f"{tmp_path}/sales_pipeline.csv has 1 dates from 2018-04 on, after months without any: they look mistyped, "
            "and would make up months in which nothing happens. Mend them, or set CRM_EXPORTED_ON to the day the "
            "export was taken."
        )
        known = FolderSource(folder, exported_on=date(2017, 4, 30))
        assert known.months() == [Month(2017, 3), Month(2017, 4)]

    def test_missing_tables(self, tmp_path: Path, kept: Crm) -> None:
        write_tables(tmp_path, {"opportunity_history": kept["opportunity_history"]})
        with pytest.raises(SourceError) as caught:
            FolderSource(str(tmp_path)).months()
        assert str(caught.value) == (
            f"{tmp_path} lacks accounts.csv, products.csv, sales_teams.csv (or .parquet); it holds "
            "opportunity_history.csv. Add what is missing."
        )

    def test_beside_a_pipeline(self, tmp_path: Path, crm: Crm, kept: Crm) -> None:
        write_tables(tmp_path, crm)
        write_tables(tmp_path, {"opportunity_history": kept["opportunity_history"]}, ".parquet")
        with pytest.raises(SourceError) as caught:
            FolderSource(str(tmp_path)).months()
        assert str(caught.value) == (
            f"{tmp_path} holds both a field history (opportunity_history.parquet) and the pipeline of one export "
            "(sales_pipeline.csv) at its top. Keep one of the two; the history tells more."
        )

    def test_beside_monthly_extracts(self, tmp_path: Path, crm: Crm, kept: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        write_tables(tmp_path, {"opportunity_history": kept["opportunity_history"]})
        with pytest.raises(SourceError) as caught:
            FolderSource(str(tmp_path)).months()
        assert str(caught.value) == (
            f"{tmp_path} holds both monthly extracts (2017-05) and a field history at its top "
            "(opportunity_history.csv). Keep one of the two."
        )

    def test_in_a_folder_of_a_month_it_is_passed_over(self, tmp_path: Path, crm: Crm, kept: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        write_tables(tmp_path / "2017-05", {"opportunity_history": kept["opportunity_history"]})
        source = FolderSource(str(tmp_path))
        assert source.evidence is Evidence.EXTRACT
        assert_same_tables(collected(source, MAY), crm)


class TestLayout:
    def test_both_kinds(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        write_tables(tmp_path, {"products": crm["products"]}, ".parquet")
        with pytest.raises(SourceError) as caught:
            FolderSource(str(tmp_path)).months()
        assert str(caught.value) == (
            f"{tmp_path} holds both monthly extracts (2017-05) and one export at its top (products.parquet). Keep one "
            "of the two."
        )

    def test_no_table(self, tmp_path: Path, crm: Crm) -> None:
        source = FolderSource(str(tmp_path))
        form = (
            f"{tmp_path} holds no table. Give a folder with one folder a month, such as 2017-05/sales_pipeline.csv, or "
            "with one export, sales_pipeline.csv and the others; it holds "
        )
        with pytest.raises(SourceError) as caught:
            source.months()
        assert str(caught.value) == f"{form}no file."
        write_tables(tmp_path / "data" / "2017-05", {"accounts": crm["accounts"]})
        for number in range(12):
            (tmp_path / f"z{number:02}.txt").touch()
        assert refusal(source) == (
            f"{form}data/2017-05/accounts.csv, {', '.join(f'z{number:02}.txt' for number in range(9))} and 3 more."
        )

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=re.escape(f"{tmp_path}/none: cannot open the folder: No such file")):
            FolderSource(str(tmp_path / "none"))

    def test_a_file_for_a_folder(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path, crm)
        with pytest.raises(SourceError, match="Not a directory"):
            FolderSource(str(tmp_path / "accounts.csv"))

    def test_a_folder_that_vanishes(self, tmp_path: Path, crm: Crm) -> None:
        folder = write_tables(tmp_path / "crm", crm)
        source = FolderSource(str(folder))
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(SourceError, match="holds no table"):
            source.months()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path, crm)
        (tmp_path / "accounts.csv").chmod(0)
        with pytest.raises(SourceError, match=r"cannot read accounts\.csv: Permission denied"):
            FolderSource(str(tmp_path)).months()

    def test_url_is_the_same_for_every_spelling(
        self, tmp_path: Path, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write_tables(tmp_path / "crm", crm)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(tmp_path))
        for spelling in (".", "../crm", f"{folder}/", "~/crm", str(folder)):
            assert FolderSource(spelling).url == str(folder)


class TestFingerprint:
    def test_differs_with_content_and_by_month_only_then(self, tmp_path: Path, crm: Crm) -> None:
        for month in ("2017-04", "2017-05"):
            write_tables(tmp_path / month, crm)
        source = FolderSource(str(tmp_path))
        before = source.fingerprint(MAY)
        assert re.fullmatch("[0-9a-f]{64}", before)
        assert source.fingerprint(Month(2017, 4)) == before
        with (tmp_path / "2017-05" / "accounts.csv").open("a") as stream:
            stream.write("Zenith,,,,,,\n")
        assert source.fingerprint(MAY) != before
        assert source.fingerprint(Month(2017, 4)) == before

    def test_does_not_depend_on_where_the_files_are(self, tmp_path: Path, crm: Crm) -> None:
        here = FolderSource(str(write_tables(tmp_path / "here", crm)))
        there = FolderSource(str(write_tables(tmp_path / "there" / "2017-05", crm).parent))
        assert here.fingerprint(MAY) == there.fingerprint(MAY)

    def test_does_not_depend_on_files_that_are_not_read(self, tmp_path: Path, crm: Crm) -> None:
        source = FolderSource(str(write_tables(tmp_path, crm)))
        before = source.fingerprint(MAY)
        (tmp_path / "README.md").touch()
        assert source.fingerprint(MAY) == before

    def test_a_swap_of_two_contents_shows(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        source = FolderSource(str(tmp_path))
        before = source.fingerprint(MAY)
        accounts, products = tmp_path / "2017-05" / "accounts.csv", tmp_path / "2017-05" / "products.csv"
        content = accounts.read_bytes()
        accounts.write_bytes(products.read_bytes())
        products.write_bytes(content)
        assert source.fingerprint(MAY) != before


class TestExtracts:
    def test_what_a_listing_tells(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm)
        write_tables(tmp_path / "2017-06", {"products": crm["products"]})
        source = FolderSource(str(tmp_path))
        found = source.extracts()
        assert [*found] == [MAY, Month(2017, 6)]
        assert found[MAY].missing == ()
        assert found[Month(2017, 6)].missing == ("accounts.csv", "sales_teams.csv", "sales_pipeline.csv")
        (tmp_path / "2017-05" / "notes.txt").write_text("no table")
        assert source.extracts() == found
        os.utime(tmp_path / "2017-05" / "products.csv", (1, 1))
        assert source.extracts()[MAY].facts != found[MAY].facts

    def test_parquet_stands_for_csv(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path / "2017-05", crm, ".parquet")
        assert FolderSource(str(tmp_path)).extracts()[MAY].missing == ()

    def test_to_one_late_export_no_month_is_added(self, tmp_path: Path, crm: Crm) -> None:
        write_tables(tmp_path, crm)
        with pytest.raises(SourceError, match="one late export, to which no month is added"):
            FolderSource(str(tmp_path)).extracts()
