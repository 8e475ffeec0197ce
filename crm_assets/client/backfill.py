"""What is known of a backfill: as a handle, and as it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from crm_assets.backfill_plan import Plan


class State(StrEnum):
    """Where a backfill stands."""

    UP_TO_DATE = "up to date"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def over(self) -> bool:
        """Whether it stays as it is."""
        return self not in {State.QUEUED, State.RUNNING}


@dataclass(frozen=True)
class Progress:
    """How far a backfill is.

    Attributes:
        done: assets times months that are stored; those that were up to date in a month that is made count too.
        total: of them, in the runs of this backfill.
        month: newest one that is stored, `2017-03`; None before the first.
        asset: the asset that is being made, or that was stored last; None before the first.
        state: of the backfill.
    """

    done: int
    total: int
    month: str | None
    asset: str | None
    state: State


OnProgress: TypeAlias = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """An `on_progress` that shows nothing, also where a bar would be drawn."""


@dataclass(frozen=True)
class PastRun:
    """A run of Dagster, a backfill or any other, as it stood when it was looked at.

    Attributes:
        run_id: its id.
        job: its name.
        state: where it stands.
        months: its first and last month, `2017-01`; none where it is of no months.
        trigger: who asked for it: backfill, landing, schedule, retrain, condition or manual.
        created, started, ended: seconds since 1970; None where that is still to come.
        url: its page in Dagster.
    """

    run_id: str
    job: str
    state: State
    months: tuple[str, ...]
    trigger: str
    created: float | None
    started: float | None
    ended: float | None
    url: str


@dataclass(frozen=True)
class Backfill:
    """A backfill as it stood when it was looked at; `Platform.status` looks again.

    Attributes:
        state: where it stands.
        run_ids: ids of its Dagster runs, in order; none where everything was up to date.
        done, total: assets times months that are stored, and of the runs in all.
        months: of its runs, in order.
        urls: pages of the runs in Dagster; none without a server.
        reason: why it failed or was cancelled, else None.
        joined: whether the run was going on already when it was asked for.
        plan: what was to be made and why; None where only a run's id was known, or it was joined.
    """

    state: State
    run_ids: tuple[str, ...]
    done: int = 0
    total: int = 0
    months: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    reason: str | None = None
    joined: bool = False
    plan: Plan | None = None

    def __str__(self) -> str:
        if not self.run_ids:
            return "up to date, nothing was run"
        span = f" of {self.months[0]} to {self.months[-1]}" if self.months else ""
        where = ", ".join(self.urls or self.run_ids)
        because = f": {self.reason}" if self.reason else ""
        return f"{self.state}, {self.done} of {self.total}{span} ({where}){because}"
