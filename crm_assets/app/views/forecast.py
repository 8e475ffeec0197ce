"""The view `forecast`: what next month is expected to bring, and how good such forecasts were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from crm_assets.app import charts
from crm_assets.app.quarter import Quarter
from crm_assets.app.session import User
from crm_assets.app.states import empty, told
from crm_assets.app.wording import NOTHING, count, dollars, percent, written

_BY = {"Regions": "region", "Products": "product", "Agents": "agent"}
_MOST = 15
"""Lines of a plot; the table holds all."""


def draw(user: User) -> None:
    """Draw it for a user."""
    st.title("Forecast")
    with told():
        answer = user.api.get("/v1/forecast")
        lines = {line["level"]: line for line in answer["lines"]}
        if "total" not in lines:
            empty("There is no forecast yet", "It is made with the first scores: `make demo` makes a first month.")
            return
        month = answer["forecast_month"]
        st.caption(
            f"What deals won in {month} are expected to bring, at list price, as seen on {answer['as_of']}: from deals "
            "that are open now, and from new ones that begin and are won within the month."
        )
        _figures(month, lines)
        _quarter(answer, lines["total"])
        _groups(user, month)
        _past(answer, lines["total"])


def _figures(month: str, lines: Mapping[str, Mapping[str, Any]]) -> None:
    total = lines["total"]
    columns = st.columns(3)
    for column, level, name in zip(
        columns,
        ("total", "book", "new business"),
        (f"Revenue in {month}", "From open deals", "From new deals"),
        strict=True,
    ):
        line = lines.get(level)
        if line is None:
            continue
        with column.container(border=True, height="stretch"):
            st.metric(name, dollars(line["expected_revenue"]))
            st.caption(written(_range(line)))
            st.caption(f"{count(line['expected_wins'])} deals won.")
    if total["naive_revenue"] is not None:
        st.caption(
            written(
                f"Three months before, in the same month of its quarter, it was {dollars(total['naive_revenue'])}. "
                "The ranges hold what comes 8 times out of 10."
            )
        )


def _range(line: Mapping[str, Any]) -> str:
    return f"8 times out of 10 between {dollars(line['low_80'])} and {dollars(line['high_80'])}."


def _quarter(answer: Mapping[str, Any], total: Mapping[str, Any]) -> None:
    found = Quarter.of(answer["forecast_month"], total, answer["past"])
    st.subheader(f"Quarter {found.name}")
    if found.won is None:
        st.write(
            f"{found.month} is month {found.position} of 3, and what the months before it brought is not stored, so "
            "there is no figure for the quarter."
        )
        return
    if found.position == 1:
        st.write(written(f"{found.month} is its first month: {dollars(found.expected)} by the end of it."))
    else:
        st.write(
            written(
                f"Won so far: {dollars(found.won)}. With {found.month}: {dollars(found.expected)}, 8 times out of 10 "
                f"between {dollars(found.low)} and {dollars(found.high)}."
            )
        )
    if found.position < _LAST:
        left = _LAST - found.position
        st.caption(
            f"The {'month' if left == 1 else f'{left} months'} of the quarter after {found.month} "
            f"{'is' if left == 1 else 'are'} not forecast yet: forecasts reach one month ahead."
        )


_LAST = 3


@st.fragment
def _groups(user: User, month: str) -> None:
    with told():
        st.subheader("Where it comes from")
        chosen = st.segmented_control("By", list(_BY), default="Regions", key="by", bind="query-params", required=True)
        level = _BY[chosen or "Regions"]
        lines = [line for line in user.api.get("/v1/forecast", by=level)["lines"] if line["level"] == level]
        lines.sort(key=lambda line: -line["expected_revenue"])
        shown = lines[:_MOST]
        first = f"The {len(shown)} {(chosen or '').lower()} with most. " if len(shown) < len(lines) else ""
        st.caption(
            f"{first}Revenue expected in {month} from open deals; new deals cannot be told apart yet. Bar: the range "
            "that holds it 8 times out of 10."
        )
        if not lines:
            empty("No deal is open", "There is nothing to tell apart.")
            return
        st.altair_chart(charts.forecast_lines(shown), alt=f"Expected revenue in {month} by {level}, with ranges")
        with st.expander("As a table"):
            st.dataframe(_table(lines), hide_index=True, alt=f"Forecast for {month} by {level}")


def _table(lines: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "Name": [line["name"] for line in lines],
            "Open deals": [count(line["deals"]) for line in lines],
            "Deals won": [count(line["expected_wins"], 1) for line in lines],
            "Expected": [dollars(line["expected_revenue"]) for line in lines],
            "8 times out of 10": [f"{dollars(line['low_80'])} to {dollars(line['high_80'])}" for line in lines],
            "19 times out of 20": [f"{dollars(line['low_95'])} to {dollars(line['high_95'])}" for line in lines],
            "Three months before": [dollars(line["naive_revenue"]) for line in lines],
        }
    )


def _past(answer: Mapping[str, Any], total: Mapping[str, Any]) -> None:
    st.subheader("How good were earlier forecasts?")
    given, past = answer["given"], answer["past"]
    if not past or given is None:
        empty(
            "No forecast has been put to the test yet",
            "A month has to be over before its forecast can be compared with what came.",
        )
        return
    st.write(written(_verdict(given)))
    coming = {**total, "forecast_month": answer["forecast_month"]}
    st.altair_chart(charts.past_forecasts(past, coming), alt=_verdict(given))
    with st.expander("As a table"):
        rows = pl.DataFrame(
            {
                "Month": [one["forecast_month"] for one in past],
                "Forecast": [dollars(one["expected_revenue"]) for one in past],
                "8 times out of 10": [f"{dollars(one['low_80'])} to {dollars(one['high_80'])}" for one in past],
                "What came": [dollars(one["actual_revenue"]) for one in past],
                "Three months before": [dollars(one["naive_revenue"]) for one in past],
                "Closer": [_CLOSER.get(one["closer"], NOTHING) for one in past],
            }
        )
        st.dataframe(rows, hide_index=True, alt="Earlier forecasts and what came")


_CLOSER = {"model": "the forecast", "naive": "three months before", "tie": "both alike"}


def _verdict(given: Mapping[str, Any]) -> str:
    """How the forecasts turned out, for somebody who never heard of intervals."""
    months = given["months"]
    text = (
        f"{given['inside_80']} of {months} month{'' if months == 1 else 's'} ended inside the range that should hold 8 "
        f"out of 10 ({percent(given['coverage_80'])})."
    )
    both = given.get("naive_months", 0)
    if not both:
        return f"{text} The forecast was {dollars(given['mean_absolute_error'])} off on average."
    return (
        f"{text} Expecting what came three months before, the simplest rule there is, was closer in "
        f"{given['naive_closer']} of {both} month{'' if both == 1 else 's'}: it was off by "
        f"{dollars(given['naive_mean_absolute_error'])} on average, the forecast by "
        f"{dollars(given['mean_absolute_error_beside_naive'])}."
    )
