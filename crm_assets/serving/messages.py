"""Requests and answers of the API: their fields, limits and examples, from which OpenAPI is made."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from crm_assets.modelling.cold_start import RUNGS
from crm_assets.modelling.forecast import BOOK, NEW_BUSINESS, TOTAL
from crm_assets.modelling.movement import NOTHING, PLAYERS
from crm_assets.modelling.movement import PARTS as CAUSES
from crm_assets.modelling.reasons import PARTS, Subject
from crm_assets.modelling.risk import RISKS
from crm_assets.serving.access import SCOPES

SUBJECTS = tuple(subject.value for subject in Subject)
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
Price = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False, strict=True)]
Age = Annotated[int, Field(ge=0, le=20_000, strict=True)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _day(value: object) -> date:
    """A date written as one: a number would be taken for seconds since 1970."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        return date.fromisoformat(value)
    raise ValueError("write the day as YYYY-MM-DD")


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Day = Annotated[date, BeforeValidator(_day)]

_EXAMPLE_FIELDS: JsonDict = {"sales_agent": "Darcel Schlecht", "product": "GTX Pro", "engage_date": "2017-11-20"}


class Asking(BaseModel):
    """Part of a request: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Opportunity(Asking):
    """An opportunity: one that is open by its `opportunity_id` alone, any other by its fields."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"opportunity_id": "1C1I7A6R"}, _EXAMPLE_FIELDS]},
    )

    opportunity_id: Name | None = Field(None, description="Id of an opportunity that is open at the month-end.")
    sales_agent: Name | None = Field(None, description="Agent who owns it.")
    product: Name | None = Field(None, description="Product on offer.")
    engage_date: Day | None = Field(None, description="Day of engagement, not after the month-end.")
    age_days: Age | None = Field(None, description="Days from engagement to the month-end, instead of the day.")
    list_price: Price | None = Field(None, description="List price in USD; that of the product by default.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fields = {name for name in self.model_fields_set if getattr(self, name) is not None}
        if "opportunity_id" in fields:
            if more := sorted(fields - {"opportunity_id"}):
                raise ValueError(f"an opportunity_id stands alone: leave out {', '.join(more)}, or the id")
            return self
        lacking = [name for name in ("sales_agent", "product") if name not in fields]
        if lacking:
            raise ValueError(
                f"{' and '.join(lacking)} missing: give an opportunity_id, or sales_agent, product and engage_date"
            )
        if ("engage_date" in fields) == ("age_days" in fields):
            raise ValueError("give either engage_date or age_days")
        return self


class Change(Asking):
    """What would be different; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sales_agent": "Vicki Laflamme"}, {"age_days": 90}]})

    sales_agent: Name | None = Field(None, description="Another agent, with the agent's office and manager.")
    product: Name | None = Field(None, description="Another product, at its price.")
    engage_date: Day | None = Field(None, description="Another day of engagement, and so another cohort.")
    age_days: Age | None = Field(None, description="The same told by the age at the month-end.")
    list_price: Price | None = Field(None, description="Another list price in USD.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        if not given:
            raise ValueError("it says nothing: name a field, or leave the change out")
        if {"engage_date", "age_days"} <= given:
            raise ValueError("give either engage_date or age_days")
        return self


class ScoreRequest(Asking):
    """Opportunities to score, up to the limit of the deployment."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"opportunities": [{"opportunity_id": "1C1I7A6R"}, _EXAMPLE_FIELDS]}]}
    )

    opportunities: list[Opportunity] = Field(min_length=1, description="Any mixture of the two ways.")


