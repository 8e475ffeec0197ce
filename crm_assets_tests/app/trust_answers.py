"""Answers of the API about the model and monitoring, as its schemas have them."""

from __future__ import annotations

from typing import Any

from crm_assets.serving.model_report_messages import ModelReport
from crm_assets.serving.monitoring_messages import MonitoringAnswer

_FIGURES = ("mean_auc", "auc", "brier", "base_rate_brier", "age_table_brier", "skill_vs_base_rate", "calibration_error")


def figure(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def report(**changed: Any) -> dict[str, Any]:
    """A report of a trained model."""
    figures = {name: figure(0.25, 0.2, 0.3) for name in _FIGURES}
    counts = {"wins": figure(90), "expected_wins": figure(88.4)}
    told: dict[str, Any] = {
        "month": "2017-12",
        "as_of": "2017-12-31",
        "months": ["2017-11", "2017-12"],
        "champion": {
            "version": "12",
            "month": "2017-09",
            "champion_since": "2017-09",
            "candidate": "blend",
            "recipe": "mean of two",
            "rung": "model",
            "rung_in_words": "trained model",
            "rows": 17_295,
            "wins": 2888,
            "learnt_from": "2017-02 to 2017-08",
        },
        "challenger": {"version": "13", "month": "2017-12", "candidate": "lightgbm", "rung": "model"},
        "judged": True,
        "figures": {**figures, **counts},
        "backtest": [
            {
                "month": "2017-11",
                "candidate": "blend",
                "seen_by_champion": False,
                "rows": 100,
                "wins": 20,
                "expected_wins": 19.5,
                "figures": figures,
            }
        ],
        "calibration": [
            {"rows": 10, "wins": 1, "expected_wins": 0.5, "predicted": 0.05, "won": figure(0.1, 0.0, 0.3)},
            {"rows": 1136, "wins": 341, "expected_wins": 360.0, "predicted": 0.32, "won": figure(0.3, 0.27, 0.33)},
        ],
        "gain": [{"worked": at / 10, "model": min(1.0, at / 4), "age_table": at / 10} for at in range(11)],
        "importance": [
            {"name": "age_days", "description": "Days since the opportunity was engaged", "share": 0.75},
            {"name": "sales_agent", "description": "Agent who owns the opportunity", "share": 0.25},
        ],
        "segments": [segment("region", "West"), segment("product", "GTX *Pro*")],
        "left_out": [{"level": "product", "parts": 1, "rows": 60}],
        "unseen": [],
        "candidates": [{"name": "blend", "months_chosen": 4, "figures": {"brier": figure(0.1), "auc": figure(0.8)}}],
        "books": [],
        "promotions": [
            promotion("2017-12", checks=[check("average precision", "failed"), check("brier", "not applicable")]),
            promotion("2017-11", trained=False, champion_version=None, reason="0 wins; too few"),
        ],
        "leakage": leakage(),
    }
    return ModelReport.model_validate({**told, **changed}).model_dump(mode="json")


def segment(level: str, name: str) -> dict[str, Any]:
    counts = {"rows": 300, "wins": 40, "expected_wins": 38.2}
    return {"level": level, "name": name, **counts, "brier": figure(0.1, 0.09, 0.11), "auc": figure(0.85)}


def promotion(month: str, **changed: Any) -> dict[str, Any]:
    return {
        "month": month,
        "trained": True,
        "promoted": False,
        "reason": "average precision: improvement -0.0009",
        "candidate": "blend",
        "model_version": "13",
        "champion_version": "12",
        "champion_month": "2017-09",
        "champion_rung": "model",
        "test_months": 6,
        "figures": {},
        "checks": [],
        **changed,
    }


def check(name: str, verdict: str) -> dict[str, Any]:
    return {
        "name": name,
        "verdict": verdict,
        "detail": f"{name}: told",
        **dict.fromkeys(("figure", "low", "high", "limit")),
    }


def leakage(**changed: Any) -> dict[str, Any]:
    probe = {"probe": "won from lost", "claim": "No single feature tells.", "passed": 34, "failed": 0, "not_run": 0}
    found = {"column": "agent_open", "measured": 0.66, "limit": 0.81, "detail": "fine"}
    return {"passed": 34, "failed": 0, "not_run": 0, "probes": [{**probe, **found}], "faults": [], **changed}


def drift(month: str, level: str | None = "NONE", **changed: Any) -> dict[str, Any]:
    status = "not compared" if level is None else "compared"
    figures = dict.fromkeys(("reason", "share_moved", "prediction_psi", "quality", "model_version"))
    return {"month": month, "status": status, "level": level, "why": [], **figures, **changed}


def column(part: str = "intake", name: str = "product", **changed: Any) -> dict[str, Any]:
    empty = ("test", "statistic", "p_value", "p_limit", "psi", "psi_limit", "change", "change_limit")
    bins = [{"name": "GTX Pro", "low": None, "high": None, "current": 0.6, "reference": 0.4}]
    return {
        "part": part,
        "column": name,
        "description": "Product on offer",
        "kind": "categorical",
        "verdict": "as usual",
        **dict.fromkeys((*empty, "missing_current", "missing_reference", "bad_share", "reason")),
        "new_categories": "",
        "bad": "",
        "distribution": {"kind": "categories", "bins": bins, "current_rows": 10, "reference_rows": 100},
        **changed,
    }


def performance(month: str, matured: str, *, known: bool = True, **changed: Any) -> dict[str, Any]:
    one = {"realised": 366 if known else None, "estimate": 331, "low": 268, "high": 394, "inside": known or None}
    return {
        "month": month,
        "matured_month": matured,
        "matured": known,
        "model_version": "9",
        "rung": "model",
        "rows": 1946,
        "wins": 366 if known else None,
        "predicted_wins": 331.0,
        "expected_revenue": 1.2e6 if known else None,
        "realised_revenue": 1.3e6 if known else None,
        "figures": dict.fromkeys(("wins", "auc", "brier"), one),
        "compared": known,
        "reason": None,
        "failed": [],
        **changed,
    }


def monitoring(**changed: Any) -> dict[str, Any]:
    """What monitoring knows of a month that is as usual."""
    told: dict[str, Any] = {
        "month": "2017-12",
        "as_of": "2017-12-31",
        "months": ["2017-11", "2017-12"],
        "has_report": True,
        "drift": drift("2017-12"),
        "history": [drift("2017-11", None, reason="no scores"), drift("2017-12")],
        "sides": [{"part": part, "rows": 10, "reference_rows": 100} for part in ("intake", "book", "closings")],
        "reference_months": ["2017-09"],
        "columns": [
            column(),
            column("book", "probability", kind="prediction", psi=0.1, psi_limit=0.75),
            column("closings", "all closings", kind="share won", change=-0.02, change_limit=0.15, distribution=None),
        ],
        "quality": [
            {
                "month": "2017-12",
                "score": 0.95,
                "rows": 8800,
                "quarantined": 2,
                "reasons": ["2 stage unknown"],
                "misspelled": ["815 product: GTXPro -> GTX Pro"],
                "without_account": 1450,
            }
        ],
        "performance": [performance("2017-11", "2017-12"), performance("2017-12", "2018-01", known=False)],
        "segments": [],
        "traffic": [],
    }
    return MonitoringAnswer.model_validate({**told, **changed}).model_dump(mode="json")
