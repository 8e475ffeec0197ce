"""What stands around every request: its id, who asks, how much and how fast, time, logs, and no trace of a failure.

The body is read here, whole and in time, so that whoever sends it slowly keeps nothing busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from crm_assets.serving.access import OPERATE, READ, SCORE, Access, Asker, Rates, may
from crm_assets.serving.metrics import Metrics
from crm_assets.serving.problems import MEDIA_TYPE, ProblemError, body
from crm_assets.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCESS_LOG, AUDIT_LOG = "crm_assets.serving.access", "crm_assets.serving.audit"
_access = logging.getLogger(ACCESS_LOG)
_audit = logging.getLogger(AUDIT_LOG)
_errors = logging.getLogger("crm_assets.serving.errors")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SCORING = ("/v1/score", "/v1/explain")
_OPERATING = "/v1/operations"
_MARKED = "/v1/"
_OK, _NOT_MODIFIED = 200, 304
_READY = "/health/ready"
_FREE = ("/health/live", _READY)
_STRANGER = Asker("stranger", frozenset())
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"cache-control", b"no-store"),
)

PAGES = ("/v1/model/card", "/v1/monitoring/report")
"""Paths that answer with a page for people."""
_PAGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; frame-ancestors 'self'"
)
"""A page brings its own scripts and pictures. They run in an origin of their own, and reach nothing."""
_REPLACED = {b"content-security-policy": _PAGE_POLICY.encode(), b"x-frame-options": b"SAMEORIGIN"}
_PAGE_HEADERS = tuple((name, _REPLACED.get(name, value)) for name, value in _HEADERS)


def scope_of(path: str) -> str | None:
    """The scope that a path needs; None for one that anybody may ask for."""
    if path in _FREE:
        return None
    if path.startswith(_OPERATING):
        return OPERATE
    return SCORE if path.startswith(_SCORING) else READ


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what is guarded.
        settings: limits.
        access: who may ask.
        metrics: told of every request.
    """

    def __init__(self, app: ASGIApp, settings: Settings, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._access = access
        self._rates = Rates(settings.api_requests_per_second)
        self._refusals = Rates(
            settings.api_refusals_per_second, of="requests without a key that holds", else_="send one that does"
        )
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        sent: dict[str, int] = {}

        marked = scope["method"] == "GET" and scope["path"].startswith(_MARKED)
        held: list[Message] = []

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
                is_page = scope["path"] in PAGES and message["status"] == _OK
                safe = _PAGE_HEADERS if is_page else _HEADERS
                own = [*message["headers"], *safe, (b"x-request-id", request_id.encode())]
                message = {**message, "headers": own}
                if marked and message["status"] == _OK:
                    held.append(message)
                    return
            elif held:
                start, message = _with_mark(held.pop(), message, headers.get("if-none-match", ""))
                sent["status"] = start["status"]
                await send(start)
            await send(message)

        try:
            state["may_read"] = False
            asker = await self._let_in(scope, headers)
            state["asker"] = asker
            state["may_read"] = READ in (asker or await self._perhaps(scope["path"], headers)).scopes
            whole = await self._whole_body(headers, receive)
            await self._app(scope, _replayed(whole, receive), answered)
        except ProblemError as problem:
            await _answer(problem, scope, request_id, answered, sent)
        except Exception:
            # Whoever asked learns that it failed and the request's id; the log says why.
            _errors.exception("request failed", extra={"fields": {"request_id": request_id}})
            failed = ProblemError(
                "internal", "it is in the logs under the request's id; try again, or tell who runs it"
            )
            await _answer(failed, scope, request_id, answered, sent)
        finally:
            self._tell(scope, sent.get("status", 499), time.perf_counter() - began)

    async def _let_in(self, scope: Scope, headers: MutableMapping[str, str]) -> Asker | None:
        needed = scope_of(scope["path"])
        if needed is None:
            return None
        try:
            asker = await self._access.who(headers)
        except ProblemError as problem:
            # Not before looking at the key: behind a proxy all have one address, and who has a key may ask.
            if problem.kind == "unauthorized":
                self._refusals.take((scope.get("client") or ("unknown",))[0])
            raise
        self._rates.take(asker.name)
        may(asker, needed)
        return asker

    async def _perhaps(self, path: str, headers: MutableMapping[str, str]) -> Asker:
        """Who asks for a path that is free; somebody without scopes where that is not known."""
        if path == _READY:
            with contextlib.suppress(ProblemError):
                return await self._access.who(headers)
        return _STRANGER

    async def _whole_body(self, headers: MutableMapping[str, str], receive: Receive) -> bytes:
        limit = self._settings.api_body_bytes
        length = headers.get("content-length", "")
        if length == "0" or (not length and "transfer-encoding" not in headers):
            return b""
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.api_body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return b""
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise _too_large(limit)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise ProblemError(
                "too-slow",
                f"the body did not arrive within {self._settings.api_body_seconds:g} s: send it at once",
                headers={"Connection": "close"},
            ) from None

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        # The template and not the path, which holds ids.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        state = scope["state"]
        asker = state.get("asker")
        told = {
            "request_id": state["request_id"],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 2),
            "asker": asker.name if asker else None,
        }
        if _access.isEnabledFor(logging.INFO):
            _access.info("request", extra={"fields": told})
        if asker is not None and _audit.isEnabledFor(logging.INFO):
            more = {"opportunities": state.get("opportunities"), "model_version": state.get("model_version")}
            _audit.info("asked", extra={"fields": {**told, **more}})


def _with_mark(start: Message, message: Message, known: str) -> tuple[Message, Message]:
    """An answer with a hash of its content as ETag; without its content for somebody who says to know it."""
    if message.get("more_body", False):
        return start, message
    mark = f'"{hashlib.sha256(message.get("body", b"")).hexdigest()[:32]}"'.encode()
    if mark not in (part.strip().encode("latin-1") for part in known.split(",")):
        return {**start, "headers": [*start["headers"], (b"etag", mark)]}, message
    same = [(name, value) for name, value in start["headers"] if not name.startswith(b"content-")]
    return {**start, "status": _NOT_MODIFIED, "headers": [*same, (b"etag", mark)]}, {**message, "body": b""}


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        "too-large",
        f"the body is longer than {limit} bytes: send fewer opportunities at once",
        headers={"Connection": "close"},
    )


def _replayed(whole: bytes, receive: Receive) -> Receive:
    """A channel that gives the body that was read, and then what else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": whole, "more_body": False}

    return again


async def _answer(problem: ProblemError, scope: Scope, request_id: str, send: Send, sent: dict[str, int]) -> None:
    if "status" in sent:
        return
    status, content = body(problem, instance=scope["path"], request_id=request_id)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
