"""Whether a model was rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_assets.calendar import Month
    from crm_assets.defs.inputs import Inputs
    from crm_assets.defs.platform import Platform


def withdrawal(parts: Platform | Inputs, month: Month, sha256: object) -> str | None:
    """Why the model of a content hash is not to be champion at the end of `month`; None when it may be."""
    withdrawn = parts.shared("withdrawn versions", None, parts.registry.withdrawn)
    if not withdrawn:
        return None
    versions = parts.registry.versions()
    for version, (since, reason) in withdrawn.items():
        if versions.get(version) == sha256 and since <= month:
            return f"{reason} (version {version}, from {since} on)"
    return None
