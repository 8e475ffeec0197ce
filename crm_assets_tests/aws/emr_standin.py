"""Stands in for EMR Serverless: takes what StartJobRun takes, and runs the job with the Spark of this machine.

Spark on EMR reads and writes s3:// by itself. No package has the libraries for that, so files of the bucket are laid
into a folder before the job and put back after it, and Spark is told to find s3:// there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.validate import ParamValidator

_ENVIRONMENT = "spark.emr-serverless.driverEnv."
_MIRROR = "spark.hadoop.fs"


def checked(operation: str, parameters: Mapping[str, Any]) -> None:
    """Fail unless boto3's own description of EMR Serverless takes these parameters, and the token that boto3 adds."""
    import botocore.session

    service = botocore.session.get_session().get_service_model("emr-serverless")
    token = {"clientToken": "t"} if operation == "StartJobRun" else {}
    report = ParamValidator().validate({**token, **parameters}, service.operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()


def confs(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The --conf of the parameters for spark-submit, by name."""
    words = shlex.split(parameters["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"])
    assert words[::2] == ["--conf"] * (len(words) // 2), words
    return dict(word.split("=", 1) for word in words[1::2])


@dataclass
class LocalEmr:
    """One application that runs one job at a time.

    Attributes:
        s3: client of the server that has the bucket.
        bucket: of the lake.
        folder: for the bucket's files, the job's log and a copy of what it runs.
        entry_point: the file that the image has at `CRM_EMR_ENTRY_POINT`.
        submit: spark-submit.
        python: that has PySpark and this package.
        asked: the parameters of each job.
    """

    s3: Any
    bucket: str
    folder: Path
    entry_point: Path
    submit: Path
    python: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    _job: subprocess.Popen[bytes] | None = None

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        checked("StartJobRun", parameters)
        self.asked.append(parameters)
        self._lay_out()
        given = confs(parameters)
        environment = {name.removeprefix(_ENVIRONMENT): value for name, value in given.items() if "driverEnv" in name}
        mirror = {
            f"{_MIRROR}.s3.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
            f"{_MIRROR}.AbstractFileSystem.s3.impl": "org.apache.hadoop.fs.viewfs.ViewFs",
            f"{_MIRROR}.viewfs.overload.scheme.target.s3.impl": "org.apache.hadoop.fs.LocalFileSystem",
            **{
                f"{_MIRROR}.viewfs.mounttable.{self.bucket}.link./{top.name}": top.as_uri()
                for top in (self.folder / "bucket").iterdir()
            },
            "spark.ui.enabled": "false",
            # As many partitions as a large month has, where Spark would make one of a small month's.
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.adaptive.enabled": "false",
        }
        spark = {**{name: value for name, value in given.items() if "driverEnv" not in name}, **mirror}
        with (self.folder / "log").open("wb") as log:
            self._job = subprocess.Popen(
                [
                    str(self.submit),
                    "--master=local[2]",
                    *(part for item in spark.items() for part in ("--conf", "=".join(item))),
                    str(self.entry_point),
                ],
                env={
                    **os.environ,
                    **{name: self.python if "PYTHON" in name else value for name, value in environment.items()},
                },
                stdout=log,
                stderr=log,
            )
        return {"applicationId": parameters["applicationId"], "jobRunId": "00job"}

    def get_job_run(self, *, applicationId: str, jobRunId: str) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        assert self._job is not None
        ended = self._job.poll()
        if ended == 0:
            self._put_back()
        state = "RUNNING" if ended is None else "SUCCESS" if ended == 0 else "FAILED"
        details = (self.folder / "log").read_text(errors="replace")[-4000:] if ended else ""
        return {
            "jobRun": {"applicationId": applicationId, "jobRunId": jobRunId, "state": state, "stateDetails": details}
        }

    def get_dashboard_for_job_run(self, **_: str) -> dict[str, str]:
        return {"url": "https://dashboard.example"}

    def stop(self) -> None:
        """End a job that is still going on."""
        if self._job is not None and self._job.poll() is None:
            self._job.kill()
            self._job.wait()

    def _lay_out(self) -> None:
        for entry in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]:
            file = self.folder / "bucket" / entry["Key"]
            file.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(self.bucket, entry["Key"], str(file))

    def _put_back(self) -> None:
        there = {entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]}
        top = self.folder / "bucket"
        for file in top.rglob("*"):
            key = file.relative_to(top).as_posix()
            # Spark's local files have a checksum beside them.
            if file.is_file() and key not in there and file.suffix != ".crc":
                self.s3.upload_file(str(file), self.bucket, key)
