"""How a request is known for an operation, and an operation for the actions that a policy has to allow."""

from __future__ import annotations

import pytest

from crm_assets_tests.cloud.operations import RENAMED, actions_for, operation_of

FORM = "application/x-www-form-urlencoded; charset=utf-8"


def signed(service: str, **more: str) -> dict[str, str]:
    scope = f"Credential=AKIA/20260101/eu-central-1/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host", **more}


@pytest.mark.parametrize(
    ("method", "address", "operation"),
    [
        ("GET", "/lake?cors=", "GetBucketCors"),
        ("GET", "/lake/?cors", "GetBucketCors"),
        ("HEAD", "/lake", "HeadBucket"),
        ("PUT", "/lake", "CreateBucket"),
        ("GET", "/lake?list-type=2&prefix=a", "ListObjectsV2"),
        ("GET", "/lake?versions=", "ListObjectVersions"),
        ("GET", "/lake?prefix=a", "ListObjects"),
        ("POST", "/lake?delete=", "DeleteObjects"),
        ("PUT", "/lake?lifecycle=", "PutBucketLifecycleConfiguration"),
        ("GET", "/lake/scores/2026-01?x-id=GetObject", "GetObject"),
        ("GET", "/lake/scores?uploadId=1", "ListParts"),
        ("GET", "/lake/scores?tagging", "GetObjectTagging"),
    ],
)
def test_an_operation_of_s3_is_known_by_its_address(method: str, address: str, operation: str) -> None:
    path, _, query = address.partition("?")
    assert operation_of(method, path, query, signed("s3"), "") == f"s3:{operation}"


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/2013-04-01/hostedzone/Z1", "GetHostedZone"),
        ("GET", "/2013-04-01/hostedzone/Z1/rrset", "ListResourceRecordSets"),
        ("POST", "/2013-04-01/hostedzone/Z1/rrset/", "ChangeResourceRecordSets"),
        ("GET", "/2013-04-01/hostedzonesbyname", "ListHostedZonesByName"),
    ],
)
def test_an_operation_of_route_53_is_known_by_its_address(method: str, path: str, operation: str) -> None:
    assert operation_of(method, path, "", signed("route53"), "") == f"route53:{operation}"


def test_other_services_say_their_operation_in_a_form_or_a_header() -> None:
    form = {"content-type": FORM}
    asked = "Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1"
    assert operation_of("POST", "/", "", signed("ec2", **form), asked) == "ec2:DescribeVpcs"
    assert operation_of("POST", "/", "", signed("monitoring", **form), "Action=DescribeAlarms") == (
        "cloudwatch:DescribeAlarms"
    )
    target = {"x-amz-target": "AmazonEC2ContainerServiceV20141113.DescribeClusters"}
    assert operation_of("POST", "/", "", signed("ecs", **target), "{}") == "ecs:DescribeClusters"


def test_a_request_that_nobody_signed_is_for_no_operation() -> None:
    assert operation_of("GET", "/moto-api/", "", {}, "") is None


def test_a_request_that_fits_no_operation_is_told() -> None:
    with pytest.raises(ValueError, match="route53 knows no GET /2013-04-01/moon"):
        operation_of("GET", "/2013-04-01/moon", "", signed("route53"), "")


@pytest.mark.parametrize(
    ("operation", "actions"),
    [
        ("ec2:DescribeVpcs", ("ec2:DescribeVpcs",)),
        ("s3:HeadBucket", ("s3:ListBucket",)),
        ("s3:DeleteBucketEncryption", ("s3:PutEncryptionConfiguration",)),
        ("budgets:DescribeBudget", ("budgets:ViewBudget",)),
    ],
)
def test_an_action_has_the_name_of_its_operation_or_a_listed_one(operation: str, actions: tuple[str, ...]) -> None:
    assert actions_for(operation) == actions


def test_what_is_listed_has_another_name() -> None:
    assert [operation for operation, actions in RENAMED.items() if actions == (operation,)] == []
