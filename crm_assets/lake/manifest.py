"""What is written beside every file of the lake: what it is, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar, TypeAlias

from pydantic import ConfigDict, TypeAdapter, ValidationError

from crm_assets.errors import LakeError

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Provenance:
    """What the content of an asset's month follows from.

    Attributes:
        code_version: version of the code that made it.
        inputs: "asset/2017-05" -> SHA-256 of what was read.
        settings: name -> value of every setting that shapes the content.
    """

    code_version: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """One file of the lake.

    Attributes:
        asset: name, which may hold slashes.
        month: "2017-05".
        path: of the file, relative to the lake.
        rows: of a table; None for a document.
        sha256: of the content, in hexadecimal.
        size_bytes: length of the content.
        schema: column -> Polars type of a table, in order; empty for a document.
        code_version: see Provenance.
        inputs: see Provenance.
        settings: see Provenance.
        notes: further facts about the content, such as its evidence or a quality score.
        written_at: ISO 8601, UTC.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    asset: str
    month: str
    path: str
    rows: int | None
    sha256: str
    size_bytes: int
    schema: dict[str, str]
    code_version: str
    inputs: dict[str, str]
    settings: dict[str, Scalar]
    notes: dict[str, Scalar | list[Scalar]]
    written_at: str

    def to_json(self) -> bytes:
        """The manifest as indented JSON. Raises ValueError or TypeError on what JSON cannot hold, such as NaN."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, location: str) -> Manifest:
        """The manifest that `to_json` wrote.

        Args:
            data: the JSON.
            location: of the file, for messages.

        Raises LakeError naming the file and the field when the JSON is broken, or a field is missing, unknown or of
        the wrong type.
        """
        try:
            return _ADAPTER.validate_json(data)
        except ValidationError as error:
            faults = [".".join(map(str, fault["loc"])) + ": " + fault["msg"] for fault in error.errors()]
            raise LakeError(
                f"{location} is no manifest of this version ({'; '.join(faults)}); delete it, and run the month again"
            ) from None


_ADAPTER = TypeAdapter(Manifest)
