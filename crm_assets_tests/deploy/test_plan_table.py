"""What a plan would do, by names alone, and what of it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.plan_table import BY_PEOPLE, KEPT, by_people, changes, refused, table, unguarded


def change(address: str, *actions: str, mode: str = "managed") -> dict[str, Any]:
    return {
        "address": address,
        "type": address.split(".")[-2],
        "mode": mode,
        "change": {"actions": list(actions), "after": {"password": "hunter2"}},
    }


def plan(*found: dict[str, Any]) -> dict[str, Any]:
    return {"resource_changes": list(found)}


def test_nothing_to_do_is_said() -> None:
    idle = plan(change("aws_lb.this", "no-op"), change("data.aws_iam_policy.this", "read", mode="data"))
    assert table("prod", idle) == "### prod: nothing would change\n"


def test_names_are_told_and_values_are_not() -> None:
    text = table(
        "staging",
        plan(
            change("module.a.aws_ecs_service.api", "update"),
            change("aws_lb.this", "delete", "create"),
            change("aws_sns_topic.new", "create"),
        ),
    )
    assert text.startswith("### staging: 1 to create, 1 to change, 1 to replace\n")
    assert "| replace | `aws_lb.this` |" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("kind", sorted(KEPT))
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete"), ("forget",)])
def test_what_holds_data_does_not_go(kind: str, actions: tuple[str, ...]) -> None:
    lost = plan(change(f"module.lake.{kind}.this", *actions))
    assert refused(lost) == [f"module.lake.{kind}.this"]
    assert "Refused" in table("prod", lost)


def test_other_things_may_go_and_data_may_change() -> None:
    assert refused(plan(change("aws_lb.this", "delete"), change("aws_db_instance.this", "update"))) == []


def test_each_verb_is_known() -> None:
    assert [verb for verb, _, _ in changes(plan(change("aws_lb.this", "delete"), change("aws_lb.that", "create")))] == [
        "create",
        "delete",
    ]


ASKS, FORWARDS = {"type": "authenticate-oidc"}, {"type": "forward"}


@pytest.mark.parametrize(
    ("before", "after", "opened"),
    [
        ([ASKS, FORWARDS], [FORWARDS], True),
        ([ASKS, FORWARDS], None, True),
        ([ASKS, FORWARDS], [ASKS, FORWARDS], False),
        ([FORWARDS], [FORWARDS], False),
        (None, [ASKS, FORWARDS], False),
    ],
)
def test_a_login_is_not_taken_away_unseen(before: Any, after: Any, opened: bool) -> None:
    rule = {"address": "module.balancer.aws_lb_listener_rule.fixed", "type": "aws_lb_listener_rule", "mode": "managed"}
    values = {"before": before and {"action": before}, "after": after and {"action": after}}
    shown = plan({**rule, "change": {"actions": ["update"], **values}})
    assert unguarded(shown) == ([rule["address"]] if opened else [])
    assert ("asked to sign in" in table("prod", shown)) is opened


BOUND = {"permissions_boundary": "arn:aws:iam::123456789012:policy/crm-assets-prod-boundary"}
FREE = {"permissions_boundary": None}


@pytest.mark.parametrize("kind", sorted(BY_PEOPLE))
@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_what_workflows_may_do_is_for_people_to_change(kind: str, verb: str) -> None:
    shown = plan(change(f"module.github.{kind}.this", verb), change("aws_iam_role_policy.task", "update"))
    assert by_people(shown) == [f"module.github.{kind}.this"]
    assert "For people to apply first" in table("prod", shown)


@pytest.mark.parametrize(
    ("verb", "before", "after", "unknown", "for_people"),
    [
        ("create", None, BOUND, {}, False),
        ("create", None, FREE, {"permissions_boundary": True}, False),
        ("create", None, FREE, {}, True),
        ("update", BOUND, BOUND, {}, False),
        ("update", FREE, BOUND, {}, True),
        ("update", BOUND, FREE, {}, True),
        ("update", FREE, FREE, {}, True),
        ("delete", BOUND, None, {}, False),
        ("no-op", FREE, FREE, {}, False),
    ],
)
def test_a_role_is_made_and_changed_within_its_boundary_alone(
    verb: str, before: Any, after: Any, unknown: dict[str, Any], for_people: bool
) -> None:
    what = {"actions": [verb], "before": before, "after": after, "after_unknown": unknown}
    shown = plan({"address": "aws_iam_role.task", "type": "aws_iam_role", "mode": "managed", "change": what})
    assert by_people(shown) == (["aws_iam_role.task"] if for_people else [])


@pytest.mark.parametrize(("verb", "for_people"), [("create", True), ("delete", True), ("update", False)])
def test_a_database_is_made_by_people(verb: str, for_people: bool) -> None:
    assert bool(by_people(plan(change("module.database.aws_db_instance.this", verb)))) is for_people
