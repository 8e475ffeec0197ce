from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import FIRST_MONDAY, Month, month_range, parse_months
from crm_assets.errors import SettingsError

fixed = settings(derandomize=True, database=None, deadline=None)
months = st.builds(Month, st.integers(1900, 2199), st.integers(1, 12))
days = st.dates(date(1900, 1, 1), date(2199, 12, 31))


@pytest.mark.parametrize(("text", "month"), [("2017-03", Month(2017, 3)), (" 0001-12\n", Month(1, 12))])
def test_parse(text: str, month: Month) -> None:
    assert Month.parse(text) == month


@pytest.mark.parametrize(
    "text", ["", "2017", "2017-3", "2017-00", "2017-13", "0000-01", "17-03", "2017-03-01", "2017/03", "March 2017"]
)
def test_parse_refuses_other_forms(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Month.parse(text)
    assert str(caught.value) == f"{text!r} is not a month: write it as YYYY-MM, for example 2017-03"


@fixed
@given(months)
def test_text_is_read_back(month: Month) -> None:
    assert Month.parse(str(month)) == month


@fixed
@given(days)
def test_a_day_lies_in_its_month_alone(day: date) -> None:
    month = Month.of(day)
    assert month.start <= day <= month.end
    assert month.previous.end < day < month.next.start


@fixed
@given(months)
def test_months_follow_one_another_without_gap(month: Month) -> None:
    assert month.start.day == 1
    assert month.end + timedelta(days=1) == month.next.start
    assert month.days == (month.next.start - month.start).days
    assert month.next.previous == month


@pytest.mark.parametrize(
    ("month", "length"), [("2016-02", 29), ("2017-02", 28), ("1900-02", 28), ("2000-02", 29), ("2017-04", 30)]
)
def test_length(month: str, length: int) -> None:
    assert Month.parse(month).days == length
    assert Month.parse(month).end.day == length


def test_quarter_position() -> None:
    assert [Month(2017, number).quarter_position for number in range(1, 13)] == [1, 2, 3] * 4


@fixed
@given(months, st.integers(-600, 600), st.integers(-600, 600))
def test_shifts_add_up(month: Month, first: int, second: int) -> None:
    assert month.shift(first).shift(second) == month.shift(first + second)
    assert (month.shift(first) > month) == (first > 0)


def test_shift_over_the_years_end() -> None:
    assert Month(2016, 12).next == Month(2017, 1)
    assert Month(2017, 1).previous == Month(2016, 12)
    assert Month(2017, 5).shift(-29) == Month(2014, 12)


@fixed
@given(months, months)
def test_order_is_that_of_time_and_of_the_text(one: Month, other: Month) -> None:
    assert (one < other) == (one.end < other.end) == (str(one) < str(other))


def test_month_range() -> None:
    assert [str(month) for month in month_range(Month(2016, 11), Month(2017, 2))] == [
        "2016-11",
        "2016-12",
        "2017-01",
        "2017-02",
    ]
    assert month_range(Month(2017, 2), Month(2017, 2)) == [Month(2017, 2)]
    assert month_range(Month(2017, 2), Month(2017, 1)) == []


def test_parse_months() -> None:
    assert parse_months("2016-12:2017-01") == [Month(2016, 12), Month(2017, 1)]
    assert parse_months("2017-03") == [Month(2017, 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2017-05:2017-03", "months out of order: '2017-05:2017-03' ends before it starts; write 2017-03:2017-05"),
        ("2017-05:", "'' is not a month: write it as YYYY-MM, for example 2017-03"),
        ("2017-05:2017-06:2017-07", "'2017-06:2017-07' is not a month: write it as YYYY-MM, for example 2017-03"),
        ("all", "'all' is not a month: write it as YYYY-MM, for example 2017-03"),
    ],
)
def test_parse_months_refuses(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_months(text)
    assert str(caught.value) == said


def test_the_first_monday_is_the_first_since_1970() -> None:
    assert FIRST_MONDAY.weekday() == 0
    assert date(1970, 1, 1) <= FIRST_MONDAY < date(1970, 1, 8)
