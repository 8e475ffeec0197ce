"""Every environment for real, on an emulated account: made, planned again, looked at and removed. `make test-cloud`.

Each environment has an account of its own, so that they are made side by side; most of the time Terraform waits.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from crm_assets_tests.cloud.made import Made

pytestmark = pytest.mark.cloud

KEPT = re.compile(
    # AWS keeps these for a while, so that names and what was locked with a key are not lost.
    r"ecs\.(Cluster|Service) .* INACTIVE"
    # Versions of what runs are kept on purpose, to be started by what has not heard of a newer one. They cost nothing.
    r"|ecs\.TaskDefinition .*"
    r"|ec2\.(NatGateway|VPCEndPoint) .* deleted"
    # What was done to a name, and the servers that a zone was answered by.
    r"|servicediscovery\.Operation .* SUCCESS"
    r"|route53\.DelegationSet .*"
    r"|kms\.Key .* PendingDeletion"
    r"|secretsmanager\.FakeSecret .* \d+(\.\d+)?"
    # moto forgets to remove it with its VPC, as AWS does.
    r"|ec2\.NetworkAcl acl-\w+"
)
"""What removed resources leave, as the account tells it."""


def test_it_is_made_and_a_second_plan_changes_nothing(made: Made) -> None:
    kinds = Counter(one["type"] for one in made.made)
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in made.seconds.items())
    print(f"\n  {made.name:<8} {kinds.total()} resources of {len(kinds)} kinds: {steps}", end="", flush=True)  # noqa: T201 - the figures of make test-cloud
    assert kinds.total() > 0
    assert not made.replanned, made.replanned


def test_nothing_is_left_when_it_is_removed(made: Made) -> None:
    assert made.after == []
    # That what was made was seen there, or nothing would be left in any case.
    assert len(made.held[0]) > len(made.made) / 2
    left = [one for one in made.held[1] if not KEPT.fullmatch(one)]
    assert not left, "\n".join(left)
