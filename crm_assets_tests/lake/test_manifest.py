from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.errors import LakeError
from crm_assets.lake.manifest import Manifest, Scalar

EXAMPLE = Manifest(
    asset="raw/sales_pipeline",
    month="2017-05",
    path="raw/sales_pipeline/2017-05.parquet",
    rows=8800,
    sha256="ab" * 32,
    size_bytes=123456,
    schema={"opportunity_id": "String", "close_value": "Float64"},
    code_version="3",
    inputs={"source/2017-05": "cd" * 32},
    settings={"quarantine_limit": 0.05, "seed": 7, "engine": "polars", "exact": True},
    notes={"evidence": "replayed", "quarantined": 3, "score": 0.98, "columns": ["account", None, 1.5]},
    written_at="2026-11-21T05:29:00+00:00",
)

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=20)


@given(
    settings=st.dictionaries(names, scalars | names, max_size=5),
    notes=st.dictionaries(names, scalars | names | st.lists(scalars | names, max_size=3), max_size=5),
    inputs=st.dictionaries(names, names, max_size=5),
    rows=st.none() | st.integers(0, 10**10),
)
def test_json_round_trip(
    settings: dict[str, Scalar],
    notes: dict[str, Scalar | list[Scalar]],
    inputs: dict[str, str],
    rows: int | None,
) -> None:
    manifest = dataclasses.replace(EXAMPLE, settings=settings, notes=notes, inputs=inputs, rows=rows)
    again = Manifest.from_json(manifest.to_json(), "somewhere")
    assert again == manifest
    assert [type(value) for value in again.settings.values()] == [type(value) for value in settings.values()]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Manifest)])
def test_a_missing_field_is_named(field: str) -> None:
    fields = json.loads(EXAMPLE.to_json())
    del fields[field]
    with pytest.raises(LakeError, match=rf"^/lake/a\.json is no manifest .*\b{field}: Field required"):
        Manifest.from_json(json.dumps(fields).encode(), "/lake/a.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", "8800"),
        ("size_bytes", 1.5),
        ("schema", ["a"]),
        ("inputs", {"a": 1}),
        ("settings", {"a": [1]}),
        ("notes", {"a": {"b": 1}}),
        ("colour", "red"),
    ],
)
def test_an_unknown_or_misshapen_field_is_named(field: str, value: object) -> None:
    fields = json.loads(EXAMPLE.to_json()) | {field: value}
    with pytest.raises(LakeError, match=rf"^/lake/a\.json is no manifest .*\b{field}\b"):
        Manifest.from_json(json.dumps(fields).encode(), "/lake/a.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"asset": "a"'])
def test_broken_json_is_refused(data: bytes) -> None:
    with pytest.raises(LakeError, match=r"^/lake/a\.json is no manifest"):
        Manifest.from_json(data, "/lake/a.json")


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dataclasses.replace(EXAMPLE, notes={"score": float("nan")}).to_json()
