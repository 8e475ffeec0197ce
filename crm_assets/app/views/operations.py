"""The view `operations`: what is made and what is not, and starting it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

import streamlit as st

from crm_assets.app import states, wording
from crm_assets.app.api import AnswerError, AwayError
from crm_assets.app.session import User

_PATH = "/v1/operations"
_MONTHS = 12
_LOOK_SECONDS = 2.0
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MADE, _OUT_OF_DATE, _MISSING = "made", "out of date", "missing"
_SHOWN: Final = {_MADE: "\N{CHECK MARK}", _OUT_OF_DATE: "\N{ANTICLOCKWISE OPEN CIRCLE ARROW} old", _MISSING: "missing"}
_LEGEND = (
    f"{_SHOWN[_MADE]} as it would be made now \N{MIDDLE DOT} {_SHOWN[_OUT_OF_DATE]}: made, but from data, code or "
    "settings that have changed since \N{MIDDLE DOT} missing: not made yet"
)
_LEGEND_NOT_COMPARED = f"{_SHOWN[_MADE]} stored, up to date or not \N{MIDDLE DOT} missing: not made yet"
_ALL, _WRONG = "all", "not up to date"
_ASKED_BY: Final = {
    "landing": "new data arrived",
    "schedule": "on schedule",
    "retrain": "monitoring asked for a new model",
    "condition": "what it reads changed",
    "backfill": "asked for here or by a program",
    "manual": "started by hand",
}
_RESULT: Final = {
    "up to date": "Everything was up to date: nothing had to be made.",
    "done": "It is done.",
    "canceled": "It was stopped. What was stored by then is kept; start it again and it goes on from there.",
}


def draw(user: User) -> None:
    """Draw it for a user."""
    st.title("Operations")
    st.write(
        "What the platform has made, month by month, and what to do when something is missing. Each month is made in "
        "steps, from the CRM's raw tables to the scores."
    )
    before = st.query_params.get("before")
    with st.spinner("Comparing what is stored with what would be made"):
        told = user.api.get(_PATH, months=_MONTHS, before=before)
    made = any(month["state"] != _MISSING for asset in told["assets"] for month in asset["months"])
    _standing(told, made=made)
    if not made:
        states.empty(
            "Nothing is made yet",
            states.sentence(told["troubles"].get("lake", "The lake is empty"))
            + (" Or make the first months below." if told["dagster"]["answers"] else ""),
        )
    if told["dagster"]["answers"]:
        _making(user, told)
    # Where what would be made was shown, and so in sight of whoever pressed the button.
    if run_id := st.query_params.get("run"):
        if _RUN_ID.fullmatch(run_id):
            _watched(user, run_id)
        else:
            st.error("The address names no run: start one, or open one from the list of last runs.")
            _done_looking()
    _landing(user, told["landing"])
    if told["dagster"]["answers"]:
        _runs(told)
    if made:
        _grid(told, before)


def _standing(told: Mapping[str, Any], *, made: bool) -> None:
    """Figures of the months that are shown, and what is in the way."""
    if made:
        cells = [month["state"] for asset in told["assets"] for month in asset["months"]]
        counts = {state: cells.count(state) for state in (_MADE, _OUT_OF_DATE, _MISSING)}
        with st.container(horizontal=True):
            st.metric("Newest month", told["newest_month"] or wording.NOTHING, border=True)
            stored = "Up to date" if told["compared"] else "Stored"
            st.metric(stored, f"{wording.count(counts[_MADE])} of {wording.count(len(cells))}", border=True)
            old = wording.count(counts[_OUT_OF_DATE]) if told["compared"] else "not known"
            st.metric("Out of date", old, border=True)
            st.metric("Missing", wording.count(counts[_MISSING]), border=True)
        st.caption(f"The counts are of steps in {_span(told['months'][::-1])}, the months shown below.")
    if not told["dagster"]["answers"]:
        st.warning(
            f"Dagster, which makes the months, does not answer: {told['dagster']['why']}. Until it does, no month can "
            "be made from here, and whether what is stored is up to date is not known.",
            icon=":material/power_off:",
        )
    elif not told["compared"] and told["not_compared_because"]:
        st.warning(f"What is out of date cannot be told: {told['not_compared_because']}.")
    for about, trouble in told["troubles"].items():
        if about != "lake" or made:
            st.warning(f"The {about} cannot be read: {trouble}.")


@st.fragment
def _grid(told: Mapping[str, Any], before: str | None) -> None:
    st.subheader("Steps and months")
    compared = told["compared"]
    st.caption(_LEGEND if compared else _LEGEND_NOT_COMPARED)
    wrong = {asset["name"]: [month for month in asset["months"] if month["state"] != _MADE] for asset in told["assets"]}
    chosen = st.segmented_control(
        "Show the steps that are",
        [_ALL, _WRONG],
        default=_ALL,
        required=True,
        key="steps",
        bind="query-params",
        format_func=lambda name: (
            f"{_WRONG if compared else _MISSING} ({sum(map(bool, wrong.values()))})" if name == _WRONG else name
        ),
    )
    rows = [
        {"Step": asset["name"], **{month["month"]: _SHOWN[month["state"]] for month in asset["months"]}}
        for asset in told["assets"]
        if chosen == _ALL or wrong[asset["name"]]
    ]
    if rows:
        st.dataframe(
            rows,
            hide_index=True,
            height="content",
            alt="Steps in rows, months in columns, newest month first; each cell says "
            + ("made, old or missing." if compared else "stored or missing."),
            column_config={
                "Step": st.column_config.TextColumn(pinned=True, width="medium"),
                **{month: st.column_config.TextColumn(width=64, alignment="center") for month in told["months"]},
            },
        )
    elif not compared:
        st.info("No step of these months is missing; whether each is up to date is not known.")
    else:
        st.success("Every step of these months is up to date.", icon=":material/check:")
    with st.container(horizontal=True):
        if before is not None and st.button("Newest months", icon=":material/first_page:"):
            _go(None)
        if told["next_before"] and st.button("Older months", icon=":material/chevron_right:"):
            _go(told["next_before"])
    reasons = [
        {"Step": name, "Month": month["month"], "Why": month["why"], "Made at (UTC)": _moment(month["written_at"])}
        for name, months in wrong.items()
        for month in months
        if month["why"]
    ]
    if reasons:
        with st.expander(f"Why {wording.count(len(reasons))} are old"):
            st.dataframe(reasons, hide_index=True, alt="Why each month of a step is out of date.")


def _go(before: str | None) -> NoReturn:
    if before is None:
        st.query_params.pop("before", None)
    else:
        st.query_params["before"] = before
    # The months come from outside of the fragment that the buttons are in.
    st.rerun(scope="app")


@st.fragment
def _making(user: User, told: Mapping[str, Any]) -> None:
    st.subheader("Make months")
    st.caption(
        "Makes what is missing or out of date in a range of months, and leaves the rest alone. You see what would be "
        "made before anything starts."
    )
    if not told["months"]:
        st.info("There is no month to make: the source has none yet.")
        return
    with st.form("make", border=True):
        first, last = st.columns(2)
        months = told["months"]
        start = first.selectbox("First month", months, index=0)
        end = last.selectbox("Last month", months, index=0)
        names = [asset["name"] for asset in told["assets"]]
        assets = st.multiselect("Steps", names, placeholder="All steps")
        force = st.checkbox("Make again what is up to date as well")
        asked = st.form_submit_button("Show what would be made", icon=":material/checklist:")
    if asked:
        st.session_state.pop("planned", None)
        order = {"start": start, "end": end, "assets": assets or None, "force": force}
        try:
            st.session_state["planned"] = (order, user.api.post(f"{_PATH}/plan", _given(order)))
        except (AnswerError, AwayError) as error:
            st.error(states.sentence(str(error)))
    if "planned" in st.session_state:
        _planned(user, *st.session_state["planned"])


def _planned(user: User, order: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    span = _span([plan["start"], plan["end"]])
    if not plan["total"]:
        st.success(f"Nothing to do: {span} is up to date.", icon=":material/check:")
        return
    st.write(f"**{_cells(plan['total'])} of {span} would be made:**")
    st.dataframe(
        [
            {
                "Step": step["asset"],
                "Months": _span(step["months"]),
                "Why": step["cause"] if step["detail"] == step["cause"] else f"{step['cause']}: {step['detail']}",
            }
            for step in plan["steps"]
        ],
        hide_index=True,
        alt="What would be made and why.",
    )
    if st.button("Start", type="primary", icon=":material/play_arrow:"):
        try:
            started = user.api.post(f"{_PATH}/backfills", _given(order))
        except (AnswerError, AwayError) as error:
            st.error(states.sentence(str(error)))
            return
        del st.session_state["planned"]
        if started["id"]:
            st.query_params["run"] = started["id"]
        st.rerun()


def _watched(user: User, run_id: str) -> None:
    """How far a run is, looked at again every few seconds until it is over."""
    try:
        told = user.api.get(f"{_PATH}/backfills/{run_id}")
    except (AnswerError, AwayError) as error:
        st.error(f"The run in this address cannot be shown: {error}.")
        _done_looking()
        return
    with st.container(border=True):
        st.subheader(f"Making {_span(told['months'])}" if told["months"] else "Making")
        if told["over"]:
            _ended(told)
        else:
            _progress(user, run_id)


def _done_looking() -> None:
    st.button("Close", on_click=_close)


def _close() -> None:
    st.query_params.pop("run", None)


def _ended(told: Mapping[str, Any]) -> None:
    if told["state"] == "failed":
        st.error(f"It failed: {told['reason']}.")
    elif told["state"] == "done":
        st.success(f"{_RESULT['done']} {_cells(told['done'])} stored.", icon=":material/check:")
    else:
        st.info(_RESULT.get(told["state"], told["state"]))
    with st.container(horizontal=True):
        if told["url"]:
            st.link_button("Its page in Dagster", told["url"], icon=":material/open_in_new:")
        _done_looking()


@st.fragment(run_every=_LOOK_SECONDS)
def _progress(user: User, run_id: str) -> None:
    try:
        told = user.api.get(f"{_PATH}/backfills/{run_id}")
    except (AnswerError, AwayError) as error:
        # The next look may find it again.
        st.warning(states.sentence(str(error)))
        return
    if told["over"]:
        st.rerun()
    waiting = told["state"] == "queued"
    share = told["done"] / told["total"] if told["total"] else 0.0
    stored = f"{wording.count(told['done'])} of {wording.count(told['total'])} stored, {wording.percent(share)}"
    st.progress(min(share, 1.0), "Waiting for its turn in Dagster" if waiting else stored)
    with st.container(horizontal=True):
        if st.button("Stop", icon=":material/stop:"):
            try:
                stopped = user.api.post(f"{_PATH}/backfills/{run_id}/cancel", {})
            except (AnswerError, AwayError) as error:
                st.error(states.sentence(str(error)))
            else:
                if stopped["over"]:
                    st.rerun()
                st.info("It stops as soon as what is being made is stored.")
        if told["url"]:
            st.link_button("Its page in Dagster", told["url"], icon=":material/open_in_new:")


def _runs(told: Mapping[str, Any]) -> None:
    st.subheader("Last runs")
    if not told["runs"]:
        st.caption("Dagster has run nothing yet.")
        return
    st.caption("Each run makes one month or several. Times are UTC.")
    st.dataframe(
        [
            {
                "State": run["state"],
                "Months": _span(run["months"]) if run["months"] else wording.NOTHING,
                "Because": _ASKED_BY.get(run["trigger"], run["trigger"]),
                "Started": _moment(run["started_at"] or run["created_at"]),
                "Took": _took(run),
                "Details": run["url"],
            }
            for run in told["runs"]
        ],
        hide_index=True,
        alt="The last runs, newest first.",
        column_config={"Details": st.column_config.LinkColumn(display_text="in Dagster")},
    )


@st.fragment
def _landing(user: User, landing: Mapping[str, Any] | None) -> None:
    gone = st.session_state.pop("removed", None)
    if gone is not None:
        # With its months the place forgets which CRM landed there, so that there is nothing else to show.
        place, removed = gone
        st.success(
            f"The simulated CRM is reset: removed {_span(removed) if removed else 'what there was of it'}. Begin one "
            f"anew with `crm-assets advance --to {place}`.",
            icon=":material/check:",
        )
    if landing is None:
        return
    st.subheader("Simulated CRM")
    landed = landing["landed"]
    st.caption(
        "The CRM here is simulated: a month passes when you say so. "
        + (f"{_span(landed)} has arrived so far." if landed else "No month has arrived yet.")
    )
    following = landing["next_month"]
    if following is None:
        st.info("The simulated CRM has ended. Reset it to begin anew.")
    elif st.button(f"Let {following} arrive", icon=":material/skip_next:", help="Dagster then makes the month."):
        try:
            arrived = user.api.post(f"{_PATH}/simulation/advance", {"months": 1})["landed"]
        except (AnswerError, AwayError) as error:
            st.error(states.sentence(str(error)))
        else:
            st.session_state["arrived"] = arrived
            st.rerun()
    for month in st.session_state.pop("arrived", []):
        st.success(
            f"{month['month']} has arrived: {wording.count(month['created'])} new opportunities, "
            f"{wording.count(month['won'])} won and {wording.count(month['lost'])} lost.",
            icon=":material/check:",
        )
    with st.expander("Reset the simulation", icon=":material/delete:"):
        st.write(
            f"Removes the {wording.count(len(landed))} months that have arrived in `{landing['place']}`. Scores, "
            "models and everything else that was made of them stays."
        )
        with st.form("reset", border=False):
            confirm = st.text_input(f"To confirm, write its name: {landing['name']}", autocomplete="off")
            if st.form_submit_button("Reset", icon=":material/delete_forever:"):
                _reset(user, confirm, landing["place"])


def _reset(user: User, confirm: str, place: str) -> None:
    if not confirm:
        st.error("Write the name of the simulated CRM first.")
        return
    try:
        removed = user.api.post(f"{_PATH}/simulation/reset", {"confirm": confirm})["removed"]
    except (AnswerError, AwayError) as error:
        st.error(states.sentence(str(error)))
        return
    # What is written above the form is of before: all of it is read anew.
    st.session_state["removed"] = (place, sorted(removed))
    st.rerun()


def _given(order: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if value is not None}


def _cells(number: int) -> str:
    return f"{wording.count(number)} step{'' if number == 1 else 's'}"


def _span(months: list[str]) -> str:
    return months[0] if months[0] == months[-1] else f"{months[0]} to {months[-1]}"


def _moment(text: str | None) -> str:
    return wording.NOTHING if text is None else text[:16].replace("T", " ")


def _took(run: Mapping[str, Any]) -> str:
    if not run["started_at"] or not run["ended_at"]:
        return wording.NOTHING
    seconds = (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run["started_at"])).total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
