"""What of that which was seen is sent: once, again at most every few hours, and its recovery once.

All is a function of a ledger and of what was seen since, so that it can be tried with any order of events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from crm_assets.alerts.alert import Alert, Cleared, Message, Observation, Severity


@dataclass(frozen=True)
class Policy:
    """What is sent, and where.

    Attributes:
        targets: names of those who are told; each has a queue of its own.
        level: lowest severity that is sent.
        repeat: time before which what still goes on is not sent again, unless it has become worse.
    """

    targets: tuple[str, ...]
    level: Severity
    repeat: timedelta


@dataclass(frozen=True)
class OpenAlert:
    """What is wrong and not yet right again.

    Attributes:
        alert: the newest of its key.
        since: when it was first seen.
        count: how often it happened.
        sent_at: when it was last given to the queues; None when never, because it is below the level.
        sent_severity: how bad it was then.
    """

    alert: Alert
    since: datetime
    count: int = 1
    sent_at: datetime | None = None
    sent_severity: Severity | None = None


@dataclass(frozen=True)
class Ledger:
    """What is known to be wrong, what was told once, and what waits to be sent.

    Attributes:
        open: by key.
        told: keys of what happened once and was told.
        queues: messages that wait, oldest first, by the name of the target.
    """

    open: Mapping[str, OpenAlert] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    queues: Mapping[str, tuple[Message, ...]] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many messages wait, over all targets."""
        return sum(map(len, self.queues.values()))


def fold(ledger: Ledger, seen: Iterable[Observation], policy: Policy, now: datetime) -> Ledger:
    """The ledger after what was seen, with the messages this gives in the queues.

    Args:
        ledger: as it was.
        seen: what was seen since, in the order in which it happened.
        policy: what is sent.
        now: the time by which repetitions are spaced.
    """
    current = dict(ledger.open)
    told = list(ledger.told)
    # What waits for a target that is no longer set has nobody to reach.
    queues = {target: ledger.queues.get(target, ()) for target in policy.targets}
    for observation in seen:
        if isinstance(observation, Cleared):
            message = _cleared(current, observation)
        elif observation.kind.lasts:
            message = _raised(current, observation, policy, now)
        else:
            message = _happened(told, observation, policy)
        if message is not None:
            queues = {target: _queued(queue, message) for target, queue in queues.items()}
    return Ledger(current, tuple(told), queues)


def sent(ledger: Ledger, target: str, message: Message) -> Ledger:
    """The ledger once a target has taken a message of its queue."""
    left = tuple(waiting for waiting in ledger.queues.get(target, ()) if waiting != message)
    return replace(ledger, queues={**ledger.queues, target: left})


def _raised(current: dict[str, OpenAlert], alert: Alert, policy: Policy, now: datetime) -> Message | None:
    known = current.get(alert.key)
    if known is None:
        entry = OpenAlert(alert, alert.at)
    else:
        # Of the same moment, it is the same one seen again. An older month does not hide what is said of a newer one.
        again = alert.at > known.alert.at
        older = (alert.month or "") < (known.alert.month or "")
        entry = replace(
            known,
            alert=known.alert if older else alert,
            since=min(known.since, alert.at),
            count=known.count + again,
        )
    shown = entry.alert
    due = shown.severity >= policy.level and (
        entry.sent_at is None
        or entry.sent_severity is None
        or shown.severity > entry.sent_severity
        or (known is not None and (shown.month or "") > (known.alert.month or ""))
        or now - entry.sent_at >= policy.repeat
    )
    if due:
        entry = replace(entry, sent_at=now, sent_severity=shown.severity)
    current[alert.key] = entry
    return Message(shown, entry.since, entry.count) if due else None


def _cleared(current: dict[str, OpenAlert], cleared: Cleared) -> Message | None:
    known = current.get(cleared.key)
    if known is None or (cleared.month and known.alert.month and cleared.month < known.alert.month):
        return None
    del current[cleared.key]
    # Who was not told that something is wrong need not be told that it is right.
    return Message(known.alert, known.since, known.count, cleared.at) if known.sent_at else None


def _happened(told: list[str], alert: Alert, policy: Policy) -> Message | None:
    if alert.key in told or alert.severity < policy.level:
        return None
    told.append(alert.key)
    return Message(alert, alert.at, 1)


def _queued(queue: Sequence[Message], message: Message) -> tuple[Message, ...]:
    """The queue with a message, in place of an alert of its key that it only brings up to date.

    A recovery in between stays, and so does the alert before it: each episode is told with its end.
    """
    last = next((waiting for waiting in reversed(queue) if waiting.alert.key == message.alert.key), None)
    outdated = last if last is not None and last.recovered_at is None and message.recovered_at is None else None
    return (*(waiting for waiting in queue if waiting is not outdated), message)
