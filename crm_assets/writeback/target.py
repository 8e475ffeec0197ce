"""What a target is, and which one `CRM_WRITEBACK_URL` names. A new kind is one module and one line here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError
from crm_assets.settings import is_here
from crm_assets.writeback.content import CLEARED, Value, figures_of, status_of
from crm_assets.writeback.plan import Change

if TYPE_CHECKING:
    from crm_assets.settings import Settings

SECRET_SETTING = "CRM_WRITEBACK_SECRET"
NOT_FOUND = "the target has no such opportunity"


@dataclass(frozen=True)
class Row:
    """What a target is to hold of an opportunity.

    Attributes:
        opportunity_id: which.
        status: SCORED or CLEARED.
        figures: name -> value, all empty when it is cleared.
        score_month: month whose scores these are; a row that has not changed since keeps the month it has.
    """

    opportunity_id: str
    status: str
    figures: Mapping[str, Value]
    score_month: str

    @classmethod
    def of(cls, change: Change, month: Month) -> Row:
        """The row that a change asks for."""
        return cls(change.opportunity_id, status_of(change.new), figures_of(change.new), str(month))

    @property
    def is_cleared(self) -> bool:
        """Whether there is no score any more."""
        return self.status == CLEARED

    def as_dict(self) -> dict[str, Value]:
        """As plain values."""
        return {
            "opportunity_id": self.opportunity_id,
            "status": self.status,
            **self.figures,
            "score_month": self.score_month,
        }


@dataclass(frozen=True)
class Batch:
    """Rows that are sent at once.

    Attributes:
        dataset: whose opportunities they are.
        month: whose scores.
        rows: in order of the opportunities.
        key: of this batch of this delivery, so that a target can tell a request that came twice. Equal rows of another
            delivery have another key: what the target holds may have changed in between.
        standing: opportunities besides those of the delivery that the target is known to hold.
    """

    dataset: str
    month: Month
    rows: tuple[Row, ...]
    key: str
    standing: int = 0

    @classmethod
    def of(cls, dataset: str, month: Month, rows: tuple[Row, ...], *, delivery: str, standing: int = 0) -> Batch:
        """A batch with the key that follows from its rows and the delivery, `delivery`, that it is a part of."""
        content = json.dumps([dataset, str(month), delivery, [row.as_dict() for row in rows]], sort_keys=True)
        return cls(dataset, month, rows, hashlib.sha256(content.encode()).hexdigest(), standing)


class Target(Protocol):
    """Where scores are written back to. Sending the same rows again must change nothing."""

    def check(self) -> str:
        """Look whether the target can be reached and the credentials hold, without writing anything.

        Returns what was found, without a full stop. Raises WriteBackError or StorageError, without any secret.
        """

    @property
    def batch_rows(self) -> int | None:
        """Most rows in a batch; None for all in one."""

    def send(self, batch: Batch) -> Mapping[str, str]:
        """Have the target hold the rows of a batch.

        Returns opportunity -> reason of each row that the target refused; it has taken all others. What a target does
        not have needs no clearing and is no refusal.

        Raises WriteBackError, without any secret, when it is not known of every row what became of it.
        """


def target_name(settings: Settings) -> str:
    """What the target is called in the trail and in messages: its URL, which holds no secret."""
    url = settings.writeback_url
    if "://" in url:
        return url
    from crm_assets.storage import open_storage

    # A folder is the same under every name that leads there.
    return open_storage(url, create=True).url


def folder_of(target: str) -> str:
    """Folder in the lake for the records of a target."""
    return f"writeback/{hashlib.sha256(target.encode()).hexdigest()[:12]}"


def open_target(settings: Settings, *, create: bool = True) -> Target:
    """The target that `CRM_WRITEBACK_URL` names; nothing is sent yet.

    Args:
        settings: the deployment's.
        create: make a missing folder.

    Raises SettingsError when the URL or the secret is not of the form that this kind of target has, or a library that
    it needs is not installed, and StorageError when a folder or bucket cannot be opened.
    """
    url = settings.writeback_url
    secret = settings.writeback_secret.get_secret_value() if settings.writeback_secret else ""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in {"", "s3"}:
        from crm_assets.writeback.csv_file import CsvFile

        return CsvFile(url, settings.dataset_name, create=create)
    if scheme == "postgresql+psycopg2":
        from crm_assets.writeback.postgres import PostgresTable

        return PostgresTable(url, secret)
    if scheme == "salesforce":
        from crm_assets.writeback.salesforce import Salesforce

        return Salesforce(url, secret)
    if scheme == "hubspot":
        from crm_assets.writeback.hubspot import HubSpot

        return HubSpot(url, secret)
    from crm_assets.writeback.webhook import Webhook

    return Webhook(url, secret)


def parameters(url: str, known: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a target's URL, with defaults for those it lacks.

    Raises SettingsError naming a parameter that is not known or stands there twice.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if name not in known:
            raise SettingsError(f"CRM_WRITEBACK_URL: {name} is no parameter: known are {', '.join(known)}")
        if name in given:
            raise SettingsError(f"CRM_WRITEBACK_URL: {name} stands there twice: name it once")
        given[name] = value
    return {**known, **given}


def web_address(url: str) -> str:
    """The `https://host:port` of a CRM's URL; `http://` on this machine itself, where nothing listens in."""
    parts = urlsplit(url)
    return f"{'http' if is_here(parts.hostname) else 'https'}://{parts.netloc}"


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that have a name."""
    return {name: value for name, value in values.items() if name}
