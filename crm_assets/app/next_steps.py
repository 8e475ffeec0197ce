"""The next step for a deal, by rules that a manager can edit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crm_assets.errors import SettingsError
from crm_assets.modelling.reasons import Subject
from crm_assets.modelling.risk import RISKS

OWN_RULES = Path(__file__).with_suffix(".yaml")
"""The rules that come with the page."""
_SUBJECTS = tuple(subject.value for subject in Subject)
_ENDS = ("from", "below")


@dataclass(frozen=True)
class Deal:
    """What the rules look at; what is None is not known, and no condition on it holds.

    Attributes:
        risk: class of the probability.
        probability: of being won by the end of next month.
        change: of that since the month before.
        age_days: since it was engaged.
        abandoned: whether it probably never closes.
        main_subject: what sets it apart most from typical deals.
        main_part: what that adds to the probability.
    """

    risk: str
    probability: float
    change: float | None = None
    age_days: int | None = None
    abandoned: bool | None = None
    main_subject: str | None = None
    main_part: float | None = None

    @property
    def lowered_by(self) -> str | None:
        """The main subject where it lowers the probability."""
        return self.main_subject if (self.main_part or 0) < 0 else None

    @property
    def raised_by(self) -> str | None:
        """The main subject where it raises the probability."""
        return self.main_subject if (self.main_part or 0) > 0 else None


Condition = Callable[[Deal], bool]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: for messages.
        conditions: all have to hold.
        say: what is recommended.
    """

    name: str
    conditions: tuple[Condition, ...]
    say: str


def next_step(rules: Sequence[Rule], deal: Deal) -> str:
    """The sentence of the first rule that fits."""
    return next(rule.say for rule in rules if all(holds(deal) for holds in rule.conditions))


def read_rules(path: Path | None = None) -> tuple[Rule, ...]:
    """The rules of a file, those that come with the page when None.

    Raises SettingsError naming rule, field and remedy when the file cannot be read or a rule makes no sense.
    """
    file = path or OWN_RULES
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read ({error.strerror}): correct CRM_NEXT_STEPS_FILE") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8: save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(told, list) or not told:
        raise SettingsError(f"{file} holds no rules: write a list, each `- rule: NAME` with `when` and `say`")
    rules = tuple(_rule(file, number, one) for number, one in enumerate(told, 1))
    names = [rule.name for rule in rules]
    for rule in rules:
        if names.count(rule.name) > 1:
            raise SettingsError(f"{file}: {names.count(rule.name)} rules are named {rule.name!r}: name each once")
    for rule in rules[:-1]:
        if not rule.conditions:
            raise SettingsError(
                f"{file}: rule {rule.name!r} has no `when`, so those after it never fit: put it last, or add conditions"
            )
    if rules[-1].conditions:
        raise SettingsError(
            f"{file}: rule {rules[-1].name!r} is the last and has a `when`: add one without, for all other deals"
        )
    return rules


def _rule(file: Path, number: int, told: Any) -> Rule:
    if not isinstance(told, Mapping):
        raise SettingsError(f"{file}: rule {number} is no rule: write `- rule: NAME` with `when` and `say`")
    name = told.get("rule")
    if not isinstance(name, str) or not name.strip():
        raise SettingsError(f"{file}: rule {number} has no name: write `rule: NAME`")
    where = f"{file}: rule {name!r}"
    _known(where, told, ("rule", "when", "say"))
    say = told.get("say")
    if not isinstance(say, str) or not say.strip():
        raise SettingsError(f"{where}: `say` is {say!r}: write the sentence that is shown")
    when = told.get("when")
    if "when" in told and (not isinstance(when, Mapping) or not when):
        raise SettingsError(f"{where}: `when` is {when!r}: write conditions such as {{risk: high}}, or leave it out")
    _known(f"{where}, `when`", when or {}, tuple(_CONDITIONS))
    conditions = tuple(_CONDITIONS[field](f"{where}, `{field}`", value) for field, value in (when or {}).items())
    return Rule(name, conditions, say.strip())


def _known(where: str, told: Mapping[Any, Any], fields: Sequence[str]) -> None:
    for field in told:
        if field not in fields:
            near = difflib.get_close_matches(str(field), fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(fields)}"
            raise SettingsError(f"{where}: {field!r} is no field: {hint}")


def _one_of(attribute: str, among: Sequence[str]) -> Callable[[str, Any], Condition]:
    def condition(where: str, value: Any) -> Condition:
        wanted = value if isinstance(value, list) else [value]
        for one in wanted:
            if one not in among:
                raise SettingsError(f"{where} is {one!r}: choose among {', '.join(among)}")
        if not wanted:
            raise SettingsError(f"{where} is an empty list: choose among {', '.join(among)}")
        return lambda deal: getattr(deal, attribute) in wanted

    return condition


def _between(attribute: str, least: float, most: float) -> Callable[[str, Any], Condition]:
    def condition(where: str, value: Any) -> Condition:
        if not isinstance(value, Mapping) or not value:
            raise SettingsError(f"{where} is {value!r}: write {{from: NUMBER, below: NUMBER}}, or one of the two")
        _known(where, value, _ENDS)
        for end, number in value.items():
            # To Python, True is a number.
            if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
                raise SettingsError(f"{where}, `{end}` is {number!r}: write a number from {least:g} to {most:g}")
        low, high = value.get("from"), value.get("below")
        if low is not None and high is not None and low >= high:
            raise SettingsError(f"{where}: nothing is from {low:g} and below {high:g}: exchange them")

        def holds(deal: Deal) -> bool:
            found = getattr(deal, attribute)
            return found is not None and (low is None or found >= low) and (high is None or found < high)

        return holds

    return condition


def _yes_or_no(attribute: str) -> Callable[[str, Any], Condition]:
    def condition(where: str, value: Any) -> Condition:
        if not isinstance(value, bool):
            raise SettingsError(f"{where} is {value!r}: write true or false")
        return lambda deal: getattr(deal, attribute) is value

    return condition


_CONDITIONS: Mapping[str, Callable[[str, Any], Condition]] = {
    "risk": _one_of("risk", RISKS),
    "probability": _between("probability", 0, 1),
    "change": _between("change", -1, 1),
    "age_days": _between("age_days", 0, 100_000),
    "abandoned": _yes_or_no("abandoned"),
    "mainly_lowered_by": _one_of("lowered_by", _SUBJECTS),
    "mainly_raised_by": _one_of("raised_by", _SUBJECTS),
}
