"""The manifest beside each stored month: what it holds, its content hash, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from crm_assets.errors import LakeError


@dataclass(frozen=True)
class Manifest:
    """What is known of one stored month of an asset.

    Attributes:
        asset: name of the asset.
        month: partition key, YYYY-MM.
        path: of the file, relative to the lake.
        rows: rows of a table; None for a document.
        sha256: of the file's content, hexadecimal.
        size_bytes: of the file.
        schema: column name -> type; empty for a document.
        code_version: of the code that made it.
        inputs: `asset/month` -> content hash of everything it was made from.
        settings: name -> value of the settings that shape it.
        notes: figures and facts about it.
        written_at: UTC, ISO 8601.
    """

    asset: str
    month: str
    path: str
    rows: int | None
    sha256: str
    size_bytes: int
    schema: Mapping[str, str]
    code_version: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    notes: Mapping[str, Any]
    written_at: str

    def to_json(self) -> bytes:
        """The manifest as UTF-8 JSON."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Manifest:
        """Read a manifest; `place` is named in errors. Raises LakeError when it is not one of this version."""
        try:
            held = json.loads(data)
        except ValueError as error:
            raise LakeError(f"{place} is not JSON ({error}): delete it and run the month again") from None
        wanted = {field.name for field in fields(cls)}
        found = set(held) if isinstance(held, dict) else set()
        if found != wanted:
            raise LakeError(
                f"{place} is no manifest of this version: missing {sorted(wanted - found)}, unknown "
                f"{sorted(found - wanted)}; use another CRM_LAKE_URL, or delete it and run the month again"
            )
        return cls(**held)
