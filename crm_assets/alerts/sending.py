"""Sending by Apprise, to whatever its URLs name. A URL may hold a secret and is never shown."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from crm_assets.alerts.alert import Alert, Kind, Link, Message, Severity
from crm_assets.alerts.folding import Ledger, sent
from crm_assets.alerts.rendering import Format, letter
from crm_assets.errors import SettingsError

if TYPE_CHECKING:
    from crm_assets.settings import Settings

SECONDS_A_TICK = 20.0
"""Time after which no further sending is begun; what is left waits for the next tick.

Dagster ends a tick after 60 seconds, and then forgets what was sent in it.
"""

_LOUD = ("apprise", "urllib3", "requests")
"""Loggers that may write a URL, or parts of it, when a sending fails."""

_SHORTEST_SECRET = 3


class Target(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """What it is called in messages and logs; holds no secret."""

    def send(self, message: Message) -> str | None:
        """Send a message. Returns why it was not taken, without any part of the URL; None when it was."""


@dataclass(frozen=True, repr=False)
class AppriseTarget:
    """One URL of `CRM_ALERT_URLS`."""

    name: str
    url: str
    dataset: str

    def send(self, message: Message) -> str | None:
        """Send by a connection of its own, so that nothing is waited for between two messages."""
        with _quietly() as said:
            service = _service(self.url)
            if service is None:
                return "apprise does not know this kind of URL"
            forms = service.notify_format
            form: Format = (forms[0] if isinstance(forms, tuple) else forms).value
            text = letter(message, self.dataset, form, room=service.body_maxlen)
            if getattr(service, "dedup", "") is None:
                # PagerDuty and its like: a recovery then ends the incident of its alert.
                service.dedup = hashlib.sha256(f"{self.dataset} {message.alert.key}".encode()).hexdigest()
            try:
                taken = service.notify(body=text.body, title=text.title, notify_type=_type(message), body_format=form)
            except Exception as error:
                # Whatever one service raises must not keep the others from being told.
                said.append(f"{type(error).__name__}: {error}")
                taken = False
        return None if taken else _without(self.url, said[-1] if said else "it gave no reason")


def target_names(urls: Sequence[str]) -> list[str]:
    """A name for each URL that holds no part of it but its scheme: `mailto`, `json`, `json #2`."""
    seen: Counter[str] = Counter()
    names = []
    for url in urls:
        scheme = url.partition("://")[0].lower()
        seen[scheme] += 1
        names.append(scheme if seen[scheme] == 1 else f"{scheme} #{seen[scheme]}")
    return names


def open_targets(settings: Settings) -> list[AppriseTarget]:
    """Whom `CRM_ALERT_URLS` names, in order; none when it is not set.

    Raises SettingsError, which names the variable and no URL, when Apprise does not understand one of them.
    """
    urls = settings.alert_targets
    names = target_names(urls)
    if urls:
        with _quietly() as said:
            wrong = [number for number, url in enumerate(urls, 1) if _service(url) is None]
        if wrong:
            reason = _without(urls[wrong[0] - 1], said[0]) if said else "it is of no kind that apprise knows"
            which = ", ".join(f"number {number} ({names[number - 1]}://...)" for number in wrong)
            raise SettingsError(
                f"CRM_ALERT_URLS: of {len(urls)} URLs, {which} cannot be used: {reason}; docs/alerts.md has the forms"
            )
    return [AppriseTarget(name, url, settings.dataset_name) for name, url in zip(names, urls, strict=True)]


def send_all(
    ledger: Ledger,
    targets: Sequence[Target],
    failed: Callable[[str, Message, str], None],
    *,
    taken_by: Callable[[str, Message], None] = lambda target, message: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Ledger, int]:
    """Try every waiting message once, the targets in turn, so that none that hangs keeps the others waiting.

    Args:
        ledger: with the queues.
        targets: whom to send to.
        failed: told of each message that was not taken: the target's name, the message and the reason.
        taken_by: told of each message that was taken: the target's name and the message.
        clock: seconds, by which the time in a tick is limited.

    Returns the ledger without what was taken, and how many messages were.
    """
    began, taken = clock(), 0
    turns = {target.name: list(ledger.queues.get(target.name, ())) for target in targets}
    while any(turns.values()):
        for target in targets:
            if not turns[target.name]:
                continue
            if clock() - began >= SECONDS_A_TICK:
                return ledger, taken
            message = turns[target.name].pop(0)
            reason = target.send(message)
            if reason is None:
                ledger, taken = sent(ledger, target.name, message), taken + 1
                taken_by(target.name, message)
            else:
                failed(target.name, message, reason)
    return ledger, taken


def _type(message: Message) -> Any:
    from apprise import NotifyType

    if message.recovered_at is not None or message.alert.kind is Kind.PROMOTION:
        return NotifyType.SUCCESS
    kinds: Mapping[Severity, Any] = {Severity.WARNING: NotifyType.WARNING, Severity.ERROR: NotifyType.FAILURE}
    return kinds.get(message.alert.severity, NotifyType.INFO)


def _service(url: str) -> Any:
    from apprise import Apprise

    return Apprise.instantiate(url, suppress_exceptions=True)


@contextmanager
def _quietly() -> Iterator[list[str]]:
    """Keep what the libraries say out of every log; yields the lines, from warnings on."""
    import apprise  # noqa: F401 - it sets its logger up when it is imported

    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear = Ear(logging.WARNING)
    loggers = [logging.getLogger(name) for name in _LOUD]
    before = [(logger, logger.propagate, logger.handlers) for logger in loggers]
    for logger in loggers:
        logger.propagate, logger.handlers = False, [ear]
    try:
        yield said
    finally:
        for logger, propagate, handlers in before:
            logger.propagate, logger.handlers = propagate, handlers


def _without(url: str, text: str) -> str:
    """The text without any part of the URL."""
    whole, rest = " ".join(text.split()), url.partition("://")[2]
    parts = {part for form in (rest, unquote(rest)) for part in [form, *re.split(r"[^\w.+-]+", form)]}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= _SHORTEST_SECRET:
            whole = whole.replace(part, "***")
    return whole


def trial_message(target: str, at: datetime, page: str) -> Message:
    """What `crm-assets alert-test` sends to a target; `page` is the address of Dagster."""
    alert = Alert(
        key=f"test {target}",
        kind=Kind.TEST,
        severity=Severity.INFO,
        what="This is a test: alerts reach you",
        where=f"sent by hand to {target}",
        at=at,
        how_bad="nothing is wrong",
        links=(Link("Dagster", page),),
    )
    return Message(alert, at, 1)
