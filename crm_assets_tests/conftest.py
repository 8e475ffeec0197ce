from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["crm_assets_tests.integration.s3_server"]


@pytest.fixture(params=["folder", "s3"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place: a folder that does not exist yet, then a prefix in a bucket of a real server."""
    if request.param == "folder":
        return str(tmp_path / "the lake, ñ")
    url: str = request.getfixturevalue("s3_url")
    return url