class ExplainRequest(Asking):
    """An opportunity, and what to change about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"opportunity": {"opportunity_id": "1C1I7A6R"}},
                {"opportunity": _EXAMPLE_FIELDS, "change": {"age_days": 90}},
            ]
        }
    )

    opportunity: Opportunity
    change: Change | None = Field(None, description="Tell the reasons with this changed as well.")


class AsOf(BaseModel):
    """What an answer is of."""

    month: str = Field(description="Month at whose end the opportunities are seen, YYYY-MM.", examples=["2017-12"])
    as_of: date = Field(description="Its last day.")
    predicted_month: str = Field(description="Month by whose end a win counts, YYYY-MM.", examples=["2018-01"])
    model_version: str = Field(description="Version of the champion.")
    model_month: str = Field(description="Month at whose end it was trained, YYYY-MM.")
    rung: Literal[RUNGS] = Field(description="Rung of the cold-start ladder; `model` for a trained model.")  # type: ignore[valid-type]  # names of a tuple


class Score(BaseModel):
    """The score of one opportunity."""

    opportunity_id: str | None = Field(description="Empty for one that was told by its fields.")
    probability: Probability = Field(description="Of a win by the end of the predicted month.")
    expected_value: float | None = Field(description="Probability times list price, USD.")
    probability_lost: Probability | None = Field(description="Of being lost by then.")
    probability_abandoned: Probability | None = Field(description="That it was abandoned and never closes.")
    expected_close_month: str | None = Field(description="By whose end half of such deals have closed, YYYY-MM.")
    list_price: float | None = Field(description="USD.")
    age_days: int | None = Field(description="Days from engagement to the month-end.")
    unknown: list[str] = Field(default=[], description="Fields that the CRM does not know, which count as average.")
    shadow_probability: Probability | None = Field(None, description="The challenger's, in shadow mode.")


class ScoreAnswer(AsOf):
    """Scores in the order of the request."""

    shadow_version: str | None = Field(None, description="Version of the challenger, in shadow mode.")
    opportunities: list[Score]


class Reasons(BaseModel):
    """Why a score is what it is: its distance from that of typical deals, by what it is due to."""

    probability: Probability
    expected_value: float | None
    base: float = Field(description="Mean probability of typical deals.")
    parts: dict[Literal[PARTS], float] = Field(description="They sum, with the base, to the probability.")  # type: ignore[valid-type]  # as above
    raises: str | None = Field(description="What raises it, in words.")
    lowers: str | None = Field(description="What lowers it, in words.")
    unknown: list[str] = []


class ExplainAnswer(AsOf):
    """The reasons, and those with the change."""

    opportunity_id: str | None
    before: Reasons = Field(description="As it is.")
    after: Reasons | None = Field(None, description="With the change.")
    difference: float | None = Field(None, description="Probability after, minus that before.")


class PipelineRow(BaseModel):
    """An open opportunity with its score.

    What is told about the change and the reasons is stored with the score of the batch; it is empty where that is
    another one, as while a new champion has not scored the month yet.
    """

    opportunity_id: str
    account: str | None = Field(description="Whose it is, where the CRM knows it.")
    sales_agent: str
    manager: str
    regional_office: str
    product: str
    list_price: float = Field(description="USD.")
    engage_date: date | None = Field(description="Day of engagement.")
    age_days: int = Field(description="Days from then to the month-end.")
    probability: Probability = Field(description="Of a win by the end of the predicted month.")
    expected_value: float = Field(description="Probability times list price, USD.")
    risk: Literal[RISKS] = Field(description="That it is not won by then: class of the probability.")  # type: ignore[valid-type]  # as above
    probability_lost: Probability | None
    probability_abandoned: Probability | None
    is_abandoned: bool | None = Field(
        description="Whether `probability_abandoned` reaches `CRM_ABANDONED_FROM`; empty where there is none."
    )
    expected_close_month: str | None
    previous: Probability | None = Field(description="Stored probability of the month before; empty for a new deal.")
    change: float | None = Field(description="Probability minus that one.")
    main_cause: Literal[(*PLAYERS, NOTHING)] | None = Field(description="What most of the change comes of.")  # type: ignore[valid-type]  # as above
    cause_in_words: str | None = Field(description="The same in words.")
    main_reason: str | None = Field(description="What sets it apart most from typical deals, in words.")
    main_subject: Literal[SUBJECTS] | None = Field(description="What that is about.")  # type: ignore[valid-type]  # as above
    main_part: float | None = Field(description="What it adds to the probability.")
    raises: str | None = Field(description="All that raises the probability, in words, with percentage points.")
    lowers: str | None = Field(description="All that lowers it.")


class PipelineAnswer(AsOf):
    """A page of the open pipeline."""

    total: int = Field(description="Opportunities that the filters leave, on all pages.")
    opportunities: list[PipelineRow]
    next_cursor: str | None = Field(None, description="Hand it over as `cursor` for the next page; empty on the last.")


class PastScore(BaseModel):
    """A score that was given."""

    month: str
    probability: Probability
    expected_value: float
    rung: str
    model_version: str
    model_month: str


class Moved(BaseModel):
    """Why the newest score differs from the one before."""

    previous_month: str
    probability_before: Probability
    probability: Probability
    change: float
    parts: dict[Literal[CAUSES], float]  # type: ignore[valid-type]  # as above
    main_cause: str
    in_words: str
    changed: dict[str, dict[str, list[Any]]] = Field(description="Cause -> feature -> value before and now.")


class OpportunityAnswer(AsOf):
    """An opportunity, its scores month by month, and why the newest is what it is.

    The model is the one that gave the month's stored score; the champion where there is none.
    """

    opportunity_id: str
    is_open: bool = Field(description="Whether it is open at that month-end, and so has a score.")
    stage: str | None = Field(description="Its stage at that month-end.")
    deal: PipelineRow | None = Field(description="Its row of the pipeline, scored by the champion, while it is open.")
    history: list[PastScore] = Field(description="Stored scores, oldest first.")
    reasons: Reasons | None = None
    moved: Moved | None = None
    not_told_because: str | None = Field(None, description="Why reasons or movement are missing.")


TOTALS = (TOTAL, BOOK, NEW_BUSINESS)
"""Levels of the forecast's lines that are always told."""


