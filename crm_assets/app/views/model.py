"""The view `model`: which model decides, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st

from crm_assets.app import model_plots as plots
from crm_assets.app import model_words as words
from crm_assets.app import states
from crm_assets.app.names import name_of
from crm_assets.app.parts import chosen_part
from crm_assets.app.session import User
from crm_assets.app.stored_page import stored_page
from crm_assets.app.tables import table
from crm_assets.app.wording import DASH, count, percent, written
from crm_assets.modelling.reasons import SUBJECTS, Subject

_Report = Mapping[str, Any]
_AGENT: Final = tuple(name for name, subject in SUBJECTS.items() if subject is Subject.AGENT)
_LEVELS: Final = {"By region": "region", "By product": "product", "By agent": "agent"}
_SHOWN_DECISIONS = 12
_METRIC_PIXELS = 168
"""So that two stand side by side on a phone."""
_VERDICTS: Final = {"passed": "✓ passed", "failed": "✗ failed", "not applicable": f"{DASH} no say"}


def draw(user: User) -> None:
    """Draw it for a user."""
    st.title("Model")
    st.write("Which model gives the probabilities, and how far they can be trusted.")
    _body(user)


@st.fragment
def _body(user: User) -> None:
    with states.told():
        newest = user.api.get("/v1/model/report")
        months = newest["months"][::-1]
        chosen = st.selectbox("As of the end of", months, key="month", bind="query-params", width=180)
        report = newest if chosen == newest["month"] else user.api.get("/v1/model/report", month=chosen)
        _deciding(report)
        parts = _parts(report, user)
        parts[chosen_part(list(parts))]()


def _parts(report: _Report, user: User) -> dict[str, Callable[[], None]]:
    """The parts that there is something to show in."""
    parts: dict[str, Callable[[], None]] = {}
    if report["judged"]:
        parts["How good"] = lambda: _how_good(report)
        parts["Calibration"] = lambda: _calibration(report)
        parts["Gain"] = lambda: _gain(report)
    if report["importance"]:
        parts["What it looks at"] = lambda: _importance(report)
    if report["segments"]:
        parts["Segments"] = lambda: _segments(report)
    parts["Promotions"] = lambda: _promotions(report)
    if report["leakage"]:
        parts["Leakage gate"] = lambda: _leakage(report["leakage"])
    parts["Model card"] = lambda: _card(report, user)
    return parts


def _deciding(report: _Report) -> None:
    champion = report["champion"]
    if champion is None:
        states.empty(
            "No model decides yet",
            f"Nothing is scored at the end of {report['month']}. {states.sentence(report['why_no_champion'] or '')} "
            "Load further months, with `crm-assets run`: the first scores come as soon as a deal has closed in a month "
            "that is over.",
        )
        return
    st.markdown(words.decides(report))
    if beside := words.beside(report):
        st.caption(beside)
    if not report["judged"]:
        states.empty(
            "How good it is cannot be told yet",
            "No month could be predicted before its outcomes were known. It can be told as soon as there is a trained "
            "model and a month whose outcomes it had not seen: load further months with `crm-assets run`.",
        )
        return
    figures = report["figures"]
    ranking, skill, off = (figures[name] for name in ("mean_auc", "skill_vs_base_rate", "calibration_error"))
    with st.container(horizontal=True):
        _metric(
            "In the right order",
            percent(ranking["value"]),
            "50 % is chance",
            f"{words.FIGURES['mean_auc'][1]}. 95 % interval: {words.interval('mean_auc', ranking)}.",
        )
        _metric(
            "Less error",
            percent(skill["value"]),
            "than the base rate",
            "The base rate gives each deal the share that is usually won in such a month of the quarter. "
            f"95 % interval: {words.interval('skill_vs_base_rate', skill)}.",
        )
        _metric(
            "Off on average",
            percent(off["value"], 1),
            "0 % is perfect",
            f"{words.FIGURES['calibration_error'][1]}. 95 % interval: {words.interval('calibration_error', off)}.",
        )
        _metric(
            "Wins",
            count(figures["wins"]["value"]),
            f"{count(figures['expected_wins']['value'])} expected",
            f"What came in the {len(report['backtest'])} test months, and the sum of the probabilities.",
        )


def _metric(label: str, value: str, beside: str, meaning: str) -> None:
    st.metric(
        label, value, beside, delta_color="off", delta_arrow="off", help=meaning, border=True, width=_METRIC_PIXELS
    )


def _how_good(report: _Report) -> None:
    months = report["backtest"]
    st.write(
        f"The newest {len(months)} months whose outcomes are known, each predicted by the model that could have been "
        "trained at its own month-end, before its outcomes were known. That judges the recipe, not one model."
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Wins expected and come")
        st.caption("Bars of equal height: the probabilities add up to what came.")
        st.altair_chart(plots.wins(months), alt="Wins expected and come, month by month")
    with right:
        st.subheader("Order of the list")
        st.caption(
            "How often a deal that was won stood above one that was not; 50 % is chance. Bars are 95 % intervals."
        )
        st.altair_chart(
            plots.by_month(months, "auc", "Pairs in the right order", {}, ".0%"),
            alt="Share of pairs in the right order with 95 % intervals, month by month",
        )
    st.subheader("Error of the probabilities")
    st.caption(
        "Mean squared distance between probability and outcome (Brier score), lower is better. The base rate is the "
        "share usually won in such a month of the quarter; the rate by age knows the deal's age as well."
    )
    others = {"base_rate_brier": plots.BASE_RATE, "age_table_brier": plots.BY_AGE}
    st.altair_chart(
        plots.by_month(months, "brier", "Error (0 is perfect)", others, ".3f"),
        alt="Error of the model with 95 % intervals, of the base rate and of the rate by age, month by month",
    )
    with st.expander("All figures, over all test months"):
        figures = report["figures"]
        rows = [
            (title, words.written(name, figures[name]), meant)
            for name, (title, meant) in words.FIGURES.items()
            if name in figures
        ]
        st.markdown(table(("Figure", "Value, 95 % interval", "What it means"), rows))
    with st.expander("Recipes that were compared"):
        st.markdown(_candidates(report))


def _candidates(report: _Report) -> str:
    rows = [
        (
            f"`{one['name']}`",
            count(one["months_chosen"]),
            words.written("auc", one["figures"].get("auc", {})),
            words.written("brier", one["figures"].get("brier", {})),
        )
        for one in report["candidates"]
    ]
    header = ("Recipe", "Months it was chosen in", "Pairs in the right order", "Error (Brier score)")
    return table(header, rows, numbers=(1, 2, 3))


def _calibration(report: _Report) -> None:
    bins = report["calibration"]
    st.write(words.calibration(bins))
    st.caption(
        "Each point is a tenth of the deals, by the probability they were given. On the dashed line exactly as "
        "many were won as was said; above it more, below it fewer. Bars are 95 % intervals."
    )
    st.altair_chart(plots.calibration(bins), alt="Share won against the probability that was given, ten groups")
    with st.expander("As a table"):
        rows = [
            (
                percent(one["predicted"], 1),
                f"{percent(one['won']['value'], 1)} "
                f"({percent(one['won']['low'], 1)} to {percent(one['won']['high'], 1)})",
                count(one["rows"]),
                count(one["expected_wins"], 1),
                count(one["wins"]),
            )
            for one in bins
        ]
        header = ("Given on average", "Won, 95 % interval", "Deals", "Wins expected", "Wins")
        st.markdown(table(header, rows, numbers=range(5)))


def _gain(report: _Report) -> None:
    points = report["gain"]
    st.write(words.gain(points))
    st.caption("Whoever works through the list from the top finds so many of the wins in the first part of it.")
    st.altair_chart(plots.gain(points), alt="Share of the wins against the share of the list worked through")


def _importance(report: _Report) -> None:
    shares = report["importance"]
    st.write(words.importance(shares, _AGENT))
    st.caption("How much each fact moves the probabilities of this model, as a share of all that it looks at.")
    st.altair_chart(plots.importance(shares), alt="Importance of each fact that the model looks at")
    rows = [(written(name_of(one["name"])), written(one["description"]), percent(one["share"], 1)) for one in shares]
    st.markdown(table(("Fact", "What it is", "Share"), rows, numbers=(2,)))


def _segments(report: _Report) -> None:
    st.write("How good the predictions are for parts of the deals. Expected and come should lie close together.")
    held = {title: level for title, level in _LEVELS.items() if any(s["level"] == level for s in report["segments"])}
    chosen = st.segmented_control(
        "Parts", list(held), default=next(iter(held)), required=True, key="by", bind="query-params"
    )
    level = held[chosen or next(iter(held))]
    parts = [one for one in report["segments"] if one["level"] == level]
    st.altair_chart(plots.segments(parts), alt=f"Wins expected and come by {level}")
    for left in report["left_out"]:
        if left["level"] == level:
            st.caption(
                f"{count(left['parts'])} with too few deals to judge are left out ({count(left['rows'])} deals in all)."
            )
    if level == "agent":
        st.caption("It tells how good the model is on an agent's deals, not how good the agent is.")
    rows = [
        (
            written(one["name"]),
            count(one["rows"]),
            count(one["expected_wins"]),
            count(one["wins"]),
            percent(one["auc"]["value"]),
            words.written("brier", one["brier"]),
        )
        for one in sorted(parts, key=lambda one: -one["wins"])
    ]
    header = (level.capitalize(), "Deals", "Wins expected", "Wins", "Pairs in order", "Error, 95 % interval")
    with st.expander("As a table"):
        st.markdown(table(header, rows, numbers=range(1, 6)))


def _promotions(report: _Report) -> None:
    st.write(
        "Each month a new model is trained, the challenger. It takes the champion's place only where it is surely "
        "better, for no region, product or agent worse, and passed every check."
    )
    decisions = report["promotions"]
    if not decisions:
        states.empty("No decision yet", "There is one for each month: load a month with `crm-assets run`.")
        return
    everything = len(decisions) <= _SHOWN_DECISIONS or st.toggle(
        f"All {len(decisions)} months", key="all", bind="query-params"
    )
    for one in decisions if everything else decisions[:_SHOWN_DECISIONS]:
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{one['month']}**", width="content")
                st.badge(
                    words.outcome(one),
                    icon=":material/check:" if one["promoted"] else ":material/remove:",
                    color="green" if one["promoted"] else "gray",
                )
                version = f"version {one['model_version']}" if one["model_version"] else ""
                decides = f"version {one['champion_version']} decides" if one["champion_version"] else "none decides"
                st.caption(written("; ".join(part for part in (version, decides) if part)), width="content")
            st.markdown(written(words.in_short(one)))
            if one["trained"]:
                st.caption(written(words.reason(one)))
            if one["checks"]:
                with st.expander(f"{len(one['checks'])} checks of {one['month']}"):
                    rows = [
                        (written(check["name"]), _VERDICTS[check["verdict"]], written(check["detail"]))
                        for check in one["checks"]
                    ]
                    st.markdown(table(("Check", "Outcome", "What was found"), rows))


def _leakage(found: Mapping[str, Any]) -> None:
    st.write(
        "A model that secretly knows the future looks good and is worthless. So each month's data and training are "
        "probed for anything that was not known on its date."
    )
    if found["failed"]:
        st.error(words.leakage(found), icon=":material/error:")
        for fault in found["faults"]:
            st.markdown(f"- {written(states.sentence(fault))}")
    else:
        st.success(words.leakage(found), icon=":material/check_circle:")
    rows = [
        (
            written(one["claim"]),
            _probed(one),
            ""
            if one["measured"] is None
            else f"{one['measured']:.3f} of {one['limit']:.3f} ({written(name_of(one['column'] or 'all'))})",
        )
        for one in found["probes"]
    ]
    st.markdown(table(("What has to hold", "Outcome", "Closest to its limit"), rows))


def _probed(one: Mapping[str, Any]) -> str:
    if one["failed"]:
        return f"✗ {count(one['failed'])} failed"
    if not one["passed"]:
        return f"{DASH} not run"
    return f"✓ {count(one['passed'])} passed" + (f", {count(one['not_run'])} not run" if one["not_run"] else "")


def _card(report: _Report, user: User) -> None:
    st.write(
        "The model card tells the same to whoever has to approve the model, with what it must not be used for. Every "
        "number on it can be computed again by a command that stands at its end."
    )
    stored_page(user.api, "/v1/model/card", report["month"], "model card", f"model-card-{report['month']}.html")
