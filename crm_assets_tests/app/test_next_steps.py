from __future__ import annotations

from pathlib import Path

import pytest

from crm_assets.app.next_steps import Deal, next_step, read_rules
from crm_assets.errors import SettingsError

OTHERWISE = "- {rule: otherwise, say: Wait.}"


def rules(folder: Path, text: str) -> Path:
    file = folder / "steps.yaml"
    file.write_text(f"{text}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("when", "fits", "does_not"),
    [
        ("{risk: high}", Deal("high", 0.1), Deal("medium", 0.5)),
        ("{risk: [low, medium]}", Deal("low", 0.9), Deal("high", 0.1)),
        ("{probability: {from: 0.2, below: 0.4}}", Deal("high", 0.2), Deal("medium", 0.4)),
        ("{change: {below: -0.1}}", Deal("high", 0.1, change=-0.11), Deal("high", 0.1, change=-0.1)),
        ("{change: {below: 0.1}}", Deal("high", 0.1, change=0.0), Deal("high", 0.1)),
        ("{age_days: {from: 30}}", Deal("high", 0.1, age_days=30), Deal("high", 0.1, age_days=29)),
        ("{abandoned: false}", Deal("high", 0.1, abandoned=False), Deal("high", 0.1)),
        (
            "{mainly_lowered_by: age}",
            Deal("high", 0.1, main_subject="age", main_part=-0.1),
            Deal("high", 0.1, main_subject="age", main_part=0.1),
        ),
        (
            "{mainly_raised_by: [agent]}",
            Deal("high", 0.1, main_subject="agent", main_part=0.1),
            Deal("high", 0.1, main_subject="age", main_part=0.1),
        ),
        (
            "{risk: high, age_days: {below: 9}}",
            Deal("high", 0.1, age_days=8),
            Deal("medium", 0.5, age_days=8),
        ),
    ],
)
def test_the_first_rule_that_fits_is_said(tmp_path: Path, when: str, fits: Deal, does_not: Deal) -> None:
    found = read_rules(rules(tmp_path, f"- {{rule: a, when: {when}, say: Act.}}\n{OTHERWISE}"))
    assert next_step(found, fits) == "Act."
    assert next_step(found, does_not) == "Wait."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rules"),
        ("a: [", "is no YAML"),
        ("- 3", "rule 1 is no rule"),
        ("- {say: x}", "rule 1 has no name"),
        ("- {rule: a, then: x}", "'then' is no field: did you mean when|choose among rule, when, say"),
        ("- {rule: a}", "rule 'a': `say` is None"),
        ("- {rule: a, when: {}, say: x}", "`when` is {}"),
        ("- {rule: a, when: {risk: 1, riskk: 1}, say: x}", "'riskk' is no field: did you mean risk"),
        ("- {rule: a, when: {risk: High}, say: x}", "'a', `risk` is 'High': choose among low, medium, high"),
        ("- {rule: a, when: {risk: []}, say: x}", "an empty list"),
        ("- {rule: a, when: {age_days: 3}, say: x}", "`age_days` is 3: write"),
        ("- {rule: a, when: {age_days: {to: 3}}, say: x}", "'to' is no field: choose among from, below"),
        ("- {rule: a, when: {probability: {from: 40}}, say: x}", "`from` is 40: write a number from 0 to 1"),
        ("- {rule: a, when: {change: {below: true}}, say: x}", "`below` is True"),
        ("- {rule: a, when: {change: {below: 0, from: 0}}, say: x}", "nothing is from 0 and below 0"),
        ("- {rule: a, when: {abandoned: 1}, say: x}", "write true or false"),
        ("- {rule: a, when: {mainly_lowered_by: price}, say: x}", "choose among age, month"),
        ("- {rule: a, when: {risk: low}, say: x}", "add one without"),
        ("- {rule: a, say: x}\n- {rule: b, say: x}", "'a' has no `when`"),
        ("- {rule: a, when: {risk: low}, say: x}\n- {rule: a, say: x}", "2 rules are named 'a'"),
    ],
)
def test_a_wrong_rule_is_told_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("{", r"\{").replace("[", r"\[")):
        read_rules(rules(tmp_path, text))


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match="CRM_NEXT_STEPS_FILE"):
        read_rules(Path("/nowhere/steps.yaml"))


@pytest.mark.parametrize(
    ("deal", "said"),
    [
        (Deal("high", 0.0, abandoned=True), "close it in the CRM"),
        (Deal("low", 0.8), "signature"),
        (Deal("medium", 0.5, change=-0.2), "Call this week"),
        (Deal("medium", 0.5, change=0.2), "Settle price"),
        (Deal("high", 0.1, age_days=3), "first meeting"),
        (Deal("high", 0.1, age_days=60, main_subject="month", main_part=-0.1), "end of the quarter"),
        (Deal("high", 0.1, age_days=200, main_subject="month", main_part=-0.1), "day by which"),
        (Deal("high", 0.1, age_days=60, main_subject="agent", main_part=-0.1), "manager"),
        (Deal("high", 0.1), "next month"),
    ],
)
def test_the_rules_that_come_with_the_page(deal: Deal, said: str) -> None:
    assert said in next_step(read_rules(), deal)
