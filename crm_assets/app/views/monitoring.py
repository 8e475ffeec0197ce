"""The view `monitoring`: whether this month is like those that the model learnt from, and how scores turned out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import streamlit as st

from crm_assets.app import monitoring_plots as plots
from crm_assets.app import monitoring_words as words
from crm_assets.app import states
from crm_assets.app.api import AnswerError
from crm_assets.app.names import name_of
from crm_assets.app.parts import chosen_part
from crm_assets.app.session import User
from crm_assets.app.stored_page import stored_page
from crm_assets.app.tables import table
from crm_assets.app.wording import DASH, count, dollars, percent, written
from crm_assets.history.quality import FILLED, LOWEST_QUALITY, SPELLED, VALID

_Told = Mapping[str, Any]
_Colour = Literal["red", "orange", "blue", "green", "gray"]
_BADGES: Final[Mapping[str | None, tuple[_Colour, str]]] = {
    "NONE": ("green", ":material/check_circle:"),
    "LOW": ("blue", ":material/info:"),
    "MEDIUM": ("orange", ":material/warning:"),
    "HIGH": ("red", ":material/error:"),
    None: ("gray", ":material/help:"),
}
_VERDICTS: Final[Mapping[str, tuple[str, _Colour, str]]] = {
    "moved": ("changed", "orange", ":material/warning:"),
    "bad values": ("bad values", "orange", ":material/warning:"),
    "differs a little": ("differs a little", "blue", ":material/info:"),
    "as usual": ("as usual", "green", ":material/check:"),
    "not compared": ("not compared", "gray", ":material/help:"),
}
_SEVERITIES: Final[Mapping[str, tuple[str, _Colour, str]]] = {
    "error": ("error", "red", ":material/error:"),
    "warning": ("warning", "orange", ":material/warning:"),
    "info": ("information", "blue", ":material/info:"),
}
_RIGHT_AGAIN: Final[tuple[str, _Colour, str]] = ("right again", "green", ":material/check:")
_SHOWN_ALERTS = 20
_A_PAGE = 8
_UNAVAILABLE = 503


def draw(user: User) -> None:
    """Draw it for a user."""
    st.title("Monitoring")
    st.write("Whether the newest data look like those that the model learnt from, and whether its scores came true.")
    _body(user)


@st.fragment
def _body(user: User) -> None:
    with states.told():
        newest = user.api.get("/v1/monitoring")
        chosen = st.selectbox("Month", newest["months"][::-1], key="month", bind="query-params", width=180)
        told = newest if chosen == newest["month"] else user.api.get("/v1/monitoring", month=chosen)
        _level(told["drift"])
        st.html(plots.strip(told["history"], told["month"]))
        parts: dict[str, Callable[[], None]] = {
            "What changed": lambda: _columns(told),
            "How scores turned out": lambda: _performance(told),
            "Data quality": lambda: _quality(told["quality"]),
            "Online traffic": lambda: _traffic(told["traffic"]),
            "Alerts": lambda: _alerts(user),
            "Service": lambda: _service(user),
            "Full report": lambda: _report(told, user),
        }
        parts[chosen_part(list(parts))]()


def _level(drift: _Told) -> None:
    name, meaning = words.LEVELS[drift["level"]]
    colour, icon = _BADGES[drift["level"]]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"{drift['month']}:", anchor=False, width="content")
        st.badge(name if drift["level"] is None else f"{name} ({drift['level']})", icon=icon, color=colour)
    st.write(meaning)
    for reason in words.why(drift):
        st.markdown(f"- {written(reason)}")


def _columns(told: _Told) -> None:
    columns = told["columns"]
    if not columns:
        states.empty(
            f"{told['month']} was not compared",
            f"{words.not_compared(told['drift'])} Choose another month above, or load further ones with "
            "`crm-assets run`.",
        )
        return
    st.write(words.changed(columns))
    held = {title: part for title, (part, _) in words.PARTS.items() if any(one["part"] == part for one in columns)}
    chosen = st.segmented_control(
        "Deals", list(held), default=next(iter(held)), required=True, key="deals", bind="query-params"
    )
    title = chosen or next(iter(held))
    st.caption(words.PARTS[title][1])
    st.caption(_sides(told, held[title]))
    of = [one for one in columns if one["part"] == held[title]]
    if held[title] == "closings":
        _closings(of)
        return
    pages = (len(of) - 1) // _A_PAGE + 1
    page = 1
    if pages > 1:
        page = (
            st.segmented_control("Page", range(1, pages + 1), default=1, required=True, key="page", bind="query-params")
            or 1
        )
    shown = of[(page - 1) * _A_PAGE : page * _A_PAGE]
    for pair in (shown[at : at + 2] for at in range(0, len(shown), 2)):
        for place, one in zip(st.columns(2), pair, strict=False):
            with place:
                _column(one)


def _sides(told: _Told, part: str) -> str:
    side = next((one for one in told["sides"] if one["part"] == part), None)
    if side is None:
        return ""
    months = f" of {', '.join(told['reference_months'])}" if part == "book" and told["reference_months"] else ""
    return f"{count(side['rows'])} deals against {count(side['reference_rows'])}{months}."


def _column(one: _Told) -> None:
    verdict, colour, icon = _VERDICTS[one["verdict"]]
    if one["part"] == "book" and one["psi"] is None and one["verdict"] == "as usual":
        # How it spreads is shown beneath, and not judged.
        verdict = "values in order"
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{written(name_of(one['column']))}**", width="content")
            st.badge(verdict, icon=icon, color=colour)
        if one["description"]:
            st.caption(f"{written(one['description'])}.")
        if one["distribution"] is None:
            st.caption("There is no distribution to show: one of the two sides has no values.")
        else:
            name = name_of(one["column"])
            st.altair_chart(
                plots.distribution(one["distribution"], one["unit"]),
                alt=f"{name}: share of deals by value, this month and in the reference",
            )
        st.caption(written(words.found(one)))


def _closings(columns: Sequence[_Told]) -> None:
    rows = [
        (
            written(name_of(one["column"])),
            words.relative(one["change"]),
            _VERDICTS[one["verdict"]][0],
            written(words.found({**one, "change": None})),
        )
        for one in columns
    ]
    st.markdown(table(("Office", "Wins against those expected", "Verdict", "How it was judged"), rows, numbers=(1,)))


def _performance(told: _Told) -> None:
    months = told["performance"]
    if not months:
        states.empty(
            "Nothing was scored yet",
            "How scores turn out can be told a month after the first ones. Load further months with `crm-assets run`.",
        )
        return
    st.write(words.turned_out(months))
    st.caption(
        "Before outcomes are known, the probabilities themselves promise so many wins and so small an error; a month "
        "later it shows whether they kept it. Bars are 95 % intervals of what was promised."
    )
    st.subheader("Wins")
    st.altair_chart(
        plots.performance(months, "wins", "deals won in the month after", ",.0f"),
        alt="Wins promised with 95 % intervals, and wins that came, month by month",
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Error of the probabilities")
        st.caption("Mean squared distance from what came (Brier score); 0 is perfect.")
        st.altair_chart(
            plots.performance(months, "brier", "Error", ".2f"), alt="Error promised and come, month by month"
        )
    with right:
        st.subheader("Order of the list")
        st.caption("How often a deal that was won stood above one that was not; 50 % is chance.")
        st.altair_chart(
            plots.performance(months, "auc", "Pairs in the right order", ".0%"),
            alt="Share of pairs in the right order, promised and come, month by month",
        )
    _months(months)
    _parts_of(told)


def _months(months: Sequence[_Told]) -> None:
    rows = [
        (
            one["month"],
            written(one["model_version"] or DASH),
            count(one["rows"]),
            count(one["figures"]["wins"]["estimate"]),
            count(one["wins"]) if one["matured"] else "not known yet",
            dollars(one["expected_revenue"]) if one["matured"] else DASH,
            dollars(one["realised_revenue"]) if one["matured"] else DASH,
            _judged(one),
        )
        for one in reversed(months)
    ]
    header = ("Scored at the end of", "Version", "Deals", "Wins promised", "Wins", "Revenue expected", "Revenue", "")
    with st.expander("Month by month"):
        st.markdown(table(header, rows, numbers=range(2, 7)))


def _judged(month: _Told) -> str:
    if not month["matured"]:
        return f"outcomes come with {month['matured_month']}"
    if not month["compared"]:
        return written(month["reason"] or "not compared")
    return written("; ".join(month["failed"])) if month["failed"] else "✓ within chance"


def _parts_of(told: _Told) -> None:
    if not told["segments"]:
        return
    levels = {"regional_office": "Region", "product": "Product"}
    rows = [
        (
            levels.get(one["level"], name_of(one["level"])),
            written(one["name"]) + (" (few deals)" if one["small"] else ""),
            count(one["rows"]),
            f"{count(one['estimate'])} ({count(one['low'])} to {count(one['high'])})",
            count(one["wins"]),
            "" if one["inside"] is None else "✓ inside" if one["inside"] else "outside",
        )
        for one in told["segments"]
    ]
    header = ("By", "Part", "Deals", "Wins promised, 95 % interval", "Wins", "")
    with st.expander("By region and product, newest month with outcomes"):
        st.caption("One in twenty lies outside by chance.")
        st.markdown(table(header, rows, numbers=(2, 3, 4)))


def _quality(months: Sequence[_Told]) -> None:
    st.write(words.quality(months[-1]))
    st.caption(
        f"Of each month's rows: the share that broke no rule ({percent(VALID)}), had no known wrong spelling "
        f"({percent(SPELLED)}), and named an account ({percent(FILLED)}; left out where that cannot be told). Below "
        f"{percent(LOWEST_QUALITY)} people are warned."
    )
    st.altair_chart(plots.quality(months), alt="Quality score month by month")
    newest = months[-1]
    if newest["reasons"]:
        st.markdown(f"**Rules broken in {newest['month']}**")
        st.markdown("\n".join(f"- {written(one)}" for one in newest["reasons"]))
    if newest["misspelled"]:
        st.markdown(f"**Wrong spellings mended in {newest['month']}**")
        st.markdown("\n".join(f"- {written(one)}" for one in newest["misspelled"]))
    if newest["without_account"] is not None:
        st.caption(f"{count(newest['without_account'])} rows name no account.")


def _traffic(months: Sequence[_Told]) -> None:
    st.write("What other programs asked the scoring service about, and whether those deals are like the usual ones.")
    asked = [one for one in months if one["requests"]]
    if not asked:
        states.empty(
            "Nothing was asked yet",
            "As soon as a program asks the API for scores, this compares what it asks about with what the model learnt "
            "from; it is gathered once a day.",
        )
        return
    rows = [
        (
            one["month"],
            count(one["requests"]),
            count(one["opportunities"]),
            count(one["callers"]),
            count(one["unlike_scores"]),
            words.LEVELS[one["level"]][0],
            written("; ".join(one["why"]) or one["reason"] or ""),
        )
        for one in reversed(asked)
    ]
    header = ("Month", "Requests", "Deals", "Callers", "Unlike the stored score", "Level", "Why")
    st.markdown(table(header, rows, numbers=range(1, 5)))


def _alerts(user: User) -> None:
    told = user.api.get("/v1/monitoring/alerts")
    st.write("What people were told by e-mail, chat or pager, newest first; at most the last hundred.")
    if not told["alerts"]:
        remedy = (
            "Nothing has been wrong since alerts are recorded."
            if told["receivers"]
            else "Nobody is told: `CRM_ALERT_URLS` names no receiver. docs/alerts.md says how to set one, and "
            "`crm-assets alert-test` tries it."
        )
        states.empty("No alert was sent", remedy)
        return
    alerts = told["alerts"]
    everything = len(alerts) <= _SHOWN_ALERTS or st.toggle(f"All {len(alerts)}", key="all", bind="query-params")
    for one in alerts if everything else alerts[:_SHOWN_ALERTS]:
        name, colour, icon = _RIGHT_AGAIN if one["recovered_at"] else _SEVERITIES[one["severity"]]
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(name, icon=icon, color=colour)
                about = f" about {one['month']}" if one["month"] else ""
                st.caption(written(f"{_utc(one['sent_at'])}, by {one['target']}{about}"), width="content")
            st.markdown(written(states.sentence(one["what"])))
            if one["how_bad"]:
                st.caption(written(one["how_bad"]))


def _service(user: User) -> None:
    st.write("Whether the scoring service answers, and from which month and model.")
    try:
        told = user.api.get("/health/ready")
    except AnswerError as error:
        if error.status != _UNAVAILABLE:
            raise
        st.error(f"It cannot score: {states.sentence(str(error))}", icon=":material/error:")
        return
    if told["status"] == "ready":
        st.success("It is ready.", icon=":material/check_circle:")
    else:
        st.warning("It answers, but the last look at its sources failed: see below.", icon=":material/warning:")
    rows = [
        ("Answers from the month", told["month"]),
        ("Model", f"version {written(told['model_version'])}"),
        ("Since", _utc(told["since"])),
        ("Looked for something newer", _utc(told["looked_at"])),
        ("Challenger beside it", f"version {written(told['shadow_version'])}" if told["shadow_version"] else "none"),
        *(
            (f"Trouble with the {written(about.replace('_', ' '))}", written(text))
            for about, text in told["troubles"].items()
        ),
    ]
    st.markdown(table(("What", "Now"), rows))


def _utc(text: str | None) -> str:
    return DASH if text is None else f"{text[:19].replace('T', ' ')} UTC"


def _report(told: _Told, user: User) -> None:
    st.write("The whole report of the month with Evidently's pictures, for those who want every detail. It is large.")
    if not told["has_report"]:
        states.empty(f"There is no report of {told['month']}", words.not_compared(told["drift"]))
        return
    month = told["month"]
    stored_page(user.api, "/v1/monitoring/report", month, "drift report", f"drift-report-{month}.html")
