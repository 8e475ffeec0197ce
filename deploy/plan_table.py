"""What a plan of Terraform would do, as a table of names without values, and what of it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT = frozenset(
    {
        "aws_db_instance",
        "aws_ecr_repository",
        "aws_kms_key",
        "aws_s3_bucket",
        "aws_secretsmanager_secret",
    }
)
"""Kinds of resources that hold what cannot be made again: nothing of them goes without somebody's saying so."""

BY_PEOPLE = frozenset(
    {
        "aws_iam_openid_connect_provider",
        "aws_iam_policy",
        "aws_iam_role_policy_attachment",
    }
)
"""Kinds of resources that say what workflows and roles may do at most. Who deploys may not change them."""

_VERBS: Mapping[tuple[str, ...], str] = {
    ("create",): "create",
    ("update",): "change",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
}
_LOSES = frozenset({"delete", "replace", "forget"})


def changes(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Verb, kind and address of each resource that a plan, as `terraform show -json` tells it, would touch."""
    found = []
    for change in plan.get("resource_changes", []):
        verb = _VERBS.get(tuple(change["change"]["actions"]))
        if verb and change.get("mode", "managed") == "managed":
            found.append((verb, str(change["type"]), str(change["address"])))
    return sorted(found, key=lambda row: (list(_VERBS.values()).index(row[0]), row[2]))


def refused(plan: Mapping[str, Any]) -> list[str]:
    """Addresses that would lose what they hold."""
    return [address for verb, kind, address in changes(plan) if verb in _LOSES and kind in KEPT]


def by_people(plan: Mapping[str, Any]) -> list[str]:
    """Addresses of what only people may change: who may do what at most, who comes in from GitHub, and databases.

    Who deploys lacks the rights (terraform/modules/github/policies.tf), and would stop half way.
    """
    found = []
    for change in plan.get("resource_changes", []):
        kind, what = change["type"], change["change"]
        before, after = what.get("before") or {}, what.get("after") or {}
        verb = _VERBS.get(tuple(what["actions"]))
        if (verb and kind in BY_PEOPLE) or (kind == "aws_db_instance" and verb not in {None, "change"}):
            found.append(str(change["address"]))
        elif kind == "aws_iam_role" and verb not in {None, "delete"}:
            bound = after.get("permissions_boundary") or what.get("after_unknown", {}).get("permissions_boundary")
            moved = verb == "change" and before.get("permissions_boundary") != after.get("permissions_boundary")
            if moved or not bound:
                found.append(str(change["address"]))
    return found


def unguarded(plan: Mapping[str, Any]) -> list[str]:
    """Addresses of the balancer's rules that ask who comes to sign in, and would do so no longer.

    Such a plan loses nothing, and is what a login that was not handed to Terraform looks like.
    """
    return [
        str(change["address"])
        for change in plan.get("resource_changes", [])
        if _asks(change["change"].get("before")) and not _asks(change["change"].get("after"))
    ]


def _asks(values: Any) -> bool:
    actions = (values or {}).get("action") or []
    return any(isinstance(one, dict) and one.get("type") == "authenticate-oidc" for one in actions)


def table(environment: str, plan: Mapping[str, Any]) -> str:
    """A plan as Markdown: how many of each verb, and which; no value of it, for some are secrets."""
    rows = changes(plan)
    if not rows:
        return f"### {environment}: nothing would change\n"
    counts = {verb: sum(row[0] == verb for row in rows) for verb in dict.fromkeys(row[0] for row in rows)}
    told = ", ".join(f"{count} to {verb}" for verb, count in counts.items())
    lines = [f"### {environment}: {told}", "", "| | Resource |", "| --- | --- |"]
    lines += [f"| {verb} | `{address}` |" for verb, _, address in rows]
    if kept := refused(plan):
        lines += ["", f"Refused, for it would lose what {', '.join(f'`{address}`' for address in kept)} holds."]
    if ours := by_people(plan):
        lines += ["", f"For people to apply first, with rights of their own: {', '.join(f'`{one}`' for one in ours)}."]
    if opened := unguarded(plan):
        lines += ["", f"Refused, for nobody would be asked to sign in by {', '.join(f'`{one}`' for one in opened)}."]
    return "\n".join(lines) + "\n"
