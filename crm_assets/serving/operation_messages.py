"""Requests and answers about running the platform: what is made, what goes on, and what to start."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from crm_assets.backfill_plan import CAUSES
from crm_assets.client import State
from crm_assets.serving.messages import Asking

_MONTH = re.compile(r"(19|20)[0-9]{2}-(0[1-9]|1[0-2])")
_MONTH_FORM = "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$"
MOST_MONTHS = 60
"""Months that are told of at once."""
MADE, OUT_OF_DATE, MISSING = STATES = ("made", "out of date", "missing")
"""A month of an asset: as it would be made now, made of what has changed since, not there."""


def _month(value: object) -> str:
    if isinstance(value, str) and _MONTH.fullmatch(value):
        return value
    raise ValueError("write the month as YYYY-MM")


MonthText = Annotated[
    str, BeforeValidator(_month), WithJsonSchema({"type": "string", "pattern": _MONTH_FORM, "examples": ["2017-11"]})
]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class OperationsQuery(Asking):
    """Which months are told of."""

    months: int = Field(12, ge=1, le=MOST_MONTHS, description="How many, newest first.")
    before: MonthText | None = Field(None, description="Only those before it.")


class MonthOfAsset(BaseModel):
    """One month of an asset."""

    month: str
    state: Literal[STATES]  # type: ignore[valid-type]  # the values of a constant
    why: str | None = Field(description="Why it is not as it would be made now.")
    written_at: str | None = Field(description="When it was written, UTC.")
    rows: int | None = Field(description="Of a table.")


class AssetMonths(BaseModel):
    """An asset, and its months in the order of `months` of the answer."""

    name: str
    months: list[MonthOfAsset]


class DagsterState(BaseModel):
    """Whether Dagster answers."""

    address: str = Field(description="Where people find it.")
    answers: bool
    why: str | None = Field(description="Why it does not, and what to do.")


class Run(BaseModel):
    """A run of Dagster."""

    run_id: str
    job: str
    state: State
    months: list[str] = Field(description="First and last month; none of a run that is of no months.")
    trigger: str = Field(description="backfill, landing, schedule, retrain, condition or manual.")
    created_at: str | None = Field(description="UTC.")
    started_at: str | None = Field(description="UTC.")
    ended_at: str | None = Field(description="UTC.")
    url: str = Field(description="Its page in Dagster.")


class LandingState(BaseModel):
    """The simulated CRM whose months land one by one."""

    name: str = Field(description="What has to be said again to reset it.")
    place: str
    simulator: str = Field(description="URL of the simulated CRM.")
    landed: list[str] = Field(description="Months, oldest first.")
    next_month: str | None = Field(description="The one that lands next; none where the CRM has ended.")


class OperationsAnswer(BaseModel):
    """What is made and what is not, the last runs, and the simulated CRM where there is one."""

    months: list[str] = Field(description="Newest first.")
    newest_month: str | None = Field(description="Of all, whatever `before` is; none where there is none yet.")
    next_before: str | None = Field(description="`before` of the months before these; none where these are the first.")
    assets: list[AssetMonths] = Field(description="Each below those it reads.")
    compared: bool = Field(
        description="Whether Dagster compared what is stored with what it would make now. Otherwise what is there "
        "counts as made."
    )
    not_compared_because: str | None
    dagster: DagsterState
    runs: list[Run] = Field(description="Newest first; none where Dagster does not answer.")
    landing: LandingState | None
    troubles: dict[str, str] = Field(description="What of `lake`, `source` and `landing` could not be read, and why.")


class BackfillRequest(Asking):
    """What is to be up to date."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"start": "2017-10", "end": "2017-11"}, {"start": "2017-11", "assets": ["scores"]}]
        }
    )

    start: MonthText = Field(description="First month.")
    end: MonthText | None = Field(None, description="Last month; the first one by default.")
    assets: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        None, min_length=1, max_length=200, description="Their names; all by default."
    )
    force: bool = Field(False, strict=True, description="Make again what is up to date as well.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"months out of order: {self.end} is before {self.start}")
        return self


class PlannedStep(BaseModel):
    """Months of an asset that would be made for the same cause."""

    asset: str
    cause: Literal[CAUSES]  # type: ignore[valid-type]  # as above
    months: list[str]
    detail: str = Field(description="Why, of the first of them.")


class PlanAnswer(BaseModel):
    """What a backfill would make, and why."""

    start: str
    end: str
    total: int = Field(description="Months of assets that would be made; 0 where all is up to date.")
    assets: int = Field(description="That are asked about.")
    steps: list[PlannedStep] = Field(description="In the order in which assets read each other.")


class BackfillAnswer(BaseModel):
    """Where a backfill stands."""

    id: str | None = Field(description="Of its run; none where everything was up to date.")
    state: State
    over: bool = Field(description="Whether it stays as it is.")
    done: int = Field(description="Months of assets that are stored.")
    total: int = Field(description="Of its run, in all.")
    months: list[str]
    url: str | None = Field(description="Its page in Dagster.")
    reason: str | None = Field(description="Why it failed, or has not stopped yet.")
    joined: bool = Field(description="Whether it was going on already when it was asked for.")


class AdvanceRequest(Asking):
    """How many months of the simulated CRM are to land."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"months": 1}]})

    months: int = Field(1, ge=1, le=12, strict=True)


class LandedMonthAnswer(BaseModel):
    """What a month that has landed holds."""

    month: str
    opportunities: int
    created: int = Field(description="More than the month before.")
    won: int = Field(description="Deals that were won in the month.")
    lost: int


class AdvanceAnswer(BaseModel):
    """The months that have landed."""

    landed: list[LandedMonthAnswer]


class ResetRequest(Asking):
    """Removes every month of the simulated CRM that has landed; what was made of them stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"confirm": "landing"}]})

    confirm: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="The name of the place, as `landing.name` tells it."
    )


class ResetAnswer(BaseModel):
    """The months that were removed."""

    removed: list[str] = Field(description="Newest first.")
