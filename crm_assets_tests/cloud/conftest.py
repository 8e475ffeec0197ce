from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from crm_assets_tests.cloud.made import Made, cycle
from crm_assets_tests.cloud.terraform import ENVIRONMENTS


@pytest.fixture(scope="session")
def cycles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Made]]]:
    """Every environment's way through its account; they go it at the same time."""
    asked = os.environ.get("ENVIRONMENTS", "").split() or ENVIRONMENTS
    with ThreadPoolExecutor(len(asked)) as pool:
        yield {name: pool.submit(cycle, name, tmp_path_factory.mktemp(name)) for name in asked}


@pytest.fixture(params=ENVIRONMENTS)
def made(request: pytest.FixtureRequest, cycles: Mapping[str, Future[Made]]) -> Made:
    """An environment that went all the way; its failure is that of every test of it."""
    if request.param not in cycles:
        pytest.skip("ENVIRONMENTS names others")
    return cycles[request.param].result()
