"""Which calls to AWS each service of the platform makes: the one list that Terraform's roles are compared with.

`test_calls.py` compares the first half with the code that calls, ours and that of Dagster and MLflow; the second half
says which service runs which of that code, on what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "s3.list_objects_v2": ("s3:ListBucket",),
    "s3.list_multipart_uploads": ("s3:ListBucketMultipartUploads",),
    "s3.head_object": ("s3:GetObject",),
    "s3.get_object": ("s3:GetObject",),
    "s3.download_file": ("s3:GetObject",),
    "s3.put_object": ("s3:PutObject",),
    # Of a large file in parts, and they are dropped when one fails.
    "s3.upload_file": ("s3:PutObject", "s3:AbortMultipartUpload"),
    "s3.upload_fileobj": ("s3:PutObject", "s3:AbortMultipartUpload"),
    "s3.create_multipart_upload": ("s3:PutObject",),
    "s3.complete_multipart_upload": ("s3:PutObject",),
    "s3.abort_multipart_upload": ("s3:AbortMultipartUpload",),
    "s3.delete_object": ("s3:DeleteObject",),
    "s3.delete_objects": ("s3:DeleteObject",),
    # Signed with the rights of who signs, for a client that puts parts of a file or gets one.
    "s3.generate_presigned_url": ("s3:GetObject", "s3:PutObject"),
    # Each run is tagged with its id, and the tasks of runs have roles of their own.
    "ecs.run_task": ("ecs:RunTask", "ecs:TagResource", "iam:PassRole"),
    "ecs.describe_tasks": ("ecs:DescribeTasks",),
    "ecs.describe_task_definition": ("ecs:DescribeTaskDefinition",),
    "ecs.stop_task": ("ecs:StopTask",),
    "logs.get_log_events": ("logs:GetLogEvents",),
    # Pipes tags each job with the run it is of.
    "emr-serverless.start_job_run": ("emr-serverless:StartJobRun", "emr-serverless:TagResource", "iam:PassRole"),
    "emr-serverless.get_job_run": ("emr-serverless:GetJobRun",),
    "emr-serverless.get_dashboard_for_job_run": ("emr-serverless:GetDashboardForJobRun",),
    "emr-serverless.get_application": ("emr-serverless:GetApplication",),
    "emr-serverless.cancel_job_run": ("emr-serverless:CancelJobRun",),
    "secretsmanager.describe_secret": ("secretsmanager:DescribeSecret",),
    "secretsmanager.put_secret_value": ("secretsmanager:PutSecretValue",),
}
"""A method of a client of boto3 -> what has to be allowed for it."""

WITHOUT_RESOURCES = frozenset(
    {
        "ecr:GetAuthorizationToken",
        "ecs:DescribeTaskDefinition",
    }
)
"""Actions of the services that AWS allows on everything or not at all. `test_allowed.py` asks policy_sentry."""


@dataclass(frozen=True)
class Place:
    """Code that calls AWS.

    Args:
        modules: where it is, as `dagster_aws.ecs.launcher`, or its file; a package is all of its modules.
        services: whose methods are looked for there.
        makes: the calls of it that happen here.
        spared: the calls that are written there and do not happen here -> why.
    """

    modules: tuple[str, ...]
    services: tuple[str, ...]
    makes: frozenset[str]
    spared: Mapping[str, str]


READING = frozenset({"s3.list_objects_v2", "s3.head_object", "s3.get_object"})
RECORDING = READING | {"s3.put_object"}
LAKE = RECORDING | {
    "s3.upload_fileobj",
    "s3.delete_object",
    "s3.list_multipart_uploads",
    "s3.abort_multipart_upload",
}
LAUNCHING = frozenset(
    {
        "ecs.run_task",
        "ecs.describe_tasks",
        "ecs.describe_task_definition",
        "ecs.stop_task",
        "logs.get_log_events",
    }
)
STOPPING = frozenset({"ecs.describe_tasks", "ecs.describe_task_definition", "ecs.stop_task"})
FOLLOWING_JOBS = frozenset(
    {
        "emr-serverless.start_job_run",
        "emr-serverless.get_job_run",
        "emr-serverless.get_dashboard_for_job_run",
        "emr-serverless.get_application",
        "emr-serverless.cancel_job_run",
    }
)
ARTIFACTS = frozenset(
    {
        "s3.list_objects_v2",
        "s3.head_object",
        "s3.download_file",
        "s3.upload_file",
        "s3.upload_fileobj",
        "s3.delete_objects",
        "s3.create_multipart_upload",
        "s3.complete_multipart_upload",
        "s3.abort_multipart_upload",
        "s3.generate_presigned_url",
    }
)

MAKING = frozenset({"secretsmanager.describe_secret", "secretsmanager.put_secret_value"})

PLACES: Mapping[str, Place] = {
    "crm_assets": Place(
        ("crm_assets",),
        ("s3", "ecs", "emr-serverless", "secretsmanager"),
        LAKE | {"emr-serverless.get_job_run"},
        {
            "emr-serverless.get_session": "botocore.session's",
            "emr-serverless.get_application": "the doctor's, with the rights of who asks it",
            "ecs.describe_clusters": "the doctor's",
            "ecs.describe_task_definition": "the doctor's",
            "secretsmanager.get_secret_value": "Pydantic's: secrets reach a task as variables",
        },
    ),
    "run launcher": Place(
        ("dagster_aws.ecs.launcher", "dagster_aws.ecs.utils"),
        ("ecs", "logs", "secretsmanager"),
        LAUNCHING,
        {"ecs.register_task_definition": "Terraform registers the one of runs, and it is named to the launcher"},
    ),
    "feature jobs": Place(("dagster_aws.pipes.clients.emr_serverless",), ("emr-serverless",), FOLLOWING_JOBS, {}),
    "databases": Place(("docker/make_databases.py",), ("s3", "ecs", "secretsmanager"), MAKING, {}),
    "MLflow": Place(("mlflow.store.artifact.s3_artifact_repo",), ("s3",), ARTIFACTS, {}),
}


@dataclass(frozen=True)
class Use:
    """Calls that a service makes on one thing.

    Args:
        calls: of which all have to be allowed.
        on: the thing, which `test_allowed.py` knows the names of.
        switched: made only where an environment turns it on.
    """

    calls: frozenset[str]
    on: str
    switched: bool = False


_GRAPH = (Use(READING, "landing"), Use(LAKE, "lake"))
_JOBS = Use(FOLLOWING_JOBS, "feature jobs", switched=True)

USES: Mapping[str, tuple[Use, ...]] = {
    # It asks the API, and nothing else.
    "page": (),
    # It reads what the graph made, and adds to the log of predictions.
    "api": (Use(RECORDING, "lake"),),
    # Runs are tasks of their own. Sensors look at what has landed, and note what they have told.
    "code": (Use(READING, "landing"), Use(RECORDING, "lake")),
    "run": (*_GRAPH, _JOBS),
    "mlflow": (Use(ARTIFACTS, "artifacts"),),
    # It takes runs from the queue and watches them; the webserver only puts them there, and may stop one.
    "daemon": (Use(LAUNCHING, "runs"),),
    "webserver": (Use(STOPPING, "runs"),),
    "databases": (Use(MAKING, "secrets"),),
}
"""Service -> what the code in its task calls AWS for."""

STARTING = frozenset(
    {
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
        "kms:Decrypt",
    }
)
"""The most that ECS may do to start a task: fetch its image and its secrets, and write its log."""

KEY = frozenset({"kms:Decrypt", "kms:GenerateDataKey"})
"""What a service may do besides with the key that its bucket is encrypted with."""


def actions_of(uses: tuple[Use, ...], *, switched: bool) -> frozenset[str]:
    """All that has to be allowed for the calls; with those that an environment turns on, or without them."""
    calls = {call for use in uses if switched or not use.switched for call in use.calls}
    return frozenset(action for call in calls for action in ACTIONS[call])
