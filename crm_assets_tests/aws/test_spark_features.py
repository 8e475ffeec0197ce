"""Features as a Spark job: what is asked of EMR Serverless, what is told of its faults, and the job itself on Spark."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from dagster._core.errors import DagsterExecutionInterruptedError
from polars import read_parquet
from polars.testing import assert_frame_equal

from crm_assets import feature_job
from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.platform import Platform
from crm_assets.errors import CrmAssetsError, EngineError, SettingsError
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.settings import Settings, load_settings
from crm_assets.storage import open_storage
from crm_assets_tests.aws.emr_standin import LocalEmr, checked, confs
from crm_assets_tests.containers.compose import DOCKER, tool
from crm_assets_tests.integration.s3_server import S3Server

MONTH = Month(2017, 4)
SOURCE = "simulator:?opportunities=400&seed=3"
ROLE = "arn:aws:iam::123456789012:role/crm-assets-dev-features"
ON_EMR = {"features_on": "emr-serverless", "emr_application_id": "00f1a2b3", "emr_role_arn": ROLE}


def above(name: str) -> list[str]:
    """An asset's name, and those of all it is made from."""
    asset = next(asset for asset in ASSETS if asset.name == name)
    return list(dict.fromkeys([*(found for needs in asset.needs for found in above(needs.asset)), name]))


def made(settings: Settings, *names: str) -> Platform:
    """The platform whose lake holds the assets of `MONTH`. Raises what a step raised."""
    platform = Platform(settings)
    job = build_definitions(settings, platform).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            partition_key=str(MONTH),
            asset_selection=[dg.AssetKey(name.split("/")) for name in names],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success
    return platform


