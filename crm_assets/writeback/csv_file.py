"""A CSV file in a folder or in S3: every opportunity that was ever scored, replaced as a whole."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping

from crm_assets.errors import WriteBackError
from crm_assets.storage import MissingError, open_storage
from crm_assets.writeback.content import FIGURES, STATUS
from crm_assets.writeback.target import Batch

COLUMNS = ("opportunity_id", STATUS, *FIGURES, "score_month")


_REMEDY = (
    "it is not overwritten: move it away and write it anew with `crm-assets write-back --resend`, or name another "
    "folder in CRM_WRITEBACK_URL"
)


class CsvFile:
    """`DATASET_scores.csv` in a folder or prefix, with a header, UTF-8, in order of the opportunities.

    The file is written as a whole under its name: a reader sees the scores before a delivery or after it.

    Args:
        url: a folder, or `s3://bucket/prefix`.
        dataset: name of the data set.
        create: make a missing folder.
    """

    batch_rows = None

    def __init__(self, url: str, dataset: str, *, create: bool = True) -> None:
        self._storage = open_storage(url, create=create)
        self._file = f"{dataset}_scores.csv"

    def check(self) -> str:
        """Read the file, if it is there, and look whether the folder may be written to; of S3 nobody knows before."""
        place = self._storage.location(self._file)
        rows = self._rows(0) if self._storage.exists(self._file) else None
        url = self._storage.url
        if "://" not in url and not os.access(url, os.W_OK | os.X_OK):
            raise WriteBackError(f"{url}: user {os.geteuid()} may not write to the folder: give it access")
        return f"{place}: {'not there yet, the first delivery makes it' if rows is None else f'{len(rows)} rows'}"

    def send(self, batch: Batch) -> Mapping[str, str]:
        """Put the rows into the file. Raises WriteBackError when the file is another one than was written."""
        rows = self._rows(batch.standing)
        held = len(rows.keys() - {row.opportunity_id for row in batch.rows})
        if held < batch.standing:
            raise WriteBackError(
                f"{self._storage.location(self._file)} holds {held} opportunities besides those to send, though "
                f"{batch.standing} were delivered that have not changed: write it anew with "
                "`crm-assets write-back --resend`"
            )
        for row in batch.rows:
            rows[row.opportunity_id] = {name: _text(value) for name, value in row.as_dict().items()}
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))
        self._storage.write_bytes(self._file, text.getvalue().encode())
        return {}

    def _rows(self, standing: int) -> dict[str, dict[str, str]]:
        place = self._storage.location(self._file)
        try:
            text = self._storage.read_bytes(self._file).decode()
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            found, columns = list(reader), tuple(reader.fieldnames or ())
        except (UnicodeDecodeError, csv.Error) as error:
            raise WriteBackError(f"{place} is no CSV file in UTF-8 ({error}), so {_REMEDY}") from None
        except MissingError:
            if standing:
                raise WriteBackError(
                    f"{place} is gone, though it held {standing} opportunities that have not changed: write it "
                    "anew with `crm-assets write-back --resend`"
                ) from None
            return {}
        if columns != COLUMNS:
            raise WriteBackError(f"{place} has other columns than {', '.join(COLUMNS)}, so {_REMEDY}")
        for number, row in enumerate(found, 1):
            # Fields too many stand under None, fields too few are None.
            if None in row or None in row.values():
                raise WriteBackError(f"{place}: row {number} has not {len(COLUMNS)} fields, so {_REMEDY}")
        return {row["opportunity_id"]: row for row in found}


def _text(value: object) -> str:
    return "" if value is None else str(value)
