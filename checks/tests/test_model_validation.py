"""The table of a validation, and what it fails for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks import model_validation
from checks.model_validation import main, table, validated, verdict

CLEAN = {"passed": True, "faults": [], "probes": [{}, {}]}
LEAKS = {"passed": False, "faults": ["close_value of 2017-03 separates outcomes"], "probes": [{}, {}]}


def backtest(low: float | None = 0.1) -> dict[str, Any]:
    figures = {
        name: {"estimate": 0.5, "low": low, "high": None if low is None else 0.9} for name in model_validation.SHOWN
    }
    return {"pooled": {"rows": 1200, "wins": 90, **figures}, "months": {"2017-03": {"rows": 600, **figures}}}


def test_a_model_that_is_better_passes() -> None:
    assert verdict(CLEAN, backtest()) == []
    text = table("simulated", CLEAN, backtest())
    assert "### simulated: passed" in text
    assert "| AUC | 0.500 (0.100 to 0.900) | 0.500 |" in text
    assert "2 probes for knowledge of the future, 0 of them failed." in text


@pytest.mark.parametrize("low", [0.0, -0.2, None])
def test_a_model_that_is_not_seen_to_be_better_fails(low: float | None) -> None:
    (fault,) = verdict(CLEAN, backtest(low))
    assert "the model is not seen to be better" in fault


def test_a_leak_fails_and_nothing_is_trained_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    asked = []

    def ask(arguments: Any, good: Any) -> Any:
        asked.append(arguments[0])
        return LEAKS

    assert validated("exports/crm", "source", ask) == 1
    assert asked == ["leakage"]
    assert "- leakage: close_value of 2017-03" in Path("bench/validation/source.md").read_text()


def test_the_report_is_shown_on_the_job_s_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert (
        validated("simulator:", "simulated", lambda arguments, _: {"leakage": CLEAN}.get(arguments[0], backtest())) == 0
    )
    assert "### simulated: passed" in (tmp_path / "summary.md").read_text()
    assert json.loads(Path("bench/validation/simulated.json").read_text())["leakage"] == CLEAN


def test_kaggle_s_crm_passes_untried_without_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAGGLE_KEY", raising=False)
    assert main(["--kaggle"]) == 0
    assert "was not validated" in capsys.readouterr().out
