"""The report about the model of a month, read from its card, its decisions and what the leakage gate found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import polars as pl

from crm_assets.calendar import Month
from crm_assets.errors import LakeError
from crm_assets.features.registry import AS_OF, FEATURES
from crm_assets.lake import Lake
from crm_assets.leakage.finding import LEAKAGE_REPORT, Probe, Verdict, faults_of, worst
from crm_assets.modelling.card_ledger import ALL, MODEL_CARD
from crm_assets.modelling.cold_start import MODEL, WORDS
from crm_assets.modelling.promotion import DECISION, FIGURES, PROMOTION_CHECKS, SEGMENTS, WIN_MODEL
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake

MODEL_REPORT_FROM = (MODEL_CARD.name, WIN_MODEL.name, PROMOTION_CHECKS.name, LEAKAGE_REPORT.name)
"""Assets that the report is read from."""

CLAIMS: Final[Mapping[str, str]] = {
    Probe.STORED: "The stored features are those that their definitions give for the source as it is.",
    Probe.TRUNCATION: "They are the same when all that came later is cut off the source.",
    Probe.ANOTHER_FUTURE: "They are the same when open deals end otherwise.",
    Probe.IRRELEVANCE: "They are the same when later rows are added, ids renamed and rows shuffled.",
    Probe.WON_FROM_LOST: "No single feature tells won from lost deals better than honest history can.",
    Probe.CLOSED_FROM_OPEN: "No single feature tells which deals close better than their age does.",
    Probe.MISSINGNESS: "No feature is missing more often for one outcome than for the other.",
    Probe.CUT_OFF: "Every outcome that the model learnt from was known in the month it was trained in.",
    Probe.BOTH_SIDES: "No row stands in the training and in the test of one model.",
    Probe.LATER_ROWS: "The model is the same when rows that were not known at its month change.",
}
"""Probe of the leakage gate -> what holds when it passes."""

_Row = Mapping[str, Any]


def model_report(settings: Settings, month: Month) -> dict[str, Any]:
    """The report of a month, as `ModelReport` has it. Raises LakeError when something of it is not stored."""
    lake = stored_lake(settings)
    card = _Card(pl.read_parquet(lake.table_path(MODEL_CARD.name, month)).to_dicts())
    decisions = [_decision(lake, held) for held in _months(lake, WIN_MODEL.name, month)]
    if not decisions or decisions[-1]["snapshot_month"] != str(month):
        raise LakeError(f"{lake.url} lacks {WIN_MODEL.name} of {month}: run crm-assets run --months {month}")
    decided = decisions[-1]
    return {
        "month": str(month),
        "as_of": month.end,
        "months": lake.months(MODEL_CARD.name),
        "champion": _champion(card, decisions),
        "challenger": _challenger(decided),
        "why_no_champion": decided["reason"] if decided["champion_version"] is None else None,
        "judged": bool(card.subjects("Month by month")),
        "figures": card.figures("Figures", ALL),
        "backtest": [_tested(card, subject) for subject in card.subjects("Month by month")],
        "calibration": [_bin(card, subject) for subject in card.subjects("Calibration")],
        "gain": list(_gain(card)),
        "importance": list(_importance(card)),
        "segments": list(_segments(card)),
        "left_out": list(_left_out(card)),
        "unseen": [_unseen(card, subject) for subject in card.subjects("The champion itself")],
        "candidates": [_candidate(card, subject) for subject in card.subjects("Candidates")],
        "books": [_book(card, subject) for subject in card.subjects("Data") if subject != ALL],
        "promotions": [_promotion(lake, row) for row in reversed(decisions)],
        "leakage": _leakage(lake, month),
    }


class _Card:
    """Figures of a card by where they stand.

    Args:
        rows: of MODEL_CARD, in the order of the page.
    """

    def __init__(self, rows: Iterable[_Row]) -> None:
        self._at: dict[str, dict[str, dict[str, _Row]]] = {}
        for row in rows:
            self._at.setdefault(row["section"], {}).setdefault(str(row["subject"]), {})[row["name"]] = row

    def subjects(self, section: str) -> list[str]:
        """In the order of the page."""
        return list(self._at.get(section, {}))

    def row(self, section: str, subject: str, name: str) -> _Row:
        """Empty where there is none."""
        return self._at.get(section, {}).get(subject, {}).get(name, {})

    def value(self, section: str, subject: str, name: str) -> float | None:
        found = self.row(section, subject, name).get("value")
        return None if found is None else float(found)

    def count(self, section: str, subject: str, name: str) -> int | None:
        found = self.value(section, subject, name)
        return None if found is None else round(found)

    def told(self, section: str, subject: str, name: str) -> str | None:
        """A fact in words."""
        return self.row(section, subject, name).get("told")

    def figure(self, section: str, subject: str, name: str) -> dict[str, Any]:
        row = self.row(section, subject, name)
        return {part: row.get(part) for part in ("value", "low", "high", "unit")}

    def figures(self, section: str, subject: str) -> dict[str, dict[str, Any]]:
        """Those with a number, or that are undefined; facts in words are left out."""
        names = self._at.get(section, {}).get(subject, {})
        return {
            name: self.figure(section, subject, name)
            for name, row in names.items()
            if row["value"] is not None or row["told"] == "undefined"
        }


def _months(lake: Lake, asset: str, month: Month) -> list[Month]:
    return [held for held in map(Month.parse, lake.months(asset)) if held <= month]


def _decision(lake: Lake, month: Month) -> dict[str, Any]:
    return pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)


def _champion(card: _Card, decisions: list[dict[str, Any]]) -> dict[str, Any] | None:
    decided = decisions[-1]
    version = decided["champion_version"]
    if version is None:
        return None
    since = decided["snapshot_month"]
    for row in reversed(decisions):
        if row["champion_version"] != version:
            break
        since = row["snapshot_month"]
    recipe = card.told("Model", "champion", "recipe") or ""
    return {
        "version": version,
        "month": decided["champion_month"],
        "champion_since": since,
        "candidate": recipe.partition(":")[0] or None,
        "recipe": recipe.partition(":")[2].strip() or None,
        "rung": decided["champion_rung"],
        "rung_in_words": WORDS.get(decided["champion_rung"]),
        "rows": card.count("Model", "champion", "rows"),
        "wins": card.count("Model", "champion", "wins"),
        "learnt_from": card.told("Model", "champion", "books"),
        "sha256": decided["champion_sha256"],
    }


def _challenger(decided: _Row) -> dict[str, Any] | None:
    if decided["model_version"] is None or decided["model_version"] == decided["champion_version"]:
        return None
    return {
        "version": decided["model_version"],
        "month": decided["snapshot_month"],
        "candidate": decided["candidate"],
        "rung": MODEL,
        "rung_in_words": WORDS[MODEL],
        "rows": decided["training_rows"],
        "wins": decided["training_wins"],
        "sha256": decided["model_sha256"],
    }


def _tested(card: _Card, subject: str) -> dict[str, Any]:
    section = "Month by month"
    figures = card.figures(section, subject)
    counts = {name: figures.pop(name)["value"] for name in ("rows", "wins", "expected_wins")}
    return {
        "month": subject,
        "candidate": card.told(section, subject, "candidate"),
        "seen_by_champion": card.told(section, subject, "champion") == "learnt from",
        "rows": round(counts["rows"]),
        "wins": round(counts["wins"]),
        "expected_wins": counts["expected_wins"],
        "figures": figures,
    }


def _bin(card: _Card, subject: str) -> dict[str, Any]:
    section = "Calibration"
    return {
        "rows": card.count(section, subject, "rows"),
        "wins": card.count(section, subject, "wins"),
        "expected_wins": card.value(section, subject, "expected_wins"),
        "predicted": card.value(section, subject, "predicted"),
        "won": card.figure(section, subject, "won"),
    }


def _gain(card: _Card) -> Iterator[dict[str, Any]]:
    section = "Cumulative gain"
    subjects = card.subjects(section)
    if subjects:
        yield {"worked": 0.0, "model": 0.0, "age_table": 0.0}
    for subject in subjects:
        worked = int("".join(filter(str.isdigit, subject))) / 100
        yield {"worked": worked, **{name: card.value(section, subject, name) for name in ("model", "age_table")}}


def _importance(card: _Card) -> Iterator[dict[str, Any]]:
    described = {feature.name: (feature.description, feature.unit) for feature in FEATURES}
    described[AS_OF] = ("Last day of the month as of which is scored", None)
    for subject in card.subjects("Model"):
        share = card.value("Model", subject, "importance")
        if share is not None:
            told, unit = described.get(subject, ("", None))
            yield {"name": subject, "description": told, "unit": unit, "share": share}


def _segments(card: _Card) -> Iterator[dict[str, Any]]:
    section = "Segments"
    for subject in card.subjects(section):
        name = card.told(section, subject, "segment")
        if name is not None:
            yield {
                "level": subject.partition(" ")[0],
                "name": name,
                "rows": card.count(section, subject, "rows"),
                "wins": card.count(section, subject, "wins"),
                "expected_wins": card.value(section, subject, "expected_wins"),
                "brier": card.figure(section, subject, "brier"),
                "auc": card.figure(section, subject, "auc"),
            }


def _left_out(card: _Card) -> Iterator[dict[str, Any]]:
    for level in SEGMENTS:
        parts = card.count("Segments", level, "left_out")
        if parts:
            yield {"level": level, "parts": parts, "rows": card.count("Segments", level, "rows_left_out")}


def _unseen(card: _Card, subject: str) -> dict[str, Any]:
    section = "The champion itself"
    return {
        "name": subject,
        "rows": card.count(section, subject, "rows"),
        "wins": card.count(section, subject, "wins"),
        "expected_wins": card.value(section, subject, "expected_wins"),
        "brier": card.figure(section, subject, "brier"),
        "age_table_brier": card.value(section, subject, "age_table_brier"),
        "auc": card.figure(section, subject, "auc"),
    }


def _candidate(card: _Card, subject: str) -> dict[str, Any]:
    figures = card.figures("Candidates", subject)
    chosen = figures.pop("months_chosen")["value"]
    return {"name": subject, "months_chosen": round(chosen), "figures": figures}


def _book(card: _Card, subject: str) -> dict[str, Any]:
    names = ("deals", "won", "lost", "still_open")
    return {"month": subject, **{name: card.count("Data", subject, name) for name in names}}


def _promotion(lake: Lake, decided: _Row) -> dict[str, Any]:
    checks = pl.read_parquet(lake.table_path(PROMOTION_CHECKS.name, Month.parse(decided["snapshot_month"])))
    names = ("candidate", "model_version", "champion_version", "champion_month", "champion_rung", "test_months")
    return {
        "month": decided["snapshot_month"],
        "trained": decided["status"] == "trained",
        "promoted": decided["promoted"],
        "reason": decided["reason"],
        **{name: decided[name] for name in names},
        "figures": {name: decided[name] for name in FIGURES},
        "checks": [
            {
                "name": row["check"],
                **{name: row[name] for name in ("verdict", "figure", "low", "high", "limit", "detail")},
            }
            for row in checks.to_dicts()
            if row["check"] != DECISION
        ],
    }


def _leakage(lake: Lake, month: Month) -> dict[str, Any] | None:
    rows = pl.read_parquet(lake.table_path(LEAKAGE_REPORT.name, month))
    if rows.is_empty():
        return None
    shown = worst(rows)
    probes = []
    for probe in Probe:
        of, looked_at = rows.filter(probe=str(probe)), shown.filter(probe=str(probe))
        if of.is_empty():
            continue
        first = _to_look_at(looked_at)
        probes.append(
            {
                "probe": str(probe),
                "claim": CLAIMS[probe],
                **_counts(of),
                "column": None if first["column"] == "*" else first["column"],
                **{name: first[name] for name in ("measured", "limit", "detail")},
            }
        )
    return {**_counts(rows), "probes": probes, "faults": faults_of(rows)}


def _to_look_at(rows: pl.DataFrame) -> _Row:
    """What failed, else what was not run, else what came closest to its limit."""
    rank = {Verdict.FAILED: 0, Verdict.NOT_RUN: 1, Verdict.PASSED: 2}

    def order(row: _Row) -> tuple[int, float]:
        measured = row["measured"] is not None and row["limit"]
        return rank[Verdict(row["verdict"])], -(row["measured"] / row["limit"]) if measured else 0.0

    return min(rows.to_dicts(), key=order)


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    return {verdict.replace(" ", "_"): rows.filter(verdict=str(verdict)).height for verdict in Verdict}
