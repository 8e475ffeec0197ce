"""The Spark job that computes `opportunity_features` of one month, where the run itself does not.

Started by `spark-submit` on EMR Serverless, told through Dagster Pipes what to read and where to write. It uses the
definitions of `crm_assets.features`, as every engine does, and knows nothing of the lake but the files it is told.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crm_assets.calendar import Month
from crm_assets.code_version import code_version
from crm_assets.errors import EngineError
from crm_assets.features.registry import FEATURE_TABLE, features
from crm_assets.lake.enforcement import fitted_to

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEATURE_CODE = ("history", "engines", "features")
"""Modules whose source decides what features come out."""


@dataclass(frozen=True)
class FeatureRequest:
    """What a run asks of the job.

    Attributes:
        month: snapshot month, as YYYY-MM.
        snapshots: URL of the Parquet file with the month's `opportunity_snapshots`.
        closings: URL of the month's `daily_closings`.
        output: URL of the folder to which the job writes one Parquet file.
        code: `code_of_features()` of the run.
    """

    month: str
    snapshots: str
    closings: str
    output: str
    code: str

    def as_extras(self) -> dict[str, str]:
        """As Pipes hands it over."""
        return asdict(self)

    @classmethod
    def from_extras(cls, extras: Mapping[str, Any]) -> FeatureRequest:
        """What `as_extras` gave. Raises TypeError when a part is missing or unknown."""
        return cls(**extras)


def code_of_features() -> str:
    """Digest of the definitions in this installation."""
    return code_version("calendar", "contracts", *FEATURE_CODE)


def compute(session: SparkSession, asked: FeatureRequest) -> dict[str, Any]:
    """Write the features of `asked.month`, sorted, as one Parquet file below `asked.output`; rows and seconds.

    Raises EngineError when the definitions here are not those of the run, LakeError when the frame does not fit the
    table's contract.
    """
    found = code_of_features()
    if found != asked.code:
        raise EngineError(
            f"the job's image has the features of version {found}, the run those of {asked.code}: build the image "
            "anew from the run's version, and have the EMR Serverless application use it"
        )
    from crm_assets.engines.spark_engine import scan

    started = time.monotonic()
    made = features(scan(session, asked.snapshots), scan(session, asked.closings), Month.parse(asked.month))
    fitted = fitted_to(made, FEATURE_TABLE, asked.output)
    # A month is one file of the lake. Partitions that are put together come as they are near, so it is sorted as one.
    whole = fitted.to_native().repartition(1).sortWithinPartitions(*FEATURE_TABLE.key)
    whole.write.mode("overwrite").option("compression", "zstd").parquet(asked.output)
    rows = session.read.parquet(asked.output).count()
    return {"rows": rows, "seconds": round(time.monotonic() - started, 1), "spark": session.version}


def main() -> None:
    """Do what the run asks, and tell it how it went."""
    import boto3
    from dagster_pipes import PipesS3ContextLoader, PipesS3MessageWriter, open_dagster_pipes

    s3 = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None).client("s3")
    with open_dagster_pipes(
        context_loader=PipesS3ContextLoader(client=s3), message_writer=PipesS3MessageWriter(client=s3)
    ) as pipes:
        asked = FeatureRequest.from_extras(pipes.extras)
        pipes.log.info(f"features of {asked.month} from {asked.snapshots}")
        pipes.report_custom_message(compute(_session(asked), asked))


def _session(asked: FeatureRequest) -> SparkSession:
    """The application's Spark, with its own configuration."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(f"{FEATURE_TABLE.name} {asked.month}")
    return builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()


if __name__ == "__main__":
    main()
