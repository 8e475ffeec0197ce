"""Which operation of AWS a request asks for, and which actions a policy has to allow for it.

The server that plays AWS notes the first, so that this has to do with what is installed there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from botocore.session import Session

RENAMED: Mapping[str, tuple[str, ...]] = {
    # An action of S3 is about a bucket or an object where the operation says what of it, and the other way round.
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:ListObjects": ("s3:ListBucket",),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:HeadObject": ("s3:GetObject",),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:GetBucketAccelerateConfiguration": ("s3:GetAccelerateConfiguration",),
    "s3:GetBucketCors": ("s3:GetBucketCORS",),
    "s3:GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "s3:GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "s3:GetBucketReplication": ("s3:GetReplicationConfiguration",),
    "s3:GetObjectLockConfiguration": ("s3:GetBucketObjectLockConfiguration",),
    "s3:GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "s3:PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "s3:PutBucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "s3:PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    # To take a setting away is to put none, as AWS sees it.
    "s3:DeleteBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "s3:DeleteBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "s3:DeleteBucketOwnershipControls": ("s3:PutBucketOwnershipControls",),
    "s3:DeleteBucketTagging": ("s3:PutBucketTagging",),
    "s3:DeletePublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    # A budget is seen or changed as a whole.
    "budgets:CreateBudget": ("budgets:ModifyBudget",),
    "budgets:CreateNotification": ("budgets:ModifyBudget",),
    "budgets:DeleteBudget": ("budgets:ModifyBudget",),
    "budgets:DescribeBudget": ("budgets:ViewBudget",),
    "budgets:DescribeNotificationsForBudget": ("budgets:ViewBudget",),
    "budgets:DescribeSubscribersForNotification": ("budgets:ViewBudget",),
}
"""Operations whose actions have other names."""

SERVICES = {"monitoring": "cloudwatch"}
"""Names that requests are signed for -> how actions begin; all others are the same."""

_SIGNED_FOR = re.compile(r"Credential=[^/]+/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")


def operation_of(method: str, path: str, query: str, headers: Mapping[str, str], body: str) -> str | None:
    """The operation as `service:Operation`; None for a request that nobody signed, which is none of AWS.

    Args:
        method: of the request.
        path: of its address, without the query.
        query: of its address.
        headers: by their names in small letters.
        body: what it carries.

    Raises:
        ValueError: the request is signed, and for no operation that is known.
    """
    signed = _SIGNED_FOR.search(headers.get("authorization", ""))
    if signed is None:
        return None
    service = SERVICES.get(signed["service"], signed["service"])
    if target := headers.get("x-amz-target"):
        return f"{service}:{target.rpartition('.')[2]}"
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return f"{service}:{parse_qs(body)['Action'][0]}"
    given = parse_qs(query, keep_blank_values=True)
    # In S3's model there are older names of some, without the word at the end of the newer.
    fitting = [
        (len(wanted), template.count("/"), name)
        for name, verb, template, wanted in _routes(service)
        if verb == method and set(wanted) <= set(given) and _pattern(template).fullmatch(path.rstrip("/") or "/")
    ]
    if not fitting:
        raise ValueError(f"{service} knows no {method} {path}?{query}")
    return f"{service}:{max(fitting)[2]}"


def actions_for(operation: str) -> tuple[str, ...]:
    """What has to be allowed for an operation."""
    return RENAMED.get(operation, (operation,))


@lru_cache
def _routes(service: str) -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
    """Each operation of a service that goes by its address: name, method, path, and what its query has to have."""
    model = Session().get_service_model(service)
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        wanted = set(parse_qs(query, keep_blank_values=True)) | _always_there(operation)
        found.append((name, operation.http["method"], path.rstrip("/") or "/", tuple(sorted(wanted))))
    return tuple(found)


def _always_there(operation: Any) -> set[str]:
    """Parameters in the query that an operation cannot do without."""
    shape = operation.input_shape
    if shape is None:
        return set()
    return {
        shape.members[name].serialization["name"]
        for name in shape.required_members
        if shape.members[name].serialization.get("location") == "querystring"
    }


@lru_cache
def _pattern(template: str) -> re.Pattern[str]:
    path = re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(template))
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", path))
