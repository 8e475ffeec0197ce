"""Tables that grow by files: any number of writers, each row once, and nothing read to see whether some were added."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.lake.log import Log
from crm_assets.storage import Storage, StorageError, open_storage
from crm_assets_tests.lake.tables import DEALS, MAY, deals

NOON = datetime(2017, 6, 1, 12, tzinfo=UTC)
CALLS = Table("calls", DEALS.description, DEALS.columns, ("id",))


@pytest.fixture
def lake(storage_url: str) -> Lake:
    return Lake.open(storage_url, source="simulator:?seed=7", create=True)


@pytest.fixture
def log(lake: Lake) -> Log:
    return lake.log(CALLS)


def test_rows_come_back_once_and_in_order_whoever_wrote_them(log: Log, lake: Lake) -> None:
    rows = deals().sort("id")
    log.add(MAY, rows[2:], NOON)
    log.add(MAY, rows[:2], NOON)
    # As when the answer to a write was lost, and it was written again.
    log.add(MAY, rows[1:], NOON)
    log.add(MAY.next, rows[:1], NOON)
    assert log.scan(MAY).collect().equals(rows)
    assert log.scan(MAY.next).collect().equals(rows[:1])
    assert log.scan(MAY.previous).collect().equals(pl.DataFrame(schema=CALLS.polars_schema()))
    assert lake.assets() == []


def test_a_mark_changes_when_rows_are_added_to_its_month(log: Log) -> None:
    assert log.marks() == {}
    log.add(MAY, deals(), NOON)
    first = log.marks()
    assert log.marks() == first
    log.add(MAY.next, deals(), NOON)
    both = log.marks()
    assert list(both) == [MAY, MAY.next]
    assert both[MAY] == first[MAY]
    log.add(MAY, deals(), NOON)
    assert log.marks()[MAY] != first[MAY]
    assert log.marks()[MAY.next] == both[MAY.next]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    log = Lake.open(str(tmp_path), source="simulator:", create=True).log(CALLS)
    log.add(MAY, deals(), NOON)
    marks = log.marks()
    for name in ("notes/day/x.parquet", f"{MAY}/day/README.md"):
        (tmp_path / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "calls" / name).write_bytes(b"?")
    assert log.marks() == marks
    assert log.scan(MAY).collect().height == 3


def test_files_of_an_earlier_version_lack_what_may_be_empty(lake: Lake) -> None:
    lake.log(CALLS).add(MAY, deals(), NOON)
    more = Table("calls", "", (*CALLS.columns, Column("said", Kind.STRING, "What")), CALLS.key)
    assert lake.log(more).scan(MAY).collect()["said"].to_list() == [None] * 3
    needed = Table("calls", "", (*CALLS.columns, Column("said", Kind.STRING, "What", required=True)), CALLS.key)
    with pytest.raises(LakeError, match=r"calls/2017-05/2017-06-01/120000-\w+.parquet: table calls lacks said"):
        lake.log(needed).scan(MAY)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    log = Lake.open(str(tmp_path), source="simulator:", create=True).log(CALLS)
    log.add(MAY, deals(), NOON)
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(
        LakeError, match=f"{file} is no readable Parquet file .*; restore it, or move it out of the lake"
    ):
        log.scan(MAY)


DAYS = (NOON, NOON + timedelta(days=1), NOON + timedelta(days=2))
"""The last of them is not over."""
TODAY = DAYS[-1].date()


class KilledError(BaseException):
    """The process ends here."""


class Disturbed:
    """A storage of which each listing, writing and deleting may be disturbed.

    Args:
        storage: that does it all.
        before: told, before each of them, of its number from 0 on.
    """

    def __init__(self, storage: Storage, before: Callable[[int], None]) -> None:
        self._storage, self._before, self.calls = storage, before, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        if name not in {"list", "write_bytes", "delete", "local_copy"}:
            return found

        def disturbed(*arguments: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            self._before(number)
            return found(*arguments)

        return disturbed


def disturbed(storage: Storage, before: Callable[[int], None]) -> tuple[Log, Disturbed]:
    between = Disturbed(storage, before)
    return Log(cast("Storage", between), CALLS), between


def some(first: int, count: int = 1) -> pl.DataFrame:
    ids = [f"{number:03d}" for number in range(first, first + count)]
    return pl.DataFrame({"id": ids, "days": range(first, first + count)}).pipe(
        lambda rows: rows.with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in CALLS.polars_schema().items() if name not in rows.columns
        )
    )


def ids(log: Log) -> list[str]:
    found: list[str] = log.scan(MAY).collect()["id"].to_list()
    return found


@contextmanager
def three_days() -> Iterator[tuple[Storage, list[str]]]:
    """A log with three files of each day, and the ids in it."""
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(folder)
        for number in range(9):
            Log(storage, CALLS).add(MAY, some(number), DAYS[number // 3])
        yield storage, [f"{number:03d}" for number in range(9)]


def files_by_day(storage: Storage) -> dict[str, int]:
    days = [path.split("/")[2] for path in storage.list("calls")]
    return {day: days.count(day) for day in days}


def test_days_that_are_over_become_a_file_each_and_nothing_else_changes(storage_url: str) -> None:
    storage = open_storage(storage_url, create=True)
    log = Log(storage, CALLS)
    for number in range(9):
        log.add(MAY, some(number), DAYS[number // 3])
    log.add(MAY, some(0, 2), DAYS[0])
    rows, marks = log.scan(MAY).collect(), log.marks()
    log.merge(MAY, TODAY)
    assert files_by_day(storage) == {"2017-06-01": 1, "2017-06-02": 1, "2017-06-03": 3}
    assert log.scan(MAY).collect().equals(rows)
    assert log.marks() == marks, "or the month would be gathered again"
    merged = storage.stamps()
    log.merge(MAY, TODAY)
    assert storage.stamps() == merged
    log.add(MAY, some(9), DAYS[0])
    late = log.marks()
    assert late != marks
    log.merge(MAY, TODAY)
    assert files_by_day(storage) == {"2017-06-01": 1, "2017-06-02": 1, "2017-06-03": 3}
    assert (len(ids(log)), log.marks()) == (10, late)


@given(at=st.integers(0, 25), what=st.sampled_from(["kill", "late", "merge", "late and merge", "killed merge"]))
@examples(max_examples=80)
def test_a_merge_loses_and_doubles_nothing_whatever_comes_between(at: int, what: str) -> None:
    """A kill, a late file, another merge, or one that is killed in turn, before any step; a reader reads at each."""
    with three_days() as (storage, known):
        plain = Log(storage, CALLS)

        def kill(number: int) -> None:
            if number == 6:
                raise KilledError

        def before(number: int) -> None:
            if number == at:
                if "late" in what:
                    plain.add(MAY, some(9), DAYS[0])
                    known.append("009")
                if what == "killed merge":
                    with suppress(KilledError):
                        disturbed(storage, kill)[0].merge(MAY, TODAY)
                elif "merge" in what:
                    plain.merge(MAY, TODAY)
                elif what == "kill":
                    raise KilledError
            assert ids(plain) == known

        with suppress(KilledError):
            disturbed(storage, before)[0].merge(MAY, TODAY)
        assert ids(plain) == known
        for _ in range(2):
            plain.merge(MAY, TODAY)
        assert ids(plain) == known
        assert files_by_day(storage) == {"2017-06-01": 1, "2017-06-02": 1, "2017-06-03": 3}
        again = plain.marks()
        plain.merge(MAY, TODAY)
        assert plain.marks() == again


@pytest.mark.parametrize("at", range(11))
def test_a_reader_finds_every_row_while_another_process_merges(at: int) -> None:
    with three_days() as (storage, known):

        def before(number: int) -> None:
            if number == at:
                Log(storage, CALLS).merge(MAY, TODAY)

        log, between = disturbed(storage, before)
        assert ids(log) == known
        assert between.calls > at


def test_a_listing_that_shows_neither_the_merged_file_nor_its_parts_is_not_believed() -> None:
    with three_days() as (storage, known):
        torn = [path for path in storage.list("calls/2017-05") if "2017-06-01" not in path]

        class Torn(Disturbed):
            def __getattr__(self, name: str) -> Any:
                if name == "list" and not self.calls:
                    self.calls = 1
                    return lambda *_: torn
                return getattr(self._storage, name)

        assert ids(Log(cast("Storage", Torn(storage, lambda _: None)), CALLS)) == known


def test_a_kill_before_anything_is_deleted_is_finished_without_writing_or_a_new_mark() -> None:
    with three_days() as (storage, known):
        marks = Log(storage, CALLS).marks()
        original, written = storage.delete, storage.write_bytes

        def killed(*_: object) -> None:
            raise KilledError

        storage.delete = killed  # type: ignore[method-assign, assignment]  # it dies there
        with pytest.raises(KilledError):
            Log(storage, CALLS).merge(MAY, DAYS[1].date())
        assert files_by_day(storage)["2017-06-01"] == 4
        assert Log(storage, CALLS).marks() == marks
        storage.delete, storage.write_bytes = original, killed  # type: ignore[method-assign, assignment]  # as above
        Log(storage, CALLS).merge(MAY, DAYS[1].date())
        storage.write_bytes = written  # type: ignore[method-assign]  # as it was
        assert files_by_day(storage)["2017-06-01"] == 1
        assert (ids(Log(storage, CALLS)), Log(storage, CALLS).marks()) == (known, marks)


def test_where_nothing_may_be_deleted_no_more_than_one_file_is_written(caplog: pytest.LogCaptureFixture) -> None:
    with three_days() as (storage, known):

        def refused(path: str) -> None:
            raise StorageError(f"cannot delete {path}: access denied")

        storage.delete = refused  # type: ignore[method-assign]  # a store that refuses
        for _ in range(3):
            Log(storage, CALLS).merge(MAY, TODAY)
        assert "are merged and not deleted" in caplog.text
        assert sum(files_by_day(storage).values()) == 10
        assert ids(Log(storage, CALLS)) == known


def test_a_file_of_a_later_version_and_a_damaged_one_are_not_merged(lake: Lake) -> None:
    more = Table("calls", "", (*CALLS.columns, Column("said", Kind.STRING, "What")), CALLS.key)
    lake.log(more).add(MAY, deals(said=pl.lit("yes")), NOON)
    for number in range(3):
        lake.log(CALLS).add(MAY, some(number), NOON)
    lake.log(CALLS).merge(MAY, date(2017, 6, 2))
    assert lake.log(more).scan(MAY).collect()["said"].to_list() == [None, None, None, "yes", "yes", "yes"]
    storage = lake.log(CALLS)._storage
    assert files_by_day(storage) == {"2017-06-01": 2}
    storage.write_bytes("calls/2017-05/2017-06-01/damaged.parquet", b"no parquet")
    with pytest.raises(LakeError, match=r"damaged\.parquet is no readable Parquet file"):
        lake.log(CALLS).merge(MAY, date(2017, 6, 2))
    assert files_by_day(storage) == {"2017-06-01": 3}
