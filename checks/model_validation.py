"""Leakage gate and backtest of a source, as a table for a pull request: `python -m checks.model_validation [--kaggle]`.

SOURCE names another source than the simulated CRM. Writes bench/validation/NAME.md and NAME.json, and fails when the
future leaks in or the model is no better than the win rate alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPORTS = Path("bench/validation")
KAGGLE = "kaggle:innocentmfa/crm-sales-opportunities"
SHOWN: Mapping[str, str] = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "skill_vs_base_rate": "Skill against the win rate by month of the quarter",
    "skill_vs_age_table": "Skill against the win rate by age and month of the quarter",
    "calibration_error": "Calibration error",
    "top_decile_lift": "Lift of the best tenth",
}
GATE = "skill_vs_base_rate"


def verdict(leakage: Mapping[str, Any], backtest: Mapping[str, Any] | None) -> list[str]:
    """What is wrong; empty where a change may go on.

    Args:
        leakage: what `crm-assets leakage --json` tells.
        backtest: what `crm-assets backtest --json` tells; None where it was not made, because something leaks.
    """
    faults = [f"leakage: {fault}" for fault in leakage["faults"]]
    if backtest is not None:
        skill = backtest["pooled"][GATE]
        if skill["low"] is None or skill["low"] <= 0:
            faults.append(f"{SHOWN[GATE]} is {_shown(skill)}: the model is not seen to be better than that")
    return faults


def table(name: str, leakage: Mapping[str, Any], backtest: Mapping[str, Any] | None) -> str:
    """The report as Markdown."""
    faults = verdict(leakage, backtest)
    lines = [f"### {name}: {'failed' if faults else 'passed'}", ""]
    lines += [f"- {fault}" for fault in faults]
    probes = len(leakage["probes"])
    lines += [f"{probes} probes for knowledge of the future, {len(leakage['faults'])} of them failed.", ""]
    if backtest is not None:
        pooled, months = backtest["pooled"], backtest["months"]
        first, last = min(months), max(months)
        lines += [
            f"Backtest of {first} to {last}: {pooled['rows']:,} rows, {pooled['wins']:,} wins.",
            "",
            "| | all months | " + " | ".join(months) + " |",
            "| --- |" + " ---: |" * (len(months) + 1),
        ]
        lines += [
            f"| {heading} | {_shown(pooled[figure])} | "
            + " | ".join(_estimate(told.get(figure)) for told in months.values())
            + " |"
            for figure, heading in SHOWN.items()
        ]
    return "\n".join(lines) + "\n"


def _estimate(interval: Mapping[str, Any] | None) -> str:
    return "" if interval is None or interval["estimate"] is None else f"{interval['estimate']:.3f}"


def _shown(interval: Mapping[str, Any]) -> str:
    ends = "" if interval["low"] is None else f" ({interval['low']:.3f} to {interval['high']:.3f})"
    return f"{_estimate(interval)}{ends}"


def told(arguments: Sequence[str], good: frozenset[int]) -> Any:
    """What the command line prints as JSON. Raises RuntimeError for an exit code that is not good."""
    command = [str(Path(sys.executable).with_name("crm-assets")), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        raise RuntimeError(
            f"crm-assets {arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout)


def validated(source: str, name: str, ask: Callable[[Sequence[str], frozenset[int]], Any] = told) -> int:
    """Validate a source, write its report and say it; 1 when something is wrong."""
    leakage = ask(["leakage", "--source", source], frozenset({0, 8}))
    backtest = ask(["backtest", "--source", source], frozenset({0})) if leakage["passed"] else None
    text = table(name, leakage, backtest)
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{name}.md").write_text(text)
    (REPORTS / f"{name}.json").write_text(json.dumps({"leakage": leakage, "backtest": backtest}))
    print(text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a") as opened:
            opened.write(text)
    return 1 if verdict(leakage, backtest) else 0


def main(arguments: list[str]) -> int:
    """Validate what is asked for; Kaggle's CRM passes untried where nobody may fetch it."""
    if "--kaggle" in arguments:
        if not os.environ.get("KAGGLE_KEY") or not os.environ.get("KAGGLE_USERNAME"):
            print("KAGGLE_USERNAME and KAGGLE_KEY are not set: Kaggle's CRM was not validated")
            return 0
        return validated(KAGGLE, "kaggle")
    source = os.environ.get("CRM_SOURCE_URL") or "simulator:"
    return validated(source, "simulated" if source.startswith("simulator:") else "source")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
