from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no time limit, which would fail on a busy machine.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

pytest_plugins = ["crm_assets_tests.integration.s3_server", "crm_assets_tests.integration.postgres_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker is alone with them in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo how patient a run makes this process with MLflow's server, or later tests of dead ones take minutes."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    # Set and deleted, so that it is put back after the test as it was before it.
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)


@pytest.fixture(params=["folder", "s3"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place: a folder that does not exist yet, then a prefix in a bucket of a real server."""
    if request.param == "folder":
        return str(tmp_path / "the lake, ñ")
    url: str = request.getfixturevalue("s3_url")
    return url
