"""The view `pipeline`: the open deals, which of them count, and what to do about them first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from crm_assets.app import charts
from crm_assets.app.opening import open_deal, show_pipeline
from crm_assets.app.session import User
from crm_assets.app.states import empty, told
from crm_assets.app.wording import NOTHING, count, dollars, percent, written

PAGE_ROWS = 25
KEPT = "pipeline_address"
"""Under which the session keeps what this view shows, for the way back to it: name in the address -> values."""
_FOREIGN = "id"
"""Of a deal. Streamlit changes the address before it changes the view, so a browser's way back from a deal leads here
with this alone."""

_FIELDS = {
    "region": ("regional_office", "Region"),
    "manager": ("manager", "Manager"),
    "agent": ("sales_agent", "Agent"),
    "product": ("product", "Product"),
    "risk": ("risk", "Risk of not being won next month"),
}
"""Name in the address -> field of the API, label."""
_SORTS = {
    "Expected value": ("expected_value", "desc"),
    "Probability": ("probability", "desc"),
    "Rose most": ("change", "desc"),
    "Fell most": ("change", "asc"),
    "Oldest": ("age_days", "desc"),
    "Newest": ("age_days", "asc"),
    "List price": ("list_price", "desc"),
}
_KINDS = {"All": None, "Being worked on": "no", "Probably abandoned": "yes"}
_RANKINGS = {"Agents": "sales_agent", "Managers": "manager", "Regions": "regional_office", "Products": "product"}
_FILES = {
    "csv": ("CSV", "text/csv"),
    "xlsx": ("Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}


def draw(user: User) -> None:
    """Draw it for a user."""
    kept = st.session_state.get(KEPT)
    if _FOREIGN in st.query_params and kept is not None:
        show_pipeline(kept)
    st.title("Pipeline")
    _book(user)


@st.fragment
def _book(user: User) -> None:
    with told():
        whole = user.api.get("/v1/pipeline/summary")
        st.caption(
            f"Every open deal as the CRM knew it on {whole['as_of']}, with the probability that it is won by the end "
            f"of {whole['predicted_month']}, the next month."
        )
        if not whole["total"]:
            empty("No deal is open", f"At the end of {whole['month']} every deal in the CRM was closed or not begun.")
            return
        asked = _filters(whole)
        st.session_state[KEPT] = {name: st.query_params.get_all(name) for name in st.query_params if name != _FOREIGN}
        chosen = user.api.get("/v1/pipeline/summary", **asked) if asked else whole
        _figures(chosen)
        if not chosen["opportunities"]["now"]:
            empty("No deal fits these filters", "Empty the search or remove a filter above.")
            return
        _table(user, asked, chosen)
        _plots(chosen)


def _first_page() -> None:
    if "page" in st.session_state:
        st.session_state["page"] = 1


def _filters(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The filters as the API takes them."""
    asked: dict[str, Any] = {}
    first, second = st.columns([3, 2], vertical_alignment="bottom")
    text = first.text_input(
        "Search",
        key="search",
        bind="query-params",
        placeholder="Opportunity, account or agent",
        max_chars=200,
        on_change=_first_page,
    )
    if text:
        asked["search"] = text
    given, gone = _addressed(whole)
    if gone:
        # Streamlit takes it out of the address without a word, and a shared link would show more deals than was meant.
        st.warning(
            written(
                f"The address names what is not there at the end of {whole['month']}: {'; '.join(gone)}. It is left "
                "out, so other deals are shown than may be meant."
            )
        )
    label = f"Filters ({given} in use)" if given else "Filters"
    with second.popover(label, icon=":material/filter_list:", width="stretch"):
        for name, (field, shown) in _FIELDS.items():
            values = st.multiselect(
                shown,
                _values(whole, field),
                format_func=_named,
                key=name,
                bind="query-params",
                placeholder="All",
                on_change=_first_page,
            )
            if values:
                asked[field] = values
        kind = st.segmented_control(
            "Deals", list(_KINDS), default="All", key="kind", bind="query-params", required=True, on_change=_first_page
        )
        if _KINDS[kind or "All"]:
            asked["abandoned"] = _KINDS[kind]
        oldest = whole["ages"]["max"]
        if oldest:
            low, high = st.slider(
                "Age, days since it was engaged",
                0,
                oldest,
                (0, oldest),
                key="age",
                bind="query-params",
                on_change=_first_page,
            )
            asked |= {"min_age_days": low} if low > 0 else {}
            asked |= {"max_age_days": high} if high < oldest else {}
    return asked


