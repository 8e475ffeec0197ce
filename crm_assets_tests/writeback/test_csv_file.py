"""The CSV file, in a folder and in S3."""

from __future__ import annotations

import csv
import io

import pytest

from crm_assets.errors import WriteBackError
from crm_assets.storage import open_storage
from crm_assets.writeback.csv_file import COLUMNS, CsvFile
from crm_assets_tests.writeback.made_up import DATASET, MAY, MemoryRecords, batch, row, sent


def held(url: str) -> dict[str, dict[str, str]]:
    text = open_storage(url).read_bytes(f"{DATASET}_scores.csv").decode()
    return {one["opportunity_id"]: one for one in csv.DictReader(io.StringIO(text))}


def test_a_file_holds_every_opportunity_that_was_ever_scored(storage_url: str) -> None:
    records, target = MemoryRecords(), CsvFile(storage_url, DATASET)
    sent(records, target, {"A": 0.1, 'B, "quoted"': 0.2, "Ç": 1 / 3})
    sent(records, target, {"A": 0.1, "Ç": 0.5}, MAY.next)
    found = held(storage_url)
    assert list(found) == ["A", 'B, "quoted"', "Ç"]
    assert tuple(found["A"]) == COLUMNS
    assert {name: one["status"] for name, one in found.items()} == {
        "A": "scored",
        'B, "quoted"': "cleared",
        "Ç": "scored",
    }
    assert found['B, "quoted"']["probability"] == ""
    assert float(found["Ç"]["probability"]) == 0.5
    assert (found["A"]["score_month"], found["Ç"]["score_month"]) == ("2017-05", "2017-06")
    assert open_storage(storage_url).list() == [f"{DATASET}_scores.csv"]


def test_numbers_are_read_back_to_the_last_bit(tmp_path: object) -> None:
    CsvFile(str(tmp_path), DATASET).send(batch(row("A", 1 / 3)))
    assert float(held(str(tmp_path))["A"]["probability"]) == 1 / 3


def test_a_file_that_is_gone_is_not_begun_anew_with_a_part(storage_url: str) -> None:
    records, target = MemoryRecords(), CsvFile(storage_url, DATASET)
    sent(records, target, {"A": 0.1, "B": 0.2})
    open_storage(storage_url).delete(f"{DATASET}_scores.csv")
    failed = sent(records, target, {"A": 0.1, "B": 0.3}, MAY.next)
    assert "is gone, though it held 1 opportunities" in str(failed.fault)
    assert "--resend" in str(failed.fault)
    done = sent(records, target, {"A": 0.1, "B": 0.3}, MAY.next, resend=True)
    assert done.missing == 0
    assert held(storage_url).keys() == {"A", "B"}


@pytest.mark.parametrize("left", [(), ("B",), ("B", "C")])
def test_a_file_that_was_emptied_is_not_filled_with_a_part(storage_url: str, left: tuple[str, ...]) -> None:
    """All its rows are gone, or but those that are sent, or one that is not."""
    records, target, storage = MemoryRecords(), CsvFile(storage_url, DATASET), open_storage(storage_url, create=True)
    sent(records, target, {"A": 0.1, "B": 0.2, "C": 0.3, "D": 0.4})
    lines = storage.read_bytes(f"{DATASET}_scores.csv").decode().splitlines()
    emptied = "\n".join([lines[0], *(line for line in lines[1:] if line.startswith(left))]).encode()
    storage.write_bytes(f"{DATASET}_scores.csv", emptied)
    failed = sent(records, target, {"A": 0.1, "B": 0.5, "C": 0.6, "D": 0.4}, MAY.next)
    assert "holds 0 opportunities besides those to send, though 2 were delivered" in str(failed.fault)
    assert storage.read_bytes(f"{DATASET}_scores.csv") == emptied
    assert sent(records, target, {"A": 0.1, "B": 0.5}, MAY.next, resend=True).missing == 0
    assert held(storage_url).keys() == {"A", "B", "C", "D"}


_HEADER = ",".join(COLUMNS).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"opportunity_id,\xff\xfe", "is no CSV file in UTF-8"),
        (_HEADER + b'\nA,"scored', "is no CSV file in UTF-8"),
        (_HEADER + b"\nA,scored\n", "row 1 has not 10 fields"),
        (_HEADER + b"\n" + b"A," * 20, "row 1 has not 10 fields"),
    ],
)
def test_a_damaged_file_is_a_fault_and_left_as_it_is(storage_url: str, content: bytes, said: str) -> None:
    storage = open_storage(storage_url, create=True)
    storage.write_bytes(f"{DATASET}_scores.csv", content)
    done = sent(MemoryRecords(), CsvFile(storage_url, DATASET), {"A": 0.1})
    assert isinstance(done.fault, WriteBackError)
    assert said in str(done.fault)
    assert "move it away" in str(done.fault)
    assert storage.read_bytes(f"{DATASET}_scores.csv") == content


def test_another_file_is_left_as_it_is(storage_url: str) -> None:
    storage = open_storage(storage_url, create=True)
    storage.write_bytes(f"{DATASET}_scores.csv", b"id,amount\n1,2\n")
    with pytest.raises(WriteBackError, match="has other columns than opportunity_id, status"):
        CsvFile(storage_url, DATASET).send(batch(row("A", 0.1)))
    assert storage.read_bytes(f"{DATASET}_scores.csv") == b"id,amount\n1,2\n"


def test_a_look_writes_nothing(storage_url: str) -> None:
    storage = open_storage(storage_url, create=True)
    assert CsvFile(storage_url, DATASET).check().endswith("_scores.csv: not there yet, the first delivery makes it")
    assert storage.list() == []
    CsvFile(storage_url, DATASET).send(batch(row("A", 0.1)))
    before = storage.stamps()
    assert CsvFile(storage_url, DATASET).check().endswith("_scores.csv: 1 rows")
    assert storage.stamps() == before
    storage.write_bytes(f"{DATASET}_scores.csv", b"id,amount\n1,2\n")
    with pytest.raises(WriteBackError, match="has other columns"):
        CsvFile(storage_url, DATASET).check()
