"""The list of calls to AWS is the one that the code makes, ours and the libraries'."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_assets_tests.cloud.calls import ACTIONS, PLACES, Place
from crm_assets_tests.cloud.written_calls import methods, written_calls


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_every_call_that_is_written_is_listed_and_no_other(place: Place) -> None:
    assert written_calls(place.modules, place.services) == place.makes | set(place.spared)
    assert not place.makes & set(place.spared)


@pytest.mark.parametrize("call", ACTIONS)
def test_a_listed_call_is_a_method_of_its_service(call: str) -> None:
    service, name = call.split(".")
    assert name in methods(service)


def test_what_every_call_needs_is_listed() -> None:
    assert {call for place in PLACES.values() for call in place.makes} <= set(ACTIONS)


def test_a_call_that_is_new_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "calling"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "shell.py").write_text("def all_of(client):\n    client.get_paginator('list_object_versions')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert written_calls(["calling"], ["s3"]) == {"s3.list_object_versions"}


def test_a_module_that_is_not_installed_is_told() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        written_calls(["no_such_library.shell"], ["s3"])
