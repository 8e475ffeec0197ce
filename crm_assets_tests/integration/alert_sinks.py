"""A mail server and a web server of our own, which keep what alerts send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

SECRET = "hunter2secret"


@dataclass
class Sinks:
    """Where alerts go in a test.

    Attributes:
        mail_url, web_url: as in `CRM_ALERT_URLS`; the latter holds SECRET.
        mails, posts: what has arrived, oldest first.
        status: with which the web server answers; 200 takes the message.
        refuse_mail: whether the mail server refuses.
    """

    mail_url: str
    web_url: str
    mails: list[EmailMessage] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    refuse_mail: bool = False

    @property
    def urls(self) -> str:
        return f"{self.mail_url} {self.web_url}"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.refuse_mail:
            return "451 try again later"
        assert isinstance(envelope.content, bytes)
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 taken"

    def take(self, request: Request) -> Response:
        if self.status == 200:
            self.posts.append(json.loads(request.get_data()))
        return Response(status=self.status)


def text_of(mail: EmailMessage) -> str:
    """The body that a reader of plain text sees."""
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


class _AnyPort(Controller):
    """A controller that connects to the port it was given, where it asked for any."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd's


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    sink = Sinks("", "")
    mail = _AnyPort(sink, hostname="127.0.0.1", port=0)
    mail.start()
    with HTTPServer(host="127.0.0.1", port=0) as web:
        web.expect_request(f"/hooks/{SECRET}").respond_with_handler(sink.take)
        sink.mail_url = f"mailto://127.0.0.1:{mail.port}?from=crm@example.com&to=people@example.com"
        sink.web_url = f"json://127.0.0.1:{web.port}/hooks/{SECRET}"
        yield sink
    mail.stop()
