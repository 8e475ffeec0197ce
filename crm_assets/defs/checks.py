"""Asset checks: blocking ones stop what is downstream in the run, the others show on the asset's page.

A check that had nothing to judge in the newest month, as where there is nothing to compare with, is skipped: Dagster
shows it as such, and it has neither passed nor failed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl

from crm_assets.alerts.observing import MONTH_AT_FAULT
from crm_assets.calendar import Month
from crm_assets.contracts import CRM_TABLES, SALES_PIPELINE, Table
from crm_assets.defs.leakage import probed_features, shown_probes
from crm_assets.defs.platform import Platform
from crm_assets.defs.retries import io_retried
from crm_assets.defs.scoring import NO_CHAMPION, SCORES
from crm_assets.defs.shown_metadata import markdown
from crm_assets.defs.writeback import FAULT, NO_TARGET
from crm_assets.errors import LakeError
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.quality import LOWEST_QUALITY
from crm_assets.history.snapshots import QUARANTINE, SNAPSHOTS
from crm_assets.lake import Lake
from crm_assets.leakage.finding import LEAKAGE_REPORT, faults_of, report
from crm_assets.modelling.forecast_accuracy import ACCURACY
from crm_assets.modelling.movement import PARTS, SCORE_CHANGES
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.monitoring.drift_columns import DRIFT, ONLINE_DRIFT
from crm_assets.monitoring.drift_level import HIGH, MEDIUM
from crm_assets.monitoring.performance_comparison import CHECKED, COMPARISON, Off, figures_off
from crm_assets.monitoring.status import NO_SCORES
from crm_assets.stored import command_line
from crm_assets.writeback.journal import TRAIL

_FAULTS = 3
SCORE_TOLERANCE = 1e-9
"""By how much a probability that was computed again may differ from the stored score."""
SUM_TOLERANCE = 1e-12
"""By how much the parts of a change may miss it: rounding of a few sums of numbers below 1."""
RAREST_COVERAGE = 0.05
"""Probability below which too few months within the 80 % interval are no chance."""


@dataclass(frozen=True)
class Verdict:
    """What a check found in one month.

    Attributes:
        fault: what is wrong, where and what to do; None when nothing is.
        figures: shown in Dagster.
        shown: title -> rows, shown in Dagster as a table.
        skipped: why there was nothing to judge; None when there was. Only of checks that do not block.
        severe: whether a fault of a check that does not block is an error, not a warning.
    """

    fault: str | None
    figures: Mapping[str, Any]
    shown: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    skipped: str | None = None
    severe: bool = False


def contract_verdict(platform: Platform, table: Table, month: Month) -> Verdict:
    """Whether a landed raw table fits its contract."""
    rows = pl.scan_parquet(platform.lake.table_path(f"raw/{table.name}", month))
    return Verdict(contract_fault(table, rows, month), {})


def contract_fault(table: Table, rows: pl.LazyFrame, month: Month) -> str | None:
    """What of a CRM table's rows of a month breaks its contract; None when nothing does.

    Of `sales_pipeline` only names and types are looked at: its bad rows are quarantined one by one.
    """
    import pandera.errors

    try:
        if table is SALES_PIPELINE:
            table.pandera_schema().validate(rows, lazy=True)
        else:
            table.pandera_schema().validate(rows.collect(), lazy=True)
    except (pandera.errors.SchemaErrors, pandera.errors.SchemaError) as error:
        cases = getattr(error, "failure_cases", None)
        shown = cases.head(5).to_dicts() if isinstance(cases, pl.DataFrame) else str(error)
        return f"raw/{table.name} of {month} breaks its contract: {shown}; mend it in the source"
    return None


def quarantine_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the share of quarantined rows is within the limit of `CRM_QUARANTINE_LIMIT`."""
    lake, limit = platform.lake, platform.settings.quarantine_limit
    bad, rows = (lake.manifest(name, month) for name in (QUARANTINE.name, f"raw/{SALES_PIPELINE.name}"))
    quarantined, total = (manifest.rows or 0 if manifest else 0 for manifest in (bad, rows))
    share = quarantined / total if total else 0.0
    figures = {"quarantined": quarantined, "rows": total, "share": share, "limit": limit}
    if share <= limit:
        return Verdict(None, figures)
    reasons = pl.read_parquet(lake.table_path(QUARANTINE.name, month))["reasons"].value_counts(sort=True).head(5)
    found = ", ".join(f"{reason} ({count})" for reason, count in reasons.iter_rows())
    return Verdict(
        f"{quarantined} of {total} rows of sales_pipeline ({share:.1%}) of {month} are bad, the limit is {limit:.1%}: "
        f"{found}; see {lake.location(QUARANTINE.name, month)}, mend the source or raise CRM_QUARANTINE_LIMIT",
        figures,
    )


