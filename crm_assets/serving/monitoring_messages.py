"""The answers about monitoring: drift, quality, performance, traffic, and the alerts that were sent."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

from crm_assets.alerts.alert import Severity
from crm_assets.monitoring.drift_columns import KINDS
from crm_assets.monitoring.drift_level import LEVELS
from crm_assets.monitoring.reference import PARTS
from crm_assets.monitoring.status import COMPARED, NOT_COMPARED
from crm_assets.serving.messages import Asking
from crm_assets.serving.model_report_messages import MonthText

MOVED, BAD, DIFFERS, SAME, UNKNOWN = VERDICTS = ("moved", "bad values", "differs a little", "as usual", "not compared")
"""What is said of a column: by as much as matters; what it holds cannot be right; tests find it, and it is small."""


class MonitoringQuery(Asking):
    """Of which month."""

    month: MonthText | None = Field(None, description="Month, YYYY-MM; the newest by default.", examples=["2017-12"])


class DriftMonth(BaseModel):
    """How far a month was from normal."""

    month: str
    status: Literal[(COMPARED, NOT_COMPARED)]  # type: ignore[valid-type]  # constants
    level: Literal[LEVELS] | None = Field(description="Empty where the month was not compared.")  # type: ignore[valid-type]  # names of a tuple
    why: list[str] = Field(description="What the level comes from.")
    reason: str | None = Field(description="Why it was not compared.")
    share_moved: float | None = Field(description="Share of the columns of the intake that moved.")
    prediction_psi: float | None = Field(description="How far the scores moved at fixed age (PSI).")
    quality: float | None = Field(description="1 less the largest share of bad values in a column.")
    model_version: str | None = None


class Bin(BaseModel):
    """A bar of a distribution."""

    name: str | None = Field(description="A category or single value; empty for a range.")
    low: float | None
    high: float | None = Field(description="Empty in the last range where it holds all beyond its beginning.")
    current: float = Field(description="Share of the month's rows.")
    reference: float = Field(description="Share of the reference's rows.")


class ColumnDistribution(BaseModel):
    """A column in the month and in the reference."""

    kind: Literal["numbers", "categories"]
    bins: list[Bin]
    current_rows: int
    reference_rows: int


class DriftColumn(BaseModel):
    """How one column of the month compares with the reference."""

    part: Literal[PARTS]  # type: ignore[valid-type]  # as above
    column: str
    description: str = ""
    unit: str | None = None
    kind: Literal[KINDS]  # type: ignore[valid-type]  # as above
    verdict: Literal[VERDICTS]  # type: ignore[valid-type]  # as above
    test: str | None
    statistic: float | None
    p_value: float | None
    p_limit: float | None = Field(description="At or below it a test says that the column differs.")
    psi: float | None = Field(description="How far it moved.")
    psi_limit: float | None = Field(description="From which on it has moved by as much as matters.")
    change: float | None = Field(description="Of a share won: wins beyond those expected, relative to them.")
    change_limit: float | None
    missing_current: float | None
    missing_reference: float | None
    new_categories: str
    bad_share: float | None
    bad: str = Field(description="What is bad about its values, in words; blank if nothing.")
    reason: str | None = Field(description="Why it could not be compared.")
    distribution: ColumnDistribution | None = None


class Sides(BaseModel):
    """What was compared with what."""

    part: Literal[PARTS]  # type: ignore[valid-type]  # as above
    rows: int
    reference_rows: int


class QualityMonth(BaseModel):
    """How clean the CRM's data of a month were."""

    month: str
    score: float | None = Field(description="0 to 1, see docs/quality.md.")
    rows: int | None = Field(description="Rows of the pipeline in the source.")
    quarantined: int = Field(description="Rows that broke a rule and were kept out.")
    reasons: list[str] = Field(description="Broken rules with their counts.")
    misspelled: list[str] = Field(description="Known wrong spellings that were mended, with their counts.")
    without_account: int | None = Field(description="Rows without an account; empty where that cannot be told.")


class PerformanceFigure(BaseModel):
    """What was promised of a figure, and what came."""

    realised: float | None
    estimate: float | None
    low: float | None = Field(description="Ends of the estimate's 95 % interval.")
    high: float | None
    inside: bool | None
    backtest_low: float | None = Field(None, description="Ends of the 95 % interval of a month like the backtest's.")
    backtest_high: float | None = None


class PerformanceMonth(BaseModel):
    """How the scores of a month turned out, or what they promise."""

    month: str = Field(description="Month that was scored.")
    matured_month: str = Field(description="Month at whose end the outcomes are known.")
    matured: bool
    model_version: str | None
    rung: str | None
    rows: int = Field(description="Scored deals that the figures are of.")
    wins: int | None
    predicted_wins: float | None
    expected_revenue: float | None = Field(description="Probability times list price, USD.")
    realised_revenue: float | None = Field(description="Closing values of what was won, USD.")
    figures: dict[str, PerformanceFigure]
    compared: bool
    reason: str | None = Field(description="Why it was not compared with what was promised.")
    failed: list[str] = Field(description="What turned out otherwise than chance allows, in words.")


class PerformanceSegment(BaseModel):
    """Wins of a part of the deals in the newest month that has matured, beside what was promised."""

    level: str
    name: str
    rows: int
    small: bool
    wins: float | None
    estimate: float | None
    low: float | None
    high: float | None
    inside: bool | None


class TrafficMonth(BaseModel):
    """What the API was asked as of a month."""

    month: str
    level: Literal[LEVELS] | None  # type: ignore[valid-type]  # as above
    status: str
    why: list[str]
    reason: str | None
    requests: int
    opportunities: int
    callers: int
    unlike_scores: int = Field(description="Answers that differ from the stored score of the same version.")


class SentAlert(BaseModel):
    """A message that a receiver took."""

    sent_at: str = Field(description="UTC.")
    target: str = Field(description="Kind of receiver; its address is never told.")
    kind: str
    severity: Literal[tuple(map(str, Severity))]  # type: ignore[valid-type]  # as above
    what: str
    where: str
    month: str | None
    how_bad: str
    since: str
    count: int
    recovered_at: str | None = Field(description="When it was right again; empty for the alert itself.")


class MonitoringAnswer(BaseModel):
    """What monitoring knows at the end of a month, of it and of those before."""

    month: str
    as_of: date
    months: list[str] = Field(description="Months that there are reports of, oldest first.")
    has_report: bool = Field(description="Whether there is an HTML report of the month.")
    drift: DriftMonth
    history: list[DriftMonth] = Field(description="Up to the month, oldest first.")
    sides: list[Sides]
    reference_months: list[str] = Field(description="Month-ends whose books the scores are compared with.")
    columns: list[DriftColumn] = Field(description="What moved first.")
    quality: list[QualityMonth] = Field(description="Up to the month, oldest first.")
    performance: list[PerformanceMonth] = Field(description="By the month that was scored, oldest first.")
    segments: list[PerformanceSegment]
    traffic: list[TrafficMonth] = Field(description="Up to the month, oldest first.")


class AlertsAnswer(BaseModel):
    """Alerts that were sent."""

    receivers: int = Field(description="How many receivers are set.")
    alerts: list[SentAlert] = Field(description="The newest, newest first.")
