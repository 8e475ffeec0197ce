"""Plots of the sales views: Vega-Lite, from what the API answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from crm_assets.app.look import BLUE, DOWN, GREY, RISK_COLOURS, UP, VERMILION
from crm_assets.app.wording import count, dollars, percent, points

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
"""What `st.altair_chart` draws."""
RISK_WORDS = {"low": "Low", "medium": "Medium", "high": "High"}
_BAR = 22
"""Height of a bar with its space, pixels."""
_AXIS, _LEGEND = 60, 50
"""Height of an axis with its title below a plot, and of a legend above it; Streamlit counts them as parts of a plot."""
_NAMES = alt.Axis(title=None, ticks=False, domain=False, labelLimit=220, labelOverlap=False)


def distribution(bins: Sequence[Mapping[str, Any]]) -> Chart:
    """Deals by probability: a bar for each range, abandoned ones apart."""
    order = [_range(one) for one in reversed(bins)]
    rows = [
        {
            "range": _range(one),
            "kind": kind,
            "deals": number,
            "told": f"{count(number)} of {count(one['opportunities'])}",
            "value": dollars(one["expected_value"]),
        }
        for one in bins
        for kind, number in (
            ("being worked on", one["opportunities"] - one["abandoned"]),
            ("probably abandoned", one["abandoned"]),
        )
    ]
    y = alt.Y("range:N", sort=order, axis=_NAMES)
    bars = (
        alt.Chart(pl.DataFrame(rows, infer_schema_length=None))
        .mark_bar(height={"band": 0.8})
        .encode(
            y=y,
            x=alt.X("deals:Q", title="Open deals", axis=alt.Axis(format=",d", tickMinStep=1, tickCount=4)),
            color=alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=["being worked on", "probably abandoned"], range=[BLUE, GREY]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("range:N", title="Probability"),
                alt.Tooltip("kind:N", title="Deals"),
                alt.Tooltip("told:N", title="How many"),
                alt.Tooltip("value:N", title="Expected revenue of the range"),
            ],
        )
    )
    totals = pl.DataFrame(
        [{"range": _range(one), "deals": one["opportunities"], "told": count(one["opportunities"])} for one in bins]
    )
    return alt.layer(bars, _labels(alt.Chart(totals).encode(y=y, x="deals:Q"), "told")).properties(
        height=_BAR * len(bins) + _AXIS + _LEGEND
    )


def _labels(chart: alt.Chart, column: str) -> alt.Chart:
    """Text behind the bars of a chart, readable on light and on dark ground."""
    text: alt.Chart = chart.mark_text(align="left", dx=4).encode(text=f"{column}:N", color=alt.value(GREY))
    return text


def value_points(points_: Sequence[Mapping[str, Any]]) -> Chart:
    """Expected value against probability, a point for each deal, coloured by risk."""
    rows = [
        {
            "id": one["opportunity_id"],
            "who": one["account"] or "account unknown",
            "agent": one["sales_agent"],
            "product": f"{one['product']}, list price {dollars(one['list_price'])}",
            "probability": one["probability"],
            "expected": one["expected_value"],
            "told": percent(one["probability"], 1),
            "value": dollars(one["expected_value"]),
            "risk": RISK_WORDS[one["risk"]],
        }
        for one in points_
    ]
    plot: alt.Chart = (
        alt.Chart(pl.DataFrame(rows, infer_schema_length=None))
        .mark_point(filled=True, size=55, opacity=0.65)
        .encode(
            x=alt.X(
                "probability:Q",
                title="Probability of being won",
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domainMin=0),
            ),
            y=alt.Y("expected:Q", title="Expected value, USD", axis=alt.Axis(format="$,.0f", tickCount=5)),
            color=_by_risk("Risk"),
            shape=alt.Shape(
                "risk:N",
                title="Risk",
                scale=alt.Scale(domain=list(RISK_WORDS.values()), range=["circle", "square", "triangle-up"]),
            ),
            tooltip=[
                alt.Tooltip("who:N", title="Account"),
                alt.Tooltip("id:N", title="Opportunity"),
                alt.Tooltip("agent:N", title="Agent"),
                alt.Tooltip("product:N", title="Product"),
                alt.Tooltip("told:N", title="Probability"),
                alt.Tooltip("value:N", title="Expected value"),
            ],
        )
        .properties(height=_BAR * 12 + _AXIS + _LEGEND)
    )
    return plot


def _by_risk(title: str) -> alt.Color:
    colours = [RISK_COLOURS[risk] for risk in RISK_WORDS]
    scale = alt.Scale(domain=list(RISK_WORDS.values()), range=colours)
    return alt.Color("risk:N", title=title, scale=scale, legend=alt.Legend(orient="top"))


def ranking(groups: Sequence[Mapping[str, Any]]) -> Chart:
    """Expected revenue of each name, the largest first."""
    rows = [
        {
            "name": one["name"],
            "expected": one["expected_value"],
            "label": dollars(one["expected_value"]),
            "deals": count(one["opportunities"]),
            "list": dollars(one["list_value"]),
        }
        for one in groups
    ]
    base = alt.Chart(pl.DataFrame(rows, infer_schema_length=None)).encode(
        y=alt.Y("name:N", sort=None, axis=_NAMES),
        x=alt.X("expected:Q", title="Expected revenue, USD", axis=alt.Axis(format="$,.0f", tickCount=4)),
        tooltip=[
            alt.Tooltip("name:N", title="Name"),
            alt.Tooltip("label:N", title="Expected revenue"),
            alt.Tooltip("deals:N", title="Open deals"),
            alt.Tooltip("list:N", title="At list price"),
        ],
    )
    return alt.layer(base.mark_bar(color=BLUE, height={"band": 0.7}), _labels(base, "label")).properties(
        height=_BAR * len(rows) + _AXIS
    )


def gauge(probability: float, low_from: float, high_below: float) -> Chart:
    """A probability on a bar from 0 to 100 %, over the classes of risk."""
    zones = [
        {"from": 0.0, "to": high_below, "risk": "High"},
        {"from": high_below, "to": low_from, "risk": "Medium"},
        {"from": low_from, "to": 1.0, "risk": "Low"},
    ]
    x = alt.X(
        "from:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", values=[0, high_below, low_from, 1], grid=False),
    )
    under = (
        alt.Chart(pl.DataFrame(zones))
        .mark_bar(height=22, opacity=0.35)
        .encode(
            x=x,
            x2="to:Q",
            color=_by_risk("Risk"),
            tooltip=[alt.Tooltip("risk:N", title="Risk")],
        )
    )
    here = pl.DataFrame({"from": [0.0], "at": [probability], "told": [percent(probability, 1)]})
    bar = alt.Chart(here).mark_bar(height=8, color=BLUE).encode(x="from:Q", x2="at:Q")
    tick = (
        alt.Chart(here)
        .mark_tick(thickness=4, size=34, color=BLUE)
        .encode(x=alt.X("at:Q"), tooltip=[alt.Tooltip("told:N", title="Probability")])
    )
    return alt.layer(under, bar, tick).properties(height=60 + _LEGEND)


def history(months: Sequence[Mapping[str, Any]]) -> Chart:
    """Probability month by month."""
    rows = [
        {
            "month": one["month"],
            "probability": one["probability"],
            "told": percent(one["probability"], 1),
            "how": "the model" if one["rung"] == "model" else "a win rate, before there was a model",
        }
        for one in months
    ]
    base = alt.Chart(pl.DataFrame(rows)).encode(
        x=alt.X("month:O", title="Month-end", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("probability:Q", title="Probability", scale=alt.Scale(domainMin=0), axis=alt.Axis(format="%")),
        tooltip=[
            alt.Tooltip("month:N", title="Month-end"),
            alt.Tooltip("told:N", title="Won by the end of the month after"),
            alt.Tooltip("how:N", title="Told by"),
        ],
    )
    return alt.layer(
        base.mark_line(color=BLUE, strokeWidth=2), base.mark_point(color=BLUE, filled=True, size=70, opacity=1)
    ).properties(height=230 + _AXIS)


def parts(named: Mapping[str, float], title: str) -> Chart:
    """What raises and what lowers a probability, in percentage points, the largest first."""
    ordered = sorted(named.items(), key=lambda pair: -abs(pair[1]))
    rows = [
        {"name": name, "points": 100 * part, "told": points(part), "way": "raises" if part > 0 else "lowers"}
        for name, part in ordered
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    y = alt.Y("name:N", sort=[name for name, _ in ordered], axis=_NAMES)
    furthest = max((abs(part) for part in named.values()), default=0) * 100 or 1
    x = alt.X(
        "points:Q",
        title=title,
        scale=alt.Scale(domain=[-1.25 * furthest, 1.25 * furthest]),
        axis=alt.Axis(format="+.1~f", tickCount=5),
    )
    tooltip = [alt.Tooltip("name:N", title="Because of"), alt.Tooltip("told:N", title="Effect")]
    colour = alt.Color(
        "way:N",
        title=None,
        scale=alt.Scale(domain=["raises", "lowers"], range=[UP, DOWN]),
        legend=alt.Legend(orient="top"),
    )
    bars = alt.Chart(frame).mark_bar(height={"band": 0.65}).encode(y=y, x=x, color=colour, tooltip=tooltip)
    zero = alt.Chart(pl.DataFrame({"points": [0.0]})).mark_rule(color=GREY).encode(x="points:Q")
    return alt.layer(bars, zero).properties(height=30 * len(rows) + _AXIS + _LEGEND)


def forecast_lines(lines: Sequence[Mapping[str, Any]]) -> Chart:
    """Expected revenue of each line, with the range that holds it with 80 %, and the naive forecast."""
    rows = [
        {
            "name": one["name"],
            "expected": one["expected_revenue"],
            "low": one["low_80"],
            "high": one["high_80"],
            "naive": one["naive_revenue"],
            "told": dollars(one["expected_revenue"]),
            "range": f"{dollars(one['low_80'])} to {dollars(one['high_80'])}",
            "wide": f"{dollars(one['low_95'])} to {dollars(one['high_95'])}",
            "before": dollars(one["naive_revenue"]),
        }
        for one in lines
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    y = alt.Y("name:N", sort=[row["name"] for row in rows], axis=_NAMES)
    x = alt.X("low:Q", title="Revenue at list price, USD", axis=alt.Axis(format="$,.0f", tickCount=4))
    tooltip = [
        alt.Tooltip("name:N", title="Of"),
        alt.Tooltip("told:N", title="Expected"),
        alt.Tooltip("range:N", title="8 times out of 10"),
        alt.Tooltip("wide:N", title="19 times out of 20"),
        alt.Tooltip("before:N", title="Three months before"),
    ]
    span = alt.Chart(frame).mark_bar(height=8, opacity=0.35, color=BLUE).encode(y=y, x=x, x2="high:Q", tooltip=tooltip)
    dots = (
        alt.Chart(frame)
        .transform_fold(["expected", "naive"], as_=["key", "revenue"])
        .transform_calculate(what="datum.key == 'expected' ? 'Expected' : 'Three months before'")
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            y=y,
            x=alt.X("revenue:Q"),
            color=alt.Color("what:N", title=None, scale=_WHAT, legend=alt.Legend(orient="top")),
            shape=alt.Shape("what:N", title=None, scale=alt.Scale(domain=_WHATS, range=["circle", "diamond"])),
            tooltip=tooltip,
        )
    )
    return alt.layer(span, dots).properties(height=28 * len(rows) + _AXIS + _LEGEND)


_WHATS = ["Expected", "Three months before"]
_WHAT = alt.Scale(domain=_WHATS, range=[BLUE, GREY])
_CAME = ["Forecast", "What came", "Three months before"]


def past_forecasts(past: Sequence[Mapping[str, Any]], coming: Mapping[str, Any] | None) -> Chart:
    """Forecasts of months that are over beside what came; the coming one last."""
    ranges, dots = [], []
    for one in [*past, *([coming] if coming else [])]:
        month = one["forecast_month"]
        told = {
            "month": month,
            "forecast": dollars(one["expected_revenue"]),
            "range": f"{dollars(one['low_80'])} to {dollars(one['high_80'])}",
            "came": dollars(one.get("actual_revenue")),
            "naive": dollars(one["naive_revenue"]),
        }
        ranges.append({**told, "low": one["low_80"], "high": one["high_80"]})
        figures = (one["expected_revenue"], one.get("actual_revenue"), one["naive_revenue"])
        dots += [
            {**told, "what": what, "revenue": figure}
            for what, figure in zip(_CAME, figures, strict=True)
            if figure is not None
        ]
    x = alt.X("month:O", title="Month of the forecast", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    tooltip = [
        alt.Tooltip("month:N", title="Month"),
        alt.Tooltip("forecast:N", title="Forecast"),
        alt.Tooltip("range:N", title="8 times out of 10"),
        alt.Tooltip("came:N", title="What came"),
        alt.Tooltip("naive:N", title="Three months before"),
    ]
    y = alt.Axis(format="$,.0f", tickCount=5)
    span = (
        alt.Chart(pl.DataFrame(ranges, infer_schema_length=None))
        .mark_bar(width=14, opacity=0.3, color=BLUE)
        .encode(x=x, y=alt.Y("low:Q", title="Revenue at list price, USD", axis=y), y2="high:Q", tooltip=tooltip)
    )
    marks = (
        alt.Chart(pl.DataFrame(dots, infer_schema_length=None))
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=x,
            y=alt.Y("revenue:Q"),
            color=alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=_CAME, range=[BLUE, VERMILION, GREY]),
                legend=alt.Legend(orient="top", columns=2),
            ),
            shape=alt.Shape("what:N", title=None, scale=alt.Scale(domain=_CAME, range=["circle", "square", "diamond"])),
            tooltip=tooltip,
        )
    )
    return alt.layer(span, marks).properties(height=320 + _LEGEND)


def _range(one: Mapping[str, Any]) -> str:
    low, high = (round(100 * one[end]) for end in ("low", "high"))
    if not low:
        return f"under {high} %"
    return f"{low} to {high} %"
