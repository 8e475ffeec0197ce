"""Deliveries that fail or are killed anywhere, and what the trail says of them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crm_assets.errors import LakeError, WriteBackError
from crm_assets.writeback.content import NO_FIGURES, contents
from crm_assets.writeback.delivery import deliver
from crm_assets.writeback.journal import INTERRUPTED, Journal
from crm_assets.writeback.plan import Action, Outcome, ledger, plan
from crm_assets.writeback.target import Batch
from crm_assets_tests.writeback.made_up import MAY, KilledError, MemoryRecords, MemoryTarget, scores, sent

SOME = {"A": 0.1, "B": 0.2, "C": 0.3}

FAULTS = ("", "away", "half", "lost", "killed", "killed_half", "killed_lost")
MONTHS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("ABCDE"), st.sampled_from([0.25, 0.5]), max_size=5),
        st.sampled_from(FAULTS),
        st.integers(1, 3),
        st.frozensets(st.sampled_from("ABCDE"), max_size=2),
        st.none() | st.integers(0, 5),
        st.booleans(),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=6,
)


def journal(records: MemoryRecords) -> Journal:
    return Journal(records, "memory")


@given(MONTHS)
@examples(max_examples=150)
def test_whatever_happens_the_target_ends_with_the_newest_scores(steps: list[tuple]) -> None:  # type: ignore[type-arg]  # of each kind of step another
    """Months, the same one again among them, failures and kills of every kind; the trail adds up after each."""
    records, target, month = MemoryRecords(), MemoryTarget(), MAY
    for probabilities, fault, faulty, refuses, killed_at, resend, later in steps:
        target.fault, target.faulty, target.refuses = fault, faulty, refuses
        month = month.shift(later)
        with contextlib.suppress(KilledError):
            sent(records, target, probabilities, month, killed_at_write=killed_at, force=True, resend=resend)
        told = ledger(journal(records).trail().iter_rows(named=True))
        sure = {opportunity: there.content for opportunity, there in told.items() if there.sure}
        assert {opportunity: target.held.get(opportunity) for opportunity in sure} == sure
        assert target.held.keys() <= told.keys(), "nothing is there that was not noted"
    newest = steps[-1][0]
    target.fault, target.refuses = "", frozenset()
    done = sent(records, target, newest, month, force=True)
    wanted = contents(scores(newest))
    assert target.held == {**dict.fromkeys(target.held, NO_FIGURES), **wanted}
    assert done.fault is None
    assert done.missing == 0
    trail = journal(records).trail()
    told = ledger(trail.iter_rows(named=True))
    assert {opportunity: there.content for opportunity, there in told.items()} == target.held
    assert all(there.sure for there in told.values())
    assert plan(trail, wanted, month).changes == ()


@pytest.fixture
def records() -> MemoryRecords:
    return MemoryRecords()


def test_the_same_month_twice_changes_nothing(records: MemoryRecords) -> None:
    target = MemoryTarget()
    first = sent(records, target, SOME)
    assert first.planned.counts() == {"add": 3, "update": 0, "clear": 0, "repeat": 0}
    assert first.sentence() == "2017-05: 3 delivered, 0 unchanged"
    assert len(target.batches) == 2
    again = sent(records, target, SOME)
    assert not again.planned.is_needed
    assert again.planned.unchanged == 3
    assert len(target.batches) == 2


def test_only_what_changed_is_sent_and_what_vanished_is_cleared_once(records: MemoryRecords) -> None:
    target = MemoryTarget()
    sent(records, target, SOME)
    done = sent(records, target, {"A": 0.1, "B": 0.2, "D": 0.4}, MAY.next)
    assert done.planned.counts() == {"add": 1, "update": 0, "clear": 1, "repeat": 0}
    assert target.held["C"] == NO_FIGURES
    done = sent(records, target, {"A": 0.1, "B": 0.2 + 1e-16, "C": 0.3}, MAY.next.next)
    assert [(change.opportunity_id, change.action) for change in done.planned.changes] == [
        ("B", Action.UPDATE),
        ("C", Action.UPDATE),
        ("D", Action.CLEAR),
    ]
    assert target.held["C"] == contents(scores({"C": 0.3}))["C"], "it was opened again"


def test_the_trail_tells_when_what_old_new_outcome_and_who(records: MemoryRecords) -> None:
    target = MemoryTarget(refuses=frozenset({"B"}))
    sent(records, target, SOME)
    target.refuses, target.fault, target.faulty = frozenset(), "away", 2
    failed = sent(records, target, {"A": 0.5, "B": 0.2, "C": 0.6, "D": 0.1}, MAY.next)
    assert str(failed.fault) == "the target is away"
    assert failed.missing == 2
    trail = journal(records).trail()
    told = [(one["delivery"], one["opportunity_id"], one["outcome"]) for one in trail.iter_rows(named=True)]
    assert told == [
        (1, "A", "delivered"),
        (1, "B", "refused"),
        (1, "C", "delivered"),
        (2, "A", "delivered"),
        (2, "B", "delivered"),
        (2, "C", "unknown"),
        (2, "D", "unknown"),
    ]
    refused, updated = trail.row(1, named=True), trail.row(3, named=True)
    assert (refused["reason"], refused["old"], refused["action"]) == ("it is locked", None, "add")
    assert updated["old"] == contents(scores({"A": 0.1}))["A"]
    assert updated["new"] == contents(scores({"A": 0.5}))["A"]
    assert (updated["month"], updated["sent_by"], updated["target"]) == ("2017-06", "a test", "memory")
    assert trail["reason"][-1] == "the target is away"


def test_whatever_a_target_raises_is_a_fault_of_it_that_shows_nothing(
    records: MemoryRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(self: MemoryTarget, batch: Batch) -> dict[str, str]:
        raise AttributeError("hunter2")

    monkeypatch.setattr(MemoryTarget, "send", send)
    done = sent(records, MemoryTarget(), SOME)
    assert isinstance(done.fault, WriteBackError)
    assert "memory: what it did was not understood (AttributeError in test_delivery.py, line " in str(done.fault)
    assert "hunter2" not in str(done.fault)
    assert [done.count(outcome) for outcome in Outcome] == [0, 0, 2, 1]


def test_what_came_after_a_failure_is_known_not_to_be_sent(records: MemoryRecords) -> None:
    target = MemoryTarget(batch_rows=1, fault="away", faulty=2)
    done = sent(records, target, SOME)
    assert [done.count(outcome) for outcome in Outcome] == [1, 0, 1, 1]
    assert done.sentence() == "2017-05: 1 delivered, 1 unknown, 1 not sent, 0 unchanged"


@pytest.mark.parametrize("fault", ["killed", "killed_half", "killed_lost"])
def test_after_a_kill_the_next_delivery_sends_the_rest(records: MemoryRecords, fault: str) -> None:
    target = MemoryTarget(fault=fault, faulty=2)
    with pytest.raises(KilledError):
        sent(records, target, SOME)
    trail = journal(records).trail()
    assert trail["outcome"].to_list() == ["delivered", "delivered", "unknown"]
    assert trail["reason"][-1] == INTERRUPTED
    target.fault = ""
    done = sent(records, target, SOME)
    assert [change.opportunity_id for change in done.planned.changes] == ["C"]
    assert journal(records).trail().height == 4, "the interrupted delivery stays in the trail"
    assert "000001-2017-05/trail.parquet" in records.files, "and is closed"


def test_what_may_have_arrived_is_sent_again_even_if_it_is_back_to_what_it_was(records: MemoryRecords) -> None:
    """The target took the new score, its answer was lost, and the next scores are the old ones."""
    target = MemoryTarget(batch_rows=None)
    sent(records, target, SOME)
    target.fault, target.faulty = "lost", 1
    sent(records, target, {**SOME, "A": 0.9}, MAY.next)
    done = sent(records, target, SOME, MAY.next)
    assert [(change.opportunity_id, change.action) for change in done.planned.changes] == [("A", Action.REPEAT)]
    assert target.held == contents(scores(SOME))


def test_an_older_month_is_refused_unless_forced(records: MemoryRecords) -> None:
    target = MemoryTarget()
    sent(records, target, SOME, MAY.next)
    with pytest.raises(WriteBackError, match=r"2017-06 were delivered last, and those of 2017-05 are older"):
        sent(records, target, SOME, MAY)
    sent(records, target, {"A": 0.5}, MAY, force=True)
    assert target.held["A"] == contents(scores({"A": 0.5}))["A"]


def test_a_month_without_a_change_counts_as_delivered(records: MemoryRecords) -> None:
    target = MemoryTarget()
    sent(records, target, SOME)
    assert sent(records, target, SOME, MAY.next).planned.is_needed
    with pytest.raises(WriteBackError, match="2017-06 were delivered last"):
        sent(records, target, {"A": 0.5}, MAY)


def test_a_month_without_scores_clears_nothing_unless_forced(records: MemoryRecords) -> None:
    target = MemoryTarget()
    assert sent(records, target, {}).missing == 0
    sent(records, target, SOME)
    with pytest.raises(WriteBackError, match="2017-06 has no scores, and 3 opportunities would be cleared"):
        sent(records, target, {}, MAY.next)
    sent(records, target, {}, MAY.next, force=True)
    assert set(target.held.values()) == {NO_FIGURES}
    sent(records, target, {}, MAY.next.next)


def test_everything_can_be_sent_again(records: MemoryRecords) -> None:
    target = MemoryTarget()
    sent(records, target, SOME)
    sent(records, target, {"A": 0.1}, MAY.next)
    target.held.clear()
    done = sent(records, target, {"A": 0.1}, MAY.next, resend=True)
    assert done.planned.counts()["repeat"] == 3
    assert done.planned.standing == 0
    assert target.held == {**contents(scores({"A": 0.1})), "B": NO_FIGURES, "C": NO_FIGURES}


def test_equal_rows_of_another_delivery_have_another_key(records: MemoryRecords) -> None:
    """Scores that went back to what they were: a target that takes each key once must take them again."""
    target = MemoryTarget(batch_rows=None)
    for probability in (0.1, 0.5, 0.1):
        sent(records, target, {"A": probability})
    assert len(set(target.batches)) == 3
    assert target.held == contents(scores({"A": 0.1}))


def test_a_lost_lock_ends_it_before_the_next_batch(records: MemoryRecords) -> None:
    target = MemoryTarget(batch_rows=1)
    planned = plan(journal(records).trail(), contents(scores(SOME)), MAY)

    def check() -> None:
        if target.batches:
            raise LakeError("the lock is lost")

    with pytest.raises(LakeError, match="the lock is lost"):
        deliver(journal(records), target, planned, dataset="crm", by="a test", check=check)
    assert len(target.batches) == 1
    assert journal(records).trail()["outcome"].to_list() == ["delivered", "unknown", "unknown"]


def test_a_damaged_trail_is_named(records: MemoryRecords) -> None:
    sent(records, MemoryTarget(), SOME)
    records.files["000001-2017-05/trail.parquet"] = b"no parquet"
    with pytest.raises(LakeError, match=r"000001-2017-05/trail\.parquet is damaged .*--resend"):
        journal(records).trail()


def test_scores_that_name_an_opportunity_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="of 2 scores only 1"):
        contents(scores({"A": 0.1}).vstack(scores({"A": 0.2})))
