"""The view `opportunity`: one deal, why its probability is what it is, and what it would be; and a deal thought of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import streamlit as st

from crm_assets.app import charts
from crm_assets.app.api import AnswerError
from crm_assets.app.next_steps import Deal, next_step, read_rules
from crm_assets.app.opening import page
from crm_assets.app.session import User, settings
from crm_assets.app.states import empty, told
from crm_assets.app.track_record import TrackRecord
from crm_assets.app.views.pipeline import KEPT
from crm_assets.app.wording import count, days, dollars, percent, points, written
from crm_assets.errors import SettingsError
from crm_assets.modelling.reasons import PARTS, main_parts
from crm_assets.modelling.risk import RiskThresholds

_OPEN, _NEW = "Open deal", "New deal"
_NOT_FOUND = 404
_FOUND = 10
_LONGEST = 200
"""Characters of what is looked for, as the API takes them."""
_WHAT_IF = ("if_agent", "if_product", "if_age", "if_price")
_SUBJECTS = {
    "due_to_age": "Its age",
    "due_to_month": "The coming month",
    "due_to_agent": "Its agent",
    "due_to_cohort": "Deals engaged alike",
    "due_to_product": "Its product",
}
_CAUSES = {
    "by_deal": "The deal changed",
    "by_time": "Time passed",
    "by_world": "Other deals closed",
    "by_model": "The model learnt",
}
_BADGES = {"low": ("Low risk", "green"), "medium": ("Medium risk", "orange"), "high": ("High risk", "red")}


def draw(user: User) -> None:
    """Draw it for a user."""
    st.title("Opportunity")
    with told():
        catalogue = user.api.get("/v1/catalogue")
        kind = st.segmented_control(
            "Which", [_OPEN, _NEW], default=_OPEN, key="deal", bind="query-params", required=True
        )
        if kind == _NEW:
            _new_deal(user, catalogue)
        else:
            _open_deal(user, catalogue)


def _open_deal(user: User, catalogue: Mapping[str, Any]) -> None:
    # An address may hold more than the box takes, which the API would refuse by the name of its field.
    sought = st.query_params.get("id", "").strip()[:_LONGEST]
    # A key of its own for each deal: whoever comes by a link finds its id in the box.
    box = f"find-{sought}"
    st.text_input(
        "Find a deal",
        sought,
        key=box,
        placeholder="Opportunity, account or agent",
        max_chars=_LONGEST,
        on_change=_sought,
        args=(box,),
    )
    if not sought:
        _offered(user, "The deals with the largest expected value", {})
        return
    try:
        found = user.api.get(f"/v1/opportunities/{_in_path(sought)}")
    except AnswerError as error:
        if error.status != _NOT_FOUND:
            raise
        _offered(user, f"Open deals with “{sought}”", {"search": sought})
        return
    st.page_link(
        page("pipeline"),
        label="Back to the pipeline",
        icon=":material/arrow_back:",
        query_params=st.session_state.get(KEPT) or None,
    )
    if found["deal"] is None:
        _closed(found)
        return
    _deal(user, found, catalogue)


def _sought(box: str) -> None:
    _show(str(st.session_state[box]).strip())


def _show(sought: str) -> None:
    """Show a deal, and nothing that was tried on the one before."""
    for name in _WHAT_IF:
        st.query_params.pop(name, None)
    st.query_params["id"] = sought


def _in_path(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _offered(user: User, heading: str, asked: Mapping[str, Any]) -> None:
    """Deals to choose from."""
    answer = user.api.get("/v1/pipeline", **asked, limit=_FOUND)
    rows = answer["opportunities"]
    if not rows:
        empty(
            "No open deal fits" if asked else "No deal is open",
            "Write an opportunity's id, or a part of an account or an agent's name, as in the CRM.",
        )
        return
    st.subheader(written(heading))
    more = answer["total"] - len(rows)
    for row in rows:
        # Short enough for one line on a phone.
        whose = f"{row['account']}, " if row["account"] else ""
        told_of = f"{row['opportunity_id']}: {whose}{row['sales_agent']}, {percent(row['probability'])}"
        key = f"show-{row['opportunity_id']}"
        st.button(written(told_of), key=key, type="tertiary", on_click=_show, args=(row["opportunity_id"],))
    if asked and more > 0:
        st.caption(f"And {count(more)} more: write more of the name.")


def _closed(found: Mapping[str, Any]) -> None:
    st.header(written(found["opportunity_id"]))
    empty(
        f"It is not open: its stage is {written(found['stage'] or 'not known')}",
        f"Only deals that are open at the end of {found['month']} have a probability. What it was before is below.",
    )
    if found["history"]:
        _history(found["history"])


def _deal(user: User, found: Mapping[str, Any], catalogue: Mapping[str, Any]) -> None:
    deal = found["deal"]
    st.header(written(f"{deal['account'] or deal['opportunity_id']}, {deal['product']}"))
    st.caption(
        written(
            f"Opportunity {deal['opportunity_id']} of {deal['sales_agent']} ({deal['manager']}'s team, "
            f"{deal['regional_office']}), engaged on {deal['engage_date']}, {days(deal['age_days'])} before "
            f"{found['as_of']}, at a list price of {dollars(deal['list_price'])}."
        )
    )
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True, height="stretch"):
        change = deal["change"]
        st.metric(
            f"Probability of being won by the end of {catalogue['predicted_month']}",
            percent(deal["probability"], 1),
            None if change is None else points(change).replace("\N{MINUS SIGN}", "-"),
            **_moving(change),
            delta_description=None if change is None else "since last month",
        )
        _scale(deal["probability"], catalogue)
        _record(user, deal["probability"])
    with right, st.container(border=True, height="stretch"):
        _judged(deal, catalogue)
    _why(found, deal)
    moved, past = st.columns(2, gap="large")
    with moved:
        _moved(found, deal)
    with past:
        _history(found["history"])
    _what_if(user, deal, catalogue)


_SEEN = 0.005
"""Half a percentage point: below it nothing is said to have moved."""


def _moving(change: float | None) -> dict[str, Any]:
    """Colour and arrow of a change; without a sign to read, Streamlit would point up."""
    seen = change is not None and abs(change) >= _SEEN
    return {"delta_color": "normal" if seen else "off", "delta_arrow": "auto" if seen else "off"}


def _scale(probability: float, catalogue: Mapping[str, Any]) -> None:
    thresholds = catalogue["thresholds"]
    st.altair_chart(
        charts.gauge(probability, thresholds["risk_low_from"], thresholds["risk_high_below"]),
        alt=f"Gauge: {percent(probability, 1)} on a scale from 0 to 100 %",
    )


def _record(user: User, probability: float) -> None:
    """How sure the probability is, from deals that had about the same."""
    record = TrackRecord.near(user.api.get("/v1/model").get("card"), probability)
    if record is None:
        st.caption("How sure this is cannot be said yet: the model has not been tested on enough months.")
        return
    if record.low <= record.predicted <= record.high:
        holds = "probabilities of about this size have held"
    else:
        off = points(record.predicted - record.won).lstrip("+\N{MINUS SIGN}-")
        holds = f"probabilities of about this size were {off} too {'high' if record.predicted > record.won else 'low'}"
    st.caption(
        f"How sure is that? In tests on past months, of the {count(record.deals)} deals whose probability was nearest "
        f"to this one, {percent(record.predicted, 1)} were expected to be won and {percent(record.won, 1)} were (95 % "
        f"interval: {percent(record.low, 1)} to {percent(record.high, 1)}; each deal counted once a month). So {holds}."
    )


def _judged(deal: Mapping[str, Any], catalogue: Mapping[str, Any]) -> None:
    """Risk, next step and what else is known."""
    word, colour = _BADGES[deal["risk"]]
    thresholds = catalogue["thresholds"]
    st.badge(word, color=colour)  # type: ignore[arg-type]  # names of a mapping
    st.caption(
        f"Risk that it is not won by the end of {catalogue['predicted_month']}: low where the probability of winning "
        f"is {percent(thresholds['risk_low_from'])} or more, high where it is below "
        f"{percent(thresholds['risk_high_below'])}. It says nothing about later months."
    )
    st.markdown("**Recommended next step**")
    try:
        st.info(written(_step(deal)), icon=":material/flag:")
    except SettingsError as error:
        # A slip in the manager's file must not hide the deal.
        st.warning(written(f"None can be told, because the rules for it have a fault: {error}."))
    st.markdown(
        written(
            f"Expected value: {dollars(deal['expected_value'])}, the probability times {dollars(deal['list_price'])}."
        )
    )
    if deal.get("probability_lost") is not None:
        st.caption(
            f"Lost by then: {percent(deal['probability_lost'])}. Probably abandoned and never closed: "
            f"{percent(deal['probability_abandoned'])}."
            + (
                f" If it closes, then more likely than not by the end of {deal['expected_close_month']}."
                if deal["expected_close_month"]
                else ""
            )
        )


def _step(deal: Mapping[str, Any]) -> str:
    return next_step(
        _rules(),
        Deal(
            deal["risk"],
            deal["probability"],
            deal.get("change"),
            deal.get("age_days"),
            deal.get("is_abandoned"),
            deal.get("main_subject"),
            deal.get("main_part"),
        ),
    )


@st.cache_resource(ttl=60)
def _rules() -> Any:
    """The rules, read again now and then, so that a manager sees an edit without a restart."""
    return read_rules(settings().next_steps_file)


def _why(found: Mapping[str, Any], deal: Mapping[str, Any]) -> None:
    st.subheader("Why")
    reasons = found.get("reasons")
    if reasons is None:
        st.write(f"It cannot be said: {written(found.get('not_told_because') or 'no reasons are stored')}.")
        return
    _reasons(reasons)
    if abs(reasons["probability"] - deal["probability"]) > _SEEN:
        st.caption(
            f"These reasons are of the stored score, {percent(reasons['probability'], 1)}; a newer model gives it "
            f"{percent(deal['probability'], 1)}."
        )


def _reasons(reasons: Mapping[str, Any]) -> None:
    parts = {_SUBJECTS[name]: part for name, part in reasons["parts"].items()}
    if not any(parts.values()):
        st.write("There is no model yet: every deal of its kind has the same win rate.")
        return
    st.caption(
        f"Deals like those the model learnt from have {percent(reasons['base'])} on average. What is special about "
        f"this one makes it "
        f"{percent(reasons['probability'], 1)}: bars to the right raise it, bars to the left lower it."
    )
    left, right = st.columns(2, gap="large")
    left.altair_chart(
        charts.parts(parts, "Percentage points"),
        alt="; ".join(f"{name} {points(part)}" for name, part in parts.items()),
    )
    with right:
        for title, words in (("Raises it", reasons["raises"]), ("Lowers it", reasons["lowers"])):
            st.markdown(f"**{title}**")
            if words:
                st.markdown("\n".join(f"- {_listed(one)}" for one in words.split("; ")))
            else:
                st.markdown("Nothing by half a percentage point or more.")
        st.caption("In brackets: percentage points.")


def _listed(reason: str) -> str:
    text = reason.replace("(-", "(\N{MINUS SIGN}")
    return written(f"{text[:1].upper()}{text[1:]}")


def _moved(found: Mapping[str, Any], deal: Mapping[str, Any]) -> None:
    st.subheader("Why it moved")
    moved = found.get("moved")
    if moved is None:
        st.write("It had no probability the month before, so there is nothing to compare with.")
        return
    st.caption(
        f"From {percent(moved['probability_before'], 1)} at the end of {moved['previous_month']} to "
        f"{percent(moved['probability'], 1)} now. Each figure is of the month after it."
    )
    if abs(moved["change"]) < _SEEN and max(map(abs, moved["parts"].values())) < _SEEN:
        st.write("It has hardly moved.")
        return
    parts = {_CAUSES[name]: part for name, part in moved["parts"].items()}
    st.altair_chart(
        charts.parts(parts, "Percentage points"),
        alt="; ".join(f"{name} {points(part)}" for name, part in parts.items()),
    )
    st.caption(
        "Time passed: it is older, and another month of the quarter comes. Other deals closed: what agent, office and "
        "product have won or lost since. The model learnt: it was trained again."
    )


def _history(months: Sequence[Mapping[str, Any]]) -> None:
    st.subheader("Month by month")
    st.caption("What its probability was at each month-end, of being won by the end of the month after.")
    if len(months) < _LINE:
        only = f": {percent(months[0]['probability'], 1)} at the end of {months[0]['month']}" if months else ""
        st.write(f"It has {'one figure' if months else 'no figure'} so far{only}.")
        return
    st.altair_chart(
        charts.history(months),
        alt="; ".join(f"{one['month']}: {percent(one['probability'], 1)}" for one in months),
    )


_LINE = 2
"""Months that make a line."""


@st.fragment
def _what_if(user: User, deal: Mapping[str, Any], catalogue: Mapping[str, Any]) -> None:
    st.subheader("What if")
    if not user.may_score:
        _not_scored()
        return
    st.caption("Change something to see what the probability would be. What is left empty stays as it is.")
    with told():
        agents, products = ([one["name"] for one in catalogue[name]] for name in ("agents", "products"))
        columns, of = st.columns(4), deal["opportunity_id"]
        given: dict[str, str | int | None] = {}
        for column, label, field, options in (
            (columns[0], "Agent", "sales_agent", agents),
            (columns[1], "Product", "product", products),
        ):
            held = _held(f"if_{label.lower()}", of)
            chosen = _place(options, f"if_{label.lower()}")
            given[field] = column.selectbox(label, options, chosen, placeholder=deal[field], **held)
        age, price = _whole("if_age", 0, _OLDEST), _whole("if_price", _CHEAPEST, _DEAREST)
        given["age_days"] = columns[2].number_input(
            "Age, days", 0, _OLDEST, age, 1, placeholder=str(deal["age_days"]), **_held("if_age", of)
        )
        given["list_price"] = columns[3].number_input(
            "Price, USD", _CHEAPEST, _DEAREST, price, 50, placeholder="as listed", **_held("if_price", of)
        )
        change: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if "list_price" in change:
            change["list_price"] = float(change["list_price"])
        if not change:
            return
        answer = user.api.post(
            "/v1/explain", {"opportunity": {"opportunity_id": deal["opportunity_id"]}, "change": change}
        )
        before, after = answer["before"], answer["after"]
        now, then, value = st.columns(3)
        now.metric("As it is", percent(before["probability"], 1), border=True, height="stretch")
        then.metric(
            "With this changed",
            percent(after["probability"], 1),
            points(answer["difference"]).replace("\N{MINUS SIGN}", "-"),
            **_moving(answer["difference"]),
            border=True,
            height="stretch",
        )
        value.metric(
            "Expected value",
            dollars(after["expected_value"]),
            _more(after["expected_value"], before["expected_value"]),
            border=True,
            height="stretch",
        )
        _reasons(after)


_OLDEST, _CHEAPEST, _DEAREST = 5_000, 1, 1_000_000_000
"""Nothing is sold for nothing: what is expected of such a deal would be $0, whatever its probability."""


def _held(name: str, of: str) -> dict[str, Any]:
    """What keeps the value of a widget about a deal in the address, and out of that of the next deal."""
    key = f"{name}-{of}"
    return {"key": key, "on_change": _hold, "args": (name, key)}


def _hold(name: str, key: str) -> None:
    value = st.session_state[key]
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = str(value)


def _place(options: Sequence[str], name: str) -> int | None:
    """Place of the address's value among the options; None where it names none of them."""
    value = st.query_params.get(name)
    return options.index(value) if value in options else None


