from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from crm_assets.app.api import Api
from crm_assets.app.track_record import TrackRecord
from crm_assets.app.wording import percent, points, written
from crm_assets_tests.app.conftest import Draw, texts
from crm_assets_tests.serving.small_lake import LAST


@pytest.fixture
def api(sales_api: httpx.BaseTransport) -> Api:
    return Api("http://testserver", None, sales_api)


@pytest.fixture
def known(api: Api) -> dict[str, Any]:
    """A deal that had a probability the month before."""
    rows = api.get("/v1/pipeline", limit=1000, sort="change", order="asc")["opportunities"]
    return dict(rows[0])


def test_a_deal_is_told(draw: Draw, known: dict[str, Any]) -> None:
    app = draw("opportunity", id=known["opportunity_id"])
    told = texts(app)
    assert app.metric[0].value == percent(known["probability"], 1)
    assert app.metric[0].delta == points(known["change"]).replace("\N{MINUS SIGN}", "-")
    assert f"{known['risk'].capitalize()} risk" in told
    assert "Recommended next step" in told
    assert known["sales_agent"] in told
    reason = known["main_reason"]
    assert f"{reason[0].upper()}{reason[1:]}" in told
    assert "From " in told
    assert str(LAST.previous) in told


@pytest.mark.parametrize(
    ("predicted", "verdict"),
    [(0.32, "of about this size have held"), (0.36, "were 6 points too high"), (0.2, "were 10 points too low")],
)
def test_whether_such_probabilities_have_held_is_told(
    draw: Draw, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch, predicted: float, verdict: str
) -> None:
    asked: list[float] = []

    def near(_: Any, probability: float) -> TrackRecord:
        asked.append(probability)
        return TrackRecord(1136, predicted, 0.3, 0.27, 0.33)

    monkeypatch.setattr("crm_assets.app.views.opportunity.TrackRecord.near", near)
    told = texts(draw("opportunity", id=known["opportunity_id"]))
    assert asked == [known["probability"]]
    assert f"{percent(predicted, 1)} were expected to be won and 30.0 % were" in told
    assert verdict in told


