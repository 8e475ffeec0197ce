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


def test_values_that_changed_stand_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_why(
        moved(
            *(0.41, 0.532, 0.0, 0.091, 0.03, 0.001),
            opportunity_id="A1",
            previous_month="2017-08",
            snapshot_month="2017-09",
            previous_model_version="5",
            model_version="7",
            changed={"world": {"cohort_share_open": [None, 0.48123]}, "time": {"age_days": [31, 61]}},
        )
    )
    assert capsys.readouterr().out.splitlines() == [
        "A1, 2017-08 to 2017-09: 41.0 % to 53.2 %: time passed +9.1, the world changed +3.0, the model changed +0.1",
        "  time passed: age_days 31 to 61",
        "  the world changed: cohort_share_open empty to 0.481",
        "  the model changed: version 5 to version 7",
    ]
