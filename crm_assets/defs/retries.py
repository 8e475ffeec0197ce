"""Which errors of a step are tried again: those of storage, registry and network that may pass, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from crm_assets.errors import may_pass

IO_RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Up to three more attempts, after about 5, 15 and 35 seconds, so that a server may be away for a minute.

The waits differ from run to run by chance: what failed together does not come back together.
"""


@contextmanager
def io_retried(attempts_before: int) -> Iterator[None]:
    """Have Dagster try the step again when the block raises an error that may pass; others are raised as they are.

    A `RetryPolicy` of the asset itself would also try again what data or code are at fault for.

    Args:
        attempts_before: how often the step was tried already.
    """
    try:
        yield
    except Exception as error:
        if not may_pass(error) or attempts_before >= IO_RETRIES.max_retries:
            raise
        raise dg.RetryRequested(
            max_retries=IO_RETRIES.max_retries, seconds_to_wait=IO_RETRIES.calculate_delay(attempts_before + 1)
        ) from error
