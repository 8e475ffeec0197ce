"""Web servers that behave as a webhook's, Salesforce's and HubSpot's do: sign-in, limits, faults and errors per row."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

SECRET = "hunter2secret"
CLIENT, CLIENT_SECRET = "app-client-id", "app-hunter2-secret"


GARBLED = (
    Response("[1]", content_type="application/json"),
    Response('"yes"', content_type="application/json"),
    Response("<html>"),
    Response("[" * 100_000, content_type="application/json"),
    Response(b"no gzip", headers={"Content-Encoding": "gzip"}),
    Response('{"results": 5, "records": [5], "access_token": {}}', content_type="application/json"),
)
"""Good answers as of another server."""


def answer(status: int, content: Any = None, **headers: str) -> Response:
    text = "" if content is None else json.dumps(content)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(text, status, content_type="application/json", headers=named)


@dataclass
class Faults:
    """Answers that come before those of the server itself, one a request.

    Attributes:
        first: for the next requests; None for the server's own.
        seen: path of every request.
    """

    first: list[Response | None] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def next(self, request: Request) -> Response | None:
        self.seen.append(f"{request.method} {request.path}")
        return self.first.pop(0) if self.first else None


@dataclass
class FakeWebhook(Faults):
    """Takes rows once for each key.

    Attributes:
        held: opportunity -> row.
        keys: `Idempotency-Key` of every batch that was taken.
        refuses: opportunities that it refuses.
        loses: how many of the next answers are lost on the way, after the rows were taken.
    """

    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    loses: int = 0

    def __call__(self, request: Request) -> Response:
        if fault := self.next(request):
            return fault
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return answer(401, {"error": f"who is {request.headers.get('Authorization')}?"})
        if request.method == "HEAD":
            return answer(405)
        body, key = json.loads(request.get_data()), request.headers["Idempotency-Key"]
        assert body["key"] == key
        if key not in self.keys:
            self.keys.append(key)
            taken = [row for row in body["rows"] if row["opportunity_id"] not in self.refuses]
            self.held |= {row["opportunity_id"]: row for row in taken}
        if self.loses:
            self.loses -= 1
            return answer(502, {"error": "bad gateway"})
        sent = [row["opportunity_id"] for row in body["rows"]]
        return answer(200, {"refused": [{"opportunity_id": o, "reason": "frozen"} for o in sent if o in self.refuses]})


@dataclass
class FakeSalesforce(Faults):
    """An organisation with opportunities that have an external id `Crm_Id__c`.

    Attributes:
        records: id -> fields.
        token: that is valid now.
        locked: id -> how many of the next updates of it find it locked.
        deleted: ids that are in the recycle bin.
        fields: name -> whether it may be edited.
    """

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    token: str = "00D-token-1"
    locked: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    fields: dict[str, bool] = field(
        default_factory=lambda: {
            "Crm_Id__c": False,
            **{f"Win_{name}__c": True for name in ("Probability", "Expected_Value", "Model_Version", "Score_Month")},
        }
    )
    sign_ins: int = 0
    largest_batch: int = 0

    def add(self, external: str) -> str:
        record = f"006{len(self.records):012d}"
        self.records[record] = {"Crm_Id__c": external, "Win_Probability__c": None}
        return record

    def of(self, external: str) -> dict[str, Any]:
        (found,) = (fields for fields in self.records.values() if fields["Crm_Id__c"] == external)
        return found

    def __call__(self, request: Request) -> Response:
        if fault := self.next(request):
            return fault
        if request.path == "/services/oauth2/token":
            return self._sign_in(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return answer(401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])
        if request.method == "GET":
            return self._read(request)
        assert (request.method, request.path) == ("PATCH", "/services/data/v60.0/composite/sobjects")
        body = json.loads(request.get_data())
        if len(body["records"]) > 200:
            return answer(400, [{"message": "record limit reached", "errorCode": "LIMIT_EXCEEDED"}])
        assert body["allOrNone"] is False
        self.largest_batch = max(self.largest_batch, len(body["records"]))
        return answer(200, [self._update(record) for record in body["records"]])

    def _sign_in(self, request: Request) -> Response:
        self.sign_ins += 1
        if (request.form["client_id"], request.form["client_secret"]) != (CLIENT, CLIENT_SECRET):
            return answer(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
        assert request.form["grant_type"] == "client_credentials"
        return answer(200, {"access_token": self.token, "instance_url": "https://x.my.salesforce.com"})

    def _read(self, request: Request) -> Response:
        if request.path == "/services/data/v60.0/sobjects/Opportunity/describe":
            return answer(200, {"fields": [{"name": n, "updateable": u} for n, u in self.fields.items()]})
        assert request.path == "/services/data/v60.0/query"
        return self._query(request)

    def _query(self, request: Request) -> Response:
        if len(request.environ.get("QUERY_STRING", "")) > 16_000:
            return answer(414, [{"message": "URI too long", "errorCode": "URI_TOO_LONG"}])
        found = re.fullmatch(r"SELECT Id, Crm_Id__c FROM Opportunity WHERE Crm_Id__c IN \((.*)\)", request.args["q"])
        if not found:
            return answer(400, [{"message": f"unexpected {request.args['q']}", "errorCode": "MALFORMED_QUERY"}])
        names = [re.sub(r"\\(.)", r"\1", one) for one in re.findall(r"'((?:[^'\\]|\\.)*)'", found[1])]
        rows = [
            {"attributes": {"type": "Opportunity"}, "Id": record, "Crm_Id__c": fields["Crm_Id__c"]}
            for record, fields in self.records.items()
            if fields["Crm_Id__c"] in names
        ]
        return answer(200, {"totalSize": len(rows), "done": True, "records": rows})

    def _update(self, record: dict[str, Any]) -> dict[str, Any]:
        name, fields = record.pop("id"), record
        assert fields.pop("attributes") == {"type": "Opportunity"}

        def refused(code: str, message: str) -> dict[str, Any]:
            return {"id": name, "success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}

        if self.locked.get(name, 0) > 0:
            self.locked[name] -= 1
            return refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        if name in self.deleted:
            return refused("ENTITY_IS_DELETED", "entity is deleted")
        if (fields.get("Win_Probability__c") or 0) > 0.9:
            return refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", "too good to be true")
        self.records[name] |= fields
        return {"id": name, "success": True, "errors": []}


@dataclass
class FakeHubSpot(Faults):
    """An account with deals that have a unique property `crm_id`.

    Attributes:
        deals: record id -> properties.
        properties: that deals may have.
    """

    deals: dict[str, dict[str, str]] = field(default_factory=dict)
    properties: tuple[str, ...] = (
        "crm_id", "win_probability", "win_expected_value", "win_model_version", "win_score_month",
    )  # fmt: skip
    loses_results: bool = False

    def add(self, external: str) -> str:
        record = str(1000 + len(self.deals))
        self.deals[record] = {"crm_id": external}
        return record

    def of(self, external: str) -> dict[str, str]:
        (found,) = (fields for fields in self.deals.values() if fields["crm_id"] == external)
        return found

    def __call__(self, request: Request) -> Response:
        if fault := self.next(request):
            return fault
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return answer(401, {"status": "error", "category": "INVALID_AUTHENTICATION", "message": "not valid"})
        if request.path == "/crm/v3/properties/deals":
            return answer(200, {"results": [{"name": name} for name in self.properties]})
        assert (request.method, request.path) == ("POST", "/crm/v3/objects/deals/batch/update")
        inputs = json.loads(request.get_data())["inputs"]
        message = self._invalid(inputs)
        if message:
            return answer(400, {"status": "error", "category": "VALIDATION_ERROR", "message": message})
        return self._updated(inputs)

    def _invalid(self, inputs: list[dict[str, Any]]) -> str | None:
        """What fails the whole request."""
        if len(inputs) > 100:
            return "The maximum number of inputs is 100"
        for one in inputs:
            if one.get("idProperty", "crm_id") != "crm_id":
                return "Unable to perform update/upsert by non-unique property"
            for name, value in one["properties"].items():
                assert isinstance(value, str)
                if name not in self.properties:
                    return f'[{{"code":"PROPERTY_DOESNT_EXIST","name":"{name}"}}]'
                if name == "win_probability" and value and float(value) > 0.9:
                    return f"{value} was not a valid number: too good to be true"
        return None

    def _updated(self, inputs: list[dict[str, Any]]) -> Response:
        results, missing = [], []
        for one in inputs:
            by = one.get("idProperty")
            found = [record for record, fields in self.deals.items() if (fields[by] if by else record) == one["id"]]
            if not found:
                missing.append(one["id"])
                continue
            self.deals[found[0]] |= one["properties"]
            results.append({"id": found[0], "properties": one["properties"], "archived": False})
        if self.loses_results:
            results = results[1:]
        told = {"status": "COMPLETE", "results": results, "startedAt": "2017-11-07T05:31:56Z"}
        if not missing:
            return answer(200, told)
        error = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some DEAL objects, they may be deleted or not exist. Check that ids are valid.",
            "context": {"ids": missing},
        }
        return answer(207, {**told, "numErrors": 1, "errors": [error]})
