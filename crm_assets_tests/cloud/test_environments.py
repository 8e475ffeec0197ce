"""Every environment for real, on an emulated account: made, planned again, looked at and removed. `make test-cloud`.

Each environment has an account of its own, so that they are made side by side; most of the time Terraform waits.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crm_assets_tests.cloud.emulated_aws import emulated_aws
from crm_assets_tests.cloud.terraform import ENVIRONMENTS, Terraform, copied, emulate, resources

pytestmark = pytest.mark.cloud

KEPT = re.compile(
    # AWS keeps these for a while, so that names and what was locked with a key are not lost.
    r"ecs\.TaskDefinition .* INACTIVE"
    r"|kms\.Key .* PendingDeletion"
    r"|secretsmanager\.FakeSecret .* \d+(\.\d+)?"
    # moto forgets to remove it with its VPC, as AWS does.
    r"|ec2\.NetworkAcl acl-\w+"
)
"""What removed resources leave, as the account tells it."""


@dataclass(frozen=True)
class Made:
    """What became of an environment.

    Args:
        name: of the environment.
        state: after it was made, as `terraform show -json` has it.
        replanned: what a second plan would change.
        after: addresses in the state after it was removed.
        left: addresses of what was made and is still there after that, asked of the account.
        held: what the account holds with the environment, and after it.
        seconds: that each step took.
    """

    name: str
    state: Mapping[str, Any]
    replanned: str
    after: list[str]
    left: list[str]
    held: tuple[list[str], list[str]]
    seconds: Mapping[str, float]

    @property
    def made(self) -> list[dict[str, Any]]:
        """The resources."""
        return list(resources(self.state))


@pytest.fixture(scope="module")
def cycles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Made]]]:
    """Every environment's way through its account; they go it at the same time."""
    asked = os.environ.get("ENVIRONMENTS", "").split() or ENVIRONMENTS
    with ThreadPoolExecutor(len(asked)) as pool:
        yield {name: pool.submit(_cycle, name, tmp_path_factory.mktemp(name)) for name in asked}


@pytest.fixture(params=ENVIRONMENTS)
def made(request: pytest.FixtureRequest, cycles: Mapping[str, Future[Made]]) -> Made:
    """An environment that went all the way; its failure is that of every test of it."""
    if request.param not in cycles:
        pytest.skip("ENVIRONMENTS names others")
    return cycles[request.param].result()


def _cycle(name: str, folder: Path) -> Made:
    seconds: dict[str, float] = {}

    def timed(step: str, began: float) -> None:
        seconds[step] = time.monotonic() - began

    tree = copied(folder)
    emulate(tree / "environments" / name)
    with emulated_aws(folder / "moto.log") as aws:
        terraform = Terraform(tree / "environments" / name, aws.environment)
        began = time.monotonic()
        terraform.init()
        timed("init", began)
        began = time.monotonic()
        terraform.apply()
        timed("apply", began)
        state, during = terraform.state(), aws.held()
        shutil.copy(terraform.folder / "terraform.tfstate", folder / "made.tfstate")
        began = time.monotonic()
        replanned = terraform.replan()
        timed("re-plan", began)
        began = time.monotonic()
        terraform.destroy()
        timed("destroy", began)
        after = terraform.addresses()
        # The provider itself looks for everything that was made: what is gone it takes out of the state.
        shutil.copy(folder / "made.tfstate", terraform.folder / "terraform.tfstate")
        terraform.run("refresh", *terraform.options)
        left = terraform.addresses()
        return Made(name, state, replanned, after, left, (during, aws.held()), seconds)


def test_it_is_made_and_a_second_plan_changes_nothing(made: Made) -> None:
    kinds = Counter(one["type"] for one in made.made)
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in made.seconds.items())
    print(f"\n  {made.name:<8} {kinds.total()} resources of {len(kinds)} kinds: {steps}", end="", flush=True)  # noqa: T201
    assert kinds.total() > 0
    assert made.replanned == ""


def test_nothing_is_left_when_it_is_removed(made: Made) -> None:
    assert made.after == []
    assert made.left == []
    assert [one for one in made.held[1] if not KEPT.fullmatch(one)] == []
