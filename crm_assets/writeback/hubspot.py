"""HubSpot: properties of deals that are there already, in batches of 100.

Source: HubSpot API reference, "Update a batch of deals by internal ID, or unique property values" (CRM objects, v3),
"Read all properties" (CRM properties, v3), and "Usage guidelines" for its limits.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from crm_assets.errors import SettingsError
from crm_assets.writeback.content import Value
from crm_assets.writeback.target import NOT_FOUND, SECRET_SETTING, Batch, Row, parameters, web_address, without_empty
from crm_assets.writeback.web import Web

_PROPERTIES = {
    "probability": "win_probability",
    "expected_value": "win_expected_value",
    "probability_lost": "",
    "probability_abandoned": "",
    "expected_close_month": "",
    "rung": "",
    "model_version": "win_model_version",
    "status": "",
    "score_month": "win_score_month",
}
"""What is written -> name of the property in HubSpot; empty for what is not."""
_NAME = re.compile(r"[a-z0-9_-]{1,100}")
_RECORD_ID = "hs_object_id"
_MISSING = "OBJECT_NOT_FOUND"
_NO_PROPERTY = "PROPERTY_DOESNT_EXIST"


class HubSpot:
    """One kind of object in a HubSpot account.

    Args:
        url: `hubspot://api.hubapi.com/deals?id=crm_id`, where the property must have unique values; without it the
            opportunities are HubSpot's own record ids. Further parameters name properties, as in
            `probability=win_probability`; empty ones are not written.
        secret: access token of a private app that may write these objects.
        wait: waits for some seconds.

    Raises SettingsError when one of them is of another form.
    """

    batch_rows = 100

    def __init__(self, url: str, secret: str, wait: Callable[[float], None] = time.sleep) -> None:
        given = parameters(url, {"id": _RECORD_ID, **_PROPERTIES})
        self._id, kind = given.pop("id"), urlsplit(url).path.strip("/")
        wrong = [name for name in (kind, self._id, *filter(None, given.values())) if not _NAME.fullmatch(name)]
        if wrong:
            raise SettingsError(
                f"CRM_WRITEBACK_URL: {wrong[0]!r} is no name of an object or property: write "
                "hubspot://api.hubapi.com/deals?id=UNIQUE_PROPERTY"
            )
        if not secret:
            raise SettingsError(f"{SECRET_SETTING} is not set: HubSpot needs the access token of a private app")
        self._properties, self._kind, self._name = given, kind, url.partition("?")[0]
        self._path = f"/crm/v3/objects/{kind}/batch/update"
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._web = Web(self._name, web_address(url), (secret,), wait)

    def check(self) -> str:
        """List the properties of the kind of object, with the token."""
        with self._web.impatient():
            answer = self._web.request("GET", f"/crm/v3/properties/{self._kind}", headers=self._headers)
        if answer.status_code == 403:
            return f"{self._name}: signed in; the token may not list properties, so whether they are there is not known"
        if not answer.is_success:
            raise self._web.fault(
                f"{self._web.told(answer)}; check CRM_WRITEBACK_URL and {SECRET_SETTING}", transient=False
            )
        found = self._web.json(answer, dict, "check the host in CRM_WRITEBACK_URL").get("results") or []
        wanted = [self._id, *filter(None, self._properties.values())]
        if missing := {*wanted} - {_RECORD_ID} - {str(one.get("name")) for one in found}:
            raise self._web.fault(
                f"{self._kind} have no {', '.join(sorted(missing))}: make the properties, or name others in "
                "CRM_WRITEBACK_URL",
                transient=False,
            )
        return f"{self._name}: signed in, and {self._kind} have the properties"

    def send(self, batch: Batch) -> Mapping[str, str]:
        """Update the objects of the rows that are there."""
        return self._sent(batch.rows)

    def _sent(self, rows: Sequence[Row]) -> dict[str, str]:
        inputs = [self._input(row) for row in rows]
        answer = self._web.request(
            "POST",
            self._path,
            headers=self._headers,
            content=json.dumps({"inputs": inputs}).encode(),
            final=lambda one: "the day's requests are used up" if "DAILY" in one.text else None,
        )
        if answer.status_code in {200, 207}:
            return self._refused(rows, self._web.json(answer, dict, "check the host in CRM_WRITEBACK_URL"))
        told = self._web.told(answer)
        if answer.status_code == 400 and _NO_PROPERTY not in answer.text:
            # One row that HubSpot finds invalid fails the whole request: find out which.
            if len(rows) == 1:
                return {rows[0].opportunity_id: told}
            half = len(rows) // 2
            return {**self._sent(rows[:half]), **self._sent(rows[half:])}
        raise self._web.fault(
            f"{told}; check CRM_WRITEBACK_URL, its properties, and that the token of {SECRET_SETTING} may write them",
            transient=False,
        )

    def _input(self, row: Row) -> dict[str, Any]:
        values = {self._properties[name]: _text(value) for name, value in row.as_dict().items() if name in _PROPERTIES}
        # HubSpot refuses its own record id as the name of a unique property.
        by = {} if self._id == _RECORD_ID else {"idProperty": self._id}
        return {
            **by,
            "id": row.opportunity_id,
            "objectWriteTraceId": row.opportunity_id,
            "properties": without_empty(values),
        }

    def _refused(self, rows: Sequence[Row], answer: Mapping[str, Any]) -> dict[str, str]:
        """Opportunity -> reason of those that an answer says were not updated."""
        sent = {row.opportunity_id: row for row in rows}
        refused: dict[str, str] = {}
        for error in answer.get("errors") or []:
            context = error.get("context") or {}
            named = {*map(str, context.get("ids") or []), *map(str, context.get("objectWriteTraceId") or [])}
            for opportunity in named & sent.keys():
                missing = error.get("category") == _MISSING
                reason = NOT_FOUND if missing else f"{error.get('category')}: {error.get('message')}"
                refused[opportunity] = reason
        if len(answer.get("results") or []) + len(refused) != len(sent):
            raise self._web.fault(
                f"of {len(sent)} objects it says that {len(answer.get('results') or [])} were updated and names "
                f"{len(refused)} that were not: which of the others were is not known"
            )
        # What is not there needs no clearing.
        return {name: said for name, said in refused.items() if not (sent[name].is_cleared and said == NOT_FOUND)}


def _text(value: Value) -> str:
    """As HubSpot wants it, who takes an empty text for no value."""
    return "" if value is None else str(value)