@pytest.fixture
def lake_url(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of an empty bucket of its own."""
    for name in list(os.environ):
        if name.upper().startswith(("CRM_", "DAGSTER_")):
            monkeypatch.delenv(name)
    return f"s3://{s3_environment.new_bucket()}/lake"


@pytest.fixture
def settings_of(lake_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for the lake."""

    def settings(**given: Any) -> Settings:
        return load_settings(source_url=SOURCE, lake_url=lake_url, home=tmp_path / "home", **given)

    return settings


@dataclass
class StoppedEmr:
    """An application during whose job the run is stopped."""

    cancelled: list[dict[str, str]] = field(default_factory=list)

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        return {"applicationId": parameters["applicationId"], "jobRunId": "00job"}

    def get_job_run(self, **_: str) -> dict[str, Any]:
        raise DagsterExecutionInterruptedError

    def cancel_job_run(self, **which: str) -> None:
        checked("CancelJobRun", which)
        self.cancelled.append(which)


@dataclass(frozen=True)
class EndedEmr:
    """An application whose jobs end as told, at once and without doing anything."""

    state: str

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        checked("StartJobRun", parameters)
        return {"applicationId": parameters["applicationId"], "jobRunId": "00job"}

    def get_job_run(self, **which: str) -> dict[str, Any]:
        return {"jobRun": {**which, "state": self.state, "stateDetails": "ExitCode: 1"}}

    def get_dashboard_for_job_run(self, **_: str) -> dict[str, str]:
        return {"url": "https://dashboard.example"}


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Has jobs go to another client of EMR Serverless; S3 stays what it is."""
    from crm_assets.defs import spark_features

    def use(emr: Any) -> None:
        monkeypatch.setattr(spark_features, "LOOK_SECONDS", 0.1)
        # Dagster waits for messages of a job that had none, and between two looks for them.
        monkeypatch.setattr("dagster._core.pipes.utils.WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", -1)
        monkeypatch.setattr("dagster._core.pipes.utils.DEFAULT_SLEEP_INTERVAL", 0.05)
        monkeypatch.setattr(spark_features, "_session", lambda: _Session(session, emr))

    session = spark_features._session()
    return use


class _Session:
    def __init__(self, session: Any, emr: Any) -> None:
        self._session, self._emr = session, emr

    def client(self, name: str) -> Any:
        return self._emr if name == "emr-serverless" else self._session.client(name)


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartJobRun")


def test_what_is_asked_of_emr_serverless() -> None:
    from crm_assets.defs.spark_features import job_parameters

    settings = load_settings(lake_url="s3://lake/crm", emr_spark_parameters="--conf spark.executor.cores=4", **ON_EMR)
    asked = job_parameters(settings, MONTH)
    checked("StartJobRun", asked)
    assert (asked["applicationId"], asked["executionRoleArn"]) == ("00f1a2b3", ROLE)
    assert asked["name"] == "simulator opportunity_features 2017-04"
    assert asked["executionTimeoutMinutes"] == 60
    assert asked["jobDriver"]["sparkSubmit"]["entryPoint"] == "local:///opt/crm/feature_job.py"
    assert confs(asked) == {
        "spark.executor.cores": "4",
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": "/opt/crm/python/bin/python",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": "/opt/crm/python/bin/python",
    }
    (logs,) = asked["configurationOverrides"]["monitoringConfiguration"].values()
    assert logs == {"logUri": "s3://lake/crm/.emr/logs/"}


@pytest.mark.parametrize(
    ("fault", "kind", "transient", "said"),
    [
        (
            refusal("ResourceNotFoundException", "Application 00f1a2b3 does not exist."),
            SettingsError,
            False,
            "CRM_EMR_APPLICATION_ID is '00f1a2b3'; EMR Serverless said ResourceNotFoundException: Application",
        ),
        (
            refusal("AccessDeniedException", "not authorized to perform: iam:PassRole"),
            SettingsError,
            False,
            f"CRM_EMR_ROLE_ARN is '{ROLE}'",
        ),
        (
            refusal("ValidationException", "entry point"),
            SettingsError,
            False,
            "CRM_EMR_ENTRY_POINT is 'local:///opt/crm/feature_job.py'",
        ),
        (refusal("ThrottlingException", "Rate exceeded"), EngineError, True, "run it again"),
        (refusal("ConflictException", "it is stopping"), EngineError, False, "it is stopping; run it again"),
        (EndpointConnectionError(endpoint_url="https://emr"), EngineError, True, "check AWS_REGION"),
    ],
)
def test_what_emr_serverless_refuses_is_told_with_the_setting(
    fault: Exception, kind: type[CrmAssetsError], transient: bool, said: str
) -> None:
    from crm_assets.defs.spark_features import _told

    with pytest.raises(kind) as caught, _told(load_settings(lake_url="s3://lake", **ON_EMR), cast(Any, None)):
        raise fault
    assert said in str(caught.value)
    assert caught.value.transient == transient


def test_a_job_that_fails_is_told_and_leaves_nothing(
    settings_of: Callable[..., Settings], instead: Callable[[Any], None]
) -> None:
    *before, _ = above(FEATURE_TABLE.name)
    lake = made(settings_of(), *before).lake
    settings = settings_of(**ON_EMR)
    for emr, said in (
        (
            EndedEmr("FAILED"),
            "job 00job of EMR Serverless application 00f1a2b3: FAILED, ExitCode: 1; see its log below",
        ),
        (EndedEmr("SUCCESS"), "the job 00job has ended well and left 0 Parquet files, not one"),
    ):
        instead(emr)
        with pytest.raises(EngineError, match=said):
            made(settings, FEATURE_TABLE.name)
    stopped = StoppedEmr()
    instead(stopped)
    with pytest.raises(DagsterExecutionInterruptedError):
        made(settings, FEATURE_TABLE.name)
    assert stopped.cancelled == [{"applicationId": "00f1a2b3", "jobRunId": "00job"}]
    assert lake.manifest(FEATURE_TABLE.name, MONTH) is None
    assert open_storage(settings.emr_url).list() == [], "nothing that run and job handed each other is left"


SPARK = {
    "name": "crm-assets-dev",
    "type": "Spark",
    "state": "STOPPED",
    "releaseLabel": "emr-7.9.0",
    "imageConfiguration": {"imageUri": "crm-assets-emr:0.1.0"},
}


@pytest.mark.parametrize(
    ("application", "told"),
    [
        ({}, "opportunity_features on EMR Serverless crm-assets-dev (emr-7.9.0, stopped), image crm-assets-emr:0.1.0"),
        ({"type": "Hive"}, "CRM_EMR_APPLICATION_ID is '00f1a2b3', which is of type Hive: name an application of type"),
        ({"state": "TERMINATED"}, "CRM_EMR_APPLICATION_ID is '00f1a2b3', which is terminated: start it, or"),
        ({"imageConfiguration": {}}, "CRM_EMR_APPLICATION_ID is '00f1a2b3', which has no image of its own, and"),
    ],
)
def test_the_doctor_names_the_application_or_what_is_wrong_with_it(
    application: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crm_assets.defs import spark_features

    class Known:
        def get_application(self, **which: str) -> dict[str, Any]:
            checked("GetApplication", which)
            return {"application": {**SPARK, **application}}

    monkeypatch.setattr(spark_features, "_session", lambda: _Session(None, Known()))
    try:
        said = spark_features.check_application(load_settings(lake_url="s3://lake", **ON_EMR))
    except SettingsError as error:
        said = str(error)
    assert said.startswith(told)


def test_without_the_library_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_aws.pipes", None)
    monkeypatch.delitem(sys.modules, "crm_assets.defs.spark_features", raising=False)
    with pytest.raises(SettingsError, match=r"CRM_FEATURES_ON is 'emr-serverless', but dagster_aws.* is not installed"):
        import crm_assets.defs.spark_features  # noqa: F401 - importing it is what is tried


def test_the_job_refuses_features_of_another_version() -> None:
    asked = feature_job.FeatureRequest("2017-04", "s3://a", "s3://b", "s3://c", code="0123456789ab")
    with pytest.raises(EngineError, match=r"version [0-9a-f]{12}, the run those of 0123456789ab: build the image anew"):
        feature_job.compute(cast(Any, "no Spark, for it is not asked"), asked)


def test_the_code_location_loads_nothing_of_amazon() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, crm_assets.definitions as d; d.defs(); import json;"
            "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))",
        ],
        env={**os.environ, "CRM_FEATURES_ON": "", "CRM_DAGSTER_RUN_LAUNCHER": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not {"boto3", "botocore", "dagster_aws", "pyspark", "moto"} & set(json.loads(told.stdout))


def test_the_image_of_jobs_has_what_the_settings_name() -> None:
    file = DOCKER / "emr" / "Dockerfile"
    linted = subprocess.run(
        [tool("hadolint"), "--no-color", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
    text, settings = file.read_text(), load_settings()
    script = Path(settings.emr_entry_point.removeprefix("local://"))
    assert f"cp crm_assets/{script.name} {script.parent}/" in text
    assert "/opt/crm/python\n" in text
    assert settings.emr_python == "/opt/crm/python/bin/python"


@pytest.fixture
def local_emr(lake_url: str, s3_server: S3Server, tmp_path: Path) -> Iterator[LocalEmr]:
    """EMR Serverless whose jobs run on the Spark of this machine."""
    pyspark = pytest.importorskip("pyspark", reason="needs the spark extra")
    script = tmp_path / "image" / "feature_job.py"
    script.parent.mkdir()
    # As in the image, not in the package's folder: its modules would stand before Python's own.
    shutil.copyfile(feature_job.__file__, script)
    emr = LocalEmr(
        s3=s3_server.client(),
        bucket=lake_url.removeprefix("s3://").partition("/")[0],
        folder=tmp_path,
        entry_point=script,
        submit=Path(pyspark.__file__).parent / "bin" / "spark-submit",
        python=sys.executable,
    )
    yield emr
    emr.stop()


@pytest.mark.spark
def test_spark_makes_the_very_rows(
    settings_of: Callable[..., Settings], instead: Callable[[Any], None], local_emr: LocalEmr
) -> None:
    lake = made(settings_of(), *above(FEATURE_TABLE.name)).lake
    expected = read_parquet(lake.table_path(FEATURE_TABLE.name, MONTH))
    ordinary = lake.manifest(FEATURE_TABLE.name, MONTH)
    instead(local_emr)
    made(settings_of(**ON_EMR, emr_spark_parameters="--conf spark.driver.memory=1g"), FEATURE_TABLE.name)
    found = read_parquet(lake.table_path(FEATURE_TABLE.name, MONTH))
    assert expected.height > 50
    assert_frame_equal(found, expected, check_exact=True)
    stored = lake.manifest(FEATURE_TABLE.name, MONTH)
    assert stored is not None
    assert ordinary is not None
    assert (stored.code_version, stored.inputs, stored.rows) == (ordinary.code_version, ordinary.inputs, found.height)
    assert stored.notes["computed_on"] == "EMR Serverless 00f1a2b3, job 00job"
    assert stored.notes["job_rows"] == found.height, "told through Pipes"
    assert "computed_on" not in ordinary.notes
    assert confs(local_emr.asked[0])["spark.driver.memory"] == "1g"
    assert open_storage(f"{settings_of().emr_url}").list() == []
