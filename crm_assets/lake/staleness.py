"""Whether a stored month is what would be made now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from crm_assets.lake.manifest import Manifest


@dataclass(frozen=True)
class Current:
    """What a month would be made from now: code version, input hashes by `asset/month`, and settings."""

    code_version: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class UpToDate:
    """The stored month is what would be made now."""


@dataclass(frozen=True)
class Stale:
    """The month has to be made (again), for `reason`."""

    reason: str


Staleness: TypeAlias = UpToDate | Stale


def staleness(manifest: Manifest | None, current: Current, *, intact: bool) -> Staleness:
    """Compare what is stored with what would be made.

    Args:
        manifest: of the stored month; None when there is none.
        current: what it would be made from now.
        intact: whether the file's content still has the manifest's hash.
    """
    if manifest is None:
        return Stale("not made yet")
    if not intact:
        return Stale("the stored file is damaged or half-written")
    if manifest.code_version != current.code_version:
        return Stale("the code that makes it changed")
    changed = sorted(
        name
        for name in manifest.inputs.keys() | current.inputs.keys()
        if manifest.inputs.get(name) != current.inputs.get(name)
    )
    if changed:
        return Stale(f"{changed[0]} changed")
    differing = sorted(
        name
        for name in manifest.settings.keys() | current.settings.keys()
        if manifest.settings.get(name) != current.settings.get(name)
    )
    if differing:
        return Stale(f"setting {differing[0]} changed")
    return UpToDate()
