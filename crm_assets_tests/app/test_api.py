"""The page's client of the API: what it keeps, and what it says of each way to fail."""

from __future__ import annotations

import gc
from collections.abc import Callable

import httpx
import pytest

from crm_assets.app.api import AnswerError, Api, AwayError, Kept

URL = "http://api.test"


def api(answer: Callable[[httpx.Request], httpx.Response], token: str | None = None) -> Api:
    return Api(URL, token, httpx.MockTransport(answer))


def test_an_answer_is_kept_while_the_api_says_that_it_holds() -> None:
    marks, seen = iter(['"one"', '"one"', '"two"']), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("if-none-match"))
        mark = next(marks)
        if mark == seen[-1]:
            return httpx.Response(304, headers={"ETag": mark})
        return httpx.Response(200, json={"told": mark}, headers={"ETag": mark})

    asked = api(answer)
    told = [asked.get("/v1/pipeline", region="East", product=None) for _ in range(3)]
    assert seen == [None, '"one"', '"one"']
    assert told == [{"told": '"one"'}, {"told": '"one"'}, {"told": '"two"'}]


def _marked(request: httpx.Request) -> httpx.Response:
    """Forty bytes of JSON, or that they have not changed."""
    known = "if-none-match" in request.headers
    return httpx.Response(304) if known else httpx.Response(200, content=b'"' + b"x" * 38 + b'"', headers={"ETag": "a"})


def test_a_file_is_not_sent_anew_while_it_holds() -> None:
    sent: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(_marked(request).status_code)
        return _marked(request)

    asked = api(answer)
    assert asked.download("/report", month="2017-12") == asked.download("/report", month="2017-12")
    assert sent == [200, 304]


def test_what_was_used_last_is_kept_of_all_users_up_to_a_number_of_bytes() -> None:
    asked: list[tuple[str, bool]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, "if-none-match" in request.headers))
        return _marked(request)

    kept = Kept(100)
    ones, others = (Api(URL, None, httpx.MockTransport(answer), kept) for _ in range(2))
    ones.get("/a")
    ones.get("/b")
    ones.get("/a")
    # A third answer is too much; /b was not used for longest.
    others.get("/a")
    asked.clear()
    ones.get("/a")
    others.get("/a")
    ones.get("/b")
    assert asked == [("/a", True), ("/a", True), ("/b", False)]


def test_an_answer_larger_than_all_that_is_kept_is_given_still() -> None:
    asked = Api(URL, None, httpx.MockTransport(_marked), Kept(10))
    assert [asked.get("/a"), asked.get("/a")] == ["x" * 38] * 2


def test_connections_are_closed_with_the_last_who_asks_by_them() -> None:
    closed: list[bool] = []

    class Noted(httpx.MockTransport):
        def close(self) -> None:
            closed.append(True)

    asked = Api(URL, None, Noted(_marked))
    assert not closed
    del asked
    gc.collect()
    assert closed == [True]


def test_other_questions_are_other_answers() -> None:
    asked = api(lambda request: httpx.Response(200, json=str(request.url), headers={"ETag": '"same"'}))
    assert asked.get("/v1/pipeline", limit=1) == f"{URL}/v1/pipeline?limit=1"
    assert asked.get("/v1/pipeline", limit=2) == f"{URL}/v1/pipeline?limit=2"


def test_the_users_token_goes_with_every_question() -> None:
    asked = api(lambda request: httpx.Response(200, json={"sent": request.headers.get("authorization")}), "secret")
    assert asked.get("/v1/me") == {"sent": "Bearer secret"}
    assert asked.post("/v1/score", {}) == {"sent": "Bearer secret"}
    nobodys = api(lambda request: httpx.Response(200, json={"sent": request.headers.get("authorization")}))
    assert nobodys.get("/v1/me") == {"sent": None}


def test_a_problem_is_told_with_the_fields_that_are_wrong() -> None:
    problem = {"detail": "product: there is none", "errors": [{"pointer": "/product", "detail": "there is none"}]}
    with pytest.raises(AnswerError, match="product: there is none") as caught:
        api(lambda _: httpx.Response(422, json=problem)).post("/v1/score", {})
    assert (caught.value.status, caught.value.faults) == (422, {"/product": "there is none"})


def test_what_is_no_problem_of_the_api_is_told_by_its_status() -> None:
    with pytest.raises(AnswerError, match="the API answered 502 Bad Gateway") as caught:
        api(lambda _: httpx.Response(502, text="<html>")).get("/v1/me")
    assert caught.value.status == 502


@pytest.mark.parametrize(
    ("failure", "said"), [(httpx.ReadTimeout, "did not answer in time"), (httpx.ConnectError, "nothing answers at")]
)
def test_an_api_that_is_away_is_told(failure: type[httpx.TransportError], said: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise failure("away", request=request)

    with pytest.raises(AwayError, match=f"{said}.*") as caught:
        api(answer).get("/v1/me")
    assert URL in str(caught.value)
