"""`opportunity_features` as a Spark job on EMR Serverless, through Dagster Pipes; the run stores what the job made.

Nothing imports this but what makes the features where `CRM_FEATURES_ON` says so: it loads boto3.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made
from crm_assets.errors import EngineError, LakeError, SettingsError
from crm_assets.feature_job import FeatureRequest, code_of_features
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.settings import Settings
from crm_assets.storage import Storage, StorageError, open_storage

try:
    from botocore.exceptions import BotoCoreError, ClientError
    from dagster_aws.pipes import PipesEMRServerlessClient, PipesS3ContextInjector, PipesS3MessageReader
except ImportError as missing:
    raise SettingsError(
        f"CRM_FEATURES_ON is 'emr-serverless', but {missing.name} is not installed: pip install 'crm-assets[aws]', or "
        "leave CRM_FEATURES_ON out"
    ) from None

LOOK_SECONDS = 5.0
"""How often EMR Serverless is asked how the job is getting on, and S3 what it has to tell."""
_MADE = "features"
_ENVIRONMENT = "spark.emr-serverless.driverEnv"
_PASSING = {
    "InternalServerException",
    "ServiceQuotaExceededException",
    "ThrottlingException",
    "TooManyRequestsException",
}


def computed_by_job(inputs: Inputs, step: dg.AssetExecutionContext, month: Month) -> Made:
    """The features of `month`, computed by a job that is waited for; ended with the run when that is stopped.

    Raises SettingsError when EMR Serverless does not take the job, EngineError when the job fails, and what
    `Inputs.stored_at` and `open_storage` raise.
    """
    settings = inputs.settings
    work = f"{settings.emr_url}/{step.run.run_id}-{month}-{secrets.token_hex(4)}"
    storage = open_storage(work)
    request = FeatureRequest(
        month=str(month),
        snapshots=inputs.stored_at(SNAPSHOTS.name, month),
        closings=inputs.stored_at(DAILY_CLOSINGS.name, month),
        output=f"{work}/{_MADE}",
        code=code_of_features(),
    )
    client = _JobClient(work)
    try:
        with _told(settings, client):
            done = client.run(
                # Dagster's own code for Pipes asks an asset's context for what is deprecated there.
                context=step.op_execution_context,
                start_job_run_params=job_parameters(settings, month),
                extras=request.as_extras(),
            )
        told: Mapping[str, Any] = next(iter(done.get_custom_messages()), {})
        files = [path for path in storage.list(_MADE) if path.endswith(".parquet")]
        if len(files) != 1:
            raise EngineError(
                f"{request.output}: the job {client.job_run_id} has ended well and left {len(files)} Parquet files, "
                f"not one; see its log below {_log_url(settings)}"
            )
        rows = pl.scan_parquet(storage.local_copy(files[0]), glob=False)
    finally:
        _clear(storage)
    notes = {"computed_on": f"EMR Serverless {settings.emr_application_id}, job {client.job_run_id}"}
    return Made(nw.from_native(rows), notes={**notes, **{f"job_{name}": value for name, value in told.items()}})


def job_parameters(settings: Settings, month: Month) -> dict[str, Any]:
    """The arguments of StartJobRun, without those by which Pipes reaches the job."""
    # The driver's alone: features are Spark's own functions, so no executor runs Python.
    python = [
        f"--conf {_ENVIRONMENT}.{name}={settings.emr_python}" for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
    ]
    parameters = [settings.emr_spark_parameters] if settings.emr_spark_parameters else []
    return {
        "applicationId": settings.emr_application_id,
        "executionRoleArn": settings.emr_role_arn,
        "name": f"{settings.dataset_name} {FEATURE_TABLE.name} {month}",
        "executionTimeoutMinutes": settings.emr_minutes,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": settings.emr_entry_point,
                "sparkSubmitParameters": " ".join([*python, *parameters]),
            }
        },
        "configurationOverrides": {
            "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": _log_url(settings)}}
        },
    }


def check_application(settings: Settings) -> str:
    """What the job would run on, for people. Starts nothing.

    Raises SettingsError naming the setting when EMR Serverless does not know the application or it will not do,
    EngineError when EMR Serverless cannot be asked.
    """
    with _told(settings, None):
        found = _session().client("emr-serverless").get_application(applicationId=settings.emr_application_id)
    application = found["application"]
    image = application.get("imageConfiguration", {}).get("imageUri")
    named = f"CRM_EMR_APPLICATION_ID is {settings.emr_application_id!r}"
    if application["type"].lower() != "spark":
        raise SettingsError(f"{named}, which is of type {application['type']}: name an application of type Spark")
    if application["state"] in {"TERMINATED", "STOPPING"}:
        raise SettingsError(f"{named}, which is {application['state'].lower()}: start it, or name another")
    if not image:
        raise SettingsError(
            f"{named}, which has no image of its own, and Amazon's has not this package: build docker/emr/Dockerfile, "
            "and have the application use it"
        )
    return (
        f"{FEATURE_TABLE.name} on EMR Serverless {application.get('name') or settings.emr_application_id} "
        f"({application['releaseLabel']}, {application['state'].lower()}), image {image}"
    )


def _log_url(settings: Settings) -> str:
    return f"{settings.emr_url}/logs/"


class _JobClient(PipesEMRServerlessClient):
    """Dagster's client, which hands context and messages over below one folder of S3 and knows its job's id."""

    def __init__(self, work: str) -> None:
        bucket, _, folder = work.removeprefix("s3://").partition("/")
        session = _session()
        s3 = session.client("s3")
        super().__init__(
            client=session.client("emr-serverless"),
            context_injector=PipesS3ContextInjector(bucket=bucket, client=s3, key_prefix=f"{folder}/context-"),
            message_reader=_Messages(bucket, f"{folder}/messages", s3),
            poll_interval=LOOK_SECONDS,
        )
        self.job_run_id: str | None = None

    def _start(self, context: Any, params: Any) -> Any:
        response = super()._start(context, params)
        self.job_run_id = response["jobRunId"]
        return response

    def _read_messages(self, context: Any, session: Any, response: Any) -> None:
        """Nothing: messages were read from S3 all along, and the log stays there."""

    def details(self, application: str) -> str:
        """What EMR Serverless says of the job, as far as it can be asked."""
        if self.job_run_id is None:
            return "it was not started"
        with suppress(BotoCoreError, ClientError):
            found = self.client.get_job_run(applicationId=application, jobRunId=self.job_run_id)["jobRun"]
            return f"{found['state']}, {found.get('stateDetails') or 'without details'}"
        return "EMR Serverless does not say why"


class _Messages(PipesS3MessageReader):
    """Reads messages below a folder of its own, where Dagster's would read from the top of the bucket."""

    def __init__(self, bucket: str, folder: str, client: Any) -> None:
        super().__init__(bucket=bucket, client=client, interval=LOOK_SECONDS)
        self._folder = folder

    @property
    def expected_writer_count(self) -> int:
        """One, the job's driver; Dagster's own says so with a warning that it is in preview."""
        return 1

    @contextmanager
    def get_params(self) -> Iterator[dict[str, Any]]:
        with super().get_params() as params:
            yield {**params, "key_prefix": self._folder}


