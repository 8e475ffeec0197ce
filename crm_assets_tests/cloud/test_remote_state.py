"""Where the state is kept, for real: made by terraform/bootstrap, and used by a small configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from crm_assets_tests.cloud.emulated_aws import EmulatedAws, emulated_aws
from crm_assets_tests.cloud.terraform import Terraform, copied, emulate
from crm_assets_tests.cloud.written_hcl import blocks

pytestmark = pytest.mark.cloud

KEY = "dev/terraform.tfstate"
USER = """\
terraform {
  backend "s3" {
    key          = "dev/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

resource "terraform_data" "this" {
  input = "kept"
}
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmulatedAws]:
    with emulated_aws(tmp_path / "moto.log") as server:
        yield server


def test_the_state_is_kept_locked_and_encrypted_where_bootstrap_says(
    aws: EmulatedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = copied(tmp_path)
    emulate(tree / "bootstrap")
    bootstrap = Terraform(tree / "bootstrap", aws.environment)
    bootstrap.init()
    bootstrap.apply()
    assert bootstrap.replan() == ""

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    s3, bucket = boto3.client("s3"), bootstrap.run("output", "-raw", "state_bucket").stdout
    # moto reads no conditions of a bucket's policy: it takes "not without TLS" for "not at all".
    s3.delete_bucket_policy(Bucket=bucket)

    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "main.tf").write_text(USER)
    (folder / "backend.hcl").write_text(bootstrap.run("output", "-raw", "backend").stdout)
    user = Terraform(folder, aws.environment)
    # Its server is an address, and knows nobody's key.
    emulated = ["use_path_style=true", "skip_credentials_validation=true", "skip_region_validation=true"]
    user.run("init", "-backend-config=backend.hcl", *(f"-backend-config={one}" for one in emulated))
    user.apply()
    assert user.replan() == ""
    assert not (folder / "terraform.tfstate").exists()

    kept = s3.get_object(Bucket=bucket, Key=KEY)
    assert json.load(kept["Body"])["resources"][0]["type"] == "terraform_data"
    assert kept["ServerSideEncryption"] == "aws:kms"
    listed = {one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert listed == {KEY}, "the lock is given back"

    lock = {"ID": "1", "Operation": "OperationTypeApply", "Who": "somebody@else", "Path": f"{bucket}/{KEY}"}
    s3.put_object(Bucket=bucket, Key=f"{KEY}.tflock", Body=json.dumps(lock).encode())
    refused = user.run("plan", passing=(1,))
    assert "Error acquiring the state lock" in refused.stderr
    assert "somebody@else" in refused.stderr


def test_every_environment_keeps_its_state_so(tmp_path: Path) -> None:
    for folder in sorted((copied(tmp_path) / "environments").glob("*")):
        found = [one.body for file in folder.glob("*.tf") for one in blocks(file) if one.kind == "terraform"]
        assert any('  backend "s3" {' in body for body in found)
        for line in (f'key          = "{folder.name}/terraform.tfstate"', "encrypt      = true", "use_lockfile = true"):
            assert any(line in body for body in found), folder.name
