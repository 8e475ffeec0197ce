"""The quality score of a month's pipeline, and what it was made of.

score = 0.6 * valid + 0.2 * spelled + 0.2 * filled, each a share of the month's rows:
valid, not quarantined; spelled, with no known wrong spelling; filled, with an account. Where the account cannot be
known (a late export rolled back), filled is left out and the other weights are scaled up to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from crm_assets.contracts import ACCOUNTS, SALES_PIPELINE, Table

VALID, SPELLED, FILLED = 0.6, 0.2, 0.2
"""Weights of the score's shares."""
LOWEST_QUALITY = 0.7
"""Score below which people are warned."""


@dataclass(frozen=True)
class PipelineQuality:
    """Counts of one month's `sales_pipeline`.

    Attributes:
        rows: rows in all.
        quarantined: rows kept out of the snapshot.
        reasons: rule -> rows that broke it.
        misspelled: `column: wrong -> right` -> rows it was mended in.
        without_account: rows with an empty account; None where the account cannot be known.
        misspelled_accounts: `column: wrong -> right` -> accounts it occurs in; no other table holds these columns.
    """

    rows: int
    quarantined: int
    reasons: Mapping[str, int]
    misspelled: Mapping[str, int]
    without_account: int | None
    misspelled_accounts: Mapping[str, int]

    @property
    def score(self) -> float:
        """Between 0 (all bad) and 1 (all good); 1 for a month without rows."""
        if not self.rows:
            return 1.0
        # A row may hold more than one wrong spelling; no row counts below zero.
        parts = [
            (VALID, 1 - self.quarantined / self.rows),
            (SPELLED, max(0.0, 1 - sum(self.misspelled.values()) / self.rows)),
        ]
        if self.without_account is not None:
            parts.append((FILLED, 1 - self.without_account / self.rows))
        return sum(weight * share for weight, share in parts) / sum(weight for weight, _ in parts)

    def as_notes(self) -> dict[str, Any]:
        """The counts and the score as plain values, faults as sentences."""
        return {
            "quality_score": round(self.score, 4),
            "rows_in_source": self.rows,
            "quarantined": self.quarantined,
            "quarantine_reasons": [f"{count} {reason}" for reason, count in self.reasons.items()],
            "misspelled": [f"{count} {spelling}" for spelling, count in self.misspelled.items()],
            "without_account": self.without_account,
            "misspelled_accounts": [f"{count} {spelling}" for spelling, count in self.misspelled_accounts.items()],
        }


def pipeline_quality(
    pipeline: nw.LazyFrame[Any],
    accounts: nw.LazyFrame[Any],
    reasons: Mapping[str, int],
    *,
    quarantined: int,
    account_known: bool,
) -> PipelineQuality:
    """Count the faults of a month's raw `sales_pipeline`, and the wrong spellings in its accounts.

    Args:
        pipeline, accounts: the raw rows.
        reasons: from `snapshots.reason_counts` of its quarantine.
        quarantined: rows of its quarantine.
        account_known: whether an empty account is a fault, which it is in a genuine extract.
    """
    empty = nw.col("account").is_null().cast(nw.Int64()).sum()
    rows, without_account = pipeline.select(nw.len().alias("rows"), empty.alias("empty")).collect().row(0)
    return PipelineQuality(
        rows=int(rows),
        quarantined=quarantined,
        reasons=reasons,
        misspelled=_misspelled(pipeline, SALES_PIPELINE),
        without_account=int(without_account or 0) if account_known else None,
        misspelled_accounts=_misspelled(accounts, ACCOUNTS),
    )


def _misspelled(rows: nw.LazyFrame[Any], table: Table) -> dict[str, int]:
    """`column: wrong -> right` -> rows, of every known wrong spelling that occurs."""
    spellings = [(column.name, wrong, right) for column in table.columns for wrong, right in column.aliases.items()]
    found = rows.select(
        *(
            (nw.col(column) == wrong).cast(nw.Int64()).sum().alias(f"spelling_{index}")
            for index, (column, wrong, _) in enumerate(spellings)
        )
    )
    counts = (int(count or 0) for count in found.collect().row(0))
    return {
        f"{column}: {wrong} -> {right}": count
        for (column, wrong, right), count in zip(spellings, counts, strict=True)
        if count
    }
