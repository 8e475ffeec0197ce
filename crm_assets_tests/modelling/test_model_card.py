"""The model card: its figures are right, it says what it may, and every number that stands on it is read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.cold_start import RateTable
from crm_assets.modelling.intervals import bootstrapped
from crm_assets.modelling.model_card import MODEL_CARD, Book, CardContent, ModelCard, model_card
from crm_assets.modelling.page import NUMBER, differences, printed_on_html, printed_on_markdown
from crm_assets.modelling.win_model import WinModel

MONTH = Month(2017, 9)
TESTED = ("2017-06", "2017-07", "2017-08")
PER_MONTH = 500
JUDGED = ("Protocol", "Figures", "Month by month", "Calibration", "Cumulative gain", "Segments", "Candidates")


@dataclass(frozen=True)
class Stub:
    """A fitted candidate that gives every deal the same."""

    candidate: str = "blend"
    features: tuple[str, ...] = ("age_days", "sales_agent")

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return np.full(len(frame), 0.2)

    def importance(self) -> dict[str, float]:
        return {"age_days": 75.0, "sales_agent": 25.0}

    def to_dict(self) -> dict[str, Any]:
        return {"candidate": self.candidate}


TRAINING: dict[str, int | str] = {
    "month": "2017-08",
    "rows": 4321,
    "wins": 567,
    "first_month": "2017-02",
    "last_month": "2017-07",
    "deals": 2000,
    "closed_deals": 900,
}


def rows_of(seed: int = 5) -> pd.DataFrame:
    random, size = np.random.default_rng(seed), len(TESTED) * PER_MONTH
    truth = random.beta(1, 4, size)
    return pd.DataFrame(
        {
            "opportunity_id": [f"D{number % 700:04d}" for number in range(size)],
            "snapshot_month": np.repeat(TESTED, PER_MONTH),
            "candidate": np.repeat(["logistic", "blend", "blend"], PER_MONTH),
            "probability": truth,
            "base_rate_probability": 0.2,
            "age_table_probability": np.clip(truth + random.normal(0, 0.1, size), 0.01, 0.99),
            "won": (random.random(size) < truth).astype(int),
            "regional_office": random.choice(["East", "West"], size),
            "product": np.where(np.arange(size) % 20 == 0, "Rare", "GTX_Pro"),
            "sales_agent": random.choice(["Ann", "Bob"], size),
        }
    )


def content_of(**given: Any) -> CardContent:
    rows = rows_of()
    keys = ["opportunity_id", "snapshot_month"]
    champion = WinModel(Stub(), None, None, TRAINING, "c0ntract")
    candidates = [
        rows[keys].assign(candidate=name, probability=rows["probability"] * factor)
        for name, factor in (("blend", 1.0), ("logistic", 0.9))
    ]
    unseen = rows[rows["snapshot_month"] == "2017-08"]
    content = CardContent(
        month=MONTH,
        dataset="crm",
        decision={
            "snapshot_month": str(MONTH),
            "champion_version": "7",
            "champion_month": "2017-08",
            "model_version": "8",
            "model_sha256": "ab" * 32,
            "candidate": "blend",
            "training_rows": 5000,
            "training_wins": 600,
            "reason": "no better",
        },
        checks=[
            {
                "check": "decision",
                "verdict": "failed",
                "figure": None,
                "low": None,
                "high": None,
                "detail": "no better",
            },
            {"check": "brier", "verdict": "failed", "figure": 0.1, "low": -0.1, "high": 0.3, "detail": "+0.1000 only"},
        ],
        probes=[
            {"probe": "truncation", "verdict": "passed", "table": "f", "column": "*", "detail": "same"},
            {"probe": "later rows", "verdict": "failed", "table": "f", "column": "age", "detail": "3 rows differ"},
        ],
        books=[Book(Month.parse(name), PER_MONTH + 4, 100, 50, 350) for name in TESTED] + [Book(MONTH, 321)],
        ages=np.arange(321),
        predictions=rows,
        candidates=pd.concat(candidates, ignore_index=True),
        champion=champion,
        unseen=unseen[keys].assign(probability=0.2),
        intervals=bootstrapped(rows, seed=0, resamples=30),
        resamples=30,
        window=3,
        min_wins=50,
    )
    return replace(content, **given)


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return model_card(content_of())


def figure(card: ModelCard, section: str, name: str, subject: str = "all") -> dict[str, Any]:
    (found,) = [
        row for row in card.figures if (row["section"], row["name"], row["subject"]) == (section, name, subject)
    ]
    return dict(found)


def test_figures_are_those_of_the_rows(card: ModelCard) -> None:
    rows = rows_of()
    won, probability = rows["won"].to_numpy(), rows["probability"].to_numpy()
    above = probability[won == 1][:, None] > probability[won == 0][None, :]
    right = {
        "rows": 1500,
        "wins": won.sum(),
        "expected_wins": probability.sum(),
        "brier": np.mean((probability - won) ** 2),
        "auc": above.mean(),
        "skill_vs_base_rate": 1 - np.mean((probability - won) ** 2) / np.mean((0.2 - won) ** 2),
        "accuracy": np.mean((probability >= 0.5) == won),
        "accuracy_of_nobody": 1 - won.mean(),
    }
    for name, value in right.items():
        assert figure(card, "Figures", name)["value"] == pytest.approx(value), name
    brier = figure(card, "Figures", "brier")
    assert brier["low"] < brier["value"] < brier["high"]
    first = rows[rows["snapshot_month"] == TESTED[0]]
    assert figure(card, "Month by month", "wins", TESTED[0])["value"] == first["won"].sum()
    east = rows[rows["regional_office"] == "East"]
    error = np.mean((east["probability"] - east["won"]) ** 2)
    assert figure(card, "Segments", "brier", "region East")["value"] == pytest.approx(error)
    own = rows[rows["snapshot_month"] == "2017-08"]
    assert figure(card, "The champion itself", "brier", "2017-08")["value"] == pytest.approx(
        np.mean((0.2 - own["won"]) ** 2)
    )
    worse = np.mean((0.9 * probability - won) ** 2) - np.mean((probability - won) ** 2)
    assert figure(card, "Candidates", "brier_over_chosen", "logistic")["value"] == pytest.approx(worse)
    assert figure(card, "Candidates", "months_chosen", "logistic")["value"] == 1
    assert figure(card, "Protocol", "censored")["value"] == 12


def test_bins_and_gain_hold_all_rows_and_wins(card: ModelCard) -> None:
    won = rows_of()["won"].sum()
    bins = [row for row in card.figures if row["section"] == "Calibration"]
    assert sum(row["value"] for row in bins if row["name"] == "rows") == 1500
    assert sum(row["value"] for row in bins if row["name"] == "wins") == won
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in bins if row["name"] == "won")
    lift = figure(card, "Figures", "top_decile_lift")["value"]
    assert figure(card, "Cumulative gain", "model", "first 010 %")["value"] == pytest.approx(lift / 10)
    assert figure(card, "Cumulative gain", "model", "first 100 %")["value"] == 1


def test_months_the_champion_learnt_from_are_told(card: ModelCard) -> None:
    told = {month: figure(card, "Month by month", "champion", month)["told"] for month in TESTED}
    assert told == {"2017-06": "learnt from", "2017-07": "learnt from", "2017-08": "not seen"}


def test_segments_with_few_rows_are_left_out_and_counted(card: ModelCard) -> None:
    assert not [row for row in card.figures if row["subject"] == "product Rare"]
    assert figure(card, "Segments", "rows_left_out", "product")["value"] == 75


def test_all_that_is_put_down_is_printed(card: ModelCard) -> None:
    keys = [tuple(row[name] for name in MODEL_CARD.key) for row in card.figures]
    assert len(set(keys)) == len(keys)
    on_html = "\n".join(printed_on_html(card.page.html()).values())
    on_markdown = "\n".join(printed_on_markdown(card.page.markdown()).values()).replace("\\", "")
    for row in card.figures:
        assert str(row["told"]) in on_html, row
        assert str(row["told"]) in on_markdown, row


def test_pages_say_the_same(card: ModelCard) -> None:
    on_html = {k: v for k, v in printed_on_html(card.page.html()).items() if "picture" not in k}
    numbers = [
        [number for text in printed.values() for number in NUMBER.findall(text)]
        for printed in (on_html, printed_on_markdown(card.page.markdown().replace("\\", "")))
    ]
    drawn = [NUMBER.findall(f"({MONTH}.svg)")] * 2
    assert len(numbers[0]) > 400
    assert sorted(numbers[0] + [number for found in drawn for number in found]) == sorted(numbers[1])


def test_accuracy_comes_last_and_with_what_it_is_worth(card: ModelCard) -> None:
    table = card.page.markdown().partition("## Figures")[2].partition("## ")[0]
    nobody = figure(card, "Figures", "accuracy_of_nobody")["told"]
    assert table.strip().splitlines()[-1].endswith(f"that nobody wins is right for {nobody} |")


def test_equal_rows_in_another_order_give_the_same_card(card: ModelCard) -> None:
    content = content_of()
    shuffled = replace(
        content,
        predictions=content.predictions.sample(frac=1, random_state=1),
        candidates=content.candidates.sample(frac=1, random_state=2),
    )
    assert [row["told"] for row in model_card(shuffled).figures] == [row["told"] for row in card.figures]
    assert model_card(content_of()).page.html() == card.page.html()


def test_a_rung_gets_a_short_card_that_does_not_pretend() -> None:
    rung = WinModel(RateTable("overall_rate", 0.1), None, None, TRAINING, "c0ntract")
    none = rows_of().iloc[:0]
    card = model_card(content_of(champion=rung, predictions=none, candidates=none, unseen=none, intervals=None))
    text = card.page.markdown()
    assert not {section.title for section in card.page.sections} & set(JUDGED)
    assert "It is no trained model" in text
    assert "How good these scores are has not been measured" in text
    assert "names of agents" not in text
    assert card.drawing is None


def test_a_rung_beside_a_backtest_does_not_borrow_its_figures() -> None:
    rung = WinModel(RateTable("overall_rate", 0.1), None, None, TRAINING, "c0ntract")
    card = model_card(content_of(champion=rung))
    assert not {section.title for section in card.page.sections} & set(JUDGED)


def test_without_a_champion_it_says_that_nothing_is_scored() -> None:
    none = rows_of().iloc[:0]
    decision = {**content_of().decision, "champion_version": None, "champion_month": None, "model_version": None}
    given: dict[str, Any] = {"champion": None, "predictions": none, "candidates": none, "unseen": none}
    text = model_card(content_of(decision=decision, intervals=None, **given)).page.markdown()
    assert "Nothing is scored: there is no champion. No better." in text


def test_failed_probes_are_named(card: ModelCard) -> None:
    assert "- f.age, later rows: 3 rows differ" in card.page.markdown()
    assert figure(card, "Leakage gate", "failed")["value"] == 1


def test_the_page_needs_nothing_from_elsewhere(card: ModelCard) -> None:
    page = card.page.html()
    assert "default-src 'none'" in page
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert len(page) < 100_000


def test_names_cannot_break_out_of_the_page() -> None:
    rows = rows_of()
    rows["regional_office"] = "<script>alert(1)</script>|`*East*"
    card = model_card(content_of(predictions=rows))
    assert "<script" not in card.page.html()
    assert "<script" not in card.page.markdown()
    line = next(text for text in card.page.markdown().splitlines() if "alert" in text)
    assert line.startswith(r"| &lt;script&gt;alert(1)&lt;/script&gt;\|'\*East\* | 1,500 |")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_digit_that_is_changed_is_found(data: st.DataObject) -> None:
    page = model_card_once().page
    markdown = page.markdown()
    digits = [at for at, letter in enumerate(markdown) if letter.isdigit()]
    at = data.draw(st.sampled_from(digits))
    other = str((int(markdown[at]) + data.draw(st.integers(1, 9))) % 10)
    changed = markdown[:at] + other + markdown[at + 1 :]
    assert list(differences(printed_on_markdown(changed), printed_on_markdown(markdown)))


_MADE: list[ModelCard] = []


def model_card_once() -> ModelCard:
    if not _MADE:
        _MADE.append(model_card(content_of()))
    return _MADE[0]


def test_a_changed_number_is_named_by_where_it_stands(card: ModelCard) -> None:
    page, markdown = card.page.html(), card.page.markdown()
    told = figure(card, "Segments", "rows", "region East")["told"]
    wrong = page.replace(f"<td>{told}</td>", "<td>9</td>", 1)
    assert [*differences(printed_on_html(wrong), printed_on_html(page))] == [
        f"Segments, East, Rows: 9 is printed, not {told}"
    ]
    wrong = markdown.replace("| 4,321 |", "| 4,322 |", 1)
    assert [*differences(printed_on_markdown(wrong), printed_on_markdown(markdown))] == [
        "Model, Rows it learnt from, Champion: 4,322 is printed, not 4,321"
    ]
    drawn = page.replace('r="4"', 'r="5"', 1)
    assert "picture" in next(differences(printed_on_html(drawn), printed_on_html(page)))
    shorter = markdown.replace("- Another company", "Another company", 1).partition("- Another horizon")[0]
    assert any("missing" in found for found in differences(printed_on_markdown(shorter), printed_on_markdown(markdown)))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "`crm-assets model-card --month 2017-09 --verify` computes"),
        (None, "--verify`, with the folder of `crm` as `--source` or in `CRM_SOURCE_URL`, computes"),
        ("s3://bucket/crm", "`crm-assets verify --month 2017-09 --source s3://bucket/crm` makes"),
        ("simulator:?a=1&seed=8", "--verify --source 'simulator:?a=1&seed=8'` computes"),
    ],
)
def test_the_command_that_checks_it_is_of_its_own_source(source: str | None, told: str) -> None:
    card = model_card(content_of(source=source))
    assert told in card.page.markdown()
    assert card.figures == model_card(content_of()).figures
