from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Amazon's services as moto plays them in this process, and an environment with nothing but a key for them."""
    from moto import mock_aws

    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(("CRM_", "DAGSTER_", "AWS_")):
                patch.delenv(name)
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            patch.setenv(name, value)
        with mock_aws():
            yield