def _values(whole: Mapping[str, Any], field: str) -> list[str]:
    return list(charts.RISK_WORDS) if field == "risk" else [facet["value"] for facet in whole["facets"][field]]


def _addressed(whole: Mapping[str, Any]) -> tuple[int, list[str]]:
    """How many filters the address puts in force, and what it names that is not there."""
    given, gone = 0, []
    for name, (field, _) in _FIELDS.items():
        there = {_named(value) for value in _values(whole, field)}
        asked = st.query_params.get_all(name)
        given += any(value in there for value in asked)
        gone += [f"{name} “{value}”" for value in asked if value not in there]
    for name, options in (("kind", _KINDS), ("sort", _SORTS), ("by", _RANKINGS)):
        value = st.query_params.get(name)
        if value is not None and value not in options:
            gone.append(f"{name} “{value}”")
    given += bool(_KINDS.get(st.query_params.get("kind", "All")))
    return given + _ages_given(whole["ages"]["max"] or 0), gone


def _ages_given(oldest: int) -> bool:
    try:
        low, high = sorted(float(age) for age in st.query_params.get_all("age"))
    except ValueError:
        return False
    return low > 0 or high < oldest


def _named(value: str) -> str:
    return charts.RISK_WORDS.get(value, value)


def _figures(chosen: Mapping[str, Any]) -> None:
    month, thresholds = chosen["month_before"], chosen["thresholds"]
    since = f"since {month}" if month else None
    open_, revenue, risk = (chosen[name] for name in ("opportunities", "expected_revenue", "at_risk"))
    row = st.container(horizontal=True)
    row.metric(
        "Open deals",
        count(open_["now"]),
        _difference(open_, count),
        delta_color="off",
        delta_description=since,
        border=True,
        help=written(f"Together {dollars(chosen['list_value']['now'])} at list price."),
    )
    row.metric(
        "Expected revenue",
        dollars(revenue["now"]),
        _difference(revenue, dollars),
        # More deals are won in some months of a quarter than in others: neither good nor bad.
        delta_color="off",
        delta_description=since,
        border=True,
        help=f"Probability times list price, summed: what these deals bring by the end of {chosen['predicted_month']} "
        "on average.",
    )
    row.metric(
        "At risk next month",
        count(risk["now"]),
        _difference(risk, count),
        delta_color="off",
        delta_description=since,
        border=True,
        help=written(
            f"Deals with less than {percent(thresholds['risk_high_below'])} of being won by the end of "
            f"{chosen['predicted_month']}; {dollars(chosen['at_risk_value']['now'])} at list price. They may still be "
            "won later."
        ),
    )
    abandoned = chosen["abandoned"]
    row.metric(
        "Probably abandoned",
        count(abandoned["now"] if abandoned else None),
        _difference(abandoned, count) if abandoned else None,
        delta_color="off",
        delta_description=since,
        border=True,
        help="Deals that nobody seems to work on any more: with at least "
        f"{percent(thresholds['abandoned_from'])} they never close. Ask once more, or close them in the CRM.",
    )
    if month:
        st.caption(
            f"All of it is of {chosen['predicted_month']} alone. Wins often differ between the months of a quarter, so "
            "a month is best compared with the same one of the last quarter: see Forecast."
        )


def _difference(figure: Mapping[str, Any], wording: Any) -> str | None:
    """The change since the month before, with a sign that Streamlit's arrow follows."""
    if figure["before"] is None:
        return None
    change = figure["now"] - figure["before"]
    return f"{'-' if change < 0 else '+'}{wording(abs(change))}" if change else None


