"""The API on a lake in a bucket of a real S3 server: it starts, scores, and writes what it scored there."""

from __future__ import annotations

from pathlib import Path

import httpx
import polars as pl
import pytest

from crm_assets.lake import Lake
from crm_assets.modelling.win_model import WinModel
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.serving.live import Live
from crm_assets.sources import canonical_url
from crm_assets_tests.integration.s3_server import S3Server
from crm_assets_tests.serving.server_process import api_server
from crm_assets_tests.serving.small_lake import LAST, Business, Shelf, replace_in, settings_in, write_month
from crm_assets_tests.serving.test_parity import assert_as_stored


@pytest.mark.slow
def test_a_lake_in_a_bucket(
    business: Business, models: dict[str, WinModel], s3_environment: S3Server, s3_url: str, tmp_path: Path
) -> None:
    settings = replace_in(settings_in(tmp_path), lake_url=s3_url)
    lake = Lake.open(settings.dataset_url, source=canonical_url(settings.source_url), create=True)
    scores = write_month(lake, business, LAST, models["blend"])
    shelf = Shelf()
    shelf.put("1", models["blend"])
    # Its champion is kept for the server, whose registry is away.
    Live(settings, shelf).look()
    variables = {
        **s3_environment.environment,
        "CRM_LAKE_URL": settings.lake_url,
        "CRM_HOME": str(settings.home),
        "CRM_MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    with (
        api_server(variables, tmp_path) as server,
        httpx.Client(base_url=server.address, timeout=60) as client,
    ):
        assert client.get("/health/ready").json()["troubles"].keys() == {"registry"}
        assert_as_stored(client, scores, business.months[LAST].snapshots)
        assert server.stop() in (0, -15)
    found = lake.log(PREDICTION_LOG).scan(LAST).collect()
    asked = found.group_by("request_id").len()
    # The whole book by ids, and by fields.
    assert asked["len"].to_list() == [scores.height, scores.height]
    stored = dict(scores.select("opportunity_id", "probability").iter_rows())
    by_id = found.filter(pl.col("opportunity_id").is_not_null())
    assert dict(by_id.select("opportunity_id", "probability").iter_rows()) == pytest.approx(stored, abs=1e-9)
    bucket, _, prefix = settings.dataset_url.removeprefix("s3://").partition("/")
    listed = s3_environment.client().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{PREDICTION_LOG.name}/")
    assert any(file["Key"].endswith(".parquet") for file in listed["Contents"])
