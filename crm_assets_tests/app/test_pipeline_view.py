from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from crm_assets.app.api import Api
from crm_assets.app.views.pipeline import KEPT
from crm_assets.app.wording import count, dollars
from crm_assets_tests.app.conftest import Draw, texts
from crm_assets_tests.serving.small_lake import LAST


def summed(api: httpx.BaseTransport, **asked: Any) -> Any:
    return Api("http://testserver", None, api).get("/v1/pipeline/summary", **asked)


def rows(app: AppTest) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in app.dataframe[0].value.to_dict("records")]


def test_the_book_is_told_in_figures_and_rows(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    app = draw("pipeline")
    whole = summed(sales_api)
    figures = {metric.label: metric for metric in app.metric}
    assert figures["Open deals"].value == count(whole["opportunities"]["now"])
    assert figures["Expected revenue"].value == dollars(whole["expected_revenue"]["now"])
    assert figures["At risk next month"].value == count(whole["at_risk"]["now"])
    assert figures["Probably abandoned"].value == count(whole["abandoned"]["now"])
    change = whole["opportunities"]["now"] - whole["opportunities"]["before"]
    assert figures["Open deals"].delta.replace(",", "") == f"{change:+d}"
    assert [row["id"] for row in rows(app)[:12]] == [row["opportunity_id"] for row in whole["top"]]
    assert len(rows(app)) == 25
    assert f"won by the end of {LAST.next}" in texts(app)


def test_filters_are_in_the_address(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    whole = summed(sales_api)
    office = whole["facets"]["regional_office"][0]["value"]
    app = draw("pipeline", region=office, risk="High", sort="Oldest")
    chosen = summed(sales_api, regional_office=office, risk="high")
    assert app.metric[0].value == count(chosen["opportunities"]["now"])
    assert app.multiselect(key="region").value == [office]
    assert app.selectbox(key="sort").value == "Oldest"
    ages = [row["age"] for row in rows(app)]
    assert ages == sorted(ages, reverse=True)
    assert {row["risk"] for row in rows(app)} == {"High"}
    app.multiselect(key="region").set_value([]).run()
    assert app.metric[0].value == count(summed(sales_api, risk="high")["opportunities"]["now"])


def test_figures_of_the_table_are_numbers_that_sort_by_size(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    whole = summed(sales_api)
    table = draw("pipeline").dataframe[0]
    assert {table.value[name].dtype.kind for name in ("value", "change", "age")} <= {"f", "i"}
    shown = table.value.iloc[0]
    first = whole["top"][0]
    assert (shown["value"], shown["age"]) == (round(first["expected_value"]), first["age_days"])
    assert shown["change"] == pytest.approx(100 * first["change"], abs=0.051)
    formats = {
        name: told.get("type_config", {}).get("format") for name, told in json.loads(table.proto.columns).items()
    }
    assert formats | {"value": "$%,d", "change": "%+.1f points", "age": "%,d days"} == formats


def test_ages_and_kinds_choose(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    app = draw("pipeline")
    app.slider(key="age").set_value((10, 60)).run()
    assert app.metric[0].value == count(summed(sales_api, min_age_days=10, max_age_days=60)["opportunities"]["now"])
    app.segmented_control(key="kind").set_value("Being worked on").run()
    assert app.metric[0].value == count(
        summed(sales_api, min_age_days=10, max_age_days=60, abandoned="no")["opportunities"]["now"]
    )


def test_a_filter_turns_back_to_the_first_page(draw: Draw) -> None:
    app = draw("pipeline", page="2")
    second = rows(app)
    assert second != rows(draw("pipeline"))
    app.text_input(key="search").set_value("a").run()
    assert not app.exception
    assert rows(app) == rows(draw("pipeline", search="a"))


def filters_label(app: AppTest) -> str:
    popovers = [getattr(block.proto, "popover", None) for block in every_block(app.main)]
    return next(str(one.label) for one in popovers if one is not None and one.label.startswith("Filters"))


def every_block(block: Any) -> Iterator[Any]:
    for child in block.children.values():
        if hasattr(child, "children"):
            if child.proto is not None:
                yield child
            yield from every_block(child)


def test_what_an_address_names_and_is_not_there_is_said(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    office = summed(sales_api)["facets"]["regional_office"][0]["value"]
    app = draw("pipeline", region=[office, "Nowhere"], agent="Gone Person", kind="Neither", age=["10", "60"])
    told = "region “Nowhere”; agent “Gone Person”; kind “Neither”"
    assert told in app.warning[0].value
    assert app.metric[0].value == count(
        summed(sales_api, regional_office=office, min_age_days=10, max_age_days=60)["opportunities"]["now"]
    )
    assert filters_label(app) == "Filters (2 in use)"
    fine = draw("pipeline", region=office, kind="Being worked on")
    assert fine.warning.len == 0
    assert filters_label(fine) == "Filters (2 in use)"
    assert filters_label(draw("pipeline", sort="Oldest")) == "Filters"


def test_a_page_that_is_not_there_is_said(draw: Draw) -> None:
    app = draw("pipeline", page="999")
    assert "There is no page “999”; this is page 1 of" in texts(app)
    app.text_input(key="search").set_value("a").run()
    assert "There is no page" not in texts(app)
    assert "There is no page" not in texts(draw("pipeline", page="2"))
    assert "There is no page “2”; this is page 1 of 1" in texts(draw("pipeline", page="2", age=["1", "2"]))


def test_what_fits_no_deal_says_so(draw: Draw) -> None:
    told = texts(draw("pipeline", search="nobody has this name"))
    assert "No deal fits these filters" in told
    assert "remove a filter" in told


@pytest.mark.parametrize("view", ["pipeline", "opportunity", "forecast"])
@pytest.mark.parametrize(
    ("status", "detail", "said"),
    [
        (503, "there is no champion yet: it needs 50 wins", "There is no champion yet: it needs 50 wins."),
        (403, "the key may not read", "You may not see this"),
        (500, "it failed", "It failed."),
    ],
)
def test_what_the_api_refuses_is_a_sentence(draw: Draw, view: str, status: int, detail: str, said: str) -> None:
    refused = httpx.MockTransport(lambda _: httpx.Response(status, json={"detail": detail}))
    assert said in texts(draw(view, refused))


@pytest.mark.parametrize("status", [403, 500, 503])
def test_what_the_api_says_is_no_markup_but_for_commands(draw: Draw, status: int) -> None:
    detail = {"detail": "$x$ is **bold**, run `crm-assets run` now"}
    app = draw("pipeline", httpx.MockTransport(lambda _: httpx.Response(status, json=detail)))
    shown = "\n".join(str(one.value) for kind in (app.error, app.warning, app.markdown) for one in kind)
    assert "\\$x\\$ is \\*\\*bold\\*\\*, run `crm-assets run` now" in shown


@pytest.mark.parametrize(
    ("profile", "detail", "said"),
    [
        ("local", "there is no month", "There is no month. `make demo` makes a first month."),
        ("local", "there is no month: run `crm-assets run`", "There is no month: run `crm-assets run`."),
        ("production", "there is no month", "There is no month. Tell whoever runs the platform."),
    ],
)
def test_what_to_do_where_there_is_nothing_is_told_to_whoever_can(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, profile: str, detail: str, said: str
) -> None:
    monkeypatch.setattr("crm_assets.app.states.settings", lambda: SimpleNamespace(profile=profile))
    app = draw("pipeline", httpx.MockTransport(lambda _: httpx.Response(503, json={"detail": detail})))
    assert said in [one.value.replace("\\", "") for one in app.markdown]


def test_an_empty_book_says_why(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    empty = {**summed(sales_api), "total": 0}
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json=empty))
    assert "No deal is open" in texts(draw("pipeline", answers))


def test_a_deal_opens(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("crm_assets.app.views.pipeline.open_deal", opened.append)
    app = draw("pipeline")
    first = rows(app)[0]["id"]
    app.session_state["deals-Expected value-1"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()
    assert opened == [first]


def test_the_browsers_way_back_from_a_deal_leads_to_the_same_deals(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("crm_assets.app.views.pipeline.show_pipeline", shown.append)
    app = draw("pipeline", region=["Central", "East"], sort="Oldest")
    assert shown == []
    # The address that Streamlit leaves behind when it opens a deal.
    app.query_params.clear()
    app.query_params["id"] = "OPP1"
    app.run()
    assert shown == [{"region": ["Central", "East"], "sort": ["Oldest"]}]


def test_a_deal_in_the_address_of_the_book_changes_nothing(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("crm_assets.app.views.pipeline.show_pipeline", shown.append)
    app = draw("pipeline", id="OPP1", sort="Oldest")
    assert shown == []
    assert app.session_state[KEPT] == {"sort": ["Oldest"]}