def _table(user: User, asked: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    total = int(chosen["opportunities"]["now"])
    heading, order = st.columns([3, 1], vertical_alignment="bottom")
    heading.subheader("Deals")
    heading.caption(
        "Tick the box in front of a deal to open it. “Sort by” sorts all of them, a column's own menu only these "
        f"{PAGE_ROWS}; “Export” holds all."
        if total > PAGE_ROWS
        else "Tick the box in front of a deal to open it."
    )
    sort = order.selectbox("Sort by", list(_SORTS), key="sort", bind="query-params", on_change=_first_page)
    by, direction = _SORTS[sort]
    pages = max(1, math.ceil(total / PAGE_ROWS))
    shown = st.container()
    below, files = st.columns([3, 1], vertical_alignment="center")
    with below:
        sought = None if "page" in st.session_state else st.query_params.get("page")
        number = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
        if sought is not None and sought != str(number):
            st.caption(written(f"There is no page “{sought}”; this is page {number} of {pages}."))
    rows = user.api.get(
        "/v1/pipeline", **asked, sort=by, order=direction, limit=PAGE_ROWS, skip=(number - 1) * PAGE_ROWS
    )["opportunities"]
    with shown:
        picked = st.dataframe(
            _cells(rows),
            column_config=_columns(chosen),
            hide_index=True,
            on_select="rerun",
            selection_mode="single-row",
            key=f"deals-{sort}-{number}",
            height="content",
            placeholder="new",
            alt=f"Deals {(number - 1) * PAGE_ROWS + 1} to {(number - 1) * PAGE_ROWS + len(rows)} of {total}",
        )
    with files.popover("Export", icon=":material/download:", width="stretch"):
        st.caption(f"{count(total)} deal{'' if total == 1 else 's'}, as filtered and sorted here.")
        for kind, (name, mime) in _FILES.items():
            st.download_button(
                name,
                partial(user.api.download, "/v1/pipeline/file", **asked, sort=by, order=direction, format=kind),
                file_name=f"pipeline-{chosen['month']}.{kind}",
                mime=mime,
                on_click="ignore",
                width="stretch",
                key=f"file-{kind}",
            )
    if picked.selection.rows and picked.selection.rows[0] < len(rows):
        open_deal(rows[picked.selection.rows[0]]["opportunity_id"])


def _cells(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """The table as it is shown, figures as numbers, so that a column sorts by size."""
    return pl.DataFrame(
        {
            "id": [row["opportunity_id"] for row in rows],
            "probability": [100 * row["probability"] for row in rows],
            "value": [round(row["expected_value"]) for row in rows],
            "change": [None if row["change"] is None else round(100 * row["change"], 1) + 0.0 for row in rows],
            "cause": [_why(row) for row in rows],
            "account": [row["account"] or NOTHING for row in rows],
            "agent": [row["sales_agent"] for row in rows],
            "reason": [row["main_reason"] or "" for row in rows],
            "product": [row["product"] for row in rows],
            "risk": [charts.RISK_WORDS[row["risk"]] for row in rows],
            "age": [row["age_days"] for row in rows],
        },
        schema_overrides={"value": pl.Int64, "change": pl.Float64, "age": pl.Int64},
    )


def _why(row: Mapping[str, Any]) -> str:
    if row["change"] is None or not round(100 * row["change"]):
        return ""
    return row["cause_in_words"] or "not told"


def _columns(chosen: Mapping[str, Any]) -> dict[str, Any]:
    column, before = st.column_config, chosen["month_before"]
    return {
        "id": column.TextColumn("Opportunity", width=88),
        "account": column.TextColumn("Account", width=95),
        "agent": column.TextColumn("Agent", width=120),
        "probability": column.ProgressColumn(
            f"Won by {chosen['predicted_month']}", min_value=0, max_value=100, format="%.1f %%", width=115
        ),
        "value": column.NumberColumn("Expected value", format="$%,d", width=98),
        "change": column.NumberColumn(f"Since {before}" if before else "Change", format="%+.1f points", width=105),
        "cause": column.TextColumn("Changed because", width=112),
        "reason": column.TextColumn("Main reason for its probability", width=400),
        "product": column.TextColumn("Product", width=110),
        "risk": column.TextColumn("Risk", width=70),
        "age": column.NumberColumn("Age", format="%,d days", width=75),
    }


def _plots(chosen: Mapping[str, Any]) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("How likely they are")
        st.caption(f"Open deals by the probability of being won by the end of {chosen['predicted_month']}.")
        st.altair_chart(charts.distribution(chosen["histogram"]), alt="Number of open deals by range of probability")
    with right:
        st.subheader("Likely and valuable")
        st.caption(f"Each point is a deal: the further up, the more it is expected to bring. {_sampled(chosen)}")
        st.altair_chart(charts.value_points(chosen["points"]), alt="Expected value against probability of each deal")
    st.subheader("Where the revenue is expected")
    kind = st.segmented_control("By", list(_RANKINGS), default="Agents", key="by", bind="query-params", required=True)
    groups = chosen["ranking"][_RANKINGS[kind or "Agents"]]
    st.caption(f"{kind or 'Agents'} with the largest expected revenue from the deals above.")
    st.altair_chart(charts.ranking(groups), alt=f"Expected revenue by {(kind or 'agents').lower()}")


def _sampled(chosen: Mapping[str, Any]) -> str:
    if chosen["points_are"] == "all":
        return ""
    shown, total = len(chosen["points"]), int(chosen["opportunities"]["now"])
    return f"Shown are {count(shown)} of {count(total)}: the most valuable, and a fixed sample of the others."
