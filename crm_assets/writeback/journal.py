"""The trail of what was sent to a target: written before and after each sending, so that a kill loses nothing of it.

A delivery has a folder in the lake. `plan.parquet` is written before anything is sent, `batch-*.json` after each
batch, and `trail.parquet` at the end: the plan with what became of each row. Where it is missing, the delivery was
interrupted, and of batches without a file nothing is known. Files are written once and never changed.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import LakeError
from crm_assets.lake.records import Records
from crm_assets.writeback.plan import Action, Change, Outcome

if TYPE_CHECKING:
    import polars as pl

TRAIL = Table(
    "score_writeback",
    "One row per opportunity and sending: what a target held, what it was sent, and what became of it.",
    (
        Column("target", Kind.STRING, "Target, without any secret", required=True),
        Column("delivery", Kind.INTEGER, "Number of the delivery to the target, from 1", required=True, minimum=1),
        Column("month", Kind.STRING, "Month whose scores were delivered", required=True),
        Column("planned_at", Kind.STRING, "When the delivery was begun, ISO 8601, UTC", required=True),
        Column("sent_by", Kind.STRING, "Who sent it: the asset or the command, user and machine", required=True),
        Column("batch", Kind.INTEGER, "Number of the batch within the delivery, from 1", required=True, minimum=1),
        Column("batch_key", Kind.STRING, "Idempotency key of the batch", required=True),
        Column("opportunity_id", Kind.STRING, "Opportunity", required=True),
        Column("action", Kind.STRING, "Why it was sent", required=True, allowed=tuple(Action)),
        Column("old", Kind.STRING, "Content that the target last held as far as was known, JSON; empty for nothing"),
        Column("new", Kind.STRING, "Content it was sent, JSON", required=True),
        Column("outcome", Kind.STRING, "What became of it", required=True, allowed=tuple(Outcome)),
        Column("reason", Kind.STRING, "Why it was not delivered"),
    ),
    key=("target", "delivery", "opportunity_id"),
)

INTERRUPTED = "the delivery was interrupted, so whether it arrived is not known"

_PLAN, _TRAIL = "plan.parquet", "trail.parquet"
_DELIVERY = re.compile(r"(?P<folder>(?P<number>\d{6})-(?P<month>\d{4}-\d\d))/(?P<file>.+)")
_EMPTY_MARK = ""
"""Opportunity of the row that stands for a delivery in which nothing had to be sent."""


class Delivery:
    """A delivery that has begun.

    Args:
        records: where it is noted.
        folder: its own.
        rows: of `TRAIL`, with outcomes as yet unknown.
    """

    def __init__(self, records: Records, folder: str, rows: pl.DataFrame) -> None:
        self._records, self._folder, self._rows = records, folder, rows

    def batch_ended(self, batch: int, refused: Mapping[str, str]) -> None:
        """Note what became of a batch: delivered, but for what was refused and why."""
        content = {"ended_at": _now(), "refused": dict(refused)}
        self._records.write(f"{self._folder}/{_batch_file(batch)}", json.dumps(content).encode())

    def close(self, failed: int | None = None, reason: str = INTERRUPTED) -> pl.DataFrame:
        """Write the trail from what was noted, and return its rows.

        Args:
            failed: number of the batch that could not be sent to an end, after which none was sent; None when nothing
                is known of batches that were not noted.
            reason: why.
        """
        rows = _with_outcomes(self._rows, self._records, self._folder, failed=failed, reason=reason)
        self._records.write(f"{self._folder}/{_TRAIL}", _parquet(rows))
        return rows.filter(rows["opportunity_id"] != _EMPTY_MARK)


class Journal:
    """All deliveries to one target. Whoever writes holds the lake's lock.

    Args:
        records: a folder of the lake that nothing else writes to.
        target: name of the target.

    Every method raises StorageError when the lake cannot be reached, and LakeError when a file in it is damaged.
    """

    def __init__(self, records: Records, target: str) -> None:
        self._records, self.target = records, target

    def trail(self) -> pl.DataFrame:
        """Rows of `TRAIL` of all deliveries, in order; interrupted ones as far as they got.

        A delivery in which nothing had to be sent has one row, with an empty `opportunity_id`.
        """
        import polars as pl

        parts = []
        for folder, files in self._deliveries().items():
            if _TRAIL in files:
                parts.append(self._read(f"{folder}/{_TRAIL}"))
            elif _PLAN in files:
                plan = self._read(f"{folder}/{_PLAN}")
                parts.append(_with_outcomes(plan, self._records, folder, known=files))
        return pl.concat(parts) if parts else pl.DataFrame(schema=TRAIL.polars_schema())

    def close_interrupted(self) -> int:
        """Close deliveries that were interrupted; how many there were."""
        count = 0
        for folder, files in self._deliveries().items():
            if _TRAIL not in files and _PLAN in files:
                Delivery(self._records, folder, self._read(f"{folder}/{_PLAN}")).close()
                count += 1
        return count

    def next_delivery(self) -> int:
        """Number of the delivery that begins next."""
        return 1 + max((int(folder[:6]) for folder in self._deliveries()), default=0)

    def begin(self, month: Month, batches: Sequence[tuple[str, Sequence[Change]]], by: str) -> Delivery:
        """Note what is about to be sent.

        Args:
            month: whose scores.
            batches: key and changes of each batch.
            by: who sends it.
        """
        import polars as pl

        number = self.next_delivery()
        common = {
            "target": self.target, "delivery": number, "month": str(month), "planned_at": _now(), "sent_by": by,
        }  # fmt: skip
        rows: list[dict[str, Any]] = [
            {
                **common,
                "batch": batch,
                "batch_key": key,
                "opportunity_id": change.opportunity_id,
                "action": str(change.action),
                "old": change.old,
                "new": change.new,
                "outcome": str(Outcome.UNKNOWN),
                "reason": INTERRUPTED,
            }
            for batch, (key, sent) in enumerate(batches, 1)
            for change in sent
        ]
        if not rows:
            nothing = {"batch": 1, "batch_key": "", "opportunity_id": _EMPTY_MARK, "action": str(Action.REPEAT)}
            rows = [{**common, **nothing, "old": None, "new": "", "outcome": str(Outcome.NOT_SENT), "reason": None}]
        frame = pl.DataFrame(rows, schema=TRAIL.polars_schema(), orient="row")
        folder = f"{number:06d}-{month}"
        self._records.write(f"{folder}/{_PLAN}", _parquet(frame))
        return Delivery(self._records, folder, frame)

    def _deliveries(self) -> dict[str, set[str]]:
        """Folder of each delivery -> names of its files, in order."""
        found: dict[str, set[str]] = {}
        for path in self._records.list():
            if match := _DELIVERY.fullmatch(path):
                found.setdefault(match["folder"], set()).add(match["file"])
        return dict(sorted(found.items()))

    def _read(self, path: str) -> pl.DataFrame:
        import polars as pl

        try:
            rows = pl.read_parquet(io.BytesIO(self._records.read(path)))
            return rows.select(TRAIL.column_names).cast(dict(TRAIL.polars_schema()))  # type: ignore[arg-type]  # a mapping
        except pl.exceptions.PolarsError as error:
            raise LakeError(
                f"{self._records.location(path)} is damaged ({error}): what the target holds is not known any more; "
                "move the file's folder away and send everything again with `crm-assets write-back --resend`"
            ) from error


def _with_outcomes(
    rows: pl.DataFrame,
    records: Records,
    folder: str,
    *,
    failed: int | None = None,
    reason: str = INTERRUPTED,
    known: set[str] | None = None,
) -> pl.DataFrame:
    """The rows of a plan with what was noted of each batch."""
    import polars as pl

    outcomes: list[str] = []
    reasons: list[str | None] = []
    noted: dict[int, Mapping[str, str] | None] = {}
    names = {path.rpartition("/")[2] for path in records.list(folder)} if known is None else known
    for batch, opportunity in rows.select("batch", "opportunity_id").iter_rows():
        if opportunity == _EMPTY_MARK:
            return rows
        if batch not in noted:
            file = _batch_file(batch)
            noted[batch] = _refused(records, f"{folder}/{file}") if file in names else None
        refused = noted[batch]
        if refused is not None:
            outcomes.append(str(Outcome.REFUSED if opportunity in refused else Outcome.DELIVERED))
            reasons.append(refused.get(opportunity))
        else:
            sent = failed is None or batch <= failed
            outcomes.append(str(Outcome.UNKNOWN if sent else Outcome.NOT_SENT))
            reasons.append(reason)
    return rows.with_columns(pl.Series("outcome", outcomes, pl.String()), pl.Series("reason", reasons, pl.String()))


def _refused(records: Records, path: str) -> Mapping[str, str]:
    try:
        found: Mapping[str, str] = json.loads(records.read(path))["refused"]
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{records.location(path)} is damaged ({error!r}): delete it, and its batch is sent again"
        ) from error
    return found


def _batch_file(batch: int) -> str:
    return f"batch-{batch:06d}.json"


def _parquet(rows: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    rows.write_parquet(content)
    return content.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
