"""What each path answers, and how it refuses."""

from __future__ import annotations

import base64
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from crm_assets.modelling.card_ledger import MODEL_CARD
from crm_assets.modelling.forecast import FORECAST, INTERVALS
from crm_assets.modelling.forecast_accuracy import ACCURACY
from crm_assets.modelling.reasons import PARTS, WORDED
from crm_assets.serving import messages as msg
from crm_assets.serving.app import build_app
from crm_assets.serving.problems import Problem
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import FIRST, LAST, MONTHS, Business, replace_in, write, write_month

KNOWN: dict[str, Any] = {"sales_agent": "?", "product": "GTX Pro", "engage_date": "2017-08-01"}


def first(deployment: Deployment) -> str:
    return str(deployment.scores[LAST]["opportunity_id"][0])


def fields(deployment: Deployment, **changed: Any) -> dict[str, Any]:
    assert deployment.live.current is not None
    agent = next(iter(deployment.live.current.book.features.agents))
    return {**KNOWN, "sales_agent": agent, **changed}


def store_forecast(deployment: Deployment, wins: float) -> None:
    line = {"snapshot_month": str(LAST), "forecast_month": str(LAST.next), "level": "total", "name": "total"}
    ends = {f"{end}_{level}": 10 * wins for level in INTERVALS for end in ("low", "high")}
    figures = {"deals": 9, "expected_wins": wins, "expected_revenue": 10 * wins, **ends}
    write(deployment.lake, ACCURACY, LAST, pl.DataFrame(schema=ACCURACY.polars_schema()))
    write(deployment.lake, FORECAST, LAST, pl.DataFrame([{**line, **figures}]))


