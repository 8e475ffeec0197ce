"""Messages through Apprise to a real mail server and a real web server."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from crm_assets.alerts.alert import Message, Severity
from crm_assets.alerts.folding import Ledger, Policy, fold
from crm_assets.alerts.sending import SECONDS_A_TICK, open_targets, send_all, target_names
from crm_assets.errors import SettingsError
from crm_assets.settings import Settings
from crm_assets_tests.alerts.samples import START, alert
from crm_assets_tests.graph.conftest import Command
from crm_assets_tests.graph.conftest import command as command  # noqa: PLC0414 - a fixture
from crm_assets_tests.integration.alert_sinks import SECRET, Sinks, text_of
from crm_assets_tests.integration.alert_sinks import sinks as sinks  # noqa: PLC0414 - a fixture

POLICY = Policy(("mailto", "json"), Severity.INFO, timedelta(hours=24))


def settings_with(urls: str | None) -> Settings:
    given: Any = {"_env_file": None, "dataset": "crm", "alert_urls": SecretStr(urls) if urls else None}
    return Settings(**given)


@pytest.fixture
def ledger() -> Ledger:
    return fold(Ledger(), [alert()], POLICY, START)


def tried(ledger: Ledger, sinks: Sinks) -> tuple[Ledger, int, dict[str, str]]:
    failed: dict[str, str] = {}

    def note(target: str, _message: Message, reason: str) -> None:
        failed[target] = reason

    left, taken = send_all(ledger, open_targets(settings_with(sinks.urls)), note)
    return left, taken, failed


def test_both_get_the_message(sinks: Sinks, ledger: Ledger) -> None:
    left, taken, failed = tried(ledger, sinks)
    assert (left.waiting, taken, failed) == (0, 2, {})
    (mail,), (post,) = sinks.mails, sinks.posts
    assert mail["Subject"] == "[crm_assets crm] warning: Check no_drift of drift_report failed (2026-10)"
    assert mail["To"].addresses[0].addr_spec == "people@example.com"
    page = mail.get_body(("html",))
    assert page is not None
    for body in (text_of(mail), page.get_content(), post["message"]):
        for fact in (
            "drift_report",
            "month 2026-10",
            "drift of 2026-10 is HIGH",
            "2026-11-05 04:30 UTC",
            "checkDetail",
        ):
            assert fact in body, fact
    assert post["title"] == mail["Subject"]
    assert post["type"] == "warning"


def test_what_is_not_taken_is_kept_for_the_one_who_did_not_take_it(sinks: Sinks, ledger: Ledger) -> None:
    sinks.status = 503
    left, taken, failed = tried(ledger, sinks)
    assert (taken, left.waiting, list(failed)) == (1, 1, ["json"])
    assert "503" in failed["json"]
    left, taken, _ = tried(left, sinks)
    assert (taken, len(sinks.mails)) == (0, 1)
    sinks.status = 200
    left, taken, failed = tried(left, sinks)
    assert (taken, left.waiting, failed) == (1, 0, {})
    assert (len(sinks.mails), len(sinks.posts)) == (1, 1)


def test_a_mail_that_is_refused_is_tried_again(sinks: Sinks, ledger: Ledger) -> None:
    sinks.refuse_mail = True
    left, _, failed = tried(ledger, sinks)
    assert list(failed) == ["mailto"]
    sinks.refuse_mail = False
    left, taken, _ = tried(left, sinks)
    assert (left.waiting, taken, len(sinks.mails)) == (0, 1, 1)


def test_nothing_that_is_said_of_a_failure_holds_the_secret(
    sinks: Sinks, ledger: Ledger, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    sinks.status = 404
    _, _, failed = tried(ledger, sinks)
    nobody = f"json://me:{SECRET}@127.0.0.1:9/{SECRET}?token={SECRET}"
    reason = open_targets(settings_with(nobody))[0].send(ledger.queues["json"][0])
    assert reason
    # The test's own web server says which page it was asked for.
    logged = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]
    assert SECRET not in f"{failed} {reason} {logged} {capfd.readouterr().out}"
    assert "127.0.0.1" not in reason


@pytest.mark.parametrize(
    "urls", [f"slak://{SECRET}", f"mailto://a@b.c, pager://{SECRET}@x", f"slack://{SECRET}", f"json://a b://{SECRET}"]
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(urls: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError) as caught:
        open_targets(settings_with(urls))
    assert str(caught.value).startswith("CRM_ALERT_URLS: of ")
    assert SECRET not in str(caught.value) + caplog.text


def test_names_hold_the_scheme_alone() -> None:
    assert target_names(["json://a/b", "mailto://x", "JSON://c"]) == ["json", "mailto", "json #2"]
    assert open_targets(settings_with(None)) == []
    assert SECRET not in repr(open_targets(settings_with(f"json://{SECRET}")))


class Slow:
    """A target that takes a while to refuse, by a clock of its own."""

    def __init__(self, name: str, clock: list[float], seconds: float, reason: str | None) -> None:
        self.name, self._clock, self._seconds, self._reason = name, clock, seconds, reason

    def send(self, _message: Message) -> str | None:
        self._clock[0] += self._seconds
        return self._reason


def test_a_target_that_hangs_does_not_keep_others_waiting_nor_the_tick() -> None:
    policy = Policy(("slow", "quick"), Severity.INFO, timedelta(hours=24))
    seen = [alert(f"check {number}") for number in range(10)]
    ledger = fold(Ledger(), seen, policy, START)
    clock = [0.0]
    targets = [Slow("slow", clock, 4, "no answer"), Slow("quick", clock, 0, None)]
    left, taken = send_all(ledger, targets, lambda *_: None, clock=lambda: clock[0])
    assert taken == 5 - 1, "one between two tries of the other"
    assert clock[0] == SECONDS_A_TICK
    assert {target: len(waiting) for target, waiting in left.queues.items()} == {"slow": 10, "quick": 6}
    for _ in range(2):
        left, _ = send_all(left, targets, lambda *_: None, clock=lambda: clock[0])
    assert {target: len(waiting) for target, waiting in left.queues.items()} == {"slow": 10, "quick": 0}


def test_alert_test_says_of_each_url_whether_it_went(command: Command, sinks: Sinks) -> None:
    done = command("alert-test", CRM_ALERT_URLS=sinks.urls)
    assert (done.exit_code, done.output) == (0, "sent    mailto\nsent    json\n")
    assert sinks.mails[0]["Subject"].endswith("info: This is a test: alerts reach you")
    assert "sent by hand to json" in sinks.posts[0]["message"]
    sinks.status = 404
    done = command("alert-test", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [found["sent"] for found in told["targets"]] == [True, False]
    assert "404" in told["targets"][1]["reason"]
    assert SECRET not in command("alert-test").output


def test_alert_test_and_doctor_without_and_with_a_wrong_url(command: Command) -> None:
    done = command("alert-test")
    assert (done.exit_code, "CRM_ALERT_URLS is not set" in done.stderr) == (2, True)
    done = command("alert-test", CRM_ALERT_URLS=f"slak://{SECRET}")
    assert done.exit_code == 2
    told = command("doctor").output
    (line,) = (line for line in told.splitlines() if line.startswith("wrong alerts"))
    assert "CRM_ALERT_URLS: of 1 URLs, number 1 (slak://...) cannot be used" in line
    assert SECRET not in told + done.stderr


def test_a_recovery_ends_the_incident_of_its_alert(
    sinks: Sinks, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PagerDuty's own server is the web server of the test."""
    from apprise.plugins import pagerduty

    monkeypatch.setattr(pagerduty, "PAGERDUTY_API_LOOKUP", {"us": sinks.web_url.replace("json:", "http:")})
    (target,) = open_targets(settings_with(f"pagerduty://{SECRET}integration@{SECRET}api?action=map"))
    (message,) = ledger.queues["json"]
    assert target.send(message) is None
    assert target.send(Message(message.alert, START, 1, START + timedelta(hours=1))) is None
    raised, ended = sinks.posts
    assert (raised["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert raised["dedup_key"] == ended["dedup_key"]
    assert raised["payload"]["severity"] == "warning"
    assert "Check no_drift of drift_report failed" in raised["payload"]["summary"]
