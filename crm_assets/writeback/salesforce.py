"""Salesforce: fields of records that are there already, by an external id, as many at once as its API allows.

Records are looked up by SOQL and updated by the sObject Collections resource, up to 200 at once, each for itself. The
resource that upserts by external id is not used: it would make records of opportunities that Salesforce does not have.

Source: Salesforce REST API Developer Guide, "Update Records Using sObject Collections", "Query", "sObject Describe",
"OAuth 2.0 Client Credentials Flow".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from crm_assets.errors import SettingsError
from crm_assets.writeback.target import NOT_FOUND, SECRET_SETTING, Batch, Row, parameters, web_address, without_empty
from crm_assets.writeback.web import Web

if TYPE_CHECKING:
    import httpx

_FIELDS = {
    "probability": "Win_Probability__c",
    "expected_value": "Win_Expected_Value__c",
    "probability_lost": "",
    "probability_abandoned": "",
    "expected_close_month": "",
    "rung": "",
    "model_version": "Win_Model_Version__c",
    "status": "",
    "score_month": "Win_Score_Month__c",
}
"""What is written -> name of the field in Salesforce; empty for what is not."""
_API_NAME = re.compile(r"[A-Za-z]\w{0,79}")
_VERSION = re.compile(r"\d{2,3}\.0")
_QUERY_LETTERS = 6_000
"""A query is part of the address, which Salesforce cuts off at 16,384 bytes."""
_LOCKED = "UNABLE_TO_LOCK_ROW"
_TRIES_OF_LOCKED = 4
_CHECK = "check the domain in CRM_WRITEBACK_URL"
_GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})


class Salesforce:
    """One kind of record in a Salesforce organisation.

    Args:
        url: `salesforce://MYDOMAIN.my.salesforce.com/Opportunity?id=Crm_Id__c`; further parameters name fields, as in
            `probability=Win_Probability__c`, where empty ones are not written, and `version` the API's.
        secret: `CLIENT_ID:CLIENT_SECRET` of an external client app with the client credentials flow.
        wait: waits for some seconds.

    Raises SettingsError when one of them is of another form.
    """

    batch_rows = 200

    def __init__(self, url: str, secret: str, wait: Callable[[float], None] = time.sleep) -> None:
        given = parameters(url, {"id": "", "version": "60.0", **_FIELDS})
        self._id, version = given.pop("id"), given.pop("version")
        self._object = urlsplit(url).path.strip("/")
        names = [self._object, self._id, *filter(None, given.values())]
        wrong = [name for name in names if not _API_NAME.fullmatch(name)]
        if wrong or not _VERSION.fullmatch(version):
            raise SettingsError(
                f"CRM_WRITEBACK_URL: {wrong[0] if wrong else version!r} is no name of an object or field, or no "
                "version: write salesforce://MYDOMAIN.my.salesforce.com/Opportunity?id=EXTERNAL_ID_FIELD"
            )
        self._client, _, self._client_secret = secret.partition(":")
        if not (self._client and self._client_secret):
            raise SettingsError(f"{SECRET_SETTING} is not of the form CLIENT_ID:CLIENT_SECRET, which Salesforce needs")
        self._fields, self._token, self._wait = given, "", wait
        self._base = f"/services/data/v{version}"
        self._name = url.partition("?")[0]
        self._web = Web(self._name, web_address(url), (secret, self._client_secret), wait)

    def check(self) -> str:
        """Sign in, and look whether the kind of record has the fields and lets them be edited."""
        with self._web.impatient():
            told = self._web.json(self._asked("GET", f"{self._base}/sobjects/{self._object}/describe"), dict, _CHECK)
        fields = {str(field.get("name")): bool(field.get("updateable")) for field in told.get("fields") or []}
        written = [name for name in self._fields.values() if name]
        if missing := [name for name in (self._id, *written) if name not in fields]:
            raise self._web.fault(
                f"{self._object} has no {', '.join(missing)} that the app's user may read: make the fields, or name "
                "others in CRM_WRITEBACK_URL",
                transient=False,
            )
        if fixed := [name for name in written if not fields[name]]:
            raise self._web.fault(
                f"the app's user may not edit {', '.join(fixed)} of {self._object}: permit it", transient=False
            )
        return f"{self._name}: signed in, and {', '.join(written)} may be edited"

    def send(self, batch: Batch) -> Mapping[str, str]:
        """Look up the records of the rows, and update those that are there."""
        records = self._records([row.opportunity_id for row in batch.rows])
        refused: dict[str, str] = {}
        found: list[tuple[Row, str]] = []
        for row in batch.rows:
            ids = records.get(row.opportunity_id, [])
            if len(ids) == 1:
                found.append((row, ids[0]))
            elif ids:
                refused[row.opportunity_id] = f"{len(ids)} records have this {self._id}: mend it in Salesforce"
            elif not row.is_cleared:
                refused[row.opportunity_id] = NOT_FOUND
        for attempt in range(1, _TRIES_OF_LOCKED + 1):
            locked: list[tuple[Row, str]] = []
            for (row, record), errors in zip(found, self._updated(found), strict=True):
                codes = {str(error.get("statusCode")) for error in errors}
                if _LOCKED in codes and attempt < _TRIES_OF_LOCKED:
                    locked.append((row, record))
                elif errors and not (row.is_cleared and codes <= _GONE):
                    said = [f"{error.get('statusCode')}: {error.get('message')}" for error in errors]
                    refused[row.opportunity_id] = "; ".join(said)
            if not locked:
                break
            found = locked
            self._wait(attempt)
        return refused

    def _records(self, opportunities: Sequence[str]) -> dict[str, list[str]]:
        """Opportunity -> ids of the records that have it."""
        found: dict[str, list[str]] = {}
        for names in _queried(opportunities):
            # Quoted by `_queried`; the rest was checked when the target was made.
            query = f"SELECT Id, {self._id} FROM {self._object} WHERE {self._id} IN ({','.join(names)})"  # nosec B608
            path: str | None = f"{self._base}/query?q={quote(query)}"
            while path:
                page = self._web.json(self._asked("GET", path), dict, _CHECK)
                for record in page["records"]:
                    found.setdefault(str(record[self._id]), []).append(str(record["Id"]))
                path = page.get("nextRecordsUrl")
        return found

    def _updated(self, found: Sequence[tuple[Row, str]]) -> list[list[dict[str, Any]]]:
        """The errors of each record, in order; none of those that were updated."""
        if not found:
            return []
        records = [
            {
                "attributes": {"type": self._object},
                "id": record,
                **without_empty({self._fields[name]: value for name, value in _values(row).items()}),
            }
            for row, record in found
        ]
        body = json.dumps({"allOrNone": False, "records": records}, allow_nan=False).encode()
        answers = self._web.json(self._asked("PATCH", f"{self._base}/composite/sobjects", body), list, _CHECK)
        if len(answers) != len(found):
            raise self._web.fault(f"it answered for another number of records than the {len(found)} it was sent")
        return [[] if one.get("success") else one.get("errors") or [{}] for one in answers]

    def _asked(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        """A good answer. Signs in where that is needed; a token that has run out is replaced once."""
        for attempt in (1, 2):
            if not self._token:
                self._sign_in()
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
            answer = self._web.request(method, path, headers=headers, content=content)
            if answer.status_code != 401 or attempt == 2:
                break
            self._token = ""
        if answer.is_success:
            return answer
        told = self._web.told(answer).replace(self._token, "***")
        if "REQUEST_LIMIT_EXCEEDED" in told:
            raise self._web.fault(f"{told}; send the rest when requests are allowed again")
        raise self._web.fault(
            f"{told}; check CRM_WRITEBACK_URL, {SECRET_SETTING}, and that the app's user may read and edit the fields",
            transient=False,
        )

    def _sign_in(self) -> None:
        answer = self._web.request(
            "POST",
            "/services/oauth2/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._client,
                "client_secret": self._client_secret,
            },
        )
        token = self._web.json(answer, dict, _CHECK).get("access_token") if answer.is_success else None
        if not token:
            raise self._web.fault(
                f"it does not let us in: {self._web.told(answer)}; check {SECRET_SETTING}, and that the app has the "
                "client credentials flow and a user to run as",
                transient=False,
            )
        self._token = str(token)


def _values(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.as_dict().items() if name != "opportunity_id"}


def _queried(opportunities: Sequence[str]) -> Iterator[list[str]]:
    """SOQL literals, in parts that fit into an address."""
    part: list[str] = []
    letters = 0
    for opportunity in opportunities:
        literal = "'" + opportunity.replace("\\", "\\\\").replace("'", "\\'") + "'"
        length = len(quote(literal)) + 1
        if part and letters + length > _QUERY_LETTERS:
            yield part
            part, letters = [], 0
        part.append(literal)
        letters += length
    if part:
        yield part
