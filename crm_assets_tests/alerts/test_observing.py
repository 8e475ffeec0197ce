from __future__ import annotations

from dataclasses import replace
from typing import Any

from crm_assets.alerts.alert import Alert, Cleared, Kind, Link, Severity
from crm_assets.alerts.observing import CheckResult, Fault, FinishedRun, Pages, observations
from crm_assets_tests.alerts.samples import START

PAGES = Pages("http://dagster:3000/")
HIGH = CheckResult(
    "drift_report", "no_drift", False, False, False, "drift is HIGH", {"level": "HIGH", "psi": 0.31234, "months": 1}
)
RUN = FinishedRun("abc", "monthly", True, START, ("2026-10",), made={"scores": frozenset({"2026-10"})})
FAILED = replace(RUN, succeeded=False)
NOTES: dict[str, Any] = {
    "model_version": "7",
    "candidate": "blend",
    "promoted": True,
    "reason": "better, improvement +0.01",
    "champion_version": "7",
    "champion_month": "2026-10",
    "brier": 0.08,
}


def alerts(run: FinishedRun) -> list[Alert]:
    return [found for found in observations(run, PAGES) if isinstance(found, Alert)]


def cleared(run: FinishedRun) -> set[str]:
    return {found.key for found in observations(run, PAGES) if isinstance(found, Cleared)}


def test_a_failed_check_of_a_green_run() -> None:
    report = {("drift_report", "2026-10"): "/lake/drift_report/2026-10.html"}
    (found,) = alerts(replace(RUN, checks=(HIGH,), reports=report))
    assert (found.kind, found.severity, found.month) == (Kind.FAILED_CHECK, Severity.WARNING, "2026-10")
    assert found.what == "Check no_drift of drift_report failed"
    assert found.how_bad == "drift is HIGH\nlevel HIGH, psi 0.3123"
    assert found.links == (
        Link("Dagster", "http://dagster:3000/assets/drift_report?view=checks&checkDetail=no_drift"),
        Link("Run", "http://dagster:3000/runs/abc"),
        Link("Report", "/lake/drift_report/2026-10.html"),
    )


def test_a_check_that_passes_clears_it() -> None:
    run = replace(RUN, checks=(replace(HIGH, passed=True),))
    assert alerts(run) == []
    assert "check drift_report:no_drift" in cleared(run)


def test_a_blocking_check_is_told_once_and_not_also_as_a_failed_run() -> None:
    check = replace(HIGH, asset="raw/accounts", name="fits_contract", blocking=True, severe=True)
    fault = Fault("raw__accounts_fits_contract", "check failed", check=("raw/accounts", "fits_contract"))
    (found,) = alerts(replace(FAILED, checks=(check,), faults=(fault,)))
    assert found.severity is Severity.ERROR
    assert found.how_bad.endswith("It stopped the run.")
    assert found.links[0].target.startswith("http://dagster:3000/assets/raw/accounts?view=checks")


def test_a_step_that_raised() -> None:
    error = "LakeError: no room\n\n" + "\n".join(f"line {number}" for number in range(20))
    run = replace(FAILED, months=("2026-09", "2026-10"), made={"scores": frozenset({"2026-09"})})
    (found, other) = alerts(
        replace(run, faults=(Fault("scores", error, "scores"), Fault("other", "x"), Fault("o", "")))
    )
    assert (found.kind, found.severity, found.month) == (Kind.FAILED_RUN, Severity.ERROR, "2026-10")
    assert found.what == "scores could not be made"
    assert found.where == "scores, job monthly"
    assert found.how_bad.startswith("LakeError: no room\nline 0\n")
    assert found.how_bad.endswith("...")
    assert (other.what, other.how_bad) == ("Job monthly failed", "x\nand 1 more steps failed")
    assert "line 10" not in found.how_bad
    assert found.key in cleared(replace(RUN, job="backfill", months=("2026-08", "2026-10")))
    assert found.key not in cleared(replace(FAILED, made={}))


