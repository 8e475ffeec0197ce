"""The landing sensor on a prefix of a real S3 server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.raw import RAW_ASSETS
from crm_assets.defs.run_tags import REASON_TAG
from crm_assets.settings import load_settings
from crm_assets.storage import open_storage
from crm_assets_tests.graph.conftest import cleared
from crm_assets_tests.graph.landing import TABLES, Deployment, extracts
from crm_assets_tests.integration.s3_server import S3Server

JANUARY = Month(2017, 1)
UNFINISHED = (
    f"2017-01 lacks {ASSETS[len(RAW_ASSETS)].name} and {len(ASSETS) - len(RAW_ASSETS) - 1} more: no run makes it; run "
    "`crm-assets run --months 2017-01`"
)


def test_a_month_lands_changes_and_the_server_goes_away(
    s3_url: str, s3_environment: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = extracts(tmp_path / "crm") / "2017-01"
    bucket, _, prefix = s3_url.removeprefix("s3://").partition("/")
    client = s3_environment.client()
    with cleared():
        settings = load_settings(source_url=s3_url, lake_url=str(tmp_path / "lake"), first_month=JANUARY)

    def upload(table: str, content: bytes | None = None) -> None:
        """As another program puts it there, without the hash that this one adds."""
        body = (exported / f"{table}.csv").read_bytes() if content is None else content
        client.put_object(Bucket=bucket, Key=f"{prefix}/2017-01/{table}.csv", Body=body)

    def put_at(table: str) -> datetime:
        found: datetime = client.head_object(Bucket=bucket, Key=f"{prefix}/2017-01/{table}.csv")["LastModified"]
        return found

    with dg.DagsterInstance.ephemeral() as instance:
        deployment = Deployment(settings, instance)
        assert "holds no table" in str(deployment.tick())
        upload("accounts")
        assert deployment.tick() == "2017-01 waits for products.csv, sales_teams.csv, sales_pipeline.csv"
        for table in TABLES:
            upload(table)
        assert "2017-01 is still being written" in str(deployment.tick())
        request = deployment.tick()
        assert isinstance(request, dg.RunRequest)
        assert request.tags[REASON_TAG] == "2017-01 landed"

        make_raw(deployment)
        assert deployment.tick() == UNFINISHED
        # The same bytes under a new time, of which the server tells the seconds.
        first = put_at("products")
        while put_at("products") == first:
            upload("products")
        assert "2017-01 is still being written" in str(deployment.tick())
        assert deployment.tick() == UNFINISHED

        before = deployment.cursor
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            assert "nothing is known of what landed, the next tick looks again" in str(deployment.tick())
        assert deployment.cursor == before

        # Written through the storage, as `crm-assets` tools do, and of other content.
        changed = (exported / "products.csv").read_bytes() + b"GTX Late,GTX,77\n"
        open_storage(s3_url).write_bytes("2017-01/products.csv", changed)
        deployment.tick()
        request = deployment.tick()
        assert isinstance(request, dg.RunRequest)
        assert request.tags[REASON_TAG] == "2017-01 has changed"

        client.delete_object(Bucket=bucket, Key=f"{prefix}/2017-01/products.csv")
        assert deployment.tick() == "2017-01 waits for products.csv"


def make_raw(deployment: Deployment) -> None:
    """The month's raw tables alone."""
    definitions = deployment.definitions
    selection = dg.AssetSelection.groups("1_raw").without_checks()
    job = dg.define_asset_job("raw_only", selection).resolve(asset_graph=definitions.resolve_asset_graph())
    done = job.execute_in_process(
        instance=deployment.instance, resources=definitions.resources, tags={"dagster/partition": str(JANUARY)}
    )
    assert done.success
