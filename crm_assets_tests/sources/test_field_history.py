from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.contracts import OPPORTUNITY_HISTORY
from crm_assets.errors import SourceError
from crm_assets.sources.field_history import read_history

HEADER = "object_id,field,old_value,new_value,changed_at,recorded_at\n"
GOOD = "A1,deal_stage,,Prospecting,2017-03-01,2017-03-02\n"
FIELDS = "sales_agent, product, account, deal_stage, engage_date, close_date, close_value"


def read(folder: Path, *lines: str) -> pl.DataFrame:
    file = folder / "opportunity_history.csv"
    file.write_text(HEADER + GOOD + "\n".join(lines) + "\n")
    return read_history(file, file.name).frame.collect()


def refusal(folder: Path, *lines: str) -> str:
    with pytest.raises(SourceError) as caught:
        read(folder, *lines)
    return str(caught.value)


def test_changes_are_typed(tmp_path: Path) -> None:
    found = read(tmp_path, "A1,account,Acme,,2017-03-05,2017-03-05")
    assert found.schema == OPPORTUNITY_HISTORY.polars_schema()
    assert found.rows() == [
        ("A1", "deal_stage", None, "Prospecting", date(2017, 3, 1), date(2017, 3, 2)),
        ("A1", "account", "Acme", None, date(2017, 3, 5), date(2017, 3, 5)),
    ]


def test_equal_numbers_and_dates_become_equal_text(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "A1,close_value,,4800,2017-03-05,2017-03-05",
        "A1,close_value,4.8e3, 5000.0 ,2017-03-05,2017-03-05",
        "A1,close_date, 2017-03-04,2017-03-05,2017-03-06,2017-03-06",
        "A1,account,,1.50,2017-03-06,2017-03-06",
    )
    assert found.select("old_value", "new_value").rows()[1:] == [
        (None, "4800.0"),
        ("4800.0", "5000.0"),
        ("2017-03-04", "2017-03-05"),
        (None, "1.50"),
    ]
    file = tmp_path / "opportunity_history.csv"
    assert read_history(file, file.name).notes == (
        "opportunity_history.csv: white space removed around 1 value of column old_value.",
        "opportunity_history.csv: white space removed around 1 value of column new_value.",
    )


def test_parquet_with_categories(tmp_path: Path) -> None:
    changes = read(tmp_path, "A1,close_value,,4800,2017-03-05,2017-03-05")
    file = tmp_path / "opportunity_history.parquet"
    changes.cast({"field": pl.Categorical}).write_parquet(file)
    assert_frame_equal(read_history(file, file.name).frame.collect(), changes)
    changes.with_columns(recorded_at=pl.lit(date(2017, 3, 4))).write_parquet(file)
    with pytest.raises(SourceError, match=r"^opportunity_history\.parquet row 2, column recorded_at: 2017-03-04 is"):
        read_history(file, file.name)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "A2,close_value,,cheap,2017-03-05,2017-03-05",
            "column new_value: 'cheap', as close_value of 'A2', is not a number (as in 1234.5: no thousands "
            "separators, no signs of currency, no NaN or infinity). Mend the file.",
        ),
        (
            'A2,close_value,"4,800",5000,2017-03-05,2017-03-05',
            "column old_value: '4,800', as close_value of 'A2', is not a number (as in 1234.5: no thousands "
            "separators, no signs of currency, no NaN or infinity). Mend the file.",
        ),
        (
            "A2,engage_date,,05/03/2017,2017-03-05,2017-03-05",
            "column new_value: '05/03/2017', as engage_date of 'A2', is not a date (YYYY-MM-DD). Mend the file.",
        ),
        (
            "A2,close_date,,2017-02-30,2017-03-05,2017-03-05",
            "column new_value: '2017-02-30', as close_date of 'A2', is not a date (YYYY-MM-DD). Mend the file.",
        ),
        (
            "A2,StageName,,Won,2017-03-05,2017-03-05",
            f"column field: 'StageName' is none of {FIELDS}. Mend the file.",
        ),
        (
            "A2,deal_stage,,Won,2017-03-05,2017-03-04",
            "column recorded_at: 2017-03-04 is before the day the 'deal_stage' of 'A2' changed, 2017-03-05: no change "
            "is known before it happens. Mend the file.",
        ),
        (",deal_stage,,Won,2017-03-05,2017-03-05", "column object_id: every change needs one, here is none. Mend the"),
        ("A2,,,Won,2017-03-05,2017-03-05", "column field: every change needs one, here is none. Mend the file."),
        ("A2,deal_stage,,Won,,2017-03-05", "column changed_at: every change needs one, here is none. Mend the file."),
        ("A2,deal_stage,,Won,2017-03-05,", "column recorded_at: every change needs one, here is none. Mend the file."),
    ],
)
def test_a_wrong_change_is_named(tmp_path: Path, line: str, said: str) -> None:
    assert refusal(tmp_path, line).startswith(f"opportunity_history.csv line 3, {said}")


def test_several_wrong_changes_are_counted(tmp_path: Path) -> None:
    early = [f"A{number},account,,Acme,2017-03-05,2017-03-0{number}" for number in range(1, 5)]
    message = refusal(tmp_path, *early, "A9,close_value,,free,2017-03-05,2017-03-05")
    first, second = message.splitlines()
    assert first.startswith("opportunity_history.csv line 7, column new_value: 'free', as close_value of 'A9', is not")
    assert second.startswith("opportunity_history.csv line 3, column recorded_at: 2017-03-01 is before the day")
    assert second.endswith("happens; 4 such values, first at lines 3, 4, 5. Mend the file.")


def test_the_file_is_read_as_any_table(tmp_path: Path) -> None:
    file = tmp_path / "opportunity_history.csv"
    file.write_text(HEADER)
    with pytest.raises(SourceError, match="has a header but no rows"):
        read_history(file, file.name)
    file.write_text(HEADER.replace("recorded_at", "recorded") + GOOD)
    with pytest.raises(SourceError, match="lacks the column recorded_at, has the unknown column 'recorded'"):
        read_history(file, file.name)
    assert "column changed_at: '1.3.2017' is not a date" in refusal(tmp_path, "A1,account,,Acme,1.3.2017,2017-03-02")
