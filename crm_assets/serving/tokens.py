"""OpenID Connect bearer tokens, and the keys that their issuer signs them with.

The issuer's keys are asked for in a thread, one question at a time, so that an issuer that hangs keeps waiting nobody
but those whose token needs a key that is not known yet.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt
from anyio import CapacityLimiter, to_thread

from crm_assets.serving.access import SCOPES, Asker
from crm_assets.serving.problems import ProblemError
from crm_assets.settings import Settings

KEPT_SECONDS = 300.0
"""How long the issuer's keys hold: one that it withdraws is refused no later than this."""
AGAIN_SECONDS = 10.0
"""Between two questions to the issuer at least, whatever it answered: a new key of its is known no later than this."""

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
_LEEWAY_SECONDS = 30
_ANSWER_SECONDS = 5
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="crm-assets", error="invalid_token"'}


class Tokens:
    """Tells whose a token is.

    Args:
        settings: the issuer, and the audience that a token must be for.
        clock: seconds that only go up.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._asking = CapacityLimiter(1)
        self._url = settings.api_oidc_jwks_url
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._keys_until = self._again = float("-inf")
        self._failed = False

    async def holder(self, token: str) -> Asker:
        """Whose a token is: `oidc:` and a hash of its subject, which may be somebody's name or address.

        Raises ProblemError when it does not hold, or the issuer's keys are not to be had.
        """
        try:
            claims = jwt.decode(
                token,
                await self._key_of(token),
                algorithms=_ALGORITHMS,
                audience=self._settings.api_oidc_audience,
                issuer=self._settings.api_oidc_issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.PyJWTError as error:
            detail = f"the token does not hold ({type(error).__name__}): get a new one of the issuer"
            raise ProblemError("unauthorized", detail, headers=_CHALLENGE) from error
        subject = hashlib.sha256(str(claims["sub"]).encode()).hexdigest()[:16]
        return Asker(f"oidc:{subject}", frozenset(_scopes(claims)) & frozenset(SCOPES))

    async def _key_of(self, token: str) -> jwt.PyJWK:
        name = jwt.get_unverified_header(token).get("kid")
        if not isinstance(name, str):
            raise jwt.InvalidTokenError("it does not name its key")
        known = self._known(name)
        if known is not None:
            return known
        return await to_thread.run_sync(self._asked, name, limiter=self._asking)

    def _known(self, name: str) -> jwt.PyJWK | None:
        return self._keys.get(name) if self._clock() < self._keys_until else None

    def _asked(self, name: str) -> jwt.PyJWK:
        """The key of that name, asking the issuer where that has not just been done."""
        if self._known(name) is None and self._clock() >= self._again:
            try:
                self._keys = self._of_issuer()
                self._keys_until = self._clock() + KEPT_SECONDS
                self._failed = False
            except (httpx.HTTPError, jwt.PyJWTError, OSError, ValueError, KeyError, TypeError):
                self._failed = True
            self._again = self._clock() + AGAIN_SECONDS
        known = self._known(name)
        if known is not None:
            return known
        if self._failed:
            wait = str(max(1, round(self._again - self._clock())))
            detail = "the keys of the token's issuer cannot be read: try again"
            raise ProblemError("unavailable", detail, headers={"Retry-After": wait})
        raise jwt.InvalidTokenError("the issuer has no such key")

    def _of_issuer(self) -> dict[str, jwt.PyJWK]:
        if not self._url:
            place = f"{self._settings.api_oidc_issuer.rstrip('/')}/.well-known/openid-configuration"
            self._url = str(httpx.get(place, timeout=_ANSWER_SECONDS).raise_for_status().json()["jwks_uri"])
        # They are kept here: its own cache cannot be looked into without asking the issuer when it is empty.
        client = jwt.PyJWKClient(self._url, cache_jwk_set=False, cache_keys=False, timeout=_ANSWER_SECONDS)
        return {key.key_id: key for key in client.get_signing_keys() if key.key_id}


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Scopes of a token, from the claims that issuers put them in."""
    found: list[str] = []
    for name in ("scope", "scp", "roles"):
        value = claims.get(name)
        found += value.split() if isinstance(value, str) else [str(part) for part in value or ()]
    return found
