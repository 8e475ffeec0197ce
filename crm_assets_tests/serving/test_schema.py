"""Requests made up from OpenAPI, valid and not, to every path: no 5xx, no answer unlike its schema."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from crm_assets.alerts import sent_log
from crm_assets.alerts.alert import Message
from crm_assets.modelling.forecast import FORECAST, TOTAL
from crm_assets.modelling.forecast_accuracy import ACCURACY
from crm_assets.modelling.win_model import WinModel
from crm_assets.serving.app import build_app
from crm_assets.serving.live import Live
from crm_assets_tests.alerts.samples import START, alert
from crm_assets_tests.serving.conftest import Stored
from crm_assets_tests.serving.fake_dagster import fake_dagster, serving
from crm_assets_tests.serving.small_lake import LAST, Business, Shelf, new_lake, replace_in, settings_in, write
from crm_assets_tests.serving.trust_lake import store_monitoring, store_report

CONFIG = schemathesis.Config.from_dict(
    {
        # Names that nobody knows are well formed and refused, and so are days after the month-end.
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "404", "409", "410", "422", "503"]}},
        "generation": {"database": "none"},
    }
)


@pytest.fixture(scope="module")
def dagster() -> Iterator[str]:
    with serving(fake_dagster()) as address:
        yield address


@pytest.fixture(scope="module")
def api(
    stored: Stored,
    models: dict[str, WinModel],
    business: Business,
    dagster: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("schema")

    shelf = Shelf()
    shelf.put("1", models["blend"])
    # Unknown names count as average, so that made up ones get as far as the model.
    options = replace_in(settings_in(folder), api_unknown="overall", api_requests_per_second=0, api_dagster_url=dagster)
    shutil.copytree(stored.folder, options.dataset_url)
    lake = new_lake(Path(options.dataset_url))
    numbers = ("deals", "expected_wins", "expected_revenue", "low_80", "high_80", "low_95", "high_95")
    line = {"level": TOTAL, "name": TOTAL, "snapshot_month": str(LAST), "forecast_month": str(LAST.next)}
    write(lake, FORECAST, LAST, pl.DataFrame([{**line, **dict.fromkeys(numbers, 1)}]))
    write(lake, ACCURACY, LAST, pl.DataFrame(schema=ACCURACY.polars_schema()))
    store_report(lake, LAST)
    store_monitoring(lake, business, stored.scores, LAST)
    sent_log.record(lake, [("json", Message(alert(), START, 1))], START)
    live = Live(options, shelf)
    live.look()
    assert live.current is not None
    yield schemathesis.openapi.from_asgi("/v1/openapi.json", build_app(options, live, watch=False), config=CONFIG)


OPERATIONS = (
    "POST /v1/score",
    "POST /v1/explain",
    "GET /v1/pipeline",
    "GET /v1/pipeline/summary",
    "GET /v1/pipeline/file",
    "GET /v1/catalogue",
    "GET /v1/opportunities/{opportunity_id}",
    "GET /v1/forecast",
    "GET /v1/me",
    "GET /v1/model",
    "GET /v1/model/report",
    "GET /v1/model/card",
    "GET /v1/monitoring",
    "GET /v1/monitoring/report",
    "GET /v1/monitoring/alerts",
    "GET /v1/operations",
    "POST /v1/operations/plan",
    "POST /v1/operations/backfills",
    "GET /v1/operations/backfills/{run_id}",
    "POST /v1/operations/backfills/{run_id}/cancel",
    "POST /v1/operations/simulation/advance",
    "POST /v1/operations/simulation/reset",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
)


def test_no_path_is_left_out(api: Any) -> None:
    assert {result.ok().label for result in api.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_path_keeps_to_its_schema(api: Any, label: str, mode: GenerationMode) -> None:
    operation = api.find_operation_by_label(label)

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        # As somebody at this machine does, who may operate, too.
        case.call_and_validate(base_url="http://127.0.0.1")

    try:
        check()
    except Unsatisfiable:
        # There is nothing to get wrong about it.
        assert mode is GenerationMode.NEGATIVE
