"""A web address of one's own that takes scores as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from crm_assets.writeback.target import SECRET_SETTING, Batch
from crm_assets.writeback.web import Web

_BATCH_FAULTS = frozenset({400, 413, 422})
"""The server has understood whom it speaks to, and does not want these rows."""


_NO_HEAD = frozenset({405, 501})


class Webhook:
    """POSTs each batch as one JSON document, with its key in `Idempotency-Key` and the secret as a bearer token.

    Any status from 200 to 299 takes all rows, but for those that the answer lists: a JSON object whose `refused` is a
    list of objects with `opportunity_id` and `reason`.

    Args:
        url: `https://host/path`.
        secret: the token; none is sent when it is empty.
        wait: waits for some seconds.
    """

    batch_rows = 500

    def __init__(self, url: str, secret: str, wait: Callable[[float], None] = time.sleep) -> None:
        parts, self._name = urlsplit(url), url
        self._web = Web(url, f"{parts.scheme}://{parts.netloc}", (secret,), wait)
        self._path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        self._headers = {"Content-Type": "application/json"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"

    def check(self) -> str:
        """Ask for the headers of the address, which changes nothing, with the token."""
        with self._web.impatient():
            answer = self._web.request("HEAD", self._path, headers=self._headers)
        if answer.is_success:
            return f"{self._name}: it answered {answer.status_code}, and nothing was sent"
        if answer.status_code in _NO_HEAD:
            return f"{self._name}: it is there, and takes rows alone, so whether it takes the token was not tried"
        raise self._web.fault(
            f"{self._web.told(answer)}; check CRM_WRITEBACK_URL and {SECRET_SETTING}", transient=False
        )

    def send(self, batch: Batch) -> Mapping[str, str]:
        """Post the rows."""
        rows = [row.as_dict() for row in batch.rows]
        body = {"dataset": batch.dataset, "month": str(batch.month), "key": batch.key, "rows": rows}
        answer = self._web.request(
            "POST",
            self._path,
            headers={**self._headers, "Idempotency-Key": batch.key},
            content=json.dumps(body, allow_nan=False).encode(),
        )
        if answer.is_success:
            return self._refused(answer.content, batch)
        told = self._web.told(answer)
        if answer.status_code in _BATCH_FAULTS:
            return {row.opportunity_id: f"the batch was refused: {told}" for row in batch.rows}
        raise self._web.fault(f"{told}; check CRM_WRITEBACK_URL and {SECRET_SETTING}", transient=False)

    def _refused(self, content: bytes, batch: Batch) -> dict[str, str]:
        try:
            answer: Any = json.loads(content)
        except ValueError:
            return {}
        listed = answer.get("refused", []) if isinstance(answer, dict) else []
        sent = {row.opportunity_id for row in batch.rows}
        try:
            refused = {str(one["opportunity_id"]): str(one.get("reason", "no reason given")) for one in listed}
        except (AttributeError, KeyError, TypeError):
            refused = {"": ""}
        if not refused.keys() <= sent:
            raise self._web.fault(
                "its `refused` is not a list of objects with opportunity_id and reason of rows that were sent",
                transient=False,
            )
        return refused
