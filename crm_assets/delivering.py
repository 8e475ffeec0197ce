"""Writes a stored month's scores back: `crm-assets write-back`, and what the asset `score_writeback` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crm_assets.calendar import Month
from crm_assets.errors import LakeError, SettingsError
from crm_assets.locks import Lock
from crm_assets.published import published
from crm_assets.stored import stored_lake
from crm_assets.writeback.content import CLEARED, NO_FIGURES, contents
from crm_assets.writeback.delivery import Delivered, deliver, sender
from crm_assets.writeback.journal import Journal
from crm_assets.writeback.plan import Change, Outcome, Planned, plan
from crm_assets.writeback.target import folder_of, open_target, target_name

if TYPE_CHECKING:
    from crm_assets.settings import Settings


@dataclass(frozen=True)
class WriteBack:
    """What is to be written back, and what became of it.

    Attributes:
        target: its name, without any secret.
        planned: what is to be sent.
        delivered: what became of it; None while nothing was sent.
    """

    target: str
    planned: Planned
    delivered: Delivered | None = None

    def lines(self, top: int) -> list[str]:
        """What would be sent, in sentences and a sample of at most `top` changes."""
        planned = self.planned
        last = f"last delivered: {planned.last_month}" if planned.last_month else "nothing was delivered yet"
        counts = ", ".join(f"{count} to {action}" for action, count in planned.counts().items() if count)
        told = [
            f"Scores of {planned.month} to {self.target} ({last}).",
            f"{counts or 'Nothing to send'}; {planned.unchanged} unchanged.",
        ]
        told += [f"  {one.action:7} {one.opportunity_id}: {_shown(one)}" for one in planned.changes[:top]]
        more = len(planned.changes) - top
        return [*told, f"  and {more} more"] if top and more > 0 else told

    def result_lines(self, top: int) -> list[str]:
        """What became of it, in sentences with at most `top` of the opportunities that were not taken."""
        if self.delivered is None:
            return []
        told = [f"{self.delivered.sentence()}."]
        missing = [row for row in self.delivered.rows.iter_rows(named=True) if row["outcome"] != Outcome.DELIVERED]
        told += [f"  {row['outcome']:9} {row['opportunity_id']}: {row['reason']}" for row in missing[:top]]
        if missing:
            told.append("The same command sends again what is missing.")
        return told

    def as_dict(self, top: int) -> dict[str, Any]:
        """As plain values, with at most `top` changes."""
        planned = self.planned
        told: dict[str, Any] = {
            "target": self.target,
            "month": str(planned.month),
            "last_month": str(planned.last_month) if planned.last_month else None,
            "counts": planned.counts(),
            "unchanged": planned.unchanged,
            "changes": [
                {
                    "opportunity_id": one.opportunity_id,
                    "action": str(one.action),
                    "old": json.loads(one.old) if one.old else None,
                    "new": json.loads(one.new),
                }
                for one in planned.changes[:top]
            ],
        }
        if self.delivered is not None:
            told["outcomes"] = {str(outcome): self.delivered.count(outcome) for outcome in Outcome}
            told["fault"] = str(self.delivered.fault) if self.delivered.fault else None
        return told


def deliver_month(
    settings: Settings,
    month: Month | None,
    agreed: Callable[[WriteBack], bool],
    *,
    force: bool = False,
    resend: bool = False,
    show_progress: bool = False,
) -> WriteBack:
    """Send what the target does not hold yet of a stored month's scores.

    Args:
        settings: the deployment's.
        month: whose scores; the newest when None.
        agreed: told what would be sent; whether to send it. May raise instead. Asked without the lake's lock, and
            again when something else is to be sent once the lock is taken.
        force: also an older month than was delivered last, or one without scores.
        resend: everything, as if nothing were known of what the target holds.
        show_progress: whether to say on standard error how far it is.

    Raises SettingsError when no target is set or it cannot be used, LakeError when the lake cannot be used or lacks the
    month, and WriteBackError when the month must not be sent.
    """
    if not settings.writeback_url:
        raise SettingsError("CRM_WRITEBACK_URL is not set: name the target (docs/writeback.md)")
    target, name = open_target(settings), target_name(settings)
    lake = stored_lake(settings)
    journal = Journal(lake.records(folder_of(name)), name)

    def planned_now() -> Planned:
        found = published(settings, month)
        return plan(journal.trail(), contents(found.rows), found.month, force=force, resend=resend)

    while True:
        # Without the lock, for nobody can write to the lake while a terminal is left at the question.
        written = WriteBack(name, planned_now())
        if not agreed(written) or not written.planned.is_needed:
            return written
        with lake.held(settings.wait_seconds, _tell) as lock:

            def check(lock: Lock = lock) -> None:
                if lock.lost:
                    raise LakeError(
                        f"{lake.url}: the lock on it is lost, {lock.lost}; the rest was not sent, run it again"
                    )

            if planned_now() == written.planned:
                done = deliver(
                    journal,
                    target,
                    written.planned,
                    dataset=settings.dataset_name,
                    by=sender("crm-assets write-back"),
                    progress=_progress if show_progress else lambda sent, of: None,
                    check=check,
                )
                return replace(written, delivered=done)
        _tell("What is to be sent has changed in the meantime, so nothing was sent yet.")


def _shown(change: Change) -> str:
    return f"{_told(change.old)} -> {_told(change.new)}"


def _told(content: str | None) -> str:
    if content is None:
        return "nothing"
    if content == NO_FIGURES:
        return CLEARED
    figures = json.loads(content)
    return f"{figures['probability']:.4f} (version {figures['model_version']})"


def _progress(sent: int, of: int) -> None:
    if sent < of:
        _tell(f"{sent} of {of} sent")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