class ForecastQuery(Asking):
    """Which lines of the forecast."""

    by: Literal["region", "product", "agent"] | None = Field(None, description="Lines of the open deals by it as well.")


class ForecastRow(BaseModel):
    """One line of the forecast."""

    model_config = ConfigDict(extra="allow")

    level: str
    name: str
    expected_wins: float
    expected_revenue: float


class PastForecast(BaseModel):
    """A forecast of a month that is over, and what came."""

    forecast_month: str
    expected_revenue: float
    low_80: float
    high_80: float
    low_95: float
    high_95: float
    wins: int
    actual_revenue: float = Field(description="List price of the deals won, USD.")
    naive_revenue: float | None = Field(description="Seasonal naive forecast; empty where there was none.")
    closer: str | None


class ForecastAnswer(AsOf):
    """The revenue forecast that was made at the month-end; the model is the champion of then."""

    forecast_month: str
    lines: list[ForecastRow]
    given: dict[str, Any] | None = Field(description="How the forecasts before turned out.")
    past: list[PastForecast] = Field(description="These forecasts one by one, oldest first.")


class ModelFeature(BaseModel):
    """A column that the model reads."""

    name: str
    description: str
    unit: str | None
    importance: float | None = Field(description="Percent, where the candidate tells.")


class ModelAnswer(AsOf):
    """The champion: what it is, what it learnt from, how it was judged."""

    candidate: str
    sha256: str
    training: dict[str, int | str]
    features: list[ModelFeature]
    card: list[dict[str, Any]] | None = Field(description="The figures of the stored model card.")
    challenger_version: str | None


class Me(BaseModel):
    """Who asks."""

    name: str = Field(description="Of the key, or one that stands for the subject of the token.")
    scopes: list[Literal[SCOPES]] = Field(description="What it may do.")  # type: ignore[valid-type]  # as above


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class Ready(BaseModel):
    """Whether there is something to answer from, and what was in the way of the last look."""

    status: Literal["ready", "degraded"]
    month: str
    model_version: str
    rung: str
    shadow_version: str | None
    since: str = Field(description="When it was swapped in, UTC.")
    looked_at: str | None = Field(description="When the last look ended, UTC.")
    troubles: dict[str, str] = Field(
        description="What the last look or write could not do: lake, registry, champion, challenger, prediction_log."
    )
