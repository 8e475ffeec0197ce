"""A webhook, Salesforce and HubSpot, on servers of our own that fail as theirs do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TypeVar

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from crm_assets.errors import SettingsError, WriteBackError
from crm_assets.writeback import web
from crm_assets.writeback.hubspot import HubSpot
from crm_assets.writeback.plan import Outcome
from crm_assets.writeback.salesforce import Salesforce
from crm_assets.writeback.target import NOT_FOUND, Target
from crm_assets.writeback.web import retry_after
from crm_assets.writeback.webhook import Webhook
from crm_assets_tests.writeback.crm_servers import (
    CLIENT,
    CLIENT_SECRET,
    GARBLED,
    SECRET,
    FakeHubSpot,
    FakeSalesforce,
    FakeWebhook,
    answer,
)
from crm_assets_tests.writeback.made_up import MAY, MemoryRecords, batch, row, sent

Server = TypeVar("Server", bound=Callable[[Request], Response])


@pytest.fixture
def host() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", port=0) as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


def on(host: HTTPServer, server: Server) -> Server:
    host.expect_request(re.compile(".*")).respond_with_handler(server)
    return server


def place(host: HTTPServer) -> str:
    return f"127.0.0.1:{host.port}"


def webhook(host: HTTPServer, waits: list[float], secret: str = SECRET) -> Webhook:
    return Webhook(f"http://{place(host)}/hooks/scores", secret, waits.append)


def salesforce(host: HTTPServer, waits: list[float], secret: str = f"{CLIENT}:{CLIENT_SECRET}") -> Salesforce:
    return Salesforce(f"salesforce://{place(host)}/Opportunity?id=Crm_Id__c", secret, waits.append)


def hubspot(host: HTTPServer, waits: list[float], parameters: str = "id=crm_id", secret: str = SECRET) -> HubSpot:
    return HubSpot(f"hubspot://{place(host)}/deals?{parameters}", secret, waits.append)


def fault(target: Target, *rows: str) -> WriteBackError:
    """What sending raises, seen to hold no secret."""
    with pytest.raises(WriteBackError) as caught:
        target.send(batch(*(row(name, 0.5) for name in rows or ("A",))))
    for secret in (SECRET, CLIENT_SECRET, "00D-token"):
        assert secret not in str(caught.value)
    return caught.value


def test_a_webhook_takes_rows_and_refuses_some(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeWebhook(refuses={"B"}))
    refused = webhook(host, waits).send(batch(row("A", 0.25), row("B", 0.5), row("C", None)))
    assert refused == {"B": "frozen"}
    assert server.held["A"]["probability"] == 0.25
    assert server.held["C"]["status"] == "cleared"
    assert server.held["C"]["probability"] is None
    assert server.held["A"]["score_month"] == str(MAY)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_when_it_says(host: HTTPServer, waits: list[float], status: int) -> None:
    server = on(host, FakeWebhook(first=[answer(status, Retry_After="7"), answer(status), answer(status)]))
    assert webhook(host, waits).send(batch(row("A", 0.25))) == {}
    assert waits[0] == 7
    assert 1 <= waits[1] <= 2 <= waits[2] <= 4, "twice as long each time"
    assert len(server.keys) == 1


def test_a_batch_whose_answer_was_lost_comes_again_under_its_key(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeWebhook(loses=2))
    webhook(host, waits).send(batch(row("A", 0.25)))
    assert len(server.seen) == 3
    assert len(server.keys) == 1


def test_a_server_that_stays_busy_is_told_as_passing(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeWebhook(first=[answer(503)] * 20))
    found = fault(webhook(host, waits))
    assert found.transient
    assert "it said 503; it was asked 6 times" in str(found)
    assert len(server.seen) == web.ATTEMPTS
    assert len(waits) == web.ATTEMPTS - 1


def test_a_server_that_asks_for_too_long_a_wait_is_left_alone(host: HTTPServer, waits: list[float]) -> None:
    on(host, FakeWebhook(first=[answer(429, Retry_After="3600")]))
    assert "asks to wait for 3600 s" in str(fault(webhook(host, waits)))
    assert waits == []


def test_a_server_that_is_not_there_is_named(waits: list[float]) -> None:
    # Nothing listens on port 9 of this machine.
    found = fault(Webhook("http://127.0.0.1:9/hooks", SECRET, waits.append))
    assert found.transient
    assert str(found).startswith("http://127.0.0.1:9/hooks: it did not answer: ")


def test_a_wrong_token_is_no_passing_fault_and_not_shown(host: HTTPServer, waits: list[float]) -> None:
    on(host, FakeWebhook())
    found = fault(webhook(host, waits, "hunter3"))
    assert not found.transient
    assert "hunter3" not in str(found)
    assert "check CRM_WRITEBACK_URL and CRM_WRITEBACK_SECRET" in str(found)


def test_a_redirect_is_not_followed(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeWebhook(first=[answer(307, Location="http://127.0.0.1:9/elsewhere")]))
    assert "it said 307" in str(fault(webhook(host, waits)))
    assert len(server.seen) == 1


def test_rows_that_a_server_does_not_want_are_refused_and_others_go_on(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeWebhook(first=[answer(422, {"error": "unknown column"})]))
    target = webhook(host, waits)
    target.batch_rows = 1
    done = sent(MemoryRecords(), target, {"A": 0.1, "B": 0.2})
    assert done.fault is None
    assert done.missing == 1
    assert list(server.held) == ["B"]
    assert "it said 422" in done.rows["reason"][0]


@pytest.mark.parametrize("listed", [[{"id": "A"}], ["A"], [{"opportunity_id": "Z"}], 5])
def test_an_answer_that_cannot_be_read_leaves_the_outcome_open(
    host: HTTPServer, waits: list[float], listed: object
) -> None:
    on(host, FakeWebhook(first=[answer(200, {"refused": listed})]))
    assert "is not a list of objects" in str(fault(webhook(host, waits)))


@pytest.mark.parametrize("garbled", GARBLED, ids=range(len(GARBLED)))
@pytest.mark.parametrize("before", [0, 1, 2], ids=["first", "second", "third"])
def test_an_answer_as_of_another_server_is_a_fault(
    host: HTTPServer, waits: list[float], garbled: Response, before: int
) -> None:
    """Also where it comes at a later step: the sign-in, the query and the update of Salesforce."""
    for server, open_there in ((FakeSalesforce(), salesforce), (FakeHubSpot(), hubspot)):
        host.clear()
        on(host, server).add("A")
        server.first = [*[None] * before, *[garbled] * web.ATTEMPTS]
        done = sent(MemoryRecords(), open_there(host, waits), {"A": 0.5})
        if done.fault is None:
            assert isinstance(server, FakeHubSpot) and before, "it asks only once"
            continue
        assert done.count(Outcome.UNKNOWN) == 1
        assert SECRET not in str(done.fault) + done.rows["reason"][0]
        assert "CRM_WRITEBACK_" in str(done.fault) or "its answer cannot be read" in str(done.fault)


def test_a_webhook_that_answers_with_bad_gzip_is_a_fault(host: HTTPServer, waits: list[float]) -> None:
    on(host, FakeWebhook(first=[GARBLED[4]] * web.ATTEMPTS))
    found = fault(webhook(host, waits))
    assert found.transient
    assert "its answer cannot be read: " in str(found)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("3", 3), (" 0 ", 0), ("soon", None), ("-1", None), ("Wed, 01 Jan 2020 00:00:00 GMT", 0)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    asked = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert asked is not None
    assert 50 < asked <= 60


def test_salesforce_updates_what_is_there_and_makes_nothing(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    for name in ("A", "O'Hara \\ Sons", "C"):
        server.add(name)
    refused = salesforce(host, waits).send(
        batch(row("A", 0.25), row("C", None), row("O'Hara \\ Sons", 0.5), row("new", 0.75), row("vanished", None))
    )
    assert refused == {"new": NOT_FOUND}, "what is not there needs no clearing"
    assert server.of("A") == {
        "Crm_Id__c": "A",
        "Win_Probability__c": 0.25,
        "Win_Expected_Value__c": 250.0,
        "Win_Model_Version__c": "3",
        "Win_Score_Month__c": "2017-05",
    }
    assert server.of("O'Hara \\ Sons")["Win_Probability__c"] == 0.5
    assert server.of("C")["Win_Probability__c"] is None
    assert len(server.records) == 3


def test_salesforce_refuses_single_rows(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    ids = {name: server.add(name) for name in "ABCDEF"}
    server.add("F")
    server.locked, server.deleted = {ids["B"]: 2, ids["C"]: 99}, {ids["D"], ids["E"]}
    refused = salesforce(host, waits).send(
        batch(row("A", 0.95), row("B", 0.2), row("C", 0.3), row("D", 0.4), row("E", None), row("F", 0.5))
    )
    assert refused == {
        "A": "FIELD_CUSTOM_VALIDATION_EXCEPTION: too good to be true",
        "C": "UNABLE_TO_LOCK_ROW: unable to obtain exclusive access to this record",
        "D": "ENTITY_IS_DELETED: entity is deleted",
        "F": "2 records have this Crm_Id__c: mend it in Salesforce",
    }
    assert server.of("B")["Win_Probability__c"] == 0.2, "it was locked for a moment"
    assert waits == [1, 2, 3]


def test_salesforce_gets_as_many_at_once_as_it_takes(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    names = [f"opportunity number {number:04d} of the north-west" for number in range(450)]
    for name in names:
        server.add(name)
    done = sent(MemoryRecords(), salesforce(host, waits), dict.fromkeys(names, 0.5))
    assert done.missing == 0
    assert server.largest_batch == 200
    assert server.sign_ins == 1
    assert {fields["Win_Probability__c"] for fields in server.records.values()} == {0.5}


def test_salesforce_signs_in_again_when_the_token_has_run_out(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    server.add("A")
    target = salesforce(host, waits)
    target.send(batch(row("A", 0.25)))
    server.token = "00D-token-2"
    target.send(batch(row("A", 0.5)))
    assert server.of("A")["Win_Probability__c"] == 0.5
    assert server.sign_ins == 2


def test_salesforce_that_lets_nobody_in(host: HTTPServer, waits: list[float]) -> None:
    on(host, FakeSalesforce())
    found = fault(salesforce(host, waits, f"{CLIENT}:wrong"))
    assert not found.transient
    assert "it does not let us in: it said 400" in str(found)


def test_salesforce_whose_requests_of_the_day_are_used_up(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    used_up = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    server.first = [None, answer(403, used_up)]
    found = fault(salesforce(host, waits))
    assert found.transient
    assert "when requests are allowed again" in str(found)


def test_salesforce_that_answers_for_too_few(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    server.add("A")
    server.first = [None, None, answer(200, [])]
    assert "for another number of records than the 1" in str(fault(salesforce(host, waits)))


def test_hubspot_updates_what_is_there(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeHubSpot())
    for name in "ABC":
        server.add(name)
    server.of("C")["win_probability"] = "0.4"
    refused = hubspot(host, waits).send(batch(row("A", 0.25), row("C", None), row("new", 0.5), row("vanished", None)))
    assert refused == {"new": NOT_FOUND}
    assert server.of("A")["win_probability"] == "0.25"
    assert server.of("A")["win_score_month"] == "2017-05"
    assert server.of("C")["win_probability"] == ""
    assert len(server.deals) == 3


def test_hubspot_takes_its_own_ids(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeHubSpot())
    record = server.add("A")
    assert hubspot(host, waits, "expected_value=").send(batch(row(record, 0.25))) == {}
    assert server.of("A")["win_probability"] == "0.25"
    assert "win_expected_value" not in server.of("A")


def test_hubspot_refuses_a_whole_batch_for_one_row_and_the_others_get_there(
    host: HTTPServer, waits: list[float]
) -> None:
    server = on(host, FakeHubSpot())
    names = [f"{number:03d}" for number in range(250)]
    for name in names:
        server.add(name)
    done = sent(MemoryRecords(), hubspot(host, waits), {name: 0.95 if name == "042" else 0.5 for name in names})
    (refused,) = done.rows.filter(done.rows["outcome"] == "refused").to_dicts()
    assert refused["opportunity_id"] == "042"
    assert "too good to be true" in refused["reason"]
    assert sum(fields.get("win_probability") == "0.5" for fields in server.deals.values()) == 249


def test_hubspot_without_the_property_is_a_fault_of_settings(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeHubSpot())
    server.add("A")
    found = fault(hubspot(host, waits, "id=crm_id&probability=chance"))
    assert not found.transient
    assert "PROPERTY_DOESNT_EXIST" in str(found)
    assert len(server.seen) == 1


def test_hubspot_limits(host: HTTPServer, waits: list[float]) -> None:
    def limit(policy: str) -> Response:
        return answer(429, {"status": "error", "errorType": "RATE_LIMIT", "policyName": policy})

    server = on(host, FakeHubSpot(first=[limit("TEN_SECONDLY_ROLLING"), limit("TEN_SECONDLY_ROLLING")]))
    server.add("A")
    assert hubspot(host, waits).send(batch(row("A", 0.25))) == {}
    assert len(waits) == 2
    server.first = [limit("DAILY")]
    assert "the day's requests are used up" in str(fault(hubspot(host, waits)))
    assert len(waits) == 2, "there is no use in waiting"


def test_hubspot_that_does_not_say_of_whom_it_speaks(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeHubSpot(loses_results=True))
    for name in "AB":
        server.add(name)
    assert "which of the others were is not known" in str(fault(hubspot(host, waits), "A", "B"))


@pytest.mark.parametrize(
    ("kind", "url", "secret", "said"),
    [
        (Webhook, "https://x/hooks", "one-part\n", "holds a blank, a line break"),
        (HubSpot, "hubspot://x/deals", "one-part\u00e9", "not of ASCII"),
        (Salesforce, "salesforce://x/Opportunity?id=Crm_Id__c", "one-part", "CLIENT_ID:CLIENT_SECRET"),
        (Salesforce, "salesforce://x/Opportunity", "a:b", "write salesforce://"),
        (Salesforce, "salesforce://x/Oppor tunity?id=A", "a:b", "write salesforce://"),
        (Salesforce, "salesforce://x/Opportunity?id=A)%20OR%20(Id", "a:b", "write salesforce://"),
        (Salesforce, "salesforce://x/Opportunity?id=A&colour=B", "a:b", "colour is no parameter"),
        (Salesforce, "salesforce://x/Opportunity?id=A&id=B", "a:b", "id stands there twice"),
        (HubSpot, "hubspot://x/deals?id=crm_id", "", "is not set"),
        (HubSpot, "hubspot://x/", "t", "write hubspot://"),
    ],
)
def test_a_wrong_url_or_secret_is_named(kind: Callable[[str, str], Target], url: str, secret: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("(", r"\(")) as caught:
        kind(url, secret)
    assert "one-part" not in str(caught.value)


def check_fault(target: Target) -> str:
    """What looking raises, seen to hold no secret."""
    with pytest.raises(WriteBackError) as caught:
        target.check()
    assert not {secret for secret in (SECRET, CLIENT_SECRET, "00D-token", "hunter3") if secret in str(caught.value)}
    return str(caught.value)


def test_a_look_at_a_webhook(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeWebhook(first=[answer(200)]))
    assert "it answered 200, and nothing was sent" in webhook(host, waits).check()
    assert "whether it takes the token was not tried" in webhook(host, waits).check()
    assert "it said 401" in check_fault(webhook(host, waits, "hunter3"))
    server.first = [answer(503)] * 2
    assert "it said 503; it was asked once, try later" in check_fault(webhook(host, waits))
    assert server.seen == ["HEAD /hooks/scores"] * 4
    assert (server.held, waits) == ({}, [])
    assert "it did not answer" in check_fault(Webhook("http://127.0.0.1:9/hooks", SECRET, waits.append))


def test_a_look_at_salesforce(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeSalesforce())
    assert "signed in, and Win_Probability__c, " in salesforce(host, waits).check()
    server.fields["Win_Probability__c"] = False
    assert "may not edit Win_Probability__c of Opportunity" in check_fault(salesforce(host, waits))
    del server.fields["Win_Probability__c"], server.fields["Crm_Id__c"]
    assert "has no Crm_Id__c, Win_Probability__c that" in check_fault(salesforce(host, waits))
    assert "it does not let us in" in check_fault(salesforce(host, waits, f"{CLIENT}:hunter3"))
    assert {path.partition(" ")[0] for path in server.seen if "token" not in path} == {"GET"}


def test_a_look_at_hubspot(host: HTTPServer, waits: list[float]) -> None:
    server = on(host, FakeHubSpot())
    assert "signed in, and deals have the properties" in hubspot(host, waits).check()
    assert "deals have no chance: make the properties" in check_fault(
        hubspot(host, waits, "id=crm_id&probability=chance")
    )
    assert "it said 401" in check_fault(hubspot(host, waits, secret="hunter3"))
    server.first = [answer(403)]
    assert "may not list properties" in hubspot(host, waits).check()
    assert {path.partition(" ")[0] for path in server.seen} == {"GET"}
