from __future__ import annotations

from typing import Any

import pytest

from crm_assets_tests.benchmarks.serving import at_equal_p95


def level(per_second: float, p95: float, failed: int = 0) -> dict[str, Any]:
    return {"per_second": per_second, "p95": p95, "failed": failed}


def test_servers_are_compared_at_a_p95_not_above_the_others() -> None:
    theirs = [level(100, 10), level(200, 40)]
    ours = [level(800, 1), level(1_000, 10), level(1_900, 50)]
    # Of 10 and 5 times the least; at 50 ms ours does more, and that is above 40.
    assert at_equal_p95(ours, theirs) == {"times": 5.0, "p95": 40, "theirs": 200, "ours": 1_000}


@pytest.mark.parametrize("only", [level(5_000, 11), level(5_000, 1, failed=1)])
def test_what_is_slower_or_fails_does_not_count(only: dict[str, Any]) -> None:
    assert at_equal_p95([only], [level(100, 10)])["times"] == 0
