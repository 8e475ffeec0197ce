"""What the roles in a state are allowed, read from their policies."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crm_assets_tests.cloud.terraform import resources


@dataclass(frozen=True)
class Grant:
    """One action that a statement allows on one resource, and the statement's condition as JSON."""

    action: str
    resource: str
    condition: str = "{}"


@dataclass(frozen=True)
class Role:
    """A role of a state.

    Args:
        name: its name.
        grants: what it is allowed.
        managed: policies of AWS itself that it has; what those allow is in no file of ours.
        open_ended: statements that allow by what they leave out.
        trusted: who may take it: services, providers and accounts.
        trust: its trust policy.
        bounds: what its boundary allows, which is the most it can do; None without one.
    """

    name: str
    grants: frozenset[Grant]
    managed: frozenset[str]
    open_ended: tuple[str, ...]
    trusted: frozenset[str]
    trust: Mapping[str, Any]
    bounds: frozenset[Grant] | None = None

    @property
    def actions(self) -> frozenset[str]:
        """The actions that it is allowed on anything."""
        return frozenset(grant.action for grant in self.grants)

    def on(self, action: str) -> frozenset[str]:
        """The resources that an action is allowed on."""
        return frozenset(grant.resource for grant in self.grants if grant.action == action)


def roles(state: Mapping[str, Any]) -> dict[str, Role]:
    """The roles of a state by name, with all policies that are written into or attached to them."""
    made = list(resources(state))
    of_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in made:
        of_kind[one["type"]].append(one["values"])
    texts = {policy["arn"]: policy["policy"] for policy in of_kind["aws_iam_policy"]}
    policies: dict[str, list[str]] = defaultdict(list)
    managed: dict[str, set[str]] = defaultdict(set)
    attached = [(one["role"], one["policy_arn"]) for one in of_kind["aws_iam_role_policy_attachment"]]
    for role, arn in set(attached):
        if arn in texts:
            policies[role].append(texts[arn])
        else:
            managed[role].add(arn)
    for one in of_kind["aws_iam_role_policy"]:
        policies[one["role"]].append(one["policy"])
    found = {}
    for role in of_kind["aws_iam_role"]:
        name = role["name"]
        written = set(policies[name]) | {one["policy"] for one in role.get("inline_policy") or [] if one.get("policy")}
        arns = {arn for arn in role.get("managed_policy_arns") or [] if arn not in texts}
        trust = json.loads(role["assume_role_policy"])
        found[name] = Role(
            name=name,
            grants=frozenset(grant for text in written for grant in granted(text)),
            managed=frozenset(managed[name] | arns),
            open_ended=tuple(json.dumps(one) for text in written for one in _allowing(text) if _leaves_out(one)),
            trusted=frozenset(_principals(trust)),
            trust=trust,
            bounds=frozenset(granted(texts[bound])) if (bound := role.get("permissions_boundary")) else None,
        )
    return found


def granted(policy: str) -> Iterator[Grant]:
    """Every pair of an action and a resource that a policy's statements name and allow."""
    for statement in _allowing(policy):
        condition = json.dumps(statement.get("Condition", {}), sort_keys=True)
        for action in _several(statement.get("Action")):
            for resource in _several(statement.get("Resource")):
                yield Grant(action, resource, condition)


def too_broad(
    role: Role, without_resources: Iterable[str], excused: Callable[[Grant], bool] = lambda grant: False
) -> list[str]:
    """What of a role's policies names no action or no resource, in words.

    Args:
        role: that is looked at.
        without_resources: actions that AWS allows on everything or not at all.
        excused: whether a grant may do without the name of a resource all the same.
    """
    unlimited = set(without_resources)
    found = [f"{arn}, which AWS may widen" for arn in sorted(role.managed)]
    found += [f"{text}, which allows what it does not name" for text in role.open_ended]
    for grant in sorted(role.grants, key=lambda one: (one.action, one.resource)):
        if "*" in grant.action or "?" in grant.action:
            found.append(f"the action {grant.action} on {grant.resource}")
        elif not _is_named(grant.resource) and grant.action not in unlimited and not excused(grant):
            found.append(f"{grant.action} on {grant.resource}")
    return found


def of_no_use(role: Role, without_resources: Iterable[str]) -> list[str]:
    """What of a role's policies allows nothing, in words: an action that knows no resources, on one of them.

    Args:
        role: that is looked at.
        without_resources: actions that AWS allows on everything or not at all.
    """
    unlimited = set(without_resources)
    return sorted(
        f"{grant.action} on {grant.resource}"
        for grant in role.grants
        if grant.action in unlimited and grant.resource != "*"
    )


def out_of_bounds(role: Role) -> list[str]:
    """What a role's policies allow and its boundary does not, so that it cannot be done, in words."""
    return sorted(
        f"{grant.action} on {grant.resource}"
        for grant in role.grants
        if not any(
            _covers(bound.resource, grant.resource) for bound in role.bounds or () if bound.action == grant.action
        )
    )


def _covers(pattern: str, resource: str) -> bool:
    """Whether all that a resource, itself perhaps a pattern, stands for is also meant by a pattern."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), resource) is not None


def _is_named(resource: str) -> bool:
    """Whether an ARN says, at least by its beginning, which one is meant; `arn:aws:s3:::*` does not."""
    if resource.count(":") < 5:
        return False
    _, _, service, _, _, rest = resource.split(":", 5)
    parts = [part for part in re.split(r"[:/]", rest) if part]
    # Elsewhere than in S3 a kind stands before the name, as `role/` or `log-group:`.
    name = parts[1] if service != "s3" and len(parts) > 1 else parts[0]
    return bool(re.match(r"[^*?]{2}", name)) and not re.search(r"[*?]", service)


def _allowing(policy: str) -> list[dict[str, Any]]:
    return [one for one in _several(json.loads(policy).get("Statement")) if one.get("Effect") == "Allow"]


def _leaves_out(statement: Mapping[str, Any]) -> bool:
    return "NotAction" in statement or "NotResource" in statement


def _principals(trust: Mapping[str, Any]) -> Iterator[str]:
    for statement in _several(trust.get("Statement")):
        principal = statement.get("Principal", {})
        if isinstance(principal, str):
            yield principal
            continue
        for several in principal.values():
            yield from _several(several)


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