def quality_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the snapshot's quality score is high enough."""
    manifest = platform.lake.manifest(SNAPSHOTS.name, month)
    score = manifest.notes["quality_score"] if manifest else 0.0
    assert isinstance(score, float | int)
    low = score < LOWEST_QUALITY
    return Verdict(f"quality score {score:.2f} of {month} is below {LOWEST_QUALITY}" if low else None, {"score": score})


def features_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether every opportunity of the book has one row of features, none of them infinite or without an age."""
    lake = platform.lake
    in_book = pl.scan_parquet(lake.table_path(SNAPSHOTS.name, month)).filter(pl.col("in_book"))
    rows = pl.scan_parquet(lake.table_path(FEATURE_TABLE.name, month))
    book, unmatched = pl.collect_all(
        [in_book.select(pl.len()), in_book.join(rows, on="opportunity_id", how="anti").select(pl.len())]
    )
    floats = [
        column.name for column in FEATURE_TABLE.columns if FEATURE_TABLE.polars_schema()[column.name] == pl.Float64
    ]
    counted = rows.select(
        pl.len().alias("rows"),
        pl.col("age_days").null_count().alias("without age"),
        pl.any_horizontal(pl.col(name).is_infinite() | pl.col(name).is_nan() for name in floats)
        .sum()
        .alias("not finite"),
    ).collect()
    figures = {**counted.row(0, named=True), "book": book.item(), "without features": unmatched.item()}
    wrong = {name: figures[name] for name in ("without age", "not finite", "without features") if figures[name]}
    if figures["rows"] != figures["book"]:
        wrong["rows"] = figures["rows"]
    return Verdict(f"features of {month} do not match its book of {book.item()}: {wrong}" if wrong else None, figures)


def features_in_time_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the features are the same in worlds in which only what could not be known by then is different."""
    findings = probed_features(platform, month)
    rows = report(findings, str(month))
    return _of_probes(rows, month)


def leakage_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the month's features and training passed every probe of the leakage gate."""
    return _of_probes(pl.read_parquet(platform.lake.table_path(LEAKAGE_REPORT.name, month)), month)