def problem(answer: Any, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = Problem.model_validate(answer.json())
    assert told.status == status
    assert told.request_id == answer.headers["x-request-id"]
    return told


@pytest.mark.parametrize(
    ("changed", "pointer", "said"),
    [
        ({"sales_agent": "Nobody"}, "sales_agent", '"Nobody" is no agent at the end of 2017-08'),
        ({"product": "GTXPro"}, "product", "did you mean GTX Pro"),
        ({"engage_date": "2017-09-01"}, "engage_date", "2017-09-01 is after 2017-08-31"),
        ({"engage_date": "31.08.2017"}, "engage_date", "YYYY-MM-DD"),
        ({"engage_date": 1500000000}, "engage_date", "YYYY-MM-DD"),
        ({"engage_date": "2017-02-30"}, "engage_date", "day"),
        ({"engage_date": None}, "", "either engage_date or age_days"),
        ({"age_days": 3}, "", "either engage_date or age_days"),
        ({"list_price": -1}, "list_price", "greater than or equal to 0"),
        ({"list_price": "55"}, "list_price", "valid number"),
        ({"list_price": True}, "list_price", "valid number"),
        ({"sales_agent": ""}, "sales_agent", "at least 1 character"),
        ({"sales_agent": "x" * 201}, "sales_agent", "at most 200"),
        ({"sales_agent": ["Anna"]}, "sales_agent", "valid string"),
        ({"agent": "Anna"}, "agent", "not a field"),
        ({"opportunity_id": "a"}, "", "stands alone"),
        ({"product": None}, "", "product missing"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(
    deployment: Deployment, client: TestClient, changed: dict[str, Any], pointer: str, said: str
) -> None:
    asked = {"opportunities": [{"opportunity_id": first(deployment)}, fields(deployment, **changed)]}
    told = problem(client.post("/v1/score", json=asked), 422)
    assert [fault.pointer for fault in told.errors] == [f"/opportunities/1/{pointer}".rstrip("/")]
    assert said in told.errors[0].detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(deployment: Deployment, client: TestClient, number: str) -> None:
    told = json.dumps({"opportunities": [fields(deployment, list_price=0.5)]}).replace("0.5", number)
    answer = client.post("/v1/score", content=told, headers={"content-type": "application/json"})
    assert problem(answer, 422).errors[0].pointer == "/opportunities/0/list_price"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 422),
        (b"{", "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"opportunities":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'"x"', "application/json", 422),
        (b'{"opportunities": []}', "application/json", 422),
        (b"opportunities=1", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
    ],
)
def test_a_body_that_is_no_request_is_refused(client: TestClient, content: bytes, kind: str, status: int) -> None:
    problem(client.post("/v1/score", content=content, headers={"content-type": kind}), status)


def test_every_fault_of_a_batch_is_told(client: TestClient) -> None:
    asked = {"opportunities": [{"opportunity_id": "a"}, {"opportunity_id": "b"}]}
    told = problem(client.post("/v1/score", json=asked), 422)
    assert [fault.pointer for fault in told.errors] == [f"/opportunities/{at}/opportunity_id" for at in (0, 1)]


def test_one_that_is_not_open_is_refused_with_its_stage(deployment: Deployment, client: TestClient) -> None:
    assert deployment.live.current is not None
    stages = deployment.live.current.book.stages
    won = next(name for name, stage in stages.items() if stage == "Won")
    told = problem(client.post("/v1/score", json={"opportunities": [{"opportunity_id": won}]}), 422)
    assert "is not open at the end of 2017-08, it is Won" in told.detail


def test_a_setting_lets_unknown_names_count_as_average_and_it_is_said(deployment: Deployment) -> None:
    asked = {"opportunities": [fields(deployment, sales_agent="Nobody", product="None such", list_price=10.0)]}
    with deployment.client(replace_in(deployment.settings, api_unknown="overall")) as client:
        (told,) = client.post("/v1/score", json=asked).json()["opportunities"]
    assert told["unknown"] == ["sales_agent", "product"]
    assert told["expected_value"] == pytest.approx(10 * told["probability"])


def test_batches_are_limited(deployment: Deployment) -> None:
    one = {"opportunity_id": first(deployment)}
    with deployment.client(replace_in(deployment.settings, api_batch_limit=3)) as client:
        assert client.post("/v1/score", json={"opportunities": [one] * 3}).status_code == 200
        told = problem(client.post("/v1/score", json={"opportunities": [one] * 4}), 422)
    assert "send 3 at most" in told.detail


def test_bodies_are_limited_however_they_come(deployment: Deployment) -> None:
    headers = {"content-type": "application/json"}
    with deployment.client(replace_in(deployment.settings, api_body_bytes=1000)) as client:
        problem(client.post("/v1/score", content=b" " * 1001, headers=headers), 413)
        problem(client.post("/v1/score", content=(b" " * 100 for _ in range(11)), headers=headers), 413)
        problem(client.post("/v1/score", content=(b" " * 100 for _ in range(10)), headers=headers), 400)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("DELETE", "/v1/score", 405)])
def test_paths_and_methods_that_are_none(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    problem(answer, status)
    assert (answer.headers.get("allow") == "POST") is (status == 405)


def test_a_failure_tells_nothing_of_itself(client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the secret of line 7")

    monkeypatch.setattr("crm_assets.serving.scoring_paths._all_resolved", fails)
    answer = client.post("/v1/score", json={"opportunities": [{"opportunity_id": "a"}]})
    problem(answer, 500)
    assert "secret" not in answer.text
    assert "the secret of line 7" in caplog.text
    assert client.get("/health/live").status_code == 200


def test_every_answer_has_the_headers_that_keep_it_safe(client: TestClient) -> None:
    for path in ("/health/live", "/v1/pipeline", "/nope"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("x" * 129, False), ("a b", False)])
def test_a_request_has_an_id(client: TestClient, given: str, kept: bool) -> None:
    assert (client.get("/health/live", headers={"x-request-id": given}).headers["x-request-id"] == given) is kept


def test_the_pipeline_in_pages_is_the_whole_pipeline(deployment: Deployment, client: TestClient) -> None:
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor is not None or not rows:
        asked = {"limit": 7, **({"cursor": cursor} if cursor else {})}
        told = msg.PipelineAnswer.model_validate(client.get("/v1/pipeline", params=asked).json())
        rows += [row.model_dump() for row in told.opportunities]
        cursor = told.next_cursor
    expected = deployment.scores[LAST].sort(["expected_value", "opportunity_id"], descending=[True, False])
    assert [row["opportunity_id"] for row in rows] == expected["opportunity_id"].to_list()
    assert told.total == len(rows)


def test_pages_go_on_in_the_scores_they_began_with(deployment: Deployment, client: TestClient, models: Any) -> None:
    begun = client.get("/v1/pipeline", params={"limit": 1, "sort": "probability"}).json()
    deployment.shelf.put("2", models["lightgbm"])
    deployment.live.look()
    asked = {"limit": 1, "sort": "probability", "cursor": begun["next_cursor"]}
    assert client.get("/v1/pipeline", params=asked).json()["model_version"] == "1"
    deployment.live._recent.clear()
    problem(client.get("/v1/pipeline", params=asked), 410)


@pytest.mark.parametrize("cursor", ["x", "é", "WzEsMiwzXQ==", "bnVsbA==", "W" * 1000])
def test_a_cursor_that_is_none_is_refused(client: TestClient, cursor: str) -> None:
    told = problem(client.get("/v1/pipeline", params={"cursor": cursor}), 422)
    assert told.errors[0].pointer == "cursor"


@pytest.mark.parametrize("at", [True, 0.5, -1, "total", 2**63, 10**30, "1", None, [1]])
def test_a_cursor_that_somebody_made_up_is_refused(client: TestClient, at: Any) -> None:
    begun = client.get("/v1/pipeline", params={"limit": 1}).json()
    key, query, last = json.loads(base64.urlsafe_b64decode(begun["next_cursor"]))
    assert last == 1
    made_up = base64.urlsafe_b64encode(json.dumps([key, query, begun["total"] if at == "total" else at]).encode())
    problem(client.get("/v1/pipeline", params={"limit": 1, "cursor": made_up.decode()}), 422)


def test_a_cursor_of_another_query_is_refused(client: TestClient) -> None:
    cursor = client.get("/v1/pipeline", params={"limit": 1}).json()["next_cursor"]
    problem(client.get("/v1/pipeline", params={"cursor": cursor, "order": "asc"}), 422)


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 1001}, {"sort": "x"}, {"x": 1}, {"min_probability": "nan"}, {"order": ""}]
)
def test_a_query_that_is_none_is_refused(client: TestClient, asked: dict[str, Any]) -> None:
    problem(client.get("/v1/pipeline", params=asked), 422)


