from __future__ import annotations

import dataclasses
import json
import re
import socket
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import DriftReport, drift_report
from crm_assets.monitoring.drift_page import DRAWN_ROWS
from crm_assets.monitoring.drift_plot import trend
from crm_assets_tests.monitoring.books import COMPARED, month_rows, reference

HOSTILE = "</script></head><body><script>alert('Nova & co')</script>"


def report() -> DriftReport:
    rows = month_rows()
    intake = rows.intake.copy()
    intake["list_price"] = intake["list_price"].mask(intake.index % 5 == 0)
    intake["product"] = intake["product"].mask(intake.index % 15 == 0, HOSTILE)
    return drift_report(dataclasses.replace(rows, intake=intake), reference(), **COMPARED)


@pytest.fixture(scope="module")
def compared() -> DriftReport:
    return report()


@pytest.fixture(scope="module")
def not_compared() -> DriftReport:
    early = reference(before=("2017-06", "2017-07"))
    return drift_report(month_rows(), early, **{**COMPARED, "month": Month(2017, 8)})


class Loaded(HTMLParser):
    """What a page asks the browser to load, its policy, and the text of its styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.policy = ""
        self.styles = ""
        self._in_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value for name in ("src", "srcset", "href", "data", "action") if (value := given.get(name))]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles += data


@pytest.mark.parametrize("kind", ["compared", "not_compared"])
def test_a_page_loads_nothing_from_elsewhere(kind: str, request: pytest.FixtureRequest) -> None:
    page: DriftReport = request.getfixturevalue(kind)
    loaded = Loaded(page.html)
    assert loaded.addresses == []
    assert all(address.startswith("data:") for address in re.findall(r"url\(([^)]*)\)", loaded.styles))
    assert "@import" not in loaded.styles
    sources = {source for part in loaded.policy.split(";") for source in part.split()[1:]}
    assert "default-src 'none'" in loaded.policy
    assert sources == {"'none'", "'unsafe-inline'", "data:", "blob:"}


def test_a_page_is_made_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("a report opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert report().html


def test_the_same_rows_make_the_same_bytes(compared: DriftReport) -> None:
    assert report().html == compared.html


def drawn(page: str) -> list[dict[str, Any]]:
    """Rows of Evidently's table, read from the data it draws."""
    data, _ = json.JSONDecoder().raw_decode(page, re.search(r"var drift_0 = ", page).end())  # type: ignore[union-attr]  # it is there
    rows: list[dict[str, Any]] = data["widgets"][0]["widgets"][0]["params"]["data"]
    return rows


def test_the_picture_says_what_the_table_says(compared: DriftReport) -> None:
    rows = drawn(compared.html)
    table = compared.columns[compared.columns["psi"].notna()].set_index("column")
    assert rows[0]["column_name"] == "probability"
    assert {row["column_name"] for row in rows} == set(table.index)
    for row in rows:
        said = table.loc[row["column_name"]]
        assert row["drift_score"] == pytest.approx(said["psi"], abs=1e-6)
        assert row["data_drift"] == ("Moved" if said["moved"] else "Not moved")


def test_the_small_histograms_of_a_number_share_their_bins(compared: DriftReport) -> None:
    for row in drawn(compared.html):
        if row["column_type"] == "num":
            assert row["current_distribution"]["x"] == row["reference_distribution"]["x"]


def test_the_verdict_is_readable_without_scripts(compared: DriftReport) -> None:
    verdict = compared.html.partition('<section class="verdict">')[2].partition("</section>")[0]
    assert f">{compared.level}</span>" in verdict
    for why in compared.why:
        assert escape(why[1:]) in verdict
    assert "against 1,400 reference rows (the books at the end of 2017-02, 2017-05, the second month" in verdict
    for row in compared.columns[compared.columns["psi"].notna()].to_dict("records"):
        assert f"{row['psi']:.3f}" in verdict
    assert "<td class=number>20.0%</td>" in verdict


def test_names_from_the_data_are_text_on_the_page(compared: DriftReport) -> None:
    assert f"{escape(HOSTILE)} (40)" in compared.html
    assert "<script>alert" not in compared.html
    assert HOSTILE not in compared.html


def test_a_page_of_a_month_that_was_not_compared_says_why(not_compared: DriftReport) -> None:
    assert "not compared</span>" in not_compared.html
    assert f"<p>Not compared: {not_compared.reason}.</p>" in not_compared.html


def test_a_large_month_is_drawn_from_a_part_and_compared_as_a_whole() -> None:
    rows = month_rows(book=3 * DRAWN_ROWS)
    found = drift_report(rows, reference(), **COMPARED)
    assert found.rows["book"] == 3 * DRAWN_ROWS
    small = drift_report(month_rows(), reference(), **COMPARED)
    assert len(found.html) < 2 * len(small.html)


def test_the_trend_is_a_picture_also_of_months_that_were_not_compared(compared: DriftReport) -> None:
    months = [{"snapshot_month": "2017-06"}, {**compared.summary(), "snapshot_month": "2017-07"}, compared.summary()]
    assert trend(months).startswith(b"\x89PNG")
    assert trend(months) == trend(months)
    assert trend(months) != trend(months[:2])
