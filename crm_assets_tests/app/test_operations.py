"""The view `operations` against an API that answers what a test has it answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

RUN_ID = "0a1b2c3d-0000-4000-8000-0123456789ab"


def _month(state: str, why: str | None = None) -> dict[str, Any]:
    return {"month": "2017-03", "state": state, "why": why, "written_at": "2026-01-02T03:04:05+00:00", "rows": 1}


def _overview(**given: Any) -> dict[str, Any]:
    return {
        "months": ["2017-03"],
        "newest_month": "2017-03",
        "next_before": "2017-03",
        "assets": [
            {"name": "scores", "months": [_month("made")]},
            {"name": "drift_report", "months": [_month("out of date", "input x has changed")]},
        ],
        "compared": True,
        "not_compared_because": None,
        "dagster": {"address": "http://dagster.example", "answers": True, "why": None},
        "runs": [],
        "landing": {
            "name": "crm", "place": "/data/crm", "simulator": "simulator:", "landed": ["2017-03"],
            "next_month": "2017-04",
        },
        "troubles": {},
        **given,
    }  # fmt: skip


class FakeApi:
    """Answers by path, and writes down the orders."""

    def __init__(self) -> None:
        self.overview = _overview()
        self.run = {
            "id": RUN_ID, "state": "running", "over": False, "done": 1, "total": 4, "months": ["2017-03"],
            "url": f"http://dagster.example/runs/{RUN_ID}", "reason": None, "joined": False,
        }  # fmt: skip
        self.plan: dict[str, Any] = {
            "start": "2017-03",
            "end": "2017-03",
            "total": 1,
            "assets": 2,
            "steps": [{"asset": "drift_report", "cause": "inputs changed", "months": ["2017-03"], "detail": "input x"}],
        }
        self.orders: list[tuple[str, Any]] = []
        self.removes = ["2017-03"]
        self.refusal: dict[str, Any] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/operations")
        if request.method == "POST":
            self.orders.append((path, json.loads(request.content)))
            if self.refusal:
                return httpx.Response(409, json=self.refusal)
        landed = {"month": "2017-04", "opportunities": 9, "created": 3, "won": 1, "lost": 2}
        answers = {
            "": self.overview,
            "/plan": self.plan,
            "/backfills": self.run,
            f"/backfills/{RUN_ID}": self.run,
            f"/backfills/{RUN_ID}/cancel": {**self.run, "state": "canceled", "over": True},
            "/simulation/advance": {"landed": [landed]},
            "/simulation/reset": {"removed": self.removes},
        }
        if path == "/simulation/reset":
            self.overview = _overview(landing=None)
        return httpx.Response(200, json=answers[path])


def _script(api):  # type: ignore[no-untyped-def]  # its text is run where no name of this file is known
    import httpx

    from crm_assets.app.api import Api
    from crm_assets.app.session import User
    from crm_assets.app.views.operations import draw

    draw(User("somebody", "operator", Api("http://api", transport=httpx.MockTransport(api))))


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def view(api: FakeApi) -> AppTest:
    return AppTest.from_function(_script, kwargs={"api": api}, default_timeout=20)


def _shown(view: AppTest) -> str:
    assert not view.exception
    kinds = (view.title, view.subheader, view.markdown, view.caption, view.info, view.warning, view.error, view.success)
    return "\n".join(str(one.value) for kind in kinds for one in kind)


def _press(view: AppTest, label: str) -> AppTest:
    return next(button for button in view.button if button.label == label).click().run()


def test_what_is_made_and_what_is_not_is_told_in_words_and_signs(view: AppTest) -> None:
    view.run()
    assert [(one.label, one.value) for one in view.metric] == [
        ("Newest month", "2017-03"), ("Up to date", "1 of 2"), ("Out of date", "1"), ("Missing", "0"),
    ]  # fmt: skip
    grid = next(one.value for one in view.dataframe if "Step" in one.value and "2017-03" in one.value)
    assert grid.to_numpy().tolist() == [["scores", "✓"], ["drift_report", "↺ old"]]
    assert "input x has changed" in view.dataframe[-1].value.to_string()


def test_the_newest_month_is_that_of_all_and_the_counts_name_their_span(view: AppTest, api: FakeApi) -> None:
    api.overview = _overview(months=["2017-03", "2017-02"], newest_month="2017-12")
    shown = _shown(view.run())
    assert view.metric[0].value == "2017-12"
    assert "The counts are of steps in 2017-02 to 2017-03" in shown


def test_older_months_are_in_the_address(view: AppTest) -> None:
    _press(view.run(), "Older months")
    assert view.query_params["before"] == "2017-03"
    _press(view, "Newest months")
    assert "before" not in view.query_params


def test_the_plan_comes_before_the_start(view: AppTest, api: FakeApi) -> None:
    _press(view.run(), "Show what would be made")
    assert api.orders == [("/plan", {"start": "2017-03", "end": "2017-03", "force": False})]
    assert "1 step of 2017-03 would be made" in _shown(view)
    _press(view, "Start")
    assert api.orders[1] == ("/backfills", api.orders[0][1])
    assert view.query_params["run"] == RUN_ID
    _press(view, "Stop")
    assert api.orders[-1][0] == f"/backfills/{RUN_ID}/cancel"


def test_nothing_is_offered_where_all_is_up_to_date(view: AppTest, api: FakeApi) -> None:
    api.plan |= {"total": 0, "steps": []}
    _press(view.run(), "Show what would be made")
    assert "Nothing to do: 2017-03 is up to date." in _shown(view)
    assert "Start" not in [button.label for button in view.button]


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("done", None, "It is done. 4 steps stored."),
        ("failed", "disk full", "It failed: disk full."),
        ("canceled", None, "It was stopped."),
    ],
)
def test_the_end_of_a_run_is_told(view: AppTest, api: FakeApi, state: str, reason: str | None, told: str) -> None:
    api.run |= {"state": state, "over": True, "done": 4, "reason": reason}
    view.query_params["run"] = RUN_ID
    view.run()
    assert told in _shown(view)
    _press(view, "Close")
    assert "run" not in view.query_params


def test_a_dagster_that_is_away_is_told_of_and_nothing_can_be_started(view: AppTest, api: FakeApi) -> None:
    away = {"address": "http://dagster.example", "answers": False, "why": "nothing answers: start it (make dev)"}
    api.overview = _overview(compared=False, dagster=away)
    api.overview["assets"][1]["months"] = [_month("made")]
    view.run()
    assert "does not answer: nothing answers: start it (make dev)" in _shown(view)
    assert "Show what would be made" not in [button.label for button in view.button]
    figures = {one.label: one.value for one in view.metric}
    assert figures == {"Newest month": "2017-03", "Stored": "2 of 2", "Out of date": "not known", "Missing": "0"}


@pytest.mark.parametrize("answers", [True, False])
def test_what_was_not_compared_is_stored_and_not_called_up_to_date(
    view: AppTest, api: FakeApi, *, answers: bool
) -> None:
    dagster = {**api.overview["dagster"], "answers": answers, "why": None if answers else "nothing answers"}
    api.overview = _overview(compared=False, dagster=dagster)
    api.overview["assets"][1]["months"] = [_month("made")]
    shown = _shown(view.run())
    assert "stored, up to date or not" in shown
    assert "as it would be made now" not in shown
    steps = view.segmented_control(key="steps")
    assert steps.options == ["all", "missing (0)"]
    shown = _shown(steps.set_value("not up to date").run())
    assert "No step of these months is missing; whether each is up to date is not known." in shown
    assert "Every step" not in shown


@pytest.mark.parametrize("assets", [[], [{"name": "scores", "months": [_month("missing")]}]])
def test_an_empty_lake_says_once_what_to_do(view: AppTest, api: FakeApi, assets: list[dict[str, Any]]) -> None:
    api.overview = _overview(assets=assets, troubles={"lake": "there is no lake yet; run `crm-assets run`"})
    shown = _shown(view.run())
    assert "Nothing is made yet" in shown
    assert "There is no lake yet; run `crm-assets run`. Or make the first months below." in shown
    assert shown.count("no lake yet") == 1
    assert "Steps and months" not in shown


def test_a_month_arrives(view: AppTest, api: FakeApi) -> None:
    _press(view.run(), "Let 2017-04 arrive")
    assert api.orders == [("/simulation/advance", {"months": 1})]
    assert "2017-04 has arrived: 3 new opportunities, 1 won and 2 lost." in _shown(view)


def test_a_refusal_is_told_in_a_sentence(view: AppTest, api: FakeApi) -> None:
    api.refusal = {"detail": "another process is landing in crm: wait until it has ended"}
    _press(view.run(), "Let 2017-04 arrive")
    assert "Another process is landing in crm: wait until it has ended." in _shown(view)


def test_a_reset_wants_the_name(view: AppTest, api: FakeApi) -> None:
    _press(view.run(), "Reset")
    assert api.orders == []
    assert "Write the name of the simulated CRM first." in _shown(view)
    api.overview["landing"]["landed"] = ["2017-02", "2017-03"]
    api.removes = ["2017-02", "2017-03"]
    view.text_input[0].input("crm")
    _press(view, "Reset")
    assert api.orders == [("/simulation/reset", {"confirm": "crm"})]
    shown = _shown(view)
    assert "removed 2017-02 to 2017-03. Begin one anew with `crm-assets advance --to /data/crm`." in shown
    assert "has arrived so far" not in shown
    assert "Let 2017-04 arrive" not in [button.label for button in view.button]
    assert "removed" not in _shown(view.run())


def test_there_is_no_simulation_where_the_crm_is_real(view: AppTest, api: FakeApi) -> None:
    api.overview = _overview(landing=None)
    assert "Simulated CRM" not in _shown(view.run())


@pytest.mark.parametrize("run", ["../../me", "abc", RUN_ID.upper()])
def test_an_address_that_names_no_run_is_told_and_not_asked_for(view: AppTest, api: FakeApi, run: str) -> None:
    view.query_params["run"] = run
    assert "The address names no run" in _shown(view.run())
    assert _press(view, "Close").query_params.get("run") is None
