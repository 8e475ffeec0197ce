"""Mistakes that terraform/check.sh has to find, each made in a copy of the project's own configuration."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_assets_tests.cloud.emulated_aws import cloud_tool
from crm_assets_tests.cloud.terraform import copied
from crm_assets_tests.containers.compose import REPOSITORY

pytestmark = pytest.mark.cloud

CHECK = REPOSITORY / "terraform" / "check.sh"
LAKE = "modules/lake"

Mistake = Callable[[Path], None]


def check(tree: Path, *arguments: str) -> tuple[int, str]:
    """How the script ends on a tree, and what it prints."""
    done = subprocess.run(
        [str(CHECK), *arguments],
        env={**os.environ, "TERRAFORM_FOLDER": str(tree), "CHECKOV": cloud_tool("checkov")},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def replacing(pattern: str, by: str) -> Mistake:
    """Change the first place in the module's files that the pattern fits."""

    def make(module: Path) -> None:
        for file in sorted(module.glob("*.tf")):
            changed, times = re.subn(pattern, by, file.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
            if times:
                file.write_text(changed)
                return
        raise AssertionError(f"{pattern} is nowhere in {module}")

    return make


def adding(text: str) -> Mistake:
    """Write another file into the module."""

    def make(module: Path) -> None:
        (module / "seeded.tf").write_text(text)

    return make


WIDE_DOCUMENT = """\
data "aws_iam_policy_document" "seeded" {
  statement {
    actions   = ["s3:*"]
    resources = ["arn:aws:s3:::crm-assets-dev-lake"]
  }
}
"""
WIDE_JSON = """\
resource "aws_iam_role_policy" "seeded" {
  name = "seeded"
  role = "crm-assets-dev-run"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["s3:Get*"], Resource = "arn:aws:s3:::crm-assets-dev-lake/*" }]
  })
}
"""
OPEN_BUCKET = """\
resource "aws_s3_bucket" "seeded" {
  bucket = "crm-assets-seeded"
}

resource "aws_s3_bucket_acl" "seeded" {
  bucket = aws_s3_bucket.seeded.id
  acl    = "public-read"
}
"""
BARE_EXCEPTION = """\
resource "aws_sns_topic" "seeded" {
  # checkov:skip=CKV_AWS_26
  name = "seeded"
}
"""


@pytest.mark.parametrize(
    ("part", "mistake", "told"),
    [
        ("fmt", adding('locals {\n    seeded="x"\n}\n'), "terraform fmt -recursive"),
        ("validate", replacing(r"^( +)block_public_acls ", r"\1block_public_acl "), "Unsupported argument"),
        ("checkov", replacing(r"(block_public_acls +=) true", r"\1 false"), "CKV_AWS_53"),
        ("checkov", adding(OPEN_BUCKET), "CKV_AWS_20"),
        ("checkov", adding(OPEN_BUCKET), "CKV2_AWS_6"),
        ("checkov", adding(WIDE_DOCUMENT), "CKV_CRM_1"),
        ("checkov", adding(WIDE_JSON), "CKV_CRM_2"),
        ("checkov", adding(BARE_EXCEPTION), "an exception has no reason"),
        ("test", replacing(r"^  validation \{.*?^  \}\n", ""), "Missing expected failure"),
    ],
    ids=[
        "unformatted",
        "misspelt-argument",
        "public-access-block-off",
        "public-acl",
        "no-public-access-block",
        "star-in-a-document",
        "star-in-json",
        "exception-without-a-reason",
        "missing-validation",
    ],
)
def test_a_mistake_is_found(part: str, mistake: Mistake, told: str, tmp_path: Path) -> None:
    tree = copied(tmp_path)
    mistake(tree / LAKE)
    ended, said = check(tree, part, LAKE)
    assert told in said
    assert ended == 1


def test_a_module_without_tests_is_found(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    (tree / "modules" / "seeded").mkdir()
    (tree / "modules" / "seeded" / "main.tf").write_text('terraform {\n  required_version = ">= 1.11"\n}\n')
    ended, said = check(tree, "test", "modules/seeded")
    assert "modules/seeded has no *.tftest.hcl" in said
    assert ended == 1


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    assert check(copied(tmp_path), "modules/no-such") == (
        2,
        f"terraform/check.sh: modules/no-such is neither a part nor a folder of {tmp_path / 'terraform'}\n",
    )


def test_everything_is_in_order_and_nothing_is_left_in_the_tree(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    before = sorted(tree.rglob("*"))
    ended, said = check(tree)
    print(f"\n{said}", end="")  # noqa: T201 - the figures of make test-cloud
    assert ended == 0, said
    assert sorted(tree.rglob("*")) == before
