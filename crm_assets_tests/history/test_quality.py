from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.contracts import ACCOUNTS, SALES_PIPELINE
from crm_assets.history.quality import PipelineQuality, pipeline_quality
from crm_assets_tests.history.lives import fixed
from crm_assets_tests.history.on_polars import lazy

PIPELINE = pl.DataFrame(
    [
        ("A", "Anna", "GTXPro", "Acme", "Won", date(2017, 3, 1), date(2017, 4, 30), 4800.0),
        ("B", "Anna", "GTXPro", None, "Engaging", date(2017, 3, 1), None, None),
        ("C", "Anna", None, None, "Engaging", date(2017, 3, 1), None, None),
        ("D", "Anna", "GTX Pro", None, "Prospecting", None, None, None),
    ],
    SALES_PIPELINE.polars_schema(),
    orient="row",
)

COMPANIES = pl.DataFrame(
    [
        ("Acme", "technolgy", None, None, None, "Philipines", None),
        ("Bolt", "technolgy", None, None, None, "Philippines", None),
    ],
    ACCOUNTS.polars_schema(),
    orient="row",
)
WRONG = {"sector: technolgy -> technology": 2, "office_location: Philipines -> Philippines": 1}


def quality(
    rows: int = 10, quarantined: int = 0, misspelled: dict[str, int] | None = None, without_account: int | None = 0
) -> PipelineQuality:
    return PipelineQuality(rows, quarantined, {}, misspelled or {}, without_account, {})


def test_counts() -> None:
    found = pipeline_quality(lazy(PIPELINE), lazy(COMPANIES), {"no product": 1}, quarantined=1, account_known=True)
    assert found == PipelineQuality(4, 1, {"no product": 1}, {"product: GTXPro -> GTX Pro": 2}, 3, WRONG)
    assert found.score == pytest.approx(0.6 * 3 / 4 + 0.2 * 2 / 4 + 0.2 * 1 / 4)
    assert found.as_notes() == {
        "quality_score": 0.6,
        "rows_in_source": 4,
        "quarantined": 1,
        "quarantine_reasons": ["1 no product"],
        "misspelled": ["2 product: GTXPro -> GTX Pro"],
        "without_account": 3,
        "misspelled_accounts": ["2 sector: technolgy -> technology", "1 office_location: Philipines -> Philippines"],
    }


def test_accounts_that_cannot_be_known_are_no_fault() -> None:
    found = pipeline_quality(lazy(PIPELINE), lazy(COMPANIES), {}, quarantined=1, account_known=False)
    assert found.without_account is None
    assert found.score == pytest.approx((0.6 * 3 / 4 + 0.2 * 2 / 4) / 0.8)
    assert found.as_notes()["without_account"] is None


def test_of_a_sound_month() -> None:
    found = pipeline_quality(lazy(PIPELINE.head(1)), lazy(COMPANIES), {}, quarantined=0, account_known=True)
    assert found.misspelled == {"product: GTXPro -> GTX Pro": 1}
    sound = PIPELINE.head(1).with_columns(product=pl.lit("GTX Pro"))
    assert pipeline_quality(lazy(sound), lazy(COMPANIES), {}, quarantined=0, account_known=True).score == 1
    assert pipeline_quality(lazy(sound), lazy(COMPANIES), {}, quarantined=0, account_known=True).misspelled == {}


def test_of_a_month_without_rows() -> None:
    found = pipeline_quality(lazy(PIPELINE.clear()), lazy(COMPANIES), {}, quarantined=0, account_known=True)
    assert found == PipelineQuality(0, 0, {}, {}, 0, WRONG)
    assert found.score == 1


def test_worst_and_best() -> None:
    assert quality().score == 1
    assert quality(without_account=None).score == pytest.approx(1)
    assert quality(quarantined=10, misspelled={"product": 10}, without_account=10).score == 0
    assert quality(misspelled={"product": 10, "account": 10}).score == pytest.approx(0.8)


@fixed
@given(st.data(), st.integers(1, 50))
def test_score_is_a_share_and_falls_with_every_fault(data: st.DataObject, rows: int) -> None:
    quarantined, misspelled, blank = (data.draw(st.integers(0, rows - 1)) for _ in range(3))
    score = quality(rows, quarantined, {"product": misspelled}, blank).score
    assert 0 <= score <= 1
    assert quality(rows, quarantined + 1, {"product": misspelled}, blank).score < score
    assert quality(rows, quarantined, {"product": misspelled + 1}, blank).score < score
    assert quality(rows, quarantined, {"product": misspelled}, blank + 1).score < score
