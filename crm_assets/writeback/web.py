"""Requests to a server that may be busy or away: sent again with growing waits, or when the server says so."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from crm_assets.errors import SettingsError, WriteBackError

if TYPE_CHECKING:
    import httpx

_T = TypeVar("_T")

ATTEMPTS = 6
"""How often a request is sent in all, after waits of up to 1, 2, 4, 8 and 16 seconds, a part of them random."""
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is left alone until the next run."""
SECONDS = 30.0
_CHECK_SECONDS = 5.0
_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_SHOWN = 300
_JSON_NAMES: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
_SENDABLE = re.compile(r"[!-~]+")


class Web:
    """A connection to one server. Redirects are not followed, for they would carry the secret elsewhere.

    Raises SettingsError when a secret cannot be sent.

    Args:
        name: of the target, for messages.
        address: `https://host`, before every path.
        secrets: which no message may show.
        wait: waits for some seconds.
    """

    def __init__(
        self, name: str, address: str, secrets: tuple[str, ...] = (), wait: Callable[[float], None] = time.sleep
    ) -> None:
        import httpx

        for secret in secrets:
            if secret and not _SENDABLE.fullmatch(secret):
                # The library would refuse it as a header, and show it in doing so.
                raise SettingsError(
                    "CRM_WRITEBACK_SECRET holds a blank, a line break or a letter that is not of ASCII: correct it"
                )
        self._name, self._secrets, self._wait = name, tuple(secret for secret in secrets if secret), wait
        self._client = httpx.Client(base_url=address, timeout=SECONDS, follow_redirects=False)
        self._attempts = ATTEMPTS

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Ask once and wait for seconds only, while the block runs."""
        self._attempts, self._client.timeout = 1, _CHECK_SECONDS
        try:
            yield
        finally:
            self._attempts, self._client.timeout = ATTEMPTS, SECONDS

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        final: Callable[[httpx.Response], str | None] = lambda answer: None,
    ) -> httpx.Response:
        """The answer to a request, whatever its status; busy and failing servers are asked again.

        Args:
            method, path, headers, content, data, params: of the request, which may arrive more than once.
            final: why asking again is of no use, of an answer that otherwise would be; None when it is of use.

        Raises WriteBackError, transient, when the server does not answer or goes on being busy or failing.
        """
        import httpx

        said = ""
        for attempt in range(1, self._attempts + 1):
            seconds = _pause(attempt)
            try:
                answer = self._client.request(method, path, headers=headers, content=content, data=data, params=params)
            except httpx.TransportError as error:
                said = f"it did not answer: {error or type(error).__name__}"
            except httpx.RequestError as error:
                said = f"its answer cannot be read: {error or type(error).__name__}"
            else:
                if answer.status_code not in _TRY_AGAIN:
                    return answer
                said = self.told(answer)
                if reason := final(answer):
                    raise self.fault(f"{said}; {reason}", transient=False)
                asked = retry_after(answer.headers.get("Retry-After"))
                if asked is not None and asked > LONGEST_WAIT:
                    raise self.fault(f"{said}; it asks to wait for {asked:.0f} s, so send the rest later")
                seconds = seconds if asked is None else asked
            if attempt < self._attempts:
                self._wait(seconds)
        times = "once, try" if self._attempts == 1 else f"{self._attempts} times, send the rest"
        raise self.fault(f"{said}; it was asked {times} later")

    def json(self, answer: httpx.Response, kind: type[_T], remedy: str) -> _T:
        """What an answer holds. Raises WriteBackError, with the remedy, when it is no JSON or not of this kind."""
        try:
            found = answer.json()
        except (ValueError, RecursionError):
            raise self.fault(f"its answer is no JSON: {remedy}") from None
        if not isinstance(found, kind):
            wanted, got = _JSON_NAMES.get(kind, kind.__name__), _JSON_NAMES.get(type(found), type(found).__name__)
            raise self.fault(f"its answer is {got} in JSON where {wanted} was expected: {remedy}")
        return found

    def told(self, answer: httpx.Response) -> str:
        """What an answer says, without any secret."""
        text = " ".join(answer.text.split())[:_SHOWN]
        return self._without_secrets(f"it said {answer.status_code}{f', {text}' if text else ''}")

    def fault(self, said: str, *, transient: bool = True) -> WriteBackError:
        """The error that says what is wrong with the target."""
        return WriteBackError(self._without_secrets(f"{self._name}: {said}"), transient=transient)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks to wait, at least 0; None when there is none, or it is neither number
    nor date.
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _pause(attempt: int) -> float:
    """Seconds to wait after an attempt: twice as many each time, at least half of them, so that clients spread."""
    return float(2 ** (attempt - 1) * (0.5 + random.random() / 2))
