"""The answer about the model: who is champion, how it was judged, why it was promoted and what the gates found."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from crm_assets.modelling.cold_start import RUNGS
from crm_assets.modelling.promotion import DECISION, SEGMENTS, VERDICTS
from crm_assets.serving.messages import Asking

MonthText = Annotated[str, StringConstraints(pattern="^[12][0-9]{3}-(0[1-9]|1[0-2])$")]
"""A month in a request, YYYY-MM."""


class ReportQuery(Asking):
    """Of which month."""

    month: MonthText | None = Field(
        None, description="Month of the report, YYYY-MM; the newest by default.", examples=["2017-12"]
    )


class Figure(BaseModel):
    """A figure, with its 95 % interval where it has one."""

    value: float | None = Field(description="Empty where it is undefined.")
    low: float | None = None
    high: float | None = None
    unit: str | None = None


class ReportedModel(BaseModel):
    """A model of the registry."""

    version: str = Field(description="In the registry.")
    month: str | None = Field(description="Month at whose end it was trained, YYYY-MM.")
    champion_since: str | None = Field(None, description="Month from which on it decides, YYYY-MM.")
    candidate: str | None = Field(description="Recipe that it was made by.")
    recipe: str | None = Field(None, description="The recipe in words.")
    rung: Literal[RUNGS] | None = Field(description="Rung of the cold-start ladder; `model` for a trained one.")  # type: ignore[valid-type]  # names of a tuple
    rung_in_words: str | None = None
    rows: int | None = Field(None, description="Rows that it learnt from.")
    wins: int | None = Field(None, description="Wins among them.")
    learnt_from: str | None = Field(None, description="First and last month that it learnt from.")
    sha256: str | None = Field(None, description="Content hash.")


class BacktestMonth(BaseModel):
    """A month that was predicted by the model of its own month-end, before its outcomes were known."""

    month: str
    candidate: str | None = Field(description="Recipe of that model.")
    seen_by_champion: bool = Field(description="Whether the champion has learnt from its outcomes since.")
    rows: int = Field(description="Open deals whose outcome is known.")
    wins: int
    expected_wins: float
    figures: dict[str, Figure]


class CalibrationBin(BaseModel):
    """Rows with like probabilities, a tenth of all: what was predicted, and what came."""

    rows: int
    wins: int
    expected_wins: float
    predicted: float = Field(description="Mean probability.")
    won: Figure = Field(description="Share that was won.")


class GainPoint(BaseModel):
    """Share of the wins that are found among the deals with the highest probabilities."""

    worked: float = Field(description="Share of the deals worked through, from the highest probability down.")
    model: float
    age_table: float = Field(description="The same by the win rate by age and month of the quarter.")


class Importance(BaseModel):
    """How much the champion looks at a column."""

    name: str
    description: str = ""
    unit: str | None = None
    share: float = Field(description="Of the importance of all columns.")


class Segment(BaseModel):
    """How good the predictions are for a part of the deals."""

    level: Literal[tuple(SEGMENTS)]  # type: ignore[valid-type]  # as above
    name: str
    rows: int
    wins: int
    expected_wins: float
    brier: Figure
    auc: Figure


class LeftOut(BaseModel):
    """Parts with too few rows to be judged."""

    level: str
    parts: int
    rows: int


class Unseen(BaseModel):
    """What the champion itself came to on a month whose outcomes it had not seen."""

    name: str = Field(description="The month, or `together`.")
    rows: int
    wins: int
    expected_wins: float
    brier: Figure
    age_table_brier: float | None
    auc: Figure


class CandidateFigures(BaseModel):
    """A recipe on the same months."""

    name: str
    months_chosen: int
    figures: dict[str, Figure]


class BookMonth(BaseModel):
    """The open deals of a month-end, and what became of them within a month; empty while that is not known."""

    month: str
    deals: int
    won: int | None
    lost: int | None
    still_open: int | None


class GateCheck(BaseModel):
    """One reason for or against a promotion."""

    name: str = Field(description=f"What was checked; `{DECISION}` is not among them.")
    verdict: Literal[VERDICTS]  # type: ignore[valid-type]  # as above
    figure: float | None
    low: float | None
    high: float | None
    limit: float | None
    detail: str


class Promotion(BaseModel):
    """What was decided at a month-end."""

    month: str
    trained: bool = Field(description="Whether a model was trained.")
    promoted: bool = Field(description="Whether it became champion.")
    reason: str
    candidate: str | None
    model_version: str | None
    champion_version: str | None = Field(description="Version that decides from then on; empty while there is none.")
    champion_month: str | None
    champion_rung: str | None
    test_months: int
    figures: dict[str, float | None] = Field(description="Of the backtest of the month.")
    checks: list[GateCheck]


class Probed(BaseModel):
    """What a probe of the leakage gate found."""

    probe: str
    claim: str = Field(description="What holds when it passes.")
    passed: int
    failed: int
    not_run: int
    column: str | None = Field(None, description="Column that came closest to its limit, where one is measured.")
    measured: float | None = None
    limit: float | None = None
    detail: str = Field(description="Of the worst finding, in words.")


class Leakage(BaseModel):
    """Whether anything that was not known on its date has a hand in features or training."""

    passed: int
    failed: int
    not_run: int
    probes: list[Probed]
    faults: list[str] = Field(description="One sentence per finding that failed.")


class ModelReport(BaseModel):
    """How the model of a month was made and judged, and all decisions up to then."""

    month: str = Field(description="Month of the report, YYYY-MM.", examples=["2017-12"])
    as_of: date = Field(description="Its last day.")
    months: list[str] = Field(description="Months that there are reports of, oldest first.")
    champion: ReportedModel | None
    challenger: ReportedModel | None = Field(description="The month's model, where it did not become champion.")
    why_no_champion: str | None = None
    judged: bool = Field(description="Whether there is a backtest of the champion's recipe.")
    figures: dict[str, Figure] = Field(description="Of the backtest, over all of its months.")
    backtest: list[BacktestMonth]
    calibration: list[CalibrationBin]
    gain: list[GainPoint]
    importance: list[Importance]
    segments: list[Segment]
    left_out: list[LeftOut]
    unseen: list[Unseen]
    candidates: list[CandidateFigures]
    books: list[BookMonth]
    promotions: list[Promotion] = Field(description="Newest first.")
    leakage: Leakage | None
