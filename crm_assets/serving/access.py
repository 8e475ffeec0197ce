"""Who may ask: API keys of which only hashes are kept, or OpenID Connect bearer tokens.

Keys are random and long, so one SHA-256 is enough of a hash: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crm_assets.errors import SettingsError
from crm_assets.profiles import PROFILES
from crm_assets.serving.problems import ProblemError
from crm_assets.settings import Settings

if TYPE_CHECKING:
    from crm_assets.serving.tokens import Tokens

_log = logging.getLogger(__name__)

READ, SCORE, OPERATE = SCOPES = ("read", "score", "operate")
"""What a key may do: look at the pipeline, forecast and model; have opportunities scored and explained; start runs."""

_ANY = "|".join(SCOPES)
_ENTRY = re.compile(
    rf"(?P<name>[A-Za-z0-9_.-]{{1,64}}):(?P<scopes>({_ANY})(\+({_ANY})){{0,2}}):(?P<hash>[0-9a-f]{{64}})"
)
_LOOK_SECONDS = 1.0
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="crm-assets"'}
_HOW = "send `Authorization: Bearer ...` with an API key or a token, or `X-API-Key`"


@dataclass(frozen=True)
class Asker:
    """Who asks.

    Attributes:
        name: of the key, or one that stands for the subject of the token.
        scopes: what it may do.
    """

    name: str
    scopes: frozenset[str]


ANYBODY = Asker("anonymous", frozenset((READ, SCORE)))
OWNER = Asker("anonymous", frozenset(SCOPES))
"""Whoever asks where only this machine can, and without keys."""


def new_key() -> str:
    """A random API key."""
    return f"crm_{secrets.token_urlsafe(32)}"


def entry(name: str, scopes: str, key: str) -> str:
    """What stands in the settings or the file for a key. Raises SettingsError on a bad name or scope."""
    told = f"{name}:{scopes}:{_digest(key)}"
    if not _ENTRY.fullmatch(told):
        raise SettingsError(
            f"{name!r} with scopes {scopes!r}: a name is of up to 64 letters, digits, `_`, `.` and `-`, scopes are "
            f"one or more of {', '.join(SCOPES)} with + in between"
        )
    return told


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _entries(text: str, place: str) -> tuple[dict[str, Asker], str | None]:
    """Hash -> who has the key, and what is wrong with the first broken entry, never what stands in it."""
    found: dict[str, Asker] = {}
    broken = None
    lines = (line.partition("#")[0] for line in text.splitlines())
    for number, part in enumerate((word for line in lines for word in line.split()), 1):
        match = _ENTRY.fullmatch(part)
        if match is not None:
            found[match["hash"]] = Asker(match["name"], frozenset(match["scopes"].split("+")))
        elif broken is None:
            broken = f"{place}: entry {number} is not name:scopes:sha256; make one with crm-assets api-key"
    return found, broken


class Access:
    """Tells who asks.

    Args:
        settings: the deployment's.
        clock: seconds that only go up.

    Raises SettingsError when an entry is broken, or when nobody is named and the profile is not `local` or other
    machines reach the address.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        told = settings.api_keys.get_secret_value() if settings.api_keys else ""
        self._fixed, broken = _entries(told, "CRM_API_KEYS")
        if broken is not None:
            raise SettingsError(broken)
        self._read: dict[str, Asker] = {}
        self._looked = float("-inf")
        self._lock = threading.Lock()
        self._tokens: Tokens | None = None
        self.trouble: str | None = None
        """What is wrong with the file of keys; those that can be read in it hold, and no others."""
        self.look()
        if self.trouble is not None:
            raise SettingsError(f"CRM_API_KEYS_FILE: {self.trouble}")
        if settings.api_oidc_issuer and not settings.api_oidc_audience:
            raise SettingsError("CRM_API_OIDC_ISSUER is set and CRM_API_OIDC_AUDIENCE is not: name the audience")
        if settings.api_oidc_issuer:
            # Only who has an issuer needs the libraries.
            from crm_assets.serving.tokens import Tokens

            self._tokens = Tokens(settings, clock)
        named = bool(settings.api_keys or settings.api_keys_file or settings.api_oidc_issuer)
        if not named and settings.profile != PROFILES[0]:
            raise SettingsError(
                f"profile {settings.profile} lets nobody ask without a key: set CRM_API_KEYS or CRM_API_KEYS_FILE to "
                "what crm-assets api-key prints, or CRM_API_OIDC_ISSUER"
            )
        if not named and not settings.api_anonymous and not is_this_machine(settings.api_host):
            raise SettingsError(
                f"anybody who reaches {settings.api_host or 'this machine'} could ask without a key: set CRM_API_KEYS "
                "or CRM_API_KEYS_FILE to what crm-assets api-key prints, set CRM_API_HOST to 127.0.0.1, or "
                "CRM_API_ANONYMOUS=true to have it so"
            )
        self.open = not named
        self._here = is_this_machine(settings.api_host)

    async def who(self, headers: Mapping[str, str]) -> Asker:
        """Who sent these headers, by their names in lower case.

        Raises ProblemError when the request carries no key or token, or one that does not hold.
        """
        if self.open:
            return OWNER if self._here and _from_this_machine(headers) else ANYBODY
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not given:
            raise ProblemError("unauthorized", f"no key and no token: {_HOW}", headers=_CHALLENGE)
        if self._tokens is not None and given.count(".") == 2:
            return await self._tokens.holder(given)
        asker = self.holder(given)
        if asker is None:
            raise ProblemError("unauthorized", f"the key is not one of this service: {_HOW}", headers=_CHALLENGE)
        return asker

    def holder(self, key: str) -> Asker | None:
        """Who has an API key; None for one that is not of this service."""
        self.look()
        digest = _digest(key)
        found = None
        for known, asker in (*self._fixed.items(), *self._read.items()):
            # Each is compared, and in constant time, so that nothing can be learnt from how long it takes.
            if hmac.compare_digest(known, digest):
                found = asker
        return found

    def look(self) -> None:
        """Read the file of keys again, unless that was done within the last second."""
        file = self._settings.api_keys_file
        if file is None:
            return
        with self._lock:
            if self._clock() - self._looked < _LOOK_SECONDS:
                return
            self._looked = self._clock()
            try:
                self._read, trouble = _entries(file.read_text(encoding="utf-8"), str(file))
            except (OSError, UnicodeDecodeError) as error:
                # Whoever took a key out of it must not find that it holds because the file is gone or broken.
                self._read, trouble = {}, str(error)
            if trouble is not None and trouble != self.trouble:
                _log.error("the file of API keys is not in order, and only what can be read in it holds: %s", trouble)
            self.trouble = trouble


