"""What became of an environment that was made, planned again and removed on an emulated account."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_assets_tests.cloud.emulated_aws import emulated_aws
from crm_assets_tests.cloud.terraform import Terraform, copied, emulate, resources


@dataclass(frozen=True)
class Made:
    """What became of an environment.

    Args:
        name: of the environment.
        state: after it was made, as `terraform show -json` has it.
        replanned: what a second plan would change.
        after: addresses in the state after it was removed.
        held: what the account itself says that it holds with the environment, and after it.
        seconds: that each step took.
        calls: the operations of AWS that Terraform asked for in each step.
    """

    name: str
    state: Mapping[str, Any]
    replanned: str
    after: list[str]
    held: tuple[list[str], list[str]]
    seconds: Mapping[str, float]
    calls: Mapping[str, frozenset[str]]

    @property
    def made(self) -> list[dict[str, Any]]:
        """The resources."""
        return list(resources(self.state))


REMOVABLE = """\
module "platform" {
  removable = true
}
"""
"""What whoever removes an environment that is not to be removed by mistake has to say first."""


ON_SPARK = {
    "staging": (
        '-var=spark={application_arn="arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1a2b3c4d5e6f7",'
        'role_arn="arn:aws:iam::123456789012:role/crm-assets-features-staging"}'
    )
}
"""The environment that has its features computed on Spark -> how it is told."""


def cycle(name: str, folder: Path) -> Made:
    """Make an environment with the values of its example, plan it again and remove it, all in a folder."""
    seconds: dict[str, float] = {}
    calls: dict[str, frozenset[str]] = {}

    tree = copied(folder)
    emulate(tree / "environments" / name)

    def ended(step: str, began: float) -> None:
        seconds[step] = time.monotonic() - began
        calls[step] = aws.called()

    with emulated_aws(folder / "moto.log") as aws:
        options = tuple(f"-var-file={file.name}" for file in (tree / "environments" / name).glob("example.tfvars"))
        if name in ON_SPARK:
            options += (ON_SPARK[name],)
        terraform = Terraform(tree / "environments" / name, aws.environment, options)
        began = time.monotonic()
        terraform.init()
        ended("init", began)
        began = time.monotonic()
        terraform.apply()
        ended("apply", began)
        state, during = terraform.state(), aws.held()
        began = time.monotonic()
        replanned = terraform.replan()
        ended("re-plan", began)
        began = time.monotonic()
        if re.search(r"^  removable += false$", (terraform.folder / "main.tf").read_text(), re.MULTILINE):
            (terraform.folder / "removable_override.tf").write_text(REMOVABLE)
            terraform.apply()
        terraform.destroy()
        ended("destroy", began)
        after = terraform.addresses()
        return Made(name, state, replanned, after, (during, aws.held()), seconds, calls)
