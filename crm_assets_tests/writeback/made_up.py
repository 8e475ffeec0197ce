"""Made-up scores, and a target in memory that fails and is killed when it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from crm_assets.calendar import Month
from crm_assets.errors import WriteBackError
from crm_assets.lake.records import Records
from crm_assets.writeback.content import FIGURES, NUMBERS, STATUS, as_text, contents
from crm_assets.writeback.delivery import Delivered, deliver
from crm_assets.writeback.journal import Journal
from crm_assets.writeback.plan import plan
from crm_assets.writeback.target import Batch, Row, Target

MAY = Month(2017, 5)
DATASET = "crm"


class KilledError(BaseException):
    """The process ends here, whatever it was about to do."""


def scores(probabilities: Mapping[str, float]) -> pl.DataFrame:
    """Scores of opportunities, with the columns that are written back."""
    kinds = {name: pl.Float64() if name in NUMBERS else pl.String() for name in FIGURES}
    rows = [
        {
            "opportunity_id": name,
            "probability": probability,
            "expected_value": probability * 1000,
            "probability_lost": None,
            "probability_abandoned": 0.1,
            "expected_close_month": "2017-07",
            "rung": "model",
            "model_version": "3",
        }
        for name, probability in probabilities.items()
    ]
    return pl.DataFrame(rows, schema={"opportunity_id": pl.String(), **kinds}, orient="row")


def row(name: str, probability: float | None, month: Month = MAY) -> Row:
    """A row with a score, or a cleared one."""
    figures = scores({name: probability or 0.0}).row(0, named=True)
    del figures["opportunity_id"]
    if probability is None:
        return Row(name, "cleared", dict.fromkeys(figures), str(month))
    return Row(name, "scored", figures, str(month))


def batch(*rows: Row, standing: int = 0, month: Month = MAY) -> Batch:
    return Batch.of(DATASET, month, rows, delivery="1", standing=standing)


@dataclass
class MemoryTarget:
    """Holds what it is sent; the next batch goes wrong as `fault` says.

    Attributes:
        batch_rows: most rows in a batch.
        held: opportunity -> its content.
        batches: keys of the batches that came; one whose key came before is not taken again.
        fault: "" for none; "away" before anything is taken, "half" after half of a batch, "lost" after all of it;
            "killed", "killed_half" and "killed_lost" end the process there.
        faulty: number of the batch of a delivery that goes wrong.
        refuses: opportunities that it refuses.
    """

    batch_rows: int | None = 2
    held: dict[str, str] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    fault: str = ""
    faulty: int = 1
    refuses: frozenset[str] = frozenset()

    def check(self) -> str:
        return "there"

    def send(self, batch: Batch) -> Mapping[str, str]:
        taken_before = batch.key in self.taken
        self.batches.append(batch.key)
        self.faulty -= 1
        fault = self.fault if self.faulty == 0 else ""
        count = (
            0 if fault in {"away", "killed"} else len(batch.rows) // 2 if fault.endswith("half") else len(batch.rows)
        )
        if count == len(batch.rows):
            self.taken.add(batch.key)
        for one in batch.rows[:count]:
            if one.opportunity_id not in self.refuses and not taken_before:
                self.held[one.opportunity_id] = as_text({STATUS: one.status, **one.figures})
        if fault.startswith("killed"):
            raise KilledError
        if fault:
            raise WriteBackError("the target is away", transient=True)
        return {one.opportunity_id: "it is locked" for one in batch.rows if one.opportunity_id in self.refuses}


class MemoryRecords(Records):
    """Records in memory, of a process that is killed at its n-th write."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.left: int | None = None

    def list(self, below: str = "") -> list[str]:
        return sorted(path for path in self.files if path.startswith(f"{below}/" if below else ""))

    def read(self, path: str) -> bytes:
        return self.files[path]

    def write(self, path: str, data: bytes) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KilledError
        self.files[path] = data

    def location(self, path: str) -> str:
        return f"memory/{path}"


def sent(
    records: MemoryRecords,
    target: Target,
    probabilities: Mapping[str, float],
    month: Month = MAY,
    *,
    killed_at_write: int | None = None,
    force: bool = False,
    resend: bool = False,
) -> Delivered:
    """A delivery of a month."""
    records.left = killed_at_write
    journal = Journal(records, "memory")
    wanted = contents(scores(probabilities))
    planned = plan(journal.trail(), wanted, month, force=force, resend=resend)
    return deliver(journal, target, planned, dataset=DATASET, by="a test")
