"""A Dagster that answers over GraphQL what a test has it answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from crm_assets_tests.client.test_session import WORKSPACE

RUN_ID = "0a1b2c3d-0000-4000-8000-0123456789ab"
PLAN = {
    "first": "2017-06",
    "last": "2017-08",
    "assets": ["scores", "win_model"],
    "steps": [
        {"month": "2017-07", "asset": "scores", "cause": "inputs changed", "detail": "input x has changed"},
        {"month": "2017-08", "asset": "scores", "cause": "inputs changed", "detail": "input y has changed"},
        {"month": "2017-08", "asset": "model_card", "cause": "missing", "detail": "missing"},
    ],
}
RECENT = {
    "runId": RUN_ID,
    "status": "SUCCESS",
    "jobName": "backfill",
    "creationTime": 1.0,
    "startTime": 2.0,
    "endTime": None,
    "tags": [
        {"key": "dagster/asset_partition_range_start", "value": "2017-06"},
        {"key": "dagster/asset_partition_range_end", "value": "2017-08"},
        {"key": "crm_assets/trigger", "value": "landing"},
    ],
}


def run(status: str) -> dict[str, Any]:
    stored = {"__typename": "MaterializationEvent", "assetKey": {"path": ["scores"]}, "partition": "2017-06"}
    return {
        "__typename": "Run",
        "runId": RUN_ID,
        "status": status,
        "tags": [{"key": "crm_assets/backfill_total", "value": "4"}],
        "eventConnection": {"cursor": "1", "hasMore": False, "events": [stored]},
    }


@dataclass
class FakeDagster:
    """Answers by the name of what it is asked, and writes down the orders."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        body = json.loads(request.data)
        name = body["query"].split("{")[0].split("(")[0].split()[1]
        self.asked.append((name, body["variables"]))
        answer = self.answers[name]
        return Response(json.dumps({"data": answer}), content_type="application/json")


def fake_dagster() -> FakeDagster:
    """One that has a plan and one run, which goes on and cannot be stopped."""
    plan = {"evaluationResult": {"cursor": json.dumps({"plan": PLAN}), "skipReason": "", "error": None}}
    return FakeDagster(
        {
            "CrmWorkspace": WORKSPACE,
            "CrmRecentRuns": {"runsOrError": {"__typename": "Runs", "results": [RECENT]}},
            "CrmRuns": {"runsOrError": {"__typename": "Runs", "results": []}},
            "CrmPlan": {"sensorDryRun": {"__typename": "DryRunInstigationTick", **plan}},
            "CrmLaunch": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": RUN_ID}}},
            "CrmRun": {"runOrError": run("STARTED")},
            "CrmTerminate": {"terminateRun": {"__typename": "TerminateRunFailure", "message": "gone"}},
        }
    )


@contextmanager
def serving(fake: FakeDagster) -> Iterator[str]:
    """Its address, while the block runs."""
    with HTTPServer() as server:
        server.expect_request("/graphql").respond_with_handler(fake)
        yield server.url_for("").rstrip("/")
