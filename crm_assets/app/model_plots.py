"""Plots of a model's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import altair as alt

from crm_assets.app.look import BLUE, GREY, ORANGE, VERMILION
from crm_assets.app.names import name_of

Plot: TypeAlias = alt.LayerChart | alt.FacetChart
_Row = Mapping[str, Any]
_HEIGHT = 260
_PERCENT = ".0%"
CAME, EXPECTED = "came", "expected"
MODEL, BASE_RATE, BY_AGE, AT_RANDOM = "model", "base rate", "rate by age", "any order"


def legend() -> alt.Legend:
    """One line on top, as it fits on a phone."""
    return alt.Legend(title=None, orient="top", labelLimit=400)


def data(rows: Sequence[_Row]) -> alt.InlineData:
    """Rows as a plot takes them."""
    return alt.InlineData(values=[dict(row) for row in rows])


def _colour(domain: Sequence[str], colours: Sequence[str]) -> alt.Color:
    scale = alt.Scale(domain=list(domain), range=list(colours)[: len(domain)])
    return alt.Color("who:N", scale=scale, legend=legend() if len(domain) > 1 else None)


def wins(months: Sequence[_Row]) -> Plot:
    """Wins that were expected of each month, and that came."""
    rows = [
        {"month": month["month"], "who": who, "wins": round(month[name], 1)}
        for month in months
        for who, name in ((EXPECTED, "expected_wins"), (CAME, "wins"))
    ]
    bars = (
        alt.Chart(data(rows))
        .mark_bar()
        .encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            xOffset=alt.XOffset("who:N", sort=[EXPECTED, CAME]),
            y=alt.Y("wins:Q", title="Deals won in the month after"),
            color=_colour((EXPECTED, CAME), (BLUE, VERMILION)),
            tooltip=[
                alt.Tooltip("month:O", title="Deals open at the end of"),
                alt.Tooltip("who:N", title="Wins"),
                alt.Tooltip("wins:Q", title="Number", format=",.0f"),
            ],
        )
    )
    return alt.layer(bars).properties(height=_HEIGHT)


def by_month(months: Sequence[_Row], figure: str, title: str, others: Mapping[str, str], form: str) -> Plot:
    """A figure of each month with its interval, and those of what it is compared with.

    Args:
        months: of the backtest.
        figure: its name.
        title: of the axis.
        others: name of a further figure without interval -> what it is of.
        form: of the numbers, for Vega.
    """
    rows = []
    for month in months:
        found = month["figures"].get(figure, {})
        rows.append({"month": month["month"], "who": MODEL, **{k: found.get(k) for k in ("value", "low", "high")}})
        for name, who in others.items():
            value = month["figures"].get(name, {}).get("value")
            rows.append({"month": month["month"], "who": who, "value": value})
    rows = [row for row in rows if row["value"] is not None]
    people = (MODEL, *others.values())
    base = alt.Chart(data(rows)).encode(
        x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        xOffset=alt.XOffset("who:N", sort=list(people)),
        color=_colour(people, (BLUE, ORANGE, GREY)),
    )
    spread = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2)
        .encode(y=alt.Y("low:Q", title=title, axis=alt.Axis(format=form)), y2="high:Q")
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        y=alt.Y("value:Q", title=title, axis=alt.Axis(format=form), scale=alt.Scale(zero=False)),
        shape=alt.Shape(
            "who:N",
            scale=alt.Scale(domain=list(people), range=["circle", "diamond", "square"][: len(people)]),
            legend=legend() if len(people) > 1 else None,
        ),
        tooltip=[
            alt.Tooltip("month:O", title="Deals open at the end of"),
            alt.Tooltip("who:N", title="By"),
            alt.Tooltip("value:Q", title="Value", format=form),
            alt.Tooltip("low:Q", title="95 % interval from", format=form),
            alt.Tooltip("high:Q", title="to", format=form),
        ],
    )
    return alt.layer(spread, points).properties(height=_HEIGHT)


def calibration(bins: Sequence[_Row]) -> Plot:
    """Share won against predicted probability; on the dashed line the probabilities are right."""
    rows = [{**{k: one[k] for k in ("predicted", "rows")}, **one["won"]} for one in bins]
    most = max([0.1, *(max(row["predicted"], row["high"] or 0) for row in rows)])
    scale = alt.Scale(domain=[0, min(1.0, 1.05 * most)], nice=False)
    right = (
        alt.Chart(data([{"at": 0.0}, {"at": min(1.0, 1.05 * most)}]))
        .mark_line(strokeDash=[5, 4], color=GREY)
        .encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale))
    )
    base = alt.Chart(data(rows)).encode(
        x=alt.X(
            "predicted:Q", title="Probability that was given", scale=scale, axis=alt.Axis(format=_PERCENT, tickCount=6)
        )
    )
    axis = alt.Axis(format=_PERCENT, tickCount=6)
    y: dict[str, Any] = {"title": "Share that was won", "scale": scale, "axis": axis}
    spread = base.mark_rule(color=BLUE, strokeWidth=2).encode(y=alt.Y("low:Q", **y), y2="high:Q")
    points = base.mark_point(filled=True, size=90, color=BLUE, opacity=1).encode(
        y=alt.Y("value:Q", **y),
        tooltip=[
            alt.Tooltip("predicted:Q", title="Given on average", format=".1%"),
            alt.Tooltip("value:Q", title="Won", format=".1%"),
            alt.Tooltip("low:Q", title="95 % interval from", format=".1%"),
            alt.Tooltip("high:Q", title="to", format=".1%"),
            alt.Tooltip("rows:Q", title="Deals", format=",.0f"),
        ],
    )
    return alt.layer(right, spread, points).properties(height=340)


def gain(points: Sequence[_Row]) -> Plot:
    """Share of the wins among the deals at the top of the list."""
    rows = [
        {"worked": point["worked"], "who": who, "found": found}
        for point in points
        for who, found in ((MODEL, point["model"]), (BY_AGE, point["age_table"]), (AT_RANDOM, point["worked"]))
    ]
    people = (MODEL, BY_AGE, AT_RANDOM)
    base = alt.Chart(data(rows)).encode(
        x=alt.X(
            "worked:Q",
            title="Share of the list worked through, from the top",
            axis=alt.Axis(format=_PERCENT, tickCount=5),
        ),
        y=alt.Y("found:Q", title="Share of the wins in it", axis=alt.Axis(format=_PERCENT)),
        color=_colour(people, (BLUE, ORANGE, GREY)),
    )
    lines = base.mark_line(strokeWidth=2.5).encode(
        strokeDash=alt.StrokeDash(
            "who:N", scale=alt.Scale(domain=list(people), range=[[1, 0], [6, 3], [2, 3]]), legend=legend()
        )
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        tooltip=[
            alt.Tooltip("worked:Q", title="Top of the list", format=_PERCENT),
            alt.Tooltip("who:N", title="Ordered by"),
            alt.Tooltip("found:Q", title="Share of the wins", format=_PERCENT),
        ]
    )
    return alt.layer(lines, dots).properties(height=340)


def importance(shares: Sequence[_Row]) -> Plot:
    """How much the model looks at each column."""
    rows = [{"name": name_of(one["name"]), "told": one["description"], "share": one["share"]} for one in shares]
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=240, labelOverlap=False))
    base = alt.Chart(data(rows)).encode(
        y=y,
        x=alt.X("share:Q", title="Share of all that it looks at", axis=alt.Axis(format=_PERCENT, tickCount=5)),
        tooltip=[
            alt.Tooltip("told:N", title="What"),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )
    return alt.layer(base.mark_bar(color=BLUE)).properties(height=max(150, 36 * len(rows) + 60))


def segments(parts: Sequence[_Row]) -> Plot:
    """Wins expected and come of each part, the largest first."""
    ordered = sorted(parts, key=lambda one: -one["wins"])
    names = [one["name"] for one in ordered]
    rows = [
        {"name": one["name"], "who": who, "wins": round(one[key], 1), "rows": one["rows"]}
        for one in ordered
        for who, key in ((EXPECTED, "expected_wins"), (CAME, "wins"))
    ]
    axis = alt.Axis(labelLimit=160, labelOverlap=False, labelBound=False, labelFlush=False)
    y = alt.Y("name:N", sort=names, title=None, scale=alt.Scale(padding=1), axis=axis)
    spans = [{"name": one["name"], "low": one["expected_wins"], "high": one["wins"]} for one in ordered]
    link = alt.Chart(data(spans)).mark_rule(color=GREY, strokeWidth=2).encode(y=y, x="low:Q", x2="high:Q")
    dots = (
        alt.Chart(data(rows))
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            y=y,
            x=alt.X("wins:Q", title="Deals won, over all test months", axis=alt.Axis(tickCount=6)),
            color=_colour((EXPECTED, CAME), (BLUE, VERMILION)),
            shape=alt.Shape(
                "who:N", scale=alt.Scale(domain=[EXPECTED, CAME], range=["diamond", "circle"]), legend=legend()
            ),
            tooltip=[
                alt.Tooltip("name:N", title="Part"),
                alt.Tooltip("who:N", title="Wins"),
                alt.Tooltip("wins:Q", title="Number", format=",.0f"),
                alt.Tooltip("rows:Q", title="Deals", format=",.0f"),
            ],
        )
    )
    return alt.layer(link, dots).properties(height=36 * len(ordered) + 120)