def test_filters_and_order(deployment: Deployment, client: TestClient) -> None:
    agent = deployment.scores[LAST]["sales_agent"][0]
    asked = {"sales_agent": agent, "sort": "age_days", "order": "asc", "min_probability": 0.01}
    rows = client.get("/v1/pipeline", params=asked).json()["opportunities"]
    expected = deployment.scores[LAST].filter(sales_agent=agent)
    expected = expected.filter(expected["probability"] >= 0.01).sort(["age_days", "opportunity_id"])
    assert [row["opportunity_id"] for row in rows] == expected["opportunity_id"].to_list()


def test_an_opportunity_has_its_scores_month_by_month(deployment: Deployment, client: TestClient) -> None:
    frames = [scores.select("opportunity_id", "snapshot_month", "probability") for scores in deployment.scores.values()]
    longest = max(
        frames[-1]["opportunity_id"], key=lambda name: sum(name in frame["opportunity_id"] for frame in frames)
    )
    told = msg.OpportunityAnswer.model_validate(client.get(f"/v1/opportunities/{longest}").json())
    expected = [row for frame in frames for row in frame.filter(opportunity_id=longest).rows()]
    assert [(longest, past.month, past.probability) for past in told.history] == expected
    assert len(expected) > 1
    assert told.is_open
    newest = deployment.scores[LAST].row(0, named=True)
    assert (told.model_version, told.model_month, told.rung) == ("1", newest["model_month"], newest["rung"])
    assert {(past.model_version, past.model_month) for past in told.history} == {("1", newest["model_month"])}
    # The small lake holds no reasons.
    assert "score_reasons" in str(told.not_told_because)


