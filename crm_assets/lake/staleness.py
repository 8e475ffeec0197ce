"""Whether a file of the lake is what the code, inputs and settings of today would make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crm_assets.lake.manifest import Manifest, Provenance

NEVER_WRITTEN = "never written"
NOT_AS_WRITTEN = "the stored file is not the one its manifest describes: a write was interrupted, or it was changed"
_NAMED = 3


@dataclass(frozen=True)
class UpToDate:
    """Running it again would make the same."""


@dataclass(frozen=True)
class Stale:
    """It has to be run.

    Attributes:
        reason: what differs, for people.
    """

    reason: str


def judge(manifest: Manifest | None, current: Provenance, *, intact: bool) -> UpToDate | Stale:
    """Compare what a file was made from with what it would be made from now.

    Args:
        manifest: of the stored file; None when there is none.
        current: what a run would use now.
        intact: whether the stored content is the one the manifest describes.
    """
    if manifest is None:
        return Stale(NEVER_WRITTEN)
    if not intact:
        return Stale(NOT_AS_WRITTEN)
    reasons = []
    if manifest.code_version != current.code_version:
        reasons.append(f"code version {manifest.code_version} is now {current.code_version}")
    reasons += _named("input", _differences(manifest.inputs, current.inputs, values_tell=False))
    reasons += _named("setting", _differences(manifest.settings, current.settings, values_tell=True))
    return Stale("; ".join(reasons)) if reasons else UpToDate()


def _differences(before: Mapping[str, object], now: Mapping[str, object], *, values_tell: bool) -> list[str]:
    differences = []
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            differences.append(f"{name} is no longer used")
        elif name not in before:
            differences.append(f"{name} is new")
        elif before[name] != now[name]:
            differences.append(f"{name} {before[name]} is now {now[name]}" if values_tell else f"{name} has changed")
    return differences


def _named(what: str, differences: list[str]) -> list[str]:
    if not differences:
        return []
    more = f" and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    return [f"{what} {', '.join(differences[:_NAMED])}{more}"]
