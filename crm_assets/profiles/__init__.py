"""Profiles: YAML files of settings for one kind of deployment, shipped beside this module or a user's own.

A profile holds values under the settings' own names (`lake_url`, not `CRM_LAKE_URL`); what the environment or `.env`
says wins over it. Secrets never stand in one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crm_assets.errors import SettingsError

if TYPE_CHECKING:
    import yaml

PROFILES = ("local", "staging", "production")
"""The profiles that come with the package."""

_FOLDER = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")
_MAPPING = "write one `name: value` a line"


@dataclass(frozen=True)
class Profile:
    """What a profile says.

    Attributes:
        name: `local`, `staging` or `production`, or the path that was given.
        values: name of a setting -> value, as YAML reads it: text, number, truth value or date.
        lines: name of a setting -> line of its key, counted from 1.
    """

    name: str
    values: Mapping[str, object] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, setting: str) -> str:
        """File, line and key of a setting, for messages."""
        return f"profile {self.name} line {self.lines[setting]}, {setting}"


def read_profile(name: str, known: Collection[str], secrets: Collection[str]) -> Profile:
    """Read a profile.

    Args:
        name: one of `PROFILES`, or the path of a YAML file.
        known: names of the settings that a profile may hold.
        secrets: names of those that it may not, because they are secret.

    Raises SettingsError, naming file, line and key, when there is no such profile, it cannot be read, or a key is no
    setting, stands there twice, is secret or has no plain value. No message shows a value.
    """
    file = _file_of(name)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"profile {name} cannot be read ({error.strerror}): correct CRM_PROFILE") from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"profile {name} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    for key, line, value in _pairs(name, text):
        place = f"profile {name} line {line}, {key}"
        if key in secrets:
            raise SettingsError(f"{place}: a secret must not stand in a file like this; set CRM_{key.upper()} instead")
        if key not in known:
            near = difflib.get_close_matches(key.lower().removeprefix("crm_"), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise SettingsError(f"{place} is not a setting: {hint}")
        if key in values:
            raise SettingsError(f"{place} stands there twice, first in line {lines[key]}: keep one of them")
        values[key], lines[key] = value, line
    return Profile(name, values, lines)


def _file_of(name: str) -> Path:
    if name in PROFILES:
        return _FOLDER / f"{name}.yaml"
    if name.endswith(_SUFFIXES):
        return Path(name)
    near = difflib.get_close_matches(name.lower(), PROFILES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise SettingsError(
        f"CRM_PROFILE is {name!r}, which is neither {', '.join(PROFILES[:-1])} or {PROFILES[-1]}{hint} nor the path of "
        "a .yaml file"
    )


def _pairs(name: str, text: str) -> list[tuple[str, int, object]]:
    """Key, line and value of every entry, in order, repeated ones too."""
    # Loaded here, for whoever reads no profile needs no YAML.
    import yaml

    if not text.strip():
        raise SettingsError(f"profile {name} is empty: {_MAPPING}, or leave CRM_PROFILE out")
    try:
        loader = yaml.SafeLoader(text)
        document = loader.get_single_node()
        if document is None:
            return []
        if not isinstance(document, yaml.MappingNode):
            raise SettingsError(f"profile {name} line {_line(document)} holds no settings: {_MAPPING}")
        return [_pair(name, loader, key, value) for key, value in document.value]
    except yaml.MarkedYAMLError as error:
        # The error's own text quotes the line, and so whatever secret stands in it; what went wrong quotes names.
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        problem = re.sub(r" '[^']{2,}'", "", error.problem or error.context or "")
        raise SettingsError(f"profile {name}{where} is not YAML ({problem}): {_MAPPING}") from None
    except (yaml.YAMLError, ValueError) as error:
        # A date such as 2017-02-30 is a ValueError.
        raise SettingsError(f"profile {name} is not YAML ({type(error).__name__}): {_MAPPING}") from None


def _pair(name: str, loader: yaml.SafeLoader, key: yaml.Node, value: yaml.Node) -> tuple[str, int, object]:
    import yaml

    line = _line(key)
    if not isinstance(key, yaml.ScalarNode):
        raise SettingsError(f"profile {name} line {line}: a key is no name of a setting; {_MAPPING}")
    said = str(key.value)
    if not isinstance(value, yaml.ScalarNode):
        raise SettingsError(f"profile {name} line {line}, {said}: holds a list or more keys; write one value behind it")
    try:
        read: Any = loader.construct_object(value)
    except ValueError:
        raise SettingsError(f"profile {name} line {line}, {said}: the value cannot be read; put it in quotes") from None
    if read is None:
        raise SettingsError(f"profile {name} line {line}, {said}: has no value; write one, or leave the line out")
    return said, line, read


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
