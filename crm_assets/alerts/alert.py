"""What there is to tell: something that is wrong until it is right again, or something that happened once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TypeAlias


class Severity(IntEnum):
    """How bad it is."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    @classmethod
    def named(cls, name: str) -> Severity:
        """The severity of a name such as `warning`. Raises KeyError."""
        return cls[name.upper()]

    def __str__(self) -> str:
        return self.name.lower()


class Kind(StrEnum):
    """What an alert is about."""

    FAILED_CHECK = "failed check"
    FAILED_RUN = "failed run"
    LATE = "late assets"
    UNUSABLE = "unusable extract"
    PROMOTION = "promotion"
    REFUSAL = "refusal"
    TEST = "test"

    @property
    def lasts(self) -> bool:
        """Whether it goes on until it is found to be right again; the others happen once."""
        return self in {Kind.FAILED_CHECK, Kind.FAILED_RUN, Kind.LATE, Kind.UNUSABLE}


@dataclass(frozen=True)
class Link:
    """Where to look further: the title of a link, and its address or path."""

    title: str
    target: str


@dataclass(frozen=True)
class Alert:
    """One thing to tell.

    Attributes:
        key: what repetitions and the recovery have in common, for example the check and its asset.
        kind: what it is about.
        severity: how bad it is.
        what: one line, as a sentence without its full stop.
        where: the asset or job.
        at: when it happened, with time zone.
        month: the month it is about, YYYY-MM; None where it is about none.
        how_bad: what was found, in words and figures; may have several lines, or none.
        links: the page in Dagster, the report.
    """

    key: str
    kind: Kind
    severity: Severity
    what: str
    where: str
    at: datetime
    month: str | None = None
    how_bad: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Cleared:
    """What the key stands for is right: as of a month, where it is about one; an older month says nothing."""

    key: str
    at: datetime
    month: str | None = None


Observation: TypeAlias = Alert | Cleared


@dataclass(frozen=True)
class Message:
    """What is sent: an alert as it stands, or its recovery.

    Attributes:
        alert: the newest of its key.
        since: when it was first seen.
        count: how often it happened.
        recovered_at: when it was right again; None for the alert itself.
    """

    alert: Alert
    since: datetime
    count: int
    recovered_at: datetime | None = None
