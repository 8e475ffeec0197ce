"""Terraform's files as text: what can be told without Terraform, so that every test run tells it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from crm_assets_tests.cloud.terraform import ENVIRONMENTS, TERRAFORM
from crm_assets_tests.cloud.written_hcl import Block, actions_in, blocks
from crm_assets_tests.containers.compose import REPOSITORY

FILES = sorted(file for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts)
FOLDERS = sorted({file.parent for file in FILES if file.parent.name != "tests"})
EXCEPTION = re.compile(r"#\s*checkov:skip=(?P<check>CKV\w+):(?P<reason>.*)")
PLATFORM = TERRAFORM / "modules" / "platform"
SET_BY_PEOPLE = {TERRAFORM / "bootstrap", PLATFORM, *(TERRAFORM / "environments").glob("*")}
"""Other modules are handed what these were told, or what a resource is called."""
WITHOUT_VALIDATION = re.compile(r"bool|object\(.*|map\(.*|list\(object\(.*|set\(object\(.*")
"""Types of which every value will do, or whose parts Terraform checks itself."""


def name_of(path: Path) -> str:
    return str(path.relative_to(TERRAFORM))


def variables(folder: Path) -> list[Block]:
    return [one for file in sorted(folder.glob("*.tf")) for one in blocks(file) if one.kind == "variable"]


LOOKED_AT = {one.labels[0] for folder in FOLDERS for one in variables(folder) if one.sets("validation")}


def bare_exceptions(text: str) -> list[str]:
    """The exceptions of checkov in a text without a reason of some words."""
    lines = [line.strip() for line in text.splitlines() if "checkov:skip" in line]
    found = [(line, EXCEPTION.search(line)) for line in lines]
    return [line for line, match in found if match is None or len(match["reason"].split()) < 3]


def test_there_are_modules_and_every_environment() -> None:
    assert {"modules/platform", "modules/lake", "modules/identity"} <= {name_of(folder) for folder in FOLDERS}
    assert {f"environments/{name}" for name in ENVIRONMENTS} <= {name_of(folder) for folder in FOLDERS}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_action_is_a_pattern(file: Path) -> None:
    assert {action for action in actions_in(file.read_text()) if re.search(r"[*?]", action)} == set()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_exception_of_checkov_has_a_reason(file: Path) -> None:
    assert bare_exceptions(file.read_text()) == []


def test_checkov_leaves_nothing_out_everywhere() -> None:
    told = yaml.safe_load((REPOSITORY / "terraform" / ".checkov.yaml").read_text())
    assert set(told) == {"framework", "compact", "quiet", "skip-download"}


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_variable_has_a_type_and_a_description_and_what_people_set_a_validation(folder: Path) -> None:
    lacking = []
    # An environment hands most of what it is told to the platform, and that to other modules, which look at it.
    handed_on = {one.labels[0] for one in variables(PLATFORM)} if folder.parent.name == "environments" else LOOKED_AT
    for variable in variables(folder):
        wanted = ["type", "description"]
        needless = WITHOUT_VALIDATION.fullmatch(variable.value("type")) or variable.labels[0] in handed_on
        if folder in SET_BY_PEOPLE and not needless:
            wanted.append("validation")
        lacking += [f"{variable.labels[0]}: {name}" for name in wanted if not variable.sets(name)]
    assert lacking == []


def test_environments_are_told_the_same() -> None:
    # Terraform knows no way to share them. What each may cost is its own.
    written = {
        re.sub(r"(variable \"budget_dollars\" \{[^}]*default\s+=) \d+", r"\1 0", (folder / "variables.tf").read_text())
        for folder in FOLDERS
        if folder.parent.name == "environments"
    }
    assert len(written) == 1


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_an_output_has_a_description(folder: Path) -> None:
    outputs = [one for file in sorted(folder.glob("*.tf")) for one in blocks(file) if one.kind == "output"]
    assert [one.labels[0] for one in outputs if not one.sets("description")] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_has_tests_of_its_own(folder: Path) -> None:
    assert [*folder.glob("*.tftest.hcl"), *folder.glob("tests/*.tftest.hcl")] != []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('actions = ["s3:*"]', {"s3:*"}),
        ('actions = [\n  "s3:GetObject",\n  "ecs:Describe*",\n]', {"s3:GetObject", "ecs:Describe*"}),
        ('actions = ["*"]', {"*"}),
        ('{ Effect = "Allow", Action = "*", Resource = "*" }', {"*"}),
        ('Action = ["iam:PassRole"]', {"iam:PassRole"}),
        ('  statement {\n    effect = "Deny"\n    actions = ["s3:*"]\n  }\n', set()),
        ('  statement {\n    effect = "Allow"\n    actions = ["s3:*"]\n  }\n', {"s3:*"}),
        ('[{ Effect = "Deny", Principal = { AWS = "*" }, Action = "s3:*" }, { Action = ["s3:Get*"] }]', {"s3:Get*"}),
        ('resources = ["*"]', set()),
        ('resources = ["arn:aws:s3:::lake/*"]', set()),
    ],
)
def test_actions_are_found_however_they_are_written(text: str, found: set[str]) -> None:
    assert actions_in(text) == found


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("# checkov:skip=CKV_AWS_18:the bucket of logs does not log itself", False),
        ("# checkov:skip=CKV_AWS_18", True),
        ("# checkov:skip=CKV_AWS_18:", True),
        ("# checkov:skip=CKV_AWS_18:not needed", True),
        ("#checkov:skip=all", True),
    ],
)
def test_an_exception_without_a_reason_is_found(line: str, bare: bool) -> None:
    assert bool(bare_exceptions(f"  {line}\n")) is bare


def test_blocks_are_read(tmp_path: Path) -> None:
    file = tmp_path / "variables.tf"
    file.write_text(
        'variable "name" {\n  type        = string\n  description = "Which."\n'
        "\n  validation {\n    condition = true\n  }\n}\n"
        '\nvariable "bare" {}\n\noutput "url" {\n  value = {\n    a = 1\n  }\n}\n'
    )
    found = list(blocks(file))
    assert [(one.kind, one.labels) for one in found] == [
        ("variable", ("name",)),
        ("variable", ("bare",)),
        ("output", ("url",)),
    ]
    assert [one.sets("validation") for one in found] == [True, False, False]
    assert found[0].value("type") == "string"
    assert not found[2].sets("description")