def test_scores_that_are_stored_later_are_told(deployment: Deployment, business: Business, models: Any) -> None:
    earliest = MONTHS[0]
    longest = next(
        name
        for name in deployment.scores[LAST]["opportunity_id"]
        if name in deployment.scores[earliest]["opportunity_id"]
    )
    for file in Path(deployment.settings.dataset_url, "scores").glob(f"{earliest}.*"):
        file.unlink()
    with deployment.client() as client:
        for expected in (MONTHS[1:], MONTHS):
            told = client.get(f"/v1/opportunities/{longest}").json()["history"]
            assert [past["month"] for past in told] == [str(month) for month in expected]
            write_month(deployment.lake, business, earliest, models["blend"])


def test_a_card_that_is_stored_or_made_again_is_told(deployment: Deployment, client: TestClient) -> None:
    assert client.get("/v1/model").json()["card"] is None
    for value in (1.0, 2.0):
        figure = {"snapshot_month": str(LAST), "section": "data", "subject": "all", "name": "rows", "value": value}
        write(deployment.lake, MODEL_CARD, LAST, pl.DataFrame([{**figure, "told": str(value)}]))
        assert [figure["value"] for figure in client.get("/v1/model").json()["card"]] == [value]


def test_a_forecast_that_is_made_again_is_told(deployment: Deployment, client: TestClient) -> None:
    problem(client.get("/v1/forecast"), 503)
    for value in (1.0, 2.0):
        store_forecast(deployment, value)
        assert [line["expected_wins"] for line in client.get("/v1/forecast").json()["lines"]] == [value]


def test_a_forecast_names_the_model_that_it_was_made_with(deployment: Deployment, models: Any) -> None:
    store_forecast(deployment, 1.0)
    deployment.shelf.put("2", models["lightgbm"])
    live = deployment.another(deployment.settings)
    with TestClient(build_app(deployment.settings, live, watch=False)) as client:
        assert client.get("/v1/model").json()["model_version"] == "2"
        told = msg.ForecastAnswer.model_validate(client.get("/v1/forecast").json())
    assert (told.month, told.as_of, told.predicted_month) == (str(LAST), LAST.end, str(LAST.next))
    assert (told.model_version, told.model_month, told.rung) == ("1", str(FIRST), models["blend"].rung)