def gate_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether a model that became champion in the month had passed the leakage gate."""
    row = pl.read_parquet(platform.lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    verdict = leakage_verdict(platform, month)
    if row["promoted"] and verdict.fault:
        return Verdict(f"version {row['model_version']} became champion though {verdict.fault}", verdict.figures)
    return Verdict(None, {"promoted": row["promoted"], **verdict.figures}, verdict.shown)


def _of_probes(rows: pl.DataFrame, month: Month) -> Verdict:
    faults = faults_of(rows)
    figures = {"probes": rows.height, "failed": len(faults)}
    if not faults:
        return Verdict(None, figures, {"probes": shown_probes(rows)})
    more = f" and {len(faults) - _FAULTS} more" if len(faults) > _FAULTS else ""
    return Verdict(
        f"the model of {month} would know what was not known then: {'; '.join(faults[:_FAULTS])}{more}. Mend the "
        "feature or the training (docs/time.md says what each probe does), and make the month again",
        figures,
        {"probes": shown_probes(rows)},
    )


def model_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the month's recipe beat the win rate by quarter position out of time."""
    row = pl.read_parquet(platform.lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    skill = row["skill_vs_base_rate"]
    figures = {name: row[name] for name in ("status", "brier", "base_rate_brier", "skill_vs_base_rate") if row[name]}
    if skill is None:
        return Verdict(None, figures, skipped=f"no model of {month} was backtested: {row['reason']}")
    if skill <= 0:
        return Verdict(
            f"the model of {month} is no better than the win rate by quarter position: skill {skill:.3f}", figures
        )
    return Verdict(None, figures)


def scores_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the whole book was scored, with probabilities between 0 and 1."""
    lake = platform.lake
    manifest, book = lake.manifest(SCORES.name, month), lake.manifest(FEATURE_TABLE.name, month)
    if manifest and manifest.notes.get("status") == NO_CHAMPION:
        return Verdict(None, {"status": NO_CHAMPION})
    probability = pl.read_parquet(lake.table_path(SCORES.name, month), columns=["probability"])["probability"]
    outside = int((~probability.is_between(0, 1)).sum())
    figures = {"scored": len(probability), "book": (book.rows if book else None) or 0, "outside": outside}
    if outside or figures["scored"] != figures["book"]:
        return Verdict(f"scores of {month} are not one probability per opportunity of the book: {figures}", figures)
    return Verdict(None, figures)


def score_changes_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether every score that can be compared is, between the stored scores, and its parts sum to its change."""
    lake = platform.lake
    compared = pl.read_parquet(lake.table_path(SCORE_CHANGES.name, month))
    now, before = _stored_scores(lake, month), _stored_scores(lake, month.previous)
    found = compared.join(now.join(before, on="opportunity_id", suffix="_earlier"), on="opportunity_id", how="full")
    off = {
        "not_stored": (
            (pl.col("probability") - pl.col("stored")).abs().le(SCORE_TOLERANCE)
            & (pl.col("probability_before") - pl.col("stored_earlier")).abs().le(SCORE_TOLERANCE)
        ),
        "not_summed": (
            (pl.sum_horizontal(PARTS) - pl.col("change")).abs().le(SUM_TOLERANCE)
            & (pl.col("probability") - pl.col("probability_before") - pl.col("change")).abs().le(SUM_TOLERANCE)
        ),
    }
    # Not at most the tolerance, instead of above it: what is missing or not a number is at fault.
    counts = found.select((~right.fill_null(value=False)).sum().alias(name) for name, right in off.items())
    figures = {"compared": compared.height, "expected": now.join(before, on="opportunity_id").height}
    figures |= counts.row(0, named=True)
    if figures["not_stored"] or figures["not_summed"] or figures["compared"] != figures["expected"]:
        return Verdict(
            f"score_changes of {month} do not explain its stored scores: {figures}; make {month.previous} and {month} "
            "again",
            figures,
        )
    return Verdict(None, figures)


def _stored_scores(lake: Lake, month: Month) -> pl.DataFrame:
    """`opportunity_id` and the `stored` probability of a month; no rows when the lake does not hold it."""
    schema = SCORES.polars_schema()
    if str(month) not in lake.months(SCORES.name):
        rows = pl.DataFrame(schema=schema)
    else:
        rows = pl.read_parquet(lake.table_path(SCORES.name, month))
    return rows.select("opportunity_id", pl.col("probability").alias("stored"))


def coverage_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether as few months within the 80 % interval as there were could be chance, were its coverage right.

    Chance is the binomial distribution's: 5 % of honest forecasts warn.
    """
    rows = pl.read_parquet(platform.lake.table_path(ACCURACY.name, month))
    if rows.is_empty():
        return Verdict(None, {"months": 0}, skipped=f"no month up to {month} that is over was forecast")
    inside, months = int(rows["inside_80"].sum()), rows.height
    chance = sum(math.comb(months, k) * 0.8**k * 0.2 ** (months - k) for k in range(inside + 1))
    figures = {"inside_80": inside, "inside_95": int(rows["inside_95"].sum()), "months": months, "chance": chance}
    if chance >= RAREST_COVERAGE:
        return Verdict(None, figures)
    return Verdict(
        f"{inside} of {months} months up to {month} were within the forecast's 80 % interval, which is chance in "
        f"{chance:.1%} of cases: the intervals are too narrow, or the probabilities are off; see {ACCURACY.name} and "
        "model_performance",
        figures,
    )


_WORDS = {
    "wins": "wins",
    "auc": "AUC",
    "brier": "Brier score",
    "calibration_error": "calibration error",
}


def calibration_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether as many deals were won as the probabilities promised, in all and by height of the probability."""
    return _performance_verdict(
        platform,
        month,
        "calibrated",
        "the probabilities were off, so forecasts are too. model_performance tells in which region or product; if it "
        "is the same next month, retrain (job `retrain`)",
    )


def estimate_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether AUC and Brier score came as the probabilities promised."""
    return _performance_verdict(
        platform,
        month,
        "as_estimated",
        "what estimated_performance says of the months to come is no better; drift_report tells what changed",
    )


def backtest_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether AUC and Brier score lie where a further month of the champion's backtest would."""
    return _performance_verdict(
        platform,
        month,
        "as_backtested",
        "the champion does not do what the backtest lets one expect: worse, and it is to be trained anew (job "
        "`retrain`); "
        "better, and the outcomes may have got into the features (leakage_report)",
    )


PERFORMANCE_VERDICTS: Mapping[str, Callable[[Platform, Month], Verdict]] = {
    "calibrated": calibration_verdict,
    "as_estimated": estimate_verdict,
    "as_backtested": backtest_verdict,
}
"""Check of realised performance -> what looks at a month."""


def _performance_verdict(platform: Platform, month: Month, check: str, remedy: str) -> Verdict:
    figures, side = CHECKED[check]
    manifest = platform.lake.manifest(COMPARISON.name, month)
    notes = manifest.notes if manifest else {}
    shown: dict[str, Any] = {
        name: notes[name] for name in ("snapshot_month", "status", "reason", "model_version") if name in notes
    }
    rows = pl.read_parquet(platform.lake.table_path(COMPARISON.name, month))
    off = figures_off(rows.iter_rows(named=True), figures, side)
    if off is None:
        few = f"only {notes.get('backtest_months', 0)} months of a backtest to compare {month.previous} with"
        return Verdict(None, shown, skipped=str(notes.get("reason", few)))
    overall = rows.filter((pl.col("level") == "overall") & pl.col("figure").is_in(figures))
    for row in overall.iter_rows(named=True):
        ends = {"": "realised", "_low": f"{side}_low", "_high": f"{side}_high", "_chance": f"{side}_chance"}
        shown |= {f"{row['figure']}{end}": row[column] for end, column in ends.items()}
    if not off:
        return Verdict(None, shown)
    return Verdict(
        f"the scores of {month.previous} did not turn out as they should by the end of {month} "
        f"({off[0].rows} opportunities): {'; '.join(map(_told_off, off))}. That is, {remedy}",
        shown,
        severe=any(one.badly for one in off),
    )


def _told_off(off: Off) -> str:
    digits = 0 if off.figure == "wins" else 4
    return (
        f"{_WORDS[off.figure]} {off.realised:.{digits}f}, with 95 % it should be {off.low:.{digits}f} to "
        f"{off.high:.{digits}f} (chance {off.chance:.2%})"
    )


def drift_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the month's drift level is MEDIUM or HIGH, or not known because the month could not be compared."""
    notes = _notes(platform, DRIFT.name, month)
    fault, nothing = _drifted(platform, DRIFT.name, month, notes), notes.get("reason") == NO_SCORES
    if notes.get("level") is None and not nothing:
        fault = f"drift of {month} is not known: {notes.get('reason', 'there is no report')}"
    skipped = f"there is nothing to compare in {month}: {NO_SCORES}" if nothing else None
    return Verdict(fault, _drift_figures(notes), severe=notes.get("level") == HIGH, skipped=skipped)


def online_drift_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the drift level of what the API was asked about is MEDIUM or HIGH; skipped where it is not known.

    Few ask about enough opportunities, and what keeps the whole month from being compared is told by `drift_verdict`.
    """
    notes = _notes(platform, ONLINE_DRIFT.name, month)
    skipped = None
    if notes.get("level") is None:
        skipped = f"online traffic of {month} was not compared: {notes.get('reason', 'there is no report')}"
    fault = _drifted(platform, ONLINE_DRIFT.name, month, notes, "online traffic in ")
    return Verdict(fault, _drift_figures(notes), severe=notes.get("level") == HIGH, skipped=skipped)


def _notes(platform: Platform, asset: str, month: Month) -> Mapping[str, Any]:
    manifest = platform.lake.manifest(asset, month)
    return manifest.notes if manifest else {}


def _drifted(platform: Platform, asset: str, month: Month, notes: Mapping[str, Any], what: str = "") -> str | None:
    if notes.get("level") not in (MEDIUM, HIGH):
        return None
    page = platform.lake.location(asset, month, "html")
    return f"drift of {what}{month} is {notes['level']}, {notes.get('why')}: see {page}"


def _drift_figures(notes: Mapping[str, Any]) -> dict[str, Any]:
    told = ("status", "level", "why", "quality", "requests", "callers")
    return {name: notes[name] for name in told if name in notes}


def writeback_verdict(platform: Platform, month: Month) -> Verdict:
    """Whether the target took all that was sent of the month's scores; skipped where no target is set."""
    manifest = platform.lake.manifest(TRAIL.name, month)
    notes = manifest.notes if manifest else {}
    if notes.get("status") == NO_TARGET:
        return Verdict(None, {}, skipped=NO_TARGET)
    figures = {name: value for name, value in notes.items() if not isinstance(value, list)}
    if FAULT not in notes:
        return Verdict(None, figures)
    return Verdict(
        f"the scores of {month} were not written back as they should be: {notes[FAULT]}. What is missing is sent by "
        f"`{command_line(platform.settings, 'write-back', '--month', month)}`",
        figures,
        severe=True,
    )


@dataclass(frozen=True)
class MonthlyCheck:
    """A check of one asset, month by month.

    Attributes:
        asset: name of the asset.
        name: name of the check.
        verdict: looks at one month.
        blocking: whether a fault stops what is downstream; others warn.
        description: for the asset's page.
    """

    asset: str
    name: str
    verdict: Callable[[Platform, Month], Verdict]
    blocking: bool
    description: str


def _contract_check(table: Table) -> MonthlyCheck:
    return MonthlyCheck(
        f"raw/{table.name}",
        "fits_contract",
        lambda platform, month: contract_verdict(platform, table, month),
        True,
        "Columns, types, keys and values are those of the contract.",
    )


CHECKS: tuple[MonthlyCheck, ...] = (
    *(_contract_check(table) for table in CRM_TABLES),
    MonthlyCheck(
        QUARANTINE.name,
        "below_limit",
        quarantine_verdict,
        True,
        "The share of bad rows is at most CRM_QUARANTINE_LIMIT.",
    ),
    MonthlyCheck(SNAPSHOTS.name, "quality", quality_verdict, False, "The quality score is high enough."),
    MonthlyCheck(
        FEATURE_TABLE.name, "matches_book", features_verdict, True, "One finite row per opportunity of the book."
    ),
    MonthlyCheck(
        FEATURE_TABLE.name,
        "known_on_their_date",
        features_in_time_verdict,
        True,
        "The features are the same when the source is cut off at the month-end, when open deals end otherwise, and "
        "when later rows, ids and the order of rows are other ones.",
    ),
    MonthlyCheck(
        LEAKAGE_REPORT.name,
        "no_leak",
        leakage_verdict,
        True,
        "Every probe of the month's features and training passed; see docs/time.md.",
    ),
    MonthlyCheck(
        WIN_MODEL.name, "passed_leakage_gate", gate_verdict, True, "No model that failed a probe became champion."
    ),
    MonthlyCheck(
        WIN_MODEL.name,
        "beats_base_rate",
        model_verdict,
        False,
        "Out of time it beats the win rate by quarter position.",
    ),
    MonthlyCheck(SCORES.name, "one_per_opportunity", scores_verdict, True, "Every open deal has a score in [0, 1]."),
    MonthlyCheck(
        TRAIL.name,
        "delivered",
        writeback_verdict,
        False,
        "The target of CRM_WRITEBACK_URL took all that was sent.",
    ),
    MonthlyCheck(
        SCORE_CHANGES.name,
        "parts_sum_to_change",
        score_changes_verdict,
        True,
        "The parts sum to the change between the stored scores of both months.",
    ),
    MonthlyCheck(
        ACCURACY.name,
        "covers",
        coverage_verdict,
        False,
        "As many months were within the 80 % interval as chance allows.",
    ),
    MonthlyCheck(
        COMPARISON.name,
        "calibrated",
        calibration_verdict,
        False,
        "As many deals were won as the scores promised, in all and by height of the score, as far as months differ.",
    ),
    MonthlyCheck(
        COMPARISON.name,
        "as_estimated",
        estimate_verdict,
        False,
        "AUC and Brier score lie in the intervals that were estimated before the outcomes were known.",
    ),
    MonthlyCheck(
        COMPARISON.name,
        "as_backtested",
        backtest_verdict,
        False,
        "AUC and Brier score lie in the intervals of a further month of the backtest as of the month that was scored.",
    ),
    MonthlyCheck(
        DRIFT.name,
        "no_drift",
        drift_verdict,
        False,
        "The month was compared, and its level is NONE or LOW. HIGH is an error, all else a warning.",
    ),
    MonthlyCheck(
        ONLINE_DRIFT.name,
        "no_drift",
        online_drift_verdict,
        False,
        "The level of what the API was asked about is NONE or LOW. HIGH is an error. Skipped where that is too little.",
    ),
)


def months_of_run(context: dg.OpExecutionContext, platform: Platform, asset: str) -> list[Month]:
    """The months of the run, one or a range; the newest in the lake for a check that is run by itself."""
    if context.has_partition_key_range:
        keys = list(context.partition_keys)
    elif context.has_partition_key:
        keys = [context.partition_key]
    else:
        keys = platform.lake.months(asset)[-1:]
    if not keys:
        raise LakeError(f"the lake holds no {asset} to check: make it first")
    return [Month.parse(key) for key in keys]


def _told(faults: list[str]) -> str:
    more = [f"and so for {len(faults) - _FAULTS} more months"] if len(faults) > _FAULTS else []
    return " | ".join([*faults[:_FAULTS], *more])


def asset_check(check: MonthlyCheck) -> dg.AssetChecksDefinition:
    """The Dagster check: blocking ones fail when any month of the run is at fault, others when the newest one is.

    A warning is about the state of things today; that an early month of a backfill had little history is not.
    """
    key = dg.AssetKey(check.asset.split("/"))
    spec = dg.AssetCheckSpec(check.name, asset=key, blocking=check.blocking, description=check.description)

    # Of its outputs, those of a subset are optional: yielding none is how Dagster is told that a check is skipped.
    @dg.multi_asset_check(name=f"{key.to_python_identifier()}_{check.name}", specs=[spec], can_subset=True)
    def evaluate(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        with io_retried(context.op_execution_context.retry_number):
            verdicts = {
                month: check.verdict(platform, month)
                for month in months_of_run(context.op_execution_context, platform, check.asset)
            }
        month, last = list(verdicts.items())[-1]
        if last.skipped is not None and not check.blocking:
            context.log.warning(f"{check.asset} of {month} was not checked ({check.name}): {last.skipped}")
            return
        judged = verdicts.values() if check.blocking else [last]
        faults = [verdict.fault for verdict in judged if verdict.fault]
        newest = next((month for month, verdict in reversed(verdicts.items()) if verdict.fault), month)
        earlier = [str(month) for month, verdict in verdicts.items() if verdict.fault and verdict is not last]
        metadata: dict[str, Any] = {name: value for name, value in last.figures.items() if value is not None}
        # Of the newest month at fault, if there is one: that is what people look for.
        telling = next((verdict for verdict in reversed(verdicts.values()) if verdict.fault), last)
        metadata |= {title: dg.MetadataValue.md(markdown(rows)) for title, rows in telling.shown.items()}
        severe = check.blocking or last.severe
        yield dg.AssetCheckResult(
            check_name=check.name,
            asset_key=key,
            passed=not faults,
            severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
            description=_told(faults) or None,
            metadata={
                "months": len(verdicts),
                "earlier_months_at_fault": ", ".join(earlier),
                **({MONTH_AT_FAULT: str(newest)} if faults else {}),
                **metadata,
            },
        )

    return evaluate
