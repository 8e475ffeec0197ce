"""What is known of the one real export: its faults, and how its book and its closings went from month to month."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES, SALES_PIPELINE
from crm_assets.history.quality import PipelineQuality, pipeline_quality
from crm_assets.history.snapshots import reason_counts
from crm_assets_tests.history.on_polars import MonthTables, lazy, month_tables, replayed

FIRST, LAST = Month(2016, 10), Month(2017, 12)


@pytest.fixture(scope="session")
def history(real_crm: dict[str, pl.DataFrame]) -> dict[Month, MonthTables]:
    """Every month of the export, rolled back, but the last."""
    late = real_crm["sales_pipeline"]
    return {
        month: month_tables(
            replayed(late, month) if month < LAST else late, month, real_crm["products"], real_crm["sales_teams"]
        )
        for month in month_range(FIRST, LAST)
    }


def quality_of(crm: Mapping[str, pl.DataFrame], tables: MonthTables) -> PipelineQuality:
    reasons = reason_counts(tables.quarantine["reasons"])
    pipeline, accounts = lazy(crm["sales_pipeline"]), lazy(crm["accounts"])
    return pipeline_quality(pipeline, accounts, reasons, quarantined=tables.quarantine.height, account_known=True)


def test_fits_its_contract(real_crm: Mapping[str, pl.DataFrame]) -> None:
    for table in CRM_TABLES:
        table.pandera_schema().validate(real_crm[table.name], lazy=True)


def test_known_faults_are_reported(real_crm: Mapping[str, pl.DataFrame], history: Mapping[Month, MonthTables]) -> None:
    late = real_crm["sales_pipeline"]
    assert quality_of(real_crm, history[LAST]) == PipelineQuality(
        rows=8800,
        quarantined=0,
        reasons={},
        misspelled={"product: GTXPro -> GTX Pro": 1480},
        without_account=1425,
        misspelled_accounts={
            "sector: technolgy -> technology": 12,
            "office_location: Philipines -> Philippines": 1,
        },
    )
    both = history[LAST].snapshots.join(late, on="opportunity_id").select("product", "product_right")
    assert both.filter(pl.col("product") != pl.col("product_right")).rows() == [("GTX Pro", "GTXPro")] * 1480


def test_nothing_is_quarantined(history: Mapping[Month, MonthTables]) -> None:
    assert [str(month) for month, tables in history.items() if tables.quarantine.height] == []
    assert history[LAST].snapshots["deal_stage"].value_counts().sort("deal_stage").rows() == [
        ("Engaging", 1589),
        ("Lost", 2473),
        ("Prospecting", 500),
        ("Won", 4238),
    ]


def test_each_month_is_what_the_dates_say(
    real_crm: Mapping[str, pl.DataFrame], history: Mapping[Month, MonthTables]
) -> None:
    dates = list(real_crm[SALES_PIPELINE.name].select("engage_date", "close_date", "deal_stage").iter_rows())
    for month, tables in history.items():
        end = month.end
        engaged = sum(start is not None and start <= end for start, _, _ in dates)
        closed = [stage for _, close, stage in dates if close is not None and close <= end]
        won, lost = closed.count("Won"), closed.count("Lost")
        assert tables.book.height == engaged - won - lost
        assert (tables.closings["won"].sum(), tables.closings["lost"].sum()) == (won, lost)
        assert tables.features.height == tables.book.height


def test_outcomes_are_the_closings_of_the_month_and_what_stays_open(history: Mapping[Month, MonthTables]) -> None:
    for month in month_range(FIRST.next, LAST):
        before, now = history[month.previous], history[month]
        found = dict(now.outcomes(before)["outcome"].value_counts().iter_rows())
        assert sum(found.values()) == before.book.height
        stayed = now.book.join(before.book, on="opportunity_id", how="semi").height
        assert found.get("open", 0) == stayed
        this_month = now.snapshots.filter(pl.col("close_date") >= month.start, pl.col("engage_date") < month.start)
        for stage in ("Won", "Lost"):
            assert found.get(stage.lower(), 0) == this_month.filter(deal_stage=stage).height
