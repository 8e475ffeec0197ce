"""Makes the buckets that the command line names, where they are not there yet; the AWS variables lead to them."""

from __future__ import annotations

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def main(buckets: list[str]) -> None:
    """Make each bucket; one that is there already is as good. Raises ClientError when the server refuses."""
    client = boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))
    for bucket in buckets:
        try:
            client.create_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise


if __name__ == "__main__":
    main(sys.argv[1:])
