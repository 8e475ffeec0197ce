"""A small OpenID Connect issuer, over HTTP on this machine, at which whoever is asked about has signed in already."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

CLIENT, SECRET, AUDIENCE = "the-page", "of the page", "crm"
_KEY_ID = "k1"


@dataclass
class Issuer:
    """What the issuer says, and whom it was asked for.

    Attributes:
        url: of it.
        name: of whoever signs in next.
        scopes: that the access token has.
        seconds: for which it holds.
        sent_back: address that the browser is sent to after signing out, each time.
        scope_asked: what the page asked for, each time.
    """

    url: str
    name: str = "Vera Viewer"
    scopes: str = "read score"
    seconds: int = 600
    sent_back: list[str] = field(default_factory=list)
    scope_asked: list[str] = field(default_factory=list)
    _key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    _codes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def token(self, audience: str, **claims: Any) -> str:
        """A signed token."""
        now = int(time.time())
        told = {"iss": self.url, "sub": self.name, "aud": audience, "iat": now, "exp": now + self.seconds, **claims}
        return jwt.encode(told, self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def metadata(self, _: Request) -> Response:
        """What an issuer can do."""
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        told: dict[str, Any] = {name: f"{self.url}/{path}" for name, path in paths.items()}
        told |= {"issuer": self.url, "end_session_endpoint": f"{self.url}/end"}
        told |= {"response_types_supported": ["code"], "subject_types_supported": ["public"]}
        return _json({**told, "id_token_signing_alg_values_supported": ["RS256"]})

    def keys(self, _: Request) -> Response:
        """Its public keys."""
        told = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return _json({"keys": [{**told, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]})

    def authorize(self, request: Request) -> Response:
        """Send the browser back with a code, at once."""
        asked = request.args
        assert asked["client_id"] == CLIENT
        self.scope_asked.append(asked["scope"])
        code = secrets.token_hex(8)
        self._codes[code] = {"nonce": asked.get("nonce"), "redirect_uri": asked["redirect_uri"]}
        answer = urlencode({"code": code, "state": asked["state"]})
        return Response(status=302, headers={"Location": f"{asked['redirect_uri']}?{answer}"})

    def exchange(self, request: Request) -> Response:
        """Tokens for a code, to the page's server alone."""
        form = {name: values[0] for name, values in parse_qs(request.get_data(as_text=True)).items()}
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        assert base64.b64decode(given).decode().startswith(f"{CLIENT}:")
        code = self._codes.pop(form["code"])
        assert form["redirect_uri"] == code["redirect_uri"]
        named = {"name": self.name, "email": "somebody@example.com"}
        return _json(
            {
                "access_token": self.token(AUDIENCE, scope=self.scopes),
                "id_token": self.token(CLIENT, nonce=code["nonce"], **named),
                "token_type": "Bearer",
                "expires_in": self.seconds,
            }
        )

    def end(self, request: Request) -> Response:
        """Forget whoever is signed in, and send the browser back."""
        back = request.args["post_logout_redirect_uri"]
        self.sent_back.append(urlsplit(back).path)
        return Response(status=302, headers={"Location": back})


@contextmanager
def issuer() -> Iterator[Issuer]:
    """A running issuer, which ends with the block."""
    with HTTPServer() as server:
        found = Issuer(server.url_for("").rstrip("/"))
        server.expect_request("/.well-known/openid-configuration").respond_with_handler(found.metadata)
        server.expect_request("/keys").respond_with_handler(found.keys)
        server.expect_request("/authorize").respond_with_handler(found.authorize)
        server.expect_request("/token").respond_with_handler(found.exchange)
        server.expect_request("/end").respond_with_handler(found.end)
        yield found
        server.check_assertions()


def _json(told: dict[str, Any]) -> Response:
    return Response(json.dumps(told), content_type="application/json")