@pytest.mark.parametrize(
    ("change", "shown"),
    [(0.0, ("NONE", "GRAY")), (-0.004, ("NONE", "GRAY")), (0.05, ("UP", "GREEN")), (-0.05, ("DOWN", "RED"))],
)
def test_an_arrow_points_where_a_change_can_be_seen(
    draw: Draw, sales_api: httpx.BaseTransport, known: dict[str, Any], change: float, shown: tuple[str, str]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        found = sales_api.handle_request(request)
        found.read()
        if not request.url.path.startswith("/v1/opportunities/"):
            return found
        told = found.json()
        return httpx.Response(200, json={**told, "deal": {**told["deal"], "change": change}})

    metric = draw("opportunity", httpx.MockTransport(answer), id=known["opportunity_id"]).metric[0].proto
    assert (metric.MetricDirection.Name(metric.direction), metric.MetricColor.Name(metric.color)) == shown


def test_a_deal_of_this_month_has_not_moved(draw: Draw, api: Api) -> None:
    rows = api.get("/v1/pipeline", limit=1000)["opportunities"]
    new = next(row["opportunity_id"] for row in rows if row["previous"] is None)
    told = texts(draw("opportunity", id=new))
    assert "nothing to compare with" in told
    assert "It has one figure so far" in told


def test_a_slip_in_the_rules_is_told_and_hides_nothing_else(
    draw: Draw, known: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "steps.yaml"
    file.write_text("- {rule: a, when: {rsk: high}, say: Act.}\n- {rule: b, say: Wait.}\n", encoding="utf-8")
    monkeypatch.setenv("CRM_NEXT_STEPS_FILE", str(file))
    told = texts(draw("opportunity", id=known["opportunity_id"]))
    assert "'rsk' is no field: did you mean risk?" in told
    assert "What if" in told


def test_what_if_tells_before_and_after(draw: Draw, api: Api, known: dict[str, Any]) -> None:
    asked = {"opportunity": {"opportunity_id": known["opportunity_id"]}, "change": {"age_days": 20}}
    answer = api.post("/v1/explain", asked)
    app = draw("opportunity", id=known["opportunity_id"])
    assert "With this changed" not in texts(app)
    app.number_input(key=f"if_age-{known['opportunity_id']}").set_value(20).run()
    assert app.query_params["if_age"] == "20"
    figures = {metric.label: metric for metric in app.metric}
    assert figures["As it is"].value == percent(answer["before"]["probability"], 1)
    assert figures["With this changed"].value == percent(answer["after"]["probability"], 1)


def test_another_deal_begins_without_what_if(draw: Draw, api: Api, known: dict[str, Any]) -> None:
    other = api.get("/v1/pipeline", limit=1, sort="change", order="desc")["opportunities"][0]["opportunity_id"]
    app = draw("opportunity", id=known["opportunity_id"], if_age="20")
    assert "With this changed" in texts(app)
    app.text_input[0].set_value(other).run()
    assert "With this changed" not in texts(app)
    assert app.query_params == {"id": other}


@pytest.mark.parametrize(
    "address", [{"if_age": "-3"}, {"if_age": "x"}, {"if_price": "9" * 30}, {"if_price": "0"}, {"if_agent": "Nobody"}]
)
def test_an_address_that_makes_no_sense_changes_nothing(
    draw: Draw, known: dict[str, Any], address: dict[str, str]
) -> None:
    assert "With this changed" not in texts(draw("opportunity", id=known["opportunity_id"], **address))


def test_a_name_finds_deals(draw: Draw, known: dict[str, Any]) -> None:
    app = draw("opportunity", id=known["sales_agent"][:6])
    assert f"Open deals with “{known['sales_agent'][:6]}”" in texts(app)
    assert app.metric.len == 0
    name = str(app.button[0].key).removeprefix("show-")
    app.button[0].click().run()
    assert app.query_params["id"] == name
    assert "Recommended next step" in texts(app)
    assert "No open deal fits" in texts(draw("opportunity", id="a/b?c#d"))


def test_an_account_with_marks_of_markdown_is_written_as_it_is(draw: Draw, api: Api, known: dict[str, Any]) -> None:
    name = "<b> :smile: **$5** &lt; [x](y)"

    class Renamed(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = api._client._transport.handle_request(request)
            told = json.loads(answer.read())
            for deal in (told.get("deal"), *told.get("opportunities", ())):
                if deal:
                    deal["account"] = name
            return httpx.Response(answer.status_code, json=told)

    app = draw("opportunity", Renamed(), id=known["opportunity_id"])
    assert app.header[0].value == written(f"{name}, {known['product']}")
    app = draw("opportunity", Renamed(), id=known["sales_agent"])
    assert app.button[0].label.startswith(f"{str(app.button[0].key).removeprefix('show-')}\\: {written(name)}, ")


def test_what_is_searched_for_is_written_as_it_is(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    whole = Api("http://testserver", None, sales_api).get("/v1/pipeline", limit=2)

    class Found(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/v1/pipeline":
                return httpx.Response(200, json=whole)
            return sales_api.handle_request(request)

    assert draw("opportunity", Found(), id="$x$ **b**").subheader[0].value == r"Open deals with “\$x\$ \*\*b\*\*”"


def test_without_an_id_the_most_valuable_are_offered(draw: Draw) -> None:
    assert "largest expected value" in texts(draw("opportunity"))


def test_a_closed_deal_has_no_probability(draw: Draw, stored: Any, api: Api) -> None:
    month = LAST.previous
    open_now = {row["opportunity_id"] for row in api.get("/v1/pipeline", limit=1000)["opportunities"]}
    closed = next(name for name in stored.scores[month]["opportunity_id"] if name not in open_now)
    app = draw("opportunity", id=closed)
    assert "It is not open: its stage is" in texts(app)
    assert app.metric.len == 0


def test_a_new_deal_is_scored_at_once(draw: Draw, api: Api) -> None:
    names = api.get("/v1/catalogue")
    agent, product = names["agents"][0]["name"], names["products"][0]["name"]
    app = draw("opportunity", deal="New deal")
    app.button[0].click().run()
    assert "Choose an agent and a product." in texts(app)
    app.selectbox(key="agent").set_value(agent)
    app.selectbox(key="product").set_value(product)
    app.date_input(key="engaged").set_value(date(2017, 8, 10))
    app.button[0].click().run()
    fields = {"sales_agent": agent, "product": product, "engage_date": "2017-08-10"}
    scored = api.post("/v1/explain", {"opportunity": fields})["before"]
    assert app.metric[0].value == percent(scored["probability"], 1)
    assert "Recommended next step" in texts(app)
    again = draw("opportunity", deal="New deal", agent=agent, product=product, engaged="2017-08-10")
    assert again.metric[0].value == app.metric[0].value


def test_whoever_may_not_score_is_told_so_and_offered_no_form(draw: Draw, known: dict[str, Any]) -> None:
    for address in ({"id": known["opportunity_id"], "if_age": "20"}, {"deal": "New deal"}):
        app = draw("opportunity", may_score=False, **address)
        assert "grants the scope `score`" in texts(app)
        assert not app.number_input
        assert not app.error


def test_a_day_that_has_not_come_is_not_taken(draw: Draw) -> None:
    assert draw("opportunity", deal="New deal").date_input(key="engaged").max == LAST.end


def test_what_can_hardly_be_seen_calls_for_no_step(draw: Draw, sales_api: httpx.BaseTransport, api: Api) -> None:
    names = api.get("/v1/catalogue")
    given = {"agent": names["agents"][0]["name"], "product": names["products"][0]["name"], "engaged": "2017-07-10"}

    def step(due_to_agent: float) -> str:
        def answer(request: httpx.Request) -> httpx.Response:
            found = sales_api.handle_request(request)
            found.read()
            if request.url.path != "/v1/explain":
                return found
            told = found.json()
            parts = dict.fromkeys(told["before"]["parts"], 0.0) | {"due_to_agent": due_to_agent}
            before = {**told["before"], "probability": 0.1, "base": 0.1, "parts": parts}
            return httpx.Response(200, json={**told, "before": before})

        return texts(draw("opportunity", httpx.MockTransport(answer), deal="New deal", **given))

    assert "agent's manager" not in step(-0.0001)
    assert "agent's manager" in step(-0.02)


def test_nothing_is_sold_for_nothing(draw: Draw, known: dict[str, Any]) -> None:
    assert draw("opportunity", deal="New deal").number_input(key="price").min == 1
    assert draw("opportunity", id=known["opportunity_id"]).number_input[1].min == 1


def test_a_long_address_is_looked_for_as_far_as_the_box_goes(draw: Draw) -> None:
    told = texts(draw("opportunity", id="x" * 300))
    assert "No open deal fits" in told
    assert "should have at most" not in told
