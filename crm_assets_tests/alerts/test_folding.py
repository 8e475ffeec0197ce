"""Over any course of events nothing is lost, nothing is said twice, and what is right again is told once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from crm_assets.alerts.alert import Cleared, Kind, Message, Observation, Severity
from crm_assets.alerts.folding import Ledger, Policy, fold, sent
from crm_assets_tests.alerts.samples import START, alert

KEYS = ("check a:x", "run b 2026-10")
REPEAT = timedelta(hours=24)
POLICY = Policy(("mailto", "json"), Severity.WARNING, REPEAT)
LEDGER: TypeAdapter[Ledger] = TypeAdapter(Ledger)


@dataclass(frozen=True)
class Step:
    """One tick: how long after the last one, what is seen at it, and which targets take messages."""

    minutes: int
    seen: tuple[tuple[str, Severity | None], ...]
    reached: frozenset[str]


steps = st.lists(
    st.builds(
        Step,
        minutes=st.integers(1, 3000),
        seen=st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.sampled_from(Severity)), max_size=3).map(tuple),
        reached=st.sets(st.sampled_from(POLICY.targets)).map(frozenset),
    ),
    max_size=25,
)


@dataclass
class Course:
    """What a course of ticks gave: who got what and when, and what was true after each tick."""

    ledger: Ledger = field(default_factory=Ledger)
    now: datetime = START
    got: dict[str, list[tuple[datetime, Message]]] = field(
        default_factory=lambda: {name: [] for name in POLICY.targets}
    )
    episodes: dict[str, list[list[Severity]]] = field(default_factory=lambda: {key: [] for key in KEYS})
    wrong: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(KEYS, False))

    def tick(self, step: Step) -> None:
        self.now += timedelta(minutes=step.minutes)
        seen: list[Observation] = []
        for number, (key, severity) in enumerate(step.seen):
            at = self.now - timedelta(seconds=10 - number)
            if severity is None:
                seen.append(Cleared(key, at))
                self.wrong[key] = False
                continue
            seen.append(alert(key, at, severity=severity))
            if not self.wrong[key]:
                self.episodes[key].append([])
            self.wrong[key] = True
            self.episodes[key][-1].append(severity)
        # As it is kept between two ticks.
        self.ledger = LEDGER.validate_json(LEDGER.dump_json(self.ledger))
        self.ledger = fold(self.ledger, seen, POLICY, self.now)
        for target in step.reached:
            for message in self.ledger.queues[target]:
                self.got[target].append((self.now, message))
                self.ledger = sent(self.ledger, target, message)


def course(taken: list[Step]) -> Course:
    done = Course()
    for step in taken:
        done.tick(step)
    return done


def of_key(got: list[tuple[datetime, Message]], key: str) -> list[tuple[datetime, Message]]:
    return [(at, message) for at, message in got if message.alert.key == key]


@given(steps)
def test_who_is_always_reached_is_told_of_every_episode_and_its_end(taken: list[Step]) -> None:
    done = course([Step(step.minutes, step.seen, frozenset(POLICY.targets)) for step in taken])
    for key in KEYS:
        told = [message.recovered_at is not None for _, message in of_key(done.got["json"], key)]
        bad = [episode for episode in done.episodes[key] if max(episode) >= POLICY.level]
        starts = sum(not over and (number == 0 or told[number - 1]) for number, over in enumerate(told))
        last_bad = bool(bad) and done.wrong[key] and done.episodes[key][-1] is bad[-1]
        assert told[:1] in ([], [False]), "a recovery of what nobody knew"
        assert starts == len(bad), "an episode was not told"
        assert sum(told) == len(bad) - last_bad, "an end was not told, or told twice"


@given(steps)
def test_what_goes_on_is_told_once_in_a_window_unless_it_becomes_worse(taken: list[Step]) -> None:
    done = course([Step(step.minutes, step.seen, frozenset(POLICY.targets)) for step in taken])
    for key in KEYS:
        told = of_key(done.got["json"], key)
        for (before, earlier), (after, later) in itertools.pairwise(told):
            if earlier.recovered_at or later.recovered_at:
                continue
            assert after - before >= REPEAT or later.alert.severity > earlier.alert.severity
            assert later.count > earlier.count
            assert later.since == earlier.since


@given(steps)
def test_a_target_that_was_away_knows_in_the_end_what_is_wrong(taken: list[Step]) -> None:
    done = course(taken)
    before = {target: {id(message) for _, message in got} for target, got in done.got.items()}
    done.tick(Step(1, (), frozenset(POLICY.targets)))
    assert done.ledger.waiting == 0
    for target in POLICY.targets:
        for key in KEYS:
            told = of_key(done.got[target], key)
            bad = [episode for episode in done.episodes[key] if max(episode) >= POLICY.level]
            known = done.wrong[key] and bool(bad) and done.episodes[key][-1] is bad[-1]
            assert bool(told) == bool(bad)
            if told:
                assert (told[-1][1].recovered_at is None) is known
                assert told[-1][1].since == max(message.since for _, message in told)
        assert before[target] <= {id(message) for _, message in done.got[target]}


@given(steps)
def test_nothing_below_the_level_is_told(taken: list[Step]) -> None:
    for got in course(taken).got.values():
        assert all(message.alert.severity >= POLICY.level for _, message in got if message.recovered_at is None)


def queue(ledger: Ledger) -> list[tuple[str, bool]]:
    return [(message.alert.key, message.recovered_at is not None) for message in ledger.queues["json"]]


def test_what_happened_is_told_once_whatever_the_time() -> None:
    promoted = alert("promotion 2026-10 version 7", kind=Kind.PROMOTION, severity=Severity.ERROR)
    ledger = fold(Ledger(), [promoted], POLICY, START)
    assert queue(ledger) == [(promoted.key, False)]
    ledger = sent(ledger, "json", ledger.queues["json"][0])
    assert queue(fold(ledger, [promoted], POLICY, START + 3 * REPEAT)) == []


def test_an_older_month_that_is_right_says_nothing_of_a_newer_one() -> None:
    ledger = fold(Ledger(), [alert()], POLICY, START)
    old = fold(ledger, [Cleared(alert().key, START, "2026-09")], POLICY, START)
    assert set(old.open) == {alert().key}
    assert fold(old, [Cleared(alert().key, START, "2026-10")], POLICY, START).open == {}


def test_an_older_month_at_fault_does_not_hide_the_newer_one() -> None:
    ledger = fold(Ledger(), [alert(), alert(at=START + REPEAT, month="2025-01")], POLICY, START)
    assert ledger.open[alert().key].alert == alert()


def test_a_newer_month_at_fault_is_told_at_once() -> None:
    hour = START + timedelta(hours=1)
    ledger = fold(Ledger(), [alert()], POLICY, START)
    ledger = sent(ledger, "json", ledger.queues["json"][0])
    assert queue(fold(ledger, [alert(at=hour)], POLICY, hour)) == []
    (message,) = fold(ledger, [alert(at=hour, month="2026-11")], POLICY, hour).queues["json"]
    assert (message.alert.month, message.count) == ("2026-11", 2)


def test_what_becomes_worse_is_told_at_once_and_what_becomes_better_is_not() -> None:
    ledger, sizes = Ledger(), []
    for minute, severity in enumerate([Severity.WARNING, Severity.ERROR, Severity.WARNING, Severity.ERROR]):
        at = START + timedelta(minutes=minute)
        ledger = fold(ledger, [alert(at=at, severity=severity)], POLICY, at)
        sizes.append(len(ledger.queues["json"]))
        for message in ledger.queues["json"]:
            assert message.alert.severity is severity
            ledger = sent(ledger, "json", message)
    assert sizes == [1, 1, 0, 0]


def test_the_same_moment_seen_again_is_no_repetition() -> None:
    ledger = fold(Ledger(), [alert(), alert()], POLICY, START)
    assert ledger.open[alert().key].count == 1
    again = fold(ledger, [alert()], POLICY, START + REPEAT)
    assert again.open[alert().key].sent_at == START + REPEAT


def test_a_target_that_is_set_no_more_is_forgotten_and_a_new_one_gets_what_comes() -> None:
    ledger = fold(Ledger(), [alert()], POLICY, START)
    other = Policy(("slack",), Severity.WARNING, REPEAT)
    ledger = fold(ledger, [Cleared(alert().key, START)], other, START)
    assert {target: len(waiting) for target, waiting in ledger.queues.items()} == {"slack": 1}


def test_what_waits_is_replaced_by_what_is_newer_of_its_key() -> None:
    """Two weeks without the mail server are not two weeks of mails."""
    ledger = Ledger()
    for day in range(14):
        seen = [alert("late", START + day * REPEAT), alert("other", START)]
        ledger = fold(ledger, seen, POLICY, START + day * REPEAT)
    assert queue(ledger) == [("late", False), ("other", False)]
    assert ledger.queues["json"][0].count == 14