def test_reasons_name_the_expected_value_and_the_model_of_the_score(
    deployment: Deployment, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = deployment.scores[LAST].row(0, named=True)

    def told_why(*_: object) -> dict[str, Any]:
        parts: dict[str, Any] = {**dict.fromkeys(PARTS, 0.0), **dict.fromkeys(WORDED)}
        return {"reasons": {"probability": stored["probability"], "base": 0.5, **parts}, "unmoved": "it is new"}

    monkeypatch.setattr("crm_assets.serving.history.why", told_why)
    deployment.shelf.put("2", models["lightgbm"])
    deployment.live.look()
    with deployment.client() as client:
        answer = client.get(f"/v1/opportunities/{stored['opportunity_id']}").json()
    told = msg.OpportunityAnswer.model_validate(answer)
    assert told.reasons is not None
    assert told.reasons.expected_value == stored["expected_value"]
    assert told.model_version == "1"


def test_an_opportunity_that_nobody_knows_is_not_found(client: TestClient) -> None:
    problem(client.get("/v1/opportunities/zzz"), 404)


def test_what_is_not_stored_is_a_503_with_the_reason(client: TestClient) -> None:
    assert "holds no forecast" in problem(client.get("/v1/forecast"), 503).detail


def test_reasons_sum_to_the_score(deployment: Deployment, client: TestClient) -> None:
    asked = {"opportunity": {"opportunity_id": first(deployment)}}
    told = msg.ExplainAnswer.model_validate(client.post("/v1/explain", json=asked).json())
    assert set(told.before.parts) == set(PARTS)
    assert told.before.base + sum(told.before.parts.values()) == pytest.approx(told.before.probability, abs=1e-9)
    assert told.before.probability == pytest.approx(deployment.scores[LAST]["probability"][0], abs=1e-9)
    assert told.after is None


@pytest.mark.parametrize("change", [{"age_days": 90}, {"product": True}, {"list_price": 1.0}, {"agent": True}])
def test_what_if_is_what_the_changed_one_would_score(
    deployment: Deployment, client: TestClient, change: dict[str, Any]
) -> None:
    assert deployment.live.current is not None
    book = deployment.live.current.book
    if change.pop("agent", False):
        change["sales_agent"] = list(book.features.agents)[-1]
    if "product" in change:
        change["product"] = list(book.features.products)[-1]
    before = book.fields[first(deployment)]
    told = client.post("/v1/explain", json={"opportunity": {"opportunity_id": first(deployment)}, "change": change})
    assert told.status_code == 200, told.text
    changed: dict[str, Any] = {
        "sales_agent": before.sales_agent,
        "product": before.product,
        "engage_date": str(before.engage_date),
        **change,
    }
    if "age_days" in change:
        del changed["engage_date"]
    (expected,) = client.post("/v1/score", json={"opportunities": [changed]}).json()["opportunities"]
    after = told.json()["after"]
    assert after["probability"] == pytest.approx(expected["probability"], abs=1e-9)
    assert after["expected_value"] == pytest.approx(expected["expected_value"], abs=1e-9)
    assert told.json()["difference"] == pytest.approx(after["probability"] - told.json()["before"]["probability"])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, "/change"),
        ({"age_days": 1, "engage_date": "2017-08-01"}, "/change"),
        ({"sales_agent": "Nobody"}, "/change/sales_agent"),
        ({"engage_date": "2018-01-01"}, "/change/engage_date"),
        ({"stage": "Won"}, "/change/stage"),
    ],
)
def test_a_wrong_change_is_refused(
    deployment: Deployment, client: TestClient, change: dict[str, Any], pointer: str
) -> None:
    asked = {"opportunity": {"opportunity_id": first(deployment)}, "change": change}
    assert problem(client.post("/v1/explain", json=asked), 422).errors[0].pointer == pointer


def test_an_age_is_a_day_of_engagement(deployment: Deployment, client: TestClient) -> None:
    day = fields(deployment, engage_date=str(LAST.end - timedelta(days=40)))
    age = {**fields(deployment), "age_days": 40}
    del age["engage_date"]
    one, other = client.post("/v1/score", json={"opportunities": [day, age]}).json()["opportunities"]
    assert one == other
    assert one["age_days"] == 40


def test_the_model_tells_what_it_is(client: TestClient, models: Any) -> None:
    told = msg.ModelAnswer.model_validate(client.get("/v1/model").json())
    assert (told.candidate, told.sha256) == ("blend", models["blend"].sha256)
    assert [feature.name for feature in told.features] == list(models["blend"].features)
    assert told.as_of == date(2017, 8, 31)


def test_openapi_names_every_problem_and_gives_examples(client: TestClient) -> None:
    schema = client.get("/v1/openapi.json").json()
    assert schema["paths"]["/v1/score"]["post"]["responses"].keys() >= {"200", "400", "401", "413", "422", "429", "503"}
    for methods in schema["paths"].values():
        for told in methods.values():
            for status, answer in told["responses"].items():
                assert (status == "200") or list(answer["content"]) == ["application/problem+json"]
    for name in ("ScoreRequest", "ExplainRequest", "Opportunity"):
        assert schema["components"]["schemas"][name]["examples"]


def test_what_has_not_changed_is_not_sent_again(deployment: Deployment) -> None:
    with deployment.client() as client:
        first = client.get("/v1/pipeline?limit=3")
        mark, known = first.headers["etag"], first.json()["opportunities"][0]["opportunity_id"]
        again = client.get("/v1/pipeline?limit=3", headers={"If-None-Match": f'"other", {mark}'})
        other = client.get("/v1/pipeline?limit=2", headers={"If-None-Match": mark})
        scored = client.post("/v1/score", json={"opportunities": [{"opportunity_id": known}]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", mark)
    assert (other.status_code, other.headers["etag"] != mark) == (200, True)
    assert "etag" not in scored.headers
