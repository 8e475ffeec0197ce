from __future__ import annotations

from typing import Any

import pytest

from crm_assets.modelling.movement import PARTS
from crm_assets.why import print_why, sentence


def moved(before: float, now: float, *parts: float, **more: Any) -> dict[str, Any]:
    """A row of `score_changes` with its parts by deal, time, world and model."""
    return {"probability_before": before, "probability": now, **dict(zip(PARTS, parts, strict=True)), **more}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            moved(0.41, 0.552, 0.0, 0.091, 0.03, 0.021),
            "41.0 % to 55.2 %: time passed +9.1, the world changed +3.0, the model changed +2.1",
        ),
        (
            moved(0.5, 0.2, 0.1, -0.1, -0.3, 0.0),
            "50.0 % to 20.0 %: the world changed -30.0, the deal changed +10.0, time passed -10.0",
        ),
        (moved(0.5, 0.5005, 0.0, 0.0005, 0.0, 0.0), "50.0 % to 50.0 %: time passed +0.1"),
        (moved(0.001, 0.0013, 0.0, 0.0002, 0.0001, 0.0), "0.1 % to 0.1 %: no part reaches 0.05 percentage points"),
        (moved(0.3, 0.3, 0.0, 0.0, 0.0, 0.0), "30.0 % to 30.0 %: nothing changed"),
    ],
)
def test_a_change_in_words(row: dict[str, Any], told: str) -> None:
    assert sentence(row) == told


def test_reasons_stand_above_it_and_values_that_changed_below(capsys: pytest.CaptureFixture[str]) -> None:
    print_why(
        moved(
            *(0.41, 0.532, 0.0, 0.091, 0.03, 0.001),
            opportunity_id="A1",
            previous_month="2017-08",
            snapshot_month="2017-09",
            previous_model_version="5",
            model_version="7",
            reasons={
                "probability": 0.532,
                "base": 0.2,
                "raises": "its age (+30); its agent (+5)",
                "lowers": "rain (-2)",
            },
            rung="model",
            unmoved=None,
            changed={"world": {"cohort_share_open": [None, 0.48123]}, "time": {"age_days": [31, 61]}},
        )
    )
    assert capsys.readouterr().out.splitlines() == [
        "A1 at the end of 2017-09: 53.2 %, where typical deals have 20.0 %",
        "  raises  its age (+30)",
        "          its agent (+5)",
        "  lowers  rain (-2)",
        "A1, 2017-08 to 2017-09: 41.0 % to 53.2 %: time passed +9.1, the world changed +3.0, the model changed +0.1",
        "  time passed: age_days 31 to 61",
        "  the world changed: cohort_share_open empty to 0.481",
        "  the model changed: version 5 to version 7",
    ]


def test_on_the_ladder_there_are_no_reasons_but_the_rung(capsys: pytest.CaptureFixture[str]) -> None:
    print_why(
        moved(
            *(0.2, 0.2, 0.0, 0.0, 0.0, 0.0),
            opportunity_id="A1",
            snapshot_month="2017-05",
            reasons={"probability": 0.2, "base": 0.2, "raises": None, "lowers": None},
            rung="overall_rate",
            unmoved="none at the end of 2017-04, when it was not there",
            changed={},
        )
    )
    assert capsys.readouterr().out.splitlines() == [
        "A1 at the end of 2017-05: 20.0 %, as there is no model yet: every deal gets the win rate of all open deals",
        "A1 has no earlier score: none at the end of 2017-04, when it was not there.",
    ]