def _whole(name: str, least: int, most: int) -> int | None:
    """A number of the address; None where it is none between the two."""
    value = st.query_params.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and least <= int(value) <= most else None


def _more(now: float | None, before: float | None) -> str | None:
    if now is None or before is None or round(now) == round(before):
        return None
    return f"{'-' if now < before else '+'}{dollars(abs(now - before))}"


def _not_scored() -> None:
    st.info(
        "Scoring what is not in the CRM needs a right of its own: whoever runs the platform grants the scope `score`.",
        icon=":material/lock:",
    )


def _new_deal(user: User, catalogue: Mapping[str, Any]) -> None:
    if not user.may_score:
        _not_scored()
        return
    st.caption(
        f"A deal that is not in the CRM yet, scored as of {catalogue['as_of']}. Fill in what you know of it; "
        "nothing is stored."
    )
    prices = {one["name"]: one["list_price"] for one in catalogue["products"]}
    today = date.fromisoformat(catalogue["as_of"])
    with st.form("new"):
        first, second = st.columns(2)
        agent = first.selectbox(
            "Agent",
            [one["name"] for one in catalogue["agents"]],
            None,
            key="agent",
            bind="query-params",
            placeholder="Who sells it",
        )
        product = second.selectbox(
            "Product", list(prices), None, key="product", bind="query-params", placeholder="What is sold"
        )
        engaged = first.date_input(
            "Day of engagement",
            today,
            min_value=date(today.year - 10, 1, 1),
            max_value=today,
            format="YYYY-MM-DD",
            key="engaged",
            bind="query-params",
            help=f"When talks began; {today} at the latest.",
        )
        price = second.number_input(
            "Price, USD",
            float(_CHEAPEST),
            float(_DEAREST),
            None,
            50.0,
            "%.0f",
            key="price",
            bind="query-params",
            placeholder="list price",
            help="Leave it empty for the list price of the product.",
        )
        sent = st.form_submit_button("Score it", type="primary")
    lacking = [name for name, value in (("an agent", agent), ("a product", product)) if not value]
    if lacking:
        if sent:
            st.error(f"Choose {' and '.join(lacking)}.")
        return
    fields = {"sales_agent": agent, "product": product, "engage_date": str(engaged), "list_price": price}
    asked = {name: value for name, value in fields.items() if value is not None}
    answer = user.api.post("/v1/explain", {"opportunity": asked})
    scored = answer["before"]
    thresholds = catalogue["thresholds"]
    (subject,), (part,) = main_parts(np.array([[scored["parts"][name] for name in PARTS]]))
    deal = {
        "risk": RiskThresholds(thresholds["risk_low_from"], thresholds["risk_high_below"]).of(scored["probability"]),
        "probability": scored["probability"],
        "expected_value": scored["expected_value"],
        "list_price": prices.get(product) if price is None else price,
        "age_days": (today - engaged).days if isinstance(engaged, date) else None,
        "main_subject": None if subject is None else subject.value,
        "main_part": None if subject is None else float(part),
    }
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.metric(
            f"Probability of being won by the end of {catalogue['predicted_month']}",
            percent(deal["probability"], 1),
        )
        _scale(deal["probability"], catalogue)
        _record(user, deal["probability"])
    with right, st.container(border=True, height="stretch"):
        _judged(deal, catalogue)
    st.subheader("Why")
    _reasons(scored)