@contextmanager
def _told(settings: Settings, client: _JobClient | None) -> Iterator[None]:
    """Raise an error of ours in place of those of the AWS libraries and Dagster's client."""
    application = settings.emr_application_id
    try:
        yield
    except ClientError as error:
        code, said = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        what = f"EMR Serverless said {code}: {said}"
        if code == "ResourceNotFoundException":
            raise SettingsError(
                f"CRM_EMR_APPLICATION_ID is {application!r}; {what}; name an application of this region"
            ) from error
        if code == "AccessDeniedException":
            raise SettingsError(
                f"CRM_EMR_ROLE_ARN is {settings.emr_role_arn!r}; {what}; let the run's own role start, look at and "
                "cancel jobs of the application, and pass this role to EMR Serverless"
            ) from error
        if code == "ValidationException":
            raise SettingsError(
                f"CRM_EMR_ENTRY_POINT is {settings.emr_entry_point!r}, CRM_EMR_ROLE_ARN {settings.emr_role_arn!r}, "
                f"CRM_EMR_SPARK_PARAMETERS {settings.emr_spark_parameters!r}; {what}; correct the one it is about"
            ) from error
        raise EngineError(f"{what}; run it again", transient=code in _PASSING) from error
    except BotoCoreError as error:
        raise EngineError(
            f"EMR Serverless or S3 cannot be asked: {error}; check AWS_REGION, the role and the network", transient=True
        ) from error
    except RuntimeError as error:
        # Dagster's client says no more than that the job failed.
        if client is None:
            raise
        raise EngineError(
            f"job {client.job_run_id} of EMR Serverless application {application}: {client.details(application)}; see "
            f"its log below {_log_url(settings)}, or leave CRM_FEATURES_ON out to compute on the run's own engine"
        ) from error


def _session() -> Any:
    import boto3

    # boto3 does not know AWS_REGION.
    return boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)


def _clear(storage: Storage) -> None:
    """Delete what run and job handed each other; what cannot be deleted is left to the bucket's lifecycle."""
    with suppress(StorageError, LakeError):
        for path in storage.list():
            storage.delete(path)
