"""Questions and orders to Dagster's GraphQL over HTTP: repeated where that is safe, and never for ever."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from crm_assets.client.errors import ClientError, NotDagsterError, UnreachableError
from crm_assets.errors import SettingsError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""How long Dagster may take for an answer: it reads source and lake for a plan."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 3.0
_AWAY = frozenset({502, 503, 504})
"""Status of a proxy whose server does not answer."""


class _NotSentError(UnreachableError):
    """No connection came about: whatever was to be sent was not."""


class LostAnswerError(UnreachableError):
    """An order was sent, and nothing tells whether it was carried out."""


class Session:
    """A connection to one web server of Dagster.

    Args:
        url: `http://host:3000`, with a path where Dagster is served below one.
        headers: sent with every request.
        patience: seconds for which a question is repeated while nothing answers.

    Raises SettingsError on a wrong address.
    """

    def __init__(self, url: str, headers: Mapping[str, str], patience: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError(f"{url!r} is no address of Dagster: write it as http://host:3000")
        if "@" in parts.netloc:
            raise SettingsError("the address of Dagster must not hold credentials: hand them over as headers")
        self.url = url.rstrip("/")
        self._patience = patience
        self._http = httpx.Client(headers=dict(headers), timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS))
        # Most callers leave a platform to the garbage collector, which would complain about open connections.
        self.close = weakref.finalize(self, self._http.close)

    def ask(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a query, which is repeated with growing waits while nothing answers.

        Raises UnreachableError when nothing did for `patience` seconds, and as `order` does.
        """
        return self._repeated(document, variables, UnreachableError)

    def order(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a mutation, which is sent once: repeated, as a query is, only while no connection comes about.

        Raises UnreachableError when it was not sent, LostAnswerError when nothing tells whether it was carried out,
        NotDagsterError and ClientError when something else than an answer came.
        """
        return self._repeated(document, variables, _NotSentError)

    def _repeated(
        self, document: str, variables: Mapping[str, Any] | None, again: type[UnreachableError]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + self._patience
        wait = _FIRST_WAIT
        while True:
            try:
                return self._post(document, variables)
            except again:
                if time.monotonic() + wait > deadline:
                    raise
            # Clients that lost the same server must not all come back at the same moment.
            time.sleep(wait * random.uniform(0.5, 1))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _post(self, document: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = self._http.post(
                f"{self.url}/graphql", json={"query": document, "variables": dict(variables or {})}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _NotSentError(
                f"nothing answers at {self.url} ({_told(error)}): start Dagster (make dev), or correct the address"
            ) from None
        except httpx.TransportError as error:
            raise LostAnswerError(f"{self.url} broke off ({_told(error)}): see whether Dagster still runs") from None
        except httpx.InvalidURL as error:
            raise SettingsError(f"{self.url!r} is no address of Dagster ({error})") from None
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in _AWAY:
            raise LostAnswerError(f"{self.url} answers {answer.status_code} {answer.reason_phrase}: Dagster is away")
        if answer.status_code in {401, 403}:
            raise NotDagsterError(
                f"{self.url} lets nobody in without permission ({answer.status_code}): hand over headers, such as "
                "Authorization"
            )
        try:
            told = answer.json()
        except ValueError:
            told = None
        if not isinstance(told, dict) or not {"data", "errors"} & told.keys():
            raise NotDagsterError(
                f"{self.url} is no Dagster: /graphql answers {answer.status_code} and no GraphQL; correct the address"
            )
        if told.get("errors"):
            messages = "; ".join(str(error.get("message")) for error in told["errors"])
            raise ClientError(f"Dagster at {self.url} does not understand crm-assets: {messages}")
        data: dict[str, Any] = told["data"]
        return data


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