def test_every_asset_that_failed_is_told_and_cleared_by_itself() -> None:
    run = replace(FAILED, faults=(Fault("scores", "x", "scores"), Fault("drift_report", "y", "drift_report")), made={})
    assert [found.what for found in alerts(run)] == ["scores could not be made", "drift_report could not be made"]
    assert alerts(run)[1].key not in cleared(RUN)


def test_a_check_of_a_range_is_told_of_the_month_at_fault() -> None:
    check = replace(HIGH, figures={"month_at_fault": "2026-03"})
    (found,) = alerts(replace(RUN, months=("2026-01", "2026-10"), checks=(check,)))
    assert found.month == "2026-03"
    assert "at fault" not in found.how_bad


def test_a_run_that_a_person_ended_is_not_told_but_its_checks_are() -> None:
    run = replace(FAILED, canceled=True)
    assert alerts(run) == []
    assert [found.kind for found in alerts(replace(run, checks=(HIGH,)))] == [Kind.FAILED_CHECK]


def test_a_run_that_failed_outside_of_any_step() -> None:
    (found,) = alerts(replace(FAILED, faults=(Fault("", "no such resource"),)))
    assert found.what == "Job monthly failed"
    assert found.key in cleared(RUN)
    (silent,) = alerts(FAILED)
    assert silent.how_bad.startswith("it failed without an error")


def test_a_check_that_raised_is_cleared_when_it_passes() -> None:
    fault = Fault("drift_report_no_drift", "KeyError: level", check=("drift_report", "no_drift"))
    (found,) = alerts(replace(FAILED, faults=(fault,)))
    assert found.what == "Check no_drift of drift_report could not be evaluated"
    assert found.key in cleared(replace(RUN, checks=(replace(HIGH, passed=True),)))


def test_promotion_and_refusal() -> None:
    (found,) = alerts(replace(RUN, decisions={"2026-10": NOTES}, reports={("model_card", "2026-10"): "card.html"}))
    assert (found.kind, found.severity) == (Kind.PROMOTION, Severity.INFO)
    assert found.what == "Model version 7 (blend) of 2026-10 became champion"
    assert found.how_bad == "better, improvement +0.01\nbrier 0.08"
    assert found.links[-1] == Link("Report", "card.html")
    refused = {**NOTES, "promoted": False, "champion_version": "6", "champion_month": "2026-07"}
    (found,) = alerts(replace(RUN, decisions={"2026-10": refused}))
    assert (found.kind, found.what) == (Kind.REFUSAL, "Model version 7 (blend) of 2026-10 did not become champion")
    assert "Version 6 of 2026-07 stays champion." in found.how_bad


def test_of_many_months_the_newest_decision_is_told_and_the_newest_promotion() -> None:
    months = [f"2026-{number:02d}" for number in range(1, 11)]
    decisions = {month: {**NOTES, "promoted": month in {"2026-03", "2026-05"}} for month in months}
    found = alerts(replace(RUN, months=tuple(months), decisions=decisions))
    assert [(told.kind, told.month) for told in found] == [(Kind.PROMOTION, "2026-05"), (Kind.REFUSAL, "2026-10")]


def test_a_month_without_a_model_decides_nothing() -> None:
    assert alerts(replace(RUN, decisions={"2026-10": {"promoted": False, "reason": "too few wins"}})) == []


def test_a_run_whose_process_is_gone_is_told_with_a_remedy_and_any_run_of_all_assets_ends_it() -> None:
    said = "This run has been marked as failed from outside the execution context."
    (found,) = alerts(replace(FAILED, months=("2026-09", "2026-10"), faults=(Fault("", said),)))
    assert "`crm-assets run --months 2026-09:2026-10` makes what is missing" in found.how_bad
    assert found.key in cleared(replace(RUN, job="backfill"))
    assert found.key not in cleared(replace(RUN, job="retrain"))
