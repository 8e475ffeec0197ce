"""Plots of monitoring, and the strip of months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt

from crm_assets.app.look import BLUE, GREY, LEVEL_COLOURS, ORANGE, VERMILION
from crm_assets.app.model_plots import Plot, data, legend
from crm_assets.app.monitoring_words import LEVELS, why
from crm_assets.app.wording import count, percent

_Row = Mapping[str, Any]
NOW, BEFORE = "this month", "reference"
PROMISED, CAME = "promised", "came"


def strip(history: Sequence[_Row], chosen: str) -> str:
    """HTML of one cell for each month, which says its level in words and colour."""
    cells = []
    for month in history:
        name = LEVELS[month["level"]][0]
        colour = LEVEL_COLOURS.get(month["level"], GREY)
        told = escape(" ".join(why(month)) or LEVELS[month["level"]][1])
        marked = "outline: 2px solid currentColor; " if month["month"] == chosen else ""
        now = ' aria-current="true"' if month["month"] == chosen else ""
        cells.append(
            f'<li title="{told}"{now} style="{marked}border-left: 6px solid {colour}; border-radius: 4px; '
            'background: rgba(127, 127, 127, 0.12); padding: 4px 8px; margin: 0; line-height: 1.35">'
            f'<span style="font-weight: 600; font-size: 14px">{month["month"]}</span><br>'
            f'<span style="font-size: 13px">{escape(name)}</span></li>'
        )
    return (
        '<ul aria-label="Level by month" style="display: grid; gap: 8px; list-style: none; '
        f'grid-template-columns: repeat(auto-fill, minmax(108px, 1fr)); margin: 0; padding: 2px">{"".join(cells)}</ul>'
    )


def distribution(found: _Row, unit: str | None) -> Plot:
    """Share of the month's rows and of the reference's in each category or range."""
    names = [_bin_name(one, unit) for one in found["bins"]]
    rows = [
        {"name": name, "who": who, "share": one[side], "order": order}
        for order, (name, one) in enumerate(zip(names, found["bins"], strict=True))
        for who, side in ((BEFORE, "reference"), (NOW, "current"))
    ]
    bars = (
        alt.Chart(data(rows))
        .mark_bar()
        .encode(
            y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=130, labelOverlap=False)),
            yOffset=alt.YOffset("who:N", sort=[NOW, BEFORE]),
            x=alt.X("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=4)),
            color=alt.Color(
                "who:N",
                scale=alt.Scale(domain=[NOW, BEFORE], range=[BLUE, ORANGE]),
                legend=legend(),
                sort=[NOW, BEFORE],
            ),
            tooltip=[
                alt.Tooltip("name:N", title="Value"),
                alt.Tooltip("who:N", title="Of"),
                alt.Tooltip("share:Q", title="Share of deals", format=".1%"),
            ],
        )
    )
    return alt.layer(bars).properties(height=max(160, 30 * len(names) + 90))


def _bin_name(one: _Row, unit: str | None) -> str:
    sign = "$" if unit == "USD" else ""
    if one["name"] is not None:
        return f"{sign}{one['name']}"
    low, high = one["low"], one["high"]
    shares = (low if high is None else high) <= 1
    first, last = (_end(value, sign, shares=shares) for value in (low, high))
    text = f"{first} and more" if high is None else f"{first} to {last}"
    return f"{text} {unit}" if unit == "days" else text


def _end(value: float | None, sign: str, *, shares: bool) -> str:
    if value is None:
        return ""
    return percent(value) if shares else f"{sign}{value:,g}"


def performance(months: Sequence[_Row], figure: str, title: str, form: str) -> Plot:
    """What was promised of a figure with its interval, and what came."""
    rows = []
    for month in months:
        one = month["figures"].get(figure, {})
        known = month["matured"] and one.get("realised") is not None
        rows.append(
            {
                "month": month["month"],
                "who": PROMISED,
                "value": one.get("estimate"),
                **{k: one.get(k) for k in ("low", "high")},
            }
        )
        if known:
            rows.append({"month": month["month"], "who": CAME, "value": one["realised"]})
    rows = [row for row in rows if row["value"] is not None]
    base = alt.Chart(data(rows)).encode(x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)))
    axis = alt.Axis(format=form, tickCount=5)
    spread = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=7, opacity=0.35, color=ORANGE)
        .encode(y=alt.Y("low:Q", title=title, axis=axis, scale=alt.Scale(zero=False)), y2="high:Q")
    )
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        y=alt.Y("value:Q", title=title, axis=axis, scale=alt.Scale(zero=False)),
        color=alt.Color("who:N", scale=alt.Scale(domain=[PROMISED, CAME], range=[BLUE, VERMILION]), legend=legend()),
        shape=alt.Shape(
            "who:N", scale=alt.Scale(domain=[PROMISED, CAME], range=["diamond", "circle"]), legend=legend()
        ),
        tooltip=[
            alt.Tooltip("month:O", title="Scored at the end of"),
            alt.Tooltip("who:N", title="What"),
            alt.Tooltip("value:Q", title="Value", format=form),
            alt.Tooltip("low:Q", title="95 % interval from", format=form),
            alt.Tooltip("high:Q", title="to", format=form),
        ],
    )
    return alt.layer(spread, points).properties(height=250)


def quality(months: Sequence[_Row]) -> Plot:
    """The quality score month by month."""
    rows = [
        {"month": one["month"], "score": one["score"], "kept_out": count(one["quarantined"])}
        for one in months
        if one["score"] is not None
    ]
    line = (
        alt.Chart(data(rows))
        .mark_line(color=BLUE, point=alt.OverlayMarkDef(size=70, filled=True, color=BLUE))
        .encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y(
                "score:Q",
                title="Quality score",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%", tickCount=5),
            ),
            tooltip=[
                alt.Tooltip("month:O", title="Month"),
                alt.Tooltip("score:Q", title="Quality score", format=".1%"),
                alt.Tooltip("kept_out:N", title="Rows kept out"),
            ],
        )
    )
    return alt.layer(line).properties(height=220)
