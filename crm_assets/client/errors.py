"""What can go wrong between a program and Dagster, with the exit codes of `crm-assets backfill`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_assets.errors import CrmAssetsError

if TYPE_CHECKING:
    from crm_assets.client.backfill import Backfill


class ClientError(CrmAssetsError):
    """Dagster cannot be used as a client wants to."""

    exit_code = 11


class UnreachableError(ClientError):
    """Nothing answers at the address, or it stopped answering."""


class NotDagsterError(ClientError):
    """What answers at the address is no Dagster, or lets nobody in."""


class CodeLocationError(ClientError):
    """Dagster answers, but its code location failed to load, or is not that of this project."""


class NoRunError(ClientError):
    """Dagster has no run of that id."""


class _RunError(ClientError):
    """A run ended otherwise than asked for.

    Attributes:
        backfill: what is known of it.
    """

    def __init__(self, message: str, backfill: Backfill) -> None:
        super().__init__(message)
        self.backfill = backfill


class RunFailedError(_RunError):
    """A run failed; the message says what, and where its page is."""

    exit_code = 12


class RunCanceledError(_RunError):
    """A run was cancelled before it was done."""

    exit_code = 13


class WaitTimeoutError(_RunError):
    """A run was not done in time; it goes on."""

    exit_code = 14
