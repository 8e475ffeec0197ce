from __future__ import annotations

import math
import re

import pytest

from crm_assets.app.wording import MINUS, NOTHING, count, days, dollars, percent, points, written


@pytest.mark.parametrize(
    ("share", "digits", "wanted"),
    [
        (0.123, 0, "12 %"),
        (0.123, 1, "12.3 %"),
        (0.0, 0, "0 %"),
        (1.0, 0, "100 %"),
        (0.004, 0, "< 1 %"),
        (0.0004, 1, "< 0.1 %"),
        (0.996, 0, "> 99 %"),
        (-0.123, 0, f"{MINUS}12 %"),
        (-0.001, 0, f"> {MINUS}1 %"),
        (None, 0, NOTHING),
        (math.nan, 0, NOTHING),
    ],
)
def test_a_share_is_told_in_percent(share: float | None, digits: int, wanted: str) -> None:
    assert percent(share, digits) == wanted


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (0.05, "+5 points"),
        (0.01, "+1 point"),
        (-0.014, f"{MINUS}1 point"),
        (-0.63, f"{MINUS}63 points"),
        (0.004, "+0.4 points"),
        (-0.004, f"{MINUS}0.4 points"),
        (0.0, "no change"),
        (None, NOTHING),
    ],
)
def test_a_change_is_told_in_points(change: float | None, wanted: str) -> None:
    assert points(change) == wanted


@pytest.mark.parametrize(
    ("amount", "wanted"),
    [
        (0, "$0"),
        (949.6, "$950"),
        (9_994, "$9,994"),
        (12_345, "$12,300"),
        (999_499, "$999,500"),
        (1_240_000, "$1.24 M"),
        (999_994_000, "$999.99 M"),
        (999_996_000, "$1.00 B"),
        (1e12, "$1,000.00 B"),
        (-5_600, f"{MINUS}$5,600"),
        (-0.2, "$0"),
        (None, NOTHING),
    ],
)
def test_an_amount_is_rounded_as_far_as_it_matters(amount: float | None, wanted: str) -> None:
    assert dollars(amount) == wanted


def test_numbers_and_days() -> None:
    assert count(12_345) == "12,345"
    assert count(None) == NOTHING
    assert days(1) == "1 day"
    assert days(1_200) == "1,200 days"


@pytest.mark.parametrize("text", ["a *b* _c_ `d`", "$x$ [y](z) <b>", "&lt; | # + ! ~", "1. one", "- one", ":red[x]"])
def test_markdown_leaves_written_text_as_it_stands(text: str) -> None:
    escaped = written(text)
    assert re.sub(r"\\(?=[!-/:-@\[-`{-~])|\N{WORD JOINER}", "", escaped) == text
    assert not re.search(r"(?<!\\)[`*_{}\[\]<>()#+!|$~:&]|^\d*[-.]\s", escaped)


@pytest.mark.parametrize(
    "text",
    [":smile:", ":100:", ":material/home:", "https://evil.example", "www.evil.example", "me@evil.example"],
)
def test_links_and_emoji_are_not_found_in_written_text(text: str) -> None:
    # What the page's Markdown looks for in text whose backslashes are gone.
    found = r":[\w+-]+:|:material/|https?://|www\.|[\w.+-]+@"
    assert re.search(found, text)
    assert not re.search(found, written(text).replace("\\", ""))


def test_a_time_and_a_share_are_written_without_a_break() -> None:
    assert written("05:00:00 UTC\n  87 %") == "05\\:00\\:00 UTC 87\N{NO-BREAK SPACE}%"
