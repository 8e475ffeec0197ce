"""A delivery: what was planned is sent batch by batch, and the trail says what became of it."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crm_assets.errors import CrmAssetsError, WriteBackError
from crm_assets.writeback.journal import Journal
from crm_assets.writeback.plan import Outcome, Planned
from crm_assets.writeback.target import Batch, Row, Target

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Delivered:
    """What became of a delivery.

    Attributes:
        planned: what was to be sent.
        rows: of `TRAIL`, of this delivery.
        fault: why it ended early; None when it did not.
    """

    planned: Planned
    rows: pl.DataFrame
    fault: CrmAssetsError | None = None

    def count(self, outcome: Outcome) -> int:
        """How many opportunities came to this."""
        return int((self.rows["outcome"] == str(outcome)).sum())

    @property
    def missing(self) -> int:
        """How many opportunities the target is not known to hold as it should."""
        return self.rows.height - self.count(Outcome.DELIVERED)

    def sentence(self) -> str:
        """What came of it, without a full stop."""
        counts = [f"{self.count(outcome)} {outcome}" for outcome in Outcome if self.count(outcome)]
        return f"{self.planned.month}: {', '.join(counts) or 'nothing to send'}, {self.planned.unchanged} unchanged"


def sender(what: str) -> str:
    """Who sends, for the trail: what of the platform, for which user, on which machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user without a name.
        user = str(os.getuid())
    return f"{what}, {user}@{socket.gethostname()}"


def deliver(
    journal: Journal,
    target: Target,
    planned: Planned,
    *,
    dataset: str,
    by: str,
    progress: Callable[[int, int], None] = lambda done, of: None,
    check: Callable[[], None] = lambda: None,
) -> Delivered:
    """Send what was planned, and note before and after each batch.

    Whoever calls holds the lake's lock, and made the plan under it. A process that is killed meanwhile leaves a
    delivery whose rows are sent again by the next one.

    Args:
        journal: of the target.
        target: open.
        planned: of this journal's trail.
        dataset: whose opportunities they are.
        by: who sends it.
        progress: told after each batch how many rows have been sent, and of how many.
        check: raises when the lake's lock is lost; asked before each batch.

    Raises StorageError when the lake cannot be written; what the target raises is the result's `fault`.
    """
    journal.close_interrupted()
    size = target.batch_rows or max(len(planned.changes), 1)
    parts = [planned.changes[start : start + size] for start in range(0, len(planned.changes), size)]
    # Not the number alone: a trail that was moved away begins with 1 again.
    name = f"{journal.next_delivery()} {secrets.token_hex(8)}"
    batches = [
        Batch.of(
            dataset,
            planned.month,
            tuple(Row.of(change, planned.month) for change in part),
            delivery=name,
            standing=planned.standing,
        )
        for part in parts
    ]
    delivery = journal.begin(planned.month, [(b.key, p) for b, p in zip(batches, parts, strict=True)], by)
    done = 0
    for number, batch in enumerate(batches, 1):
        check()
        try:
            refused = target.send(batch)
        except CrmAssetsError as error:
            return Delivered(planned, delivery.close(number, str(error)), error)
        except Exception as error:
            fault = unexpected(journal.target, error)
            return Delivered(planned, delivery.close(number, str(fault)), fault)
        delivery.batch_ended(number, refused)
        done += len(batch.rows)
        progress(done, len(planned.changes))
    return Delivered(planned, delivery.close())


def unexpected(target: str, error: Exception) -> WriteBackError:
    """The fault of the target with this name, which holds no secret, that behaved as nobody thought of."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    # Not its text, which may show what the library was given, such as a secret.
    return WriteBackError(
        f"{target}: what it did was not understood ({type(error).__name__} in {Path(at.filename).name}, line "
        f"{at.lineno}): check CRM_WRITEBACK_URL, and what answers there"
    )
