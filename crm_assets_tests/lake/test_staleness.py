from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.lake.manifest import Provenance
from crm_assets.lake.staleness import Stale, UpToDate, judge
from crm_assets_tests.lake.test_manifest import EXAMPLE

CURRENT = Provenance(EXAMPLE.code_version, EXAMPLE.inputs, EXAMPLE.settings)


def test_the_same_is_up_to_date() -> None:
    assert judge(EXAMPLE, CURRENT, intact=True) == UpToDate()


def test_what_is_not_there_is_stale() -> None:
    assert judge(None, CURRENT, intact=False) == Stale("never written")


def test_what_is_not_intact_is_stale() -> None:
    verdict = judge(EXAMPLE, CURRENT, intact=False)
    assert isinstance(verdict, Stale)
    assert "a write was interrupted" in verdict.reason


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (dataclasses.replace(CURRENT, code_version="4"), "code version 3 is now 4"),
        (dataclasses.replace(CURRENT, inputs={"source/2017-05": "ee"}), "input source/2017-05 has changed"),
        (dataclasses.replace(CURRENT, inputs={}), "input source/2017-05 is no longer used"),
        (
            dataclasses.replace(CURRENT, inputs={**EXAMPLE.inputs, "source/2017-04": "ee"}),
            "input source/2017-04 is new",
        ),
        (
            dataclasses.replace(CURRENT, settings={**EXAMPLE.settings, "seed": 8, "engine": "duckdb"}),
            "setting engine polars is now duckdb, seed 7 is now 8",
        ),
        (
            dataclasses.replace(CURRENT, code_version="4", settings={**EXAMPLE.settings, "seed": 8}),
            "code version 3 is now 4; setting seed 7 is now 8",
        ),
        (
            dataclasses.replace(CURRENT, inputs={**EXAMPLE.inputs, **{f"a/2017-{i:02d}": "ee" for i in range(1, 8)}}),
            "input a/2017-01 is new, a/2017-02 is new, a/2017-03 is new and 4 more",
        ),
    ],
)
def test_the_reason_says_what_differs(current: Provenance, reason: str) -> None:
    assert judge(EXAMPLE, current, intact=True) == Stale(reason)


provenances = st.builds(
    Provenance,
    code_version=st.sampled_from("12"),
    inputs=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
    settings=st.dictionaries(st.sampled_from("abc"), st.integers(0, 1), max_size=3),
)


@given(provenances, provenances)
def test_stale_exactly_when_something_differs(before: Provenance, now: Provenance) -> None:
    manifest = dataclasses.replace(
        EXAMPLE, code_version=before.code_version, inputs=dict(before.inputs), settings=dict(before.settings)
    )
    assert (judge(manifest, now, intact=True) == UpToDate()) == (before == now)
