"""The decision of what to make of what landed, on hand-made listings and on random histories of a landing folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month, month_range
from crm_assets.landing import Decision, Held, Seen, decide, look
from crm_assets.sources.source import Extract

MAY, JUNE, JULY, AUGUST = month_range(Month(2017, 5), Month(2017, 8))
MONTHS = month_range(Month(2017, 4), Month(2017, 9))


def decided(
    listed: dict[Month, str],
    held: dict[Month, str] | None = None,
    *,
    missing: Iterable[Month] = (),
    faulty: Iterable[Month] = (),
    asked: dict[str, str] | None = None,
    going_on: str | None = None,
    outside: Iterable[Month] = (),
    before: dict[Month, Seen] | None = None,
) -> Decision:
    """The decision where the listing of every month is the same as at the last look, and its facts are its content."""
    now = {month: Extract(facts, ("products.csv",) if month in missing else ()) for month, facts in listed.items()}
    last = {month: Seen(facts) for month, facts in listed.items()} if before is None else before

    def read(month: Month, facts: str) -> Seen:
        return Seen(facts, fault="line 4 is odd") if month in faulty else Seen(facts, facts)

    return decide(
        last,
        now,
        look(last, now, read),
        {month: Held(content) for month, content in (held or {}).items()},
        asked=asked or {},
        outside=lambda month: f"{month} is outside" if month in outside else None,
        going_on=going_on,
    )


def test_a_month_that_landed_is_asked_for_and_nothing_else() -> None:
    found = decided({MAY: "a", JUNE: "b"}, {MAY: "a"})
    assert (found.months, found.changed, found.notes) == ((JUNE, JUNE), (JUNE,), ())
    assert decided({MAY: "a", JUNE: "b"}, {MAY: "a", JUNE: "b"}) == Decision()


def test_what_follows_a_changed_month_is_made_with_it() -> None:
    found = decided({MAY: "new", JUNE: "b", JULY: "c"}, {MAY: "a", JUNE: "b", JULY: "c"})
    assert (found.months, found.changed) == ((MAY, JULY), (MAY,))


def test_a_first_look_waits_whatever_it_sees() -> None:
    found = decided({MAY: "a"}, before={})
    assert found.months is None
    assert found.notes == ("2017-05 has just landed and waits until it was listed alike twice",)


def test_a_month_that_is_being_written_waits() -> None:
    found = decided({MAY: "a, longer"}, before={MAY: Seen("a")})
    assert found.notes == ("2017-05 is still being written and waits until it was listed alike twice",)


def test_a_half_uploaded_month_says_what_is_missing() -> None:
    found = decided({MAY: "a", JUNE: "b"}, {MAY: "a"}, missing=[JUNE])
    assert (found.months, found.notes) == (None, ("2017-06 waits for products.csv",))


def test_an_unreadable_month_says_why_and_holds_back_what_follows() -> None:
    found = decided({MAY: "a", JUNE: "b", JULY: "c"}, {MAY: "a"}, faulty=[JUNE])
    assert found.months is None
    assert found.notes == (
        "2017-06 cannot be used: line 4 is odd",
        "2017-07 waits for 2017-06, which is missing before it",
    )


def test_a_month_after_a_gap_waits_and_the_others_do_not() -> None:
    found = decided({MAY: "a", JUNE: "b", AUGUST: "d"}, {MAY: "a"})
    assert found.months == (JUNE, JUNE)
    assert found.notes == ("2017-08 waits for 2017-07, which is missing before it",)


def test_a_month_long_before_the_lake_waits_and_the_one_before_it_does_not() -> None:
    assert decided({MAY: "a", AUGUST: "d"}, {AUGUST: "d"}).notes == (
        "2017-05 waits for the months between it and 2017-08, where the lake begins",
    )
    assert decided({JULY: "c", AUGUST: "d"}, {AUGUST: "d"}).months == (JULY, AUGUST)


def test_a_month_that_vanished_is_told_and_stays() -> None:
    found = decided({JUNE: "b", JULY: "c"}, {MAY: "a", JUNE: "b"})
    assert found.months == (JULY, JULY)
    assert found.notes == ("2017-05 is in the lake and no longer in the source: it stays in the lake",)
    found = decided({MAY: "a"}, {MAY: "a"}, before={MAY: Seen("a"), JUNE: Seen("b")})
    assert found.notes == ("2017-06 was there at the last look and is gone",)


def test_a_change_waits_for_later_extracts_that_are_gone_and_newer_months_do_not() -> None:
    found = decided({MAY: "new", JULY: "c"}, {MAY: "a", JUNE: "b"})
    assert (found.months, found.changed) == ((JULY, JULY), (JULY,))
    assert "2017-05 has changed and waits for the extract of 2017-06, which is made after it" in found.notes


def test_a_run_that_goes_on_is_waited_for() -> None:
    found = decided({MAY: "a"}, going_on="run 7")
    assert (found.months, found.notes) == (None, ("2017-05 waits for run 7 to end",))


def test_what_failed_is_not_asked_for_again_until_its_content_changes() -> None:
    first = decided({MAY: "a"})
    asked = {first.key: "run 7, FAILURE"}
    assert decided({MAY: "a"}, asked=asked).notes == (
        "2017-05: the same content was asked for before, in run 7, FAILURE",
    )
    assert decided({MAY: "mended"}, asked=asked).months == (MAY, MAY)


def test_content_that_comes_back_is_asked_for_again() -> None:
    """The lake was made from `a`, then from `b`, and now `a` lands once more."""
    now, last = {MAY: Extract("a")}, {MAY: Seen("a", "a")}
    keys: set[str] = set()
    for stamp in ("first", "second"):
        found = decide(
            last,
            now,
            last,
            {MAY: Held("b", stamp)},
            asked=dict.fromkeys(keys, ""),
            outside=lambda _: None,
            going_on=None,
        )
        assert found.months == (MAY, MAY)
        keys.add(found.key)


def test_a_lake_made_from_several_extracts_is_made_again() -> None:
    assert decided({MAY: "a"}, {MAY: ""}).months == (MAY, MAY)


def test_months_outside_the_partitions_are_told() -> None:
    found = decided({MAY: "a", JUNE: "b"}, outside=[MAY])
    assert (found.months, found.notes) == ((JUNE, JUNE), ("2017-05 is outside",))


def test_only_the_first_notes_are_told_in_full() -> None:
    found = decided(dict.fromkeys([*MONTHS, Month(2018, 1)], "a"), missing=[*MONTHS, Month(2018, 1)])
    assert found.told.endswith("2017-09 waits for products.csv; and 1 more")


def test_a_fault_of_the_place_is_looked_at_again_and_one_of_the_file_is_not() -> None:
    now = {MAY: Extract("a"), JUNE: Extract("b")}
    before = {MAY: Seen("a", fault="no access", again=True), JUNE: Seen("b", fault="line 4 is odd")}
    seen = look(before, now, lambda _, facts: Seen(facts, "content"))
    assert (seen[MAY].content, seen[JUNE].content) == ("content", "")


def test_reading_that_is_put_off_is_told() -> None:
    now, before = {MAY: Extract("a")}, {MAY: Seen("a")}
    seen = look(before, now, lambda *_: None)
    assert seen == before
    found = decide(before, now, seen, {}, asked={}, outside=lambda _: None, going_on=None)
    assert found.notes == ("2017-05 waits to be read at the next look",)


@dataclass
class World:
    """A landing folder, a lake and a sensor between them; runs may fail, and take a while."""

    files: dict[Month, tuple[int, str, bool]] = field(default_factory=dict)
    lake: dict[Month, Held] = field(default_factory=dict)
    seen: dict[Month, Seen] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    running: Decision | None = None
    clock: int = 0
    asked_for: list[tuple[str, dict[Month, str]]] = field(default_factory=list)

    def write(self, month: Month, content: str, *, complete: bool = True) -> None:
        self.clock += 1
        self.files[month] = (self.clock, content, complete)

    def touch(self, month: Month) -> None:
        if month in self.files:
            _, content, complete = self.files[month]
            self.write(month, content, complete=complete)

    def tick(self) -> Decision:
        now = {
            month: Extract(str(time), () if complete else ("products.csv",))
            for month, (time, _, complete) in self.files.items()
        }
        seen = look(self.seen, now, lambda month, facts: Seen(facts, self.files[month][1]))
        found = decide(
            self.seen,
            now,
            seen,
            self.lake,
            asked=self.asked,
            outside=lambda month: "outside" if month == MONTHS[-1] else None,
            going_on="run" if self.running else None,
        )
        self.seen = seen
        if found.months is not None:
            first, last = found.months
            for month in month_range(first, last):
                assert month in self.files, f"{month} is asked for, and not there"
                assert self.files[month][2], f"{month} is asked for half uploaded"
                assert month != MONTHS[-1]
            for month in found.changed:
                assert month not in self.lake or self.lake[month].content != self.files[month][1]
            assert found.key not in self.asked
            assert self.running is None
            self.asked[found.key] = "a run"
            self.running = found
        return found

    def finish(self, *, succeeds: bool = True) -> None:
        """End the run that goes on; it makes what lies there now, as runs do, and nothing where a file is not whole."""
        if self.running is None or self.running.months is None:
            return
        months = month_range(*self.running.months)
        self.running = None
        if succeeds and all(month in self.files and self.files[month][2] for month in months):
            self.clock += 1
            for month in months:
                self.lake[month] = Held(self.files[month][1], str(self.clock))


LANDING = MONTHS[-4:]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["whole", "whole", "whole", "half", "touch", "remove", "finish", "finish", "fail"]),
        st.sampled_from(LANDING),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(ACTIONS)
def test_whatever_happens_nothing_incomplete_is_asked_for_nothing_twice_and_all_in_the_end(
    actions: list[tuple[str, Month, str, int]],
) -> None:
    world = World()
    for action, month, content, ticks in actions:
        if action in {"half", "whole"}:
            world.write(month, content, complete=action == "whole")
        elif action == "touch":
            world.touch(month)
        elif action == "remove":
            world.files.pop(month, None)
        else:
            world.finish(succeeds=action == "finish")
        for _ in range(ticks):
            world.tick()
    # People upload what is missing, with content that was never seen, so that no failed run stands in the way.
    world.finish()
    for month in LANDING:
        world.write(month, f"final {month}")
    for _ in range(5):
        world.tick()
        world.finish()
    assert {month: held.content for month, held in world.lake.items()} == {
        month: f"final {month}" for month in LANDING[:-1]
    }
    assert world.tick() == Decision(notes=("outside",))
