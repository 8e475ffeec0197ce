"""The API as the page sees it: one method for each question, and an error in words for each way to fail."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from crm_assets.errors import CrmAssetsError

_TIMEOUT = httpx.Timeout(30.0, connect=3.0)
_KEPT = 64 * 2**20
"""Bytes of answers, of all users, that are kept to be shown again while the API says that they have not changed."""


class AnswerError(CrmAssetsError):
    """The API refused or failed to answer.

    Attributes:
        status: of HTTP.
        faults: JSON pointer of a value -> what is wrong with it.
    """

    def __init__(self, status: int, detail: str, faults: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.status, self.faults = status, dict(faults)


class AwayError(CrmAssetsError):
    """Nothing answers at the API's address, or not in time."""


@dataclass(frozen=True)
class _Answer:
    mark: str
    content: bytes


class Kept:
    """Answers with their marks, those used last, up to a number of bytes.

    They are kept as they came: read into objects they would take several times as much.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._answers: OrderedDict[tuple[int, str], _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, str]) -> _Answer | None:
        """The answer of a user's number and a question's digest, if it is there still."""
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def put(self, key: tuple[int, str], answer: _Answer) -> None:
        """Keep an answer, in the place of those not used for longest."""
        with self._lock:
            if (old := self._answers.pop(key, None)) is not None:
                self._size -= len(old.content)
            self._answers[key] = answer
            self._size += len(answer.content)
            while self._size > self._most:
                _, gone = self._answers.popitem(last=False)
                self._size -= len(gone.content)


_ANSWERS = Kept(_KEPT)
_numbers = itertools.count()


class Api:
    """Asks the API with the rights of one user.

    An answer is kept with the mark (ETag, a hash of its content) that came with it, for this user alone; asked again,
    the API says in a millisecond or two whether it still holds.

    Args:
        url: of the API, without a path.
        token: of the user, sent as bearer token; none where anybody may ask.
        transport: how requests are sent, for tests.
        kept: where answers are kept, with those of all users.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        transport: httpx.BaseTransport | None = None,
        kept: Kept = _ANSWERS,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url: Final = url
        self._client = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT, transport=transport)
        self._kept, self._number = kept, next(_numbers)
        # Not when the session's cache drops it: a part of a page may ask with it still.
        weakref.finalize(self, self._client.close).atexit = False

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a question, as JSON; values of None are left out of the query.

        Raises AnswerError or AwayError.
        """
        return json.loads(self._content(path, query))

    def download(self, path: str, **query: Any) -> bytes:
        """A file, kept as answers are. Raises AnswerError or AwayError."""
        return self._content(path, query)

    def _content(self, path: str, query: Mapping[str, Any]) -> bytes:
        request = self._client.build_request("GET", path, params=_given(query))
        key = (self._number, hashlib.sha256(str(request.url).encode()).hexdigest())
        kept = self._kept.get(key)
        if kept is not None:
            request.headers["If-None-Match"] = kept.mark
        answer = self._sent(request)
        if kept is not None and answer.status_code == httpx.codes.NOT_MODIFIED:
            return kept.content
        content = self._read(answer).content
        if mark := answer.headers.get("etag"):
            self._kept.put(key, _Answer(mark, content))
        return content

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to an order. Raises AnswerError or AwayError."""
        return self._read(self._sent(self._client.build_request("POST", path, json=dict(body)))).json()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._client.send(request)
        except httpx.TimeoutException:
            raise AwayError(f"the API at {self.url} did not answer in time") from None
        except httpx.HTTPError:
            raise AwayError(f"nothing answers at {self.url}") from None

    @staticmethod
    def _read(answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
            detail, errors = str(problem["detail"]), problem.get("errors") or []
            faults = {str(error["pointer"]): str(error["detail"]) for error in errors}
        except (ValueError, KeyError, TypeError):
            detail, faults = f"the API answered {answer.status_code} {answer.reason_phrase}", {}
        raise AnswerError(answer.status_code, detail, faults)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
