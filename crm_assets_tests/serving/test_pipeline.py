"""Which of the open deals are told, in which figures, and what is told of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from openpyxl import load_workbook

from crm_assets.defs.scoring import SCORES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.modelling.movement import PLAYERS, SCORE_CHANGES
from crm_assets.modelling.reasons import PARTS, SCORE_REASONS
from crm_assets.serving import messages as msg
from crm_assets.serving import pipeline_messages as of_pipeline
from crm_assets.serving.pipeline_file import FILE_COLUMNS, as_csv, as_workbook
from crm_assets.serving.pipeline_messages import Filters
from crm_assets.serving.pipeline_summary import MOST_POINTS, summary
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST, MONTHS, Business, replace_in, write
from crm_assets_tests.serving.test_app import problem
from crm_assets_tests.serving.told_month import write_told


@pytest.fixture
def told(deployment: Deployment, business: Business, models: Any) -> Deployment:
    """A deployment that holds reasons and changes as well."""
    write_told(deployment.lake, business, LAST, models["blend"])
    deployment.live.look()
    return deployment


@pytest.fixture
def client(told: Deployment) -> Iterator[TestClient]:
    with told.client() as client:
        yield client


def all_rows(client: TestClient, **asked: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/pipeline", params={"limit": 1000, **asked})
    assert answer.status_code == 200, answer.text
    rows = msg.PipelineAnswer.model_validate(answer.json()).opportunities
    return [row.model_dump() for row in rows]


def summed(client: TestClient, **asked: Any) -> of_pipeline.SummaryAnswer:
    answer = client.get("/v1/pipeline/summary", params=asked)
    assert answer.status_code == 200, answer.text
    return of_pipeline.SummaryAnswer.model_validate(answer.json())


def stored(deployment: Deployment, table: Any, month: Any = LAST) -> pl.DataFrame:
    return pl.read_parquet(deployment.lake.table_path(table.name, month))


def test_a_row_tells_what_is_stored_of_its_score(told: Deployment, client: TestClient) -> None:
    rows = {row["opportunity_id"]: row for row in all_rows(client)}
    before = dict(stored(told, SCORES, LAST.previous).select("opportunity_id", "probability").iter_rows())
    changes = {row["opportunity_id"]: row for row in stored(told, SCORE_CHANGES).to_dicts()}
    reasons = {row["opportunity_id"]: row for row in stored(told, SCORE_REASONS).to_dicts()}
    assert 0 < len(changes) < len(rows)
    for name, row in rows.items():
        assert row["previous"] == before.get(name)
        if name in changes:
            assert row["change"] == pytest.approx(changes[name]["change"], abs=1e-9)
            assert row["main_cause"] == changes[name]["main_cause"]
            assert row["cause_in_words"] == PLAYERS[row["main_cause"]]
        else:
            assert (row["change"], row["main_cause"], row["cause_in_words"]) == (None, None, None)
        assert (row["raises"], row["lowers"]) == (reasons[name]["raises"], reasons[name]["lowers"])
        part = max(PARTS, key=lambda part: abs(reasons[name][part]))
        assert row["main_part"] == reasons[name][part]
        assert row["main_subject"] == part.removeprefix("due_to_")
        words = row["raises" if row["main_part"] > 0 else "lowers"]
        assert words.startswith(f"{row['main_reason']} (")
    known = told.live.current
    assert known is not None
    for name, fields in known.book.fields.items():
        assert rows[name]["engage_date"] == fields.engage_date


def test_nothing_is_told_of_a_score_that_is_another(told: Deployment, models: Any) -> None:
    told.shelf.put("2", models["lightgbm"])
    told.live.look()
    with told.client() as client:
        rows = all_rows(client)
    assert {row["main_cause"] for row in rows} == {None}
    assert {row["main_reason"] for row in rows} == {None}
    known = [row for row in rows if row["previous"] is not None]
    assert known
    for row in known:
        assert row["change"] == row["probability"] - row["previous"]


def test_reasons_that_are_stored_later_are_told(deployment: Deployment, business: Business, models: Any) -> None:
    with deployment.client() as client:
        begun = client.get("/v1/pipeline", params={"limit": 1}).json()
        assert begun["opportunities"][0]["main_reason"] is None
        write_told(deployment.lake, business, LAST, models["blend"])
        assert {row["main_reason"] for row in all_rows(client)} == {None}
        deployment.live.look()
        assert None not in {row["main_reason"] for row in all_rows(client)}
        # Pages go on as they began.
        then = client.get("/v1/pipeline", params={"limit": 1, "cursor": begun["next_cursor"]}).json()
        assert then["opportunities"][0]["main_reason"] is None


def test_reasons_that_cannot_be_read_are_said_to_be_in_the_way(told: Deployment, models: Any) -> None:
    Path(told.lake.table_path(SCORE_REASONS.name, LAST)).write_bytes(b"broken")
    live = told.another(told.settings)
    assert live.current is not None
    assert SCORE_REASONS.name in str(live.troubles.lake)
    assert live.current.deals.rows["main_reason"].null_count() == live.current.deals.rows.height


def test_an_opportunity_tells_its_row(client: TestClient) -> None:
    row = all_rows(client)[3]
    answer = client.get(f"/v1/opportunities/{row['opportunity_id']}").json()
    deal = msg.OpportunityAnswer.model_validate(answer).deal
    assert deal is not None
    assert deal.model_dump() == row


def several(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return sorted({row[name] for row in rows})[:2]


@pytest.mark.parametrize("name", of_pipeline.FIELDS)
def test_a_field_can_have_one_of_several_values(client: TestClient, name: str) -> None:
    rows = all_rows(client)
    values = several(rows, name)
    expected = [row for row in rows if row[name] in values]
    assert all_rows(client, **{name: values}) == expected
    assert summed(client, **{name: values}).opportunities.now == len(expected)


def test_ages_probability_and_text_choose(client: TestClient) -> None:
    rows = all_rows(client)
    ages = sorted(row["age_days"] for row in rows)
    low, high = ages[len(ages) // 4], ages[len(ages) // 2]
    chosen = all_rows(client, min_age_days=low, max_age_days=high)
    assert chosen == [row for row in rows if low <= row["age_days"] <= high]
    assert 0 < len(chosen) < len(rows)
    agent = rows[0]["sales_agent"]
    assert all_rows(client, search=f" {agent.upper()[:-1]}") == [
        row for row in rows if agent[:-1] in row["sales_agent"]
    ]
    identifier = rows[5]["opportunity_id"]
    assert [row["opportunity_id"] for row in all_rows(client, search=identifier.lower())] == [identifier]
    assert all_rows(client, search="(") == []


def test_an_account_is_told_and_found(told: Deployment) -> None:
    known = stored(told, SNAPSHOTS)
    first = known.filter("in_book")["opportunity_id"][0]
    account = pl.when(pl.col("opportunity_id") == first).then(pl.lit("Größe & Co")).alias("account")
    write(told.lake, SNAPSHOTS, LAST, known.with_columns(account))
    told.live.look()
    with told.client() as client:
        assert [(row["opportunity_id"], row["account"]) for row in all_rows(client, search="GRÖßE &")] == [
            (first, "Größe & Co")
        ]
        assert {row["account"] for row in all_rows(client)} == {None, "Größe & Co"}


def test_abandoned_ones_can_be_chosen(told: Deployment) -> None:
    settings = replace_in(told.settings, abandoned_from=0.3)
    live = told.another(settings)
    assert live.current is not None
    rows = live.current.deals.rows
    expected = rows.filter(pl.col("probability_abandoned") >= 0.3).height
    assert 0 < expected < rows.height
    found = {
        one: summary(live.current.deals, Filters.model_validate({"abandoned": one}), settings) for one in ("yes", "no")
    }
    assert found["yes"]["opportunities"]["now"] == expected
    assert found["no"]["opportunities"]["now"] == rows.height - expected
    assert found["yes"]["abandoned"]["now"] == expected


def test_a_month_whose_model_could_not_tell_is_not_one_without_abandoned_deals(told: Deployment) -> None:
    assert told.live.current is not None
    deals = told.live.current.deals
    assert deals.before is not None
    unable = replace(deals, before=deals.before.with_columns(pl.lit(None, pl.Boolean).alias("is_abandoned")))
    found = summary(unable, Filters.model_validate({}), told.settings)
    assert found["abandoned"]["now"] is not None
    assert found["abandoned"]["before"] is None
    assert found["opportunities"]["before"] == deals.before.height


def test_those_without_a_change_come_last(client: TestClient) -> None:
    for order in ("asc", "desc"):
        changes = [row["change"] for row in all_rows(client, sort="change", order=order)]
        known = [change for change in changes if change is not None]
        assert known == sorted(known, reverse=order == "desc")
        assert set(changes[len(known) :]) == {None}


def test_a_page_can_be_jumped_to(client: TestClient) -> None:
    rows = all_rows(client)
    jumped = client.get("/v1/pipeline", params={"skip": 5, "limit": 3}).json()
    assert jumped["total"] == len(rows)
    assert [row["opportunity_id"] for row in jumped["opportunities"]] == [r["opportunity_id"] for r in rows[5:8]]
    again = client.get("/v1/pipeline", params={"limit": 3, "cursor": jumped["next_cursor"]}).json()
    assert [row["opportunity_id"] for row in again["opportunities"]] == [r["opportunity_id"] for r in rows[8:11]]
    past = client.get("/v1/pipeline", params={"skip": len(rows)}).json()
    assert (past["opportunities"], past["next_cursor"]) == ([], None)


@pytest.mark.parametrize("path", ["/v1/pipeline", "/v1/pipeline/summary", "/v1/pipeline/file"])
@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"min_age_days": 3, "max_age_days": 2}, "query"),
        ({"risk": "none"}, "risk"),
        ({"abandoned": "perhaps"}, "abandoned"),
        ({"search": "x" * 201}, "search"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_choice_is_refused(client: TestClient, path: str, asked: dict[str, Any], pointer: str) -> None:
    assert problem(client.get(path, params=asked), 422).errors[0].pointer == pointer


def test_sums_are_of_the_chosen_deals_and_of_those_of_the_month_before(told: Deployment, client: TestClient) -> None:
    product = all_rows(client)[0]["product"]
    rows = all_rows(client, product=product)
    past = stored(told, SCORES, LAST.previous).filter(product=product)
    found = summed(client, product=product)
    assert (found.month_before, found.opportunities.now, found.opportunities.before) == (
        str(LAST.previous),
        len(rows),
        past.height,
    )
    assert found.expected_revenue.now == pytest.approx(sum(row["expected_value"] for row in rows))
    assert found.expected_revenue.before == pytest.approx(past["expected_value"].sum())
    at_risk = [row for row in rows if row["probability"] < 0.4]
    assert {row["risk"] for row in at_risk} == {"high"}
    assert (found.at_risk.now, found.at_risk_value.now) == (len(at_risk), sum(row["list_price"] for row in at_risk))
    assert found.at_risk.before == past.filter(pl.col("probability") < 0.4).height
    assert found.abandoned is not None
    assert found.abandoned.before == past.filter(pl.col("probability_abandoned") >= 0.5).height
    assert sum(one.opportunities for one in found.histogram) == len(rows)
    assert sum(one.expected_value for one in found.histogram) == pytest.approx(found.expected_revenue.now)
    for one in found.histogram:
        inside = [row for row in rows if one.low <= row["probability"] < one.high]
        assert one.opportunities == len(inside)
        assert one.abandoned == sum(row["is_abandoned"] for row in inside)
    assert (found.histogram[0].low, found.histogram[-1].high) == (0, 1)
    assert [row.opportunity_id for row in found.top] == [row["opportunity_id"] for row in rows[: len(found.top)]]
    assert sum(group.opportunities for group in found.ranking["regional_office"]) == len(rows)
    assert found.total == len(all_rows(client))


def test_choices_are_counted_without_the_field_itself(client: TestClient) -> None:
    rows = all_rows(client)
    office = rows[0]["regional_office"]
    found = summed(client, regional_office=office, risk="medium").facets
    counts = {facet.value: facet.opportunities for facet in found["regional_office"]}
    assert counts == {
        name: sum(row["regional_office"] == name and row["risk"] == "medium" for row in rows)
        for name in {row["regional_office"] for row in rows}
    }
    assert sum(facet.opportunities for facet in found["product"]) == counts[office]


def test_without_a_month_before_nothing_is_compared(told: Deployment) -> None:
    live = told.another(replace_in(told.settings, api_month=str(MONTHS[0])))
    assert live.current is not None
    found = summary(live.current.deals, Filters.model_validate({}), told.settings)
    assert found["month_before"] is None
    assert found["opportunities"]["before"] is None
    assert live.current.deals.rows["change"].null_count() == live.current.deals.rows.height


def test_many_deals_are_points_of_a_sample_that_stays(told: Deployment) -> None:
    assert told.live.current is not None
    deals = told.live.current.deals
    times = -(-3 * MOST_POINTS // deals.rows.height)
    many = pl.concat([deals.rows.with_columns(pl.col("opportunity_id") + str(number)) for number in range(times)])
    book = type(deals)(deals.month, many, None, deals.marks)
    found = summary(book, Filters.model_validate({}), told.settings)
    again = summary(
        type(deals)(deals.month, many.reverse(), None, deals.marks), Filters.model_validate({}), told.settings
    )
    assert found["points_are"] == "sample"
    assert MOST_POINTS // 2 < len(found["points"]) <= MOST_POINTS
    assert found["points"] == again["points"]
    assert {point["expected_value"] for point in found["points"]} >= set(many["expected_value"].top_k(50))
    assert found["opportunities"]["now"] == many.height


def test_nothing_chosen_is_an_answer(client: TestClient) -> None:
    found = summed(client, search="nobody has this")
    assert (found.opportunities.now, found.expected_revenue.now, found.points, found.top) == (0, 0, [], [])
    assert found.total > 0
    assert client.get("/v1/pipeline/file", params={"search": "nobody has this", "format": "xlsx"}).status_code == 200


def test_a_file_holds_the_chosen_deals_in_order(client: TestClient) -> None:
    asked = {"risk": "high", "sort": "age_days", "order": "asc"}
    rows = all_rows(client, **asked)
    answer = client.get("/v1/pipeline/file", params=asked)
    assert answer.headers["content-disposition"] == f'attachment; filename="pipeline-{LAST}.csv"'
    told = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["opportunity_id"] for row in told] == [row["opportunity_id"] for row in rows]
    assert list(told[0]) == FILE_COLUMNS
    assert [float(row["probability"]) for row in told] == [row["probability"] for row in rows]
    book = load_workbook(BytesIO(client.get("/v1/pipeline/file", params={**asked, "format": "xlsx"}).content))
    header, *cells = book.worksheets[0].iter_rows(values_only=True)
    assert list(header) == FILE_COLUMNS
    assert [row[0] for row in cells] == [row["opportunity_id"] for row in rows]
    for name in ("account", "is_abandoned", "main_reason", "age_days"):
        assert [row[FILE_COLUMNS.index(name)] for row in cells] == [row[name] for row in rows]
    for name in ("probability", "change"):
        assert [row[FILE_COLUMNS.index(name)] for row in cells] == pytest.approx([row[name] for row in rows])
    assert [row[FILE_COLUMNS.index("engage_date")].date() for row in cells] == [row["engage_date"] for row in rows]


def test_a_workbook_keeps_text_as_it_is_and_shows_shares_as_percent() -> None:
    text = ["<b>&amp;\"'", " two  spaces ", "Größe 💡", None]
    rows = pl.DataFrame({"account": text, "probability": [0.125, 1e-12, 1.0, None], "age_days": [1, 2, 3, None]})
    sheet = load_workbook(BytesIO(as_workbook(rows, "Pipeline 2017-05"))).worksheets[0]
    assert sheet.title == "Pipeline 2017-05"
    _, *cells = sheet.iter_rows(values_only=True, max_row=5, max_col=3)
    assert [row[0] for row in cells] == text
    assert [row[1] for row in cells] == [0.125, 1e-12, 1, None]
    assert [row[2] for row in cells] == [1, 2, 3, None]
    assert sheet["B2"].number_format == "0.0%"


HARMFUL = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "http://a.example", "007", "plain, with a comma"]


def test_text_in_a_file_is_no_formula() -> None:
    rows = pl.DataFrame({"account": HARMFUL, "change": [-0.5] * len(HARMFUL)})
    told = list(csv.DictReader(StringIO(as_csv(rows).decode("utf-8-sig"), newline="")))
    assert [row["account"] for row in told[:6]] == [f"'{text}" for text in HARMFUL[:6]]
    assert [row["account"] for row in told[6:]] == HARMFUL[6:]
    assert {row["change"] for row in told} == {"-0.5"}
    sheet = load_workbook(BytesIO(as_workbook(rows, "x"))).worksheets[0]
    assert {sheet.cell(at, 1).data_type for at in range(2, 2 + len(HARMFUL))} == {"s"}
    assert sheet.cell(2, 1).value == "=1+1"
    assert sheet.cell(9, 1).value == "007"
    assert sheet.cell(8, 1).hyperlink is None


def test_the_catalogue_names_who_sells_what_for_how_much(told: Deployment, client: TestClient) -> None:
    assert told.live.current is not None
    features = told.live.current.book.features
    found = of_pipeline.CatalogueAnswer.model_validate(client.get("/v1/catalogue").json())
    assert [agent.name for agent in found.agents] == sorted(features.agents)
    assert {product.name: product.list_price for product in found.products} == features._prices
    offices = {row["sales_agent"]: (row["manager"], row["regional_office"]) for row in all_rows(client)}
    known = {agent.name: (agent.manager, agent.regional_office) for agent in found.agents}
    assert offices.items() <= known.items()


def test_a_broken_table_of_the_month_before_does_not_end_the_answers(told: Deployment) -> None:
    past = stored(told, SCORES, LAST.previous)
    write(told.lake, SCORES, LAST.previous, past.head(1))
    told.live.look()
    with told.client() as client:
        assert summed(client).opportunities.before == 1