def _from_this_machine(headers: Mapping[str, str]) -> bool:
    """Whether no page of another site sent it: one that has its name point here still sends that name."""
    addresses = [f"//{headers.get('host', '')}", *filter(None, [headers.get("origin")])]
    try:
        return all(is_this_machine(urlsplit(address).hostname or "") for address in addresses)
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def may(asker: Asker, scope: str) -> None:
    """Raise ProblemError unless whoever asks has the scope."""
    if scope not in asker.scopes:
        raise ProblemError("forbidden", f"this needs the scope {scope}, which {asker.name!r} does not have")


class Rates:
    """How many requests each asker has left: a bucket that fills up again evenly.

    Args:
        per_second: requests a second; 0 for any number.
        clock: seconds that only go up.
        of: what is counted, and `else_`, what to do other than to wait, in words.
    """

    _MOST = 10_000

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        of: str = "requests",
        else_: str = "ask for many opportunities at once",
    ) -> None:
        self._of, self._else = of, else_
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one. Raises ProblemError, with the seconds to wait, when there is none left."""
        if not self._rate:
            return
        now = self._clock()
        left, then = self._left.get(name, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        if left < 1:
            wait = max(1, round((1 - left) / self._rate))
            self._left[name] = (left, now)
            raise ProblemError(
                "too-many-requests",
                f"more than {self._rate:g} {self._of} a second: wait {wait} s, or {self._else}",
                headers={"Retry-After": str(wait)},
            )
        if len(self._left) >= self._MOST and name not in self._left:
            self._left.clear()
        self._left[name] = (left - 1, now)
