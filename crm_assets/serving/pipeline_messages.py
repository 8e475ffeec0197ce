"""Messages about the open pipeline as a whole: which of it, its sums, and the names that the CRM knows."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from crm_assets.modelling.risk import RISKS
from crm_assets.serving.messages import Asking, AsOf, Name, PipelineRow, Probability

Names = Annotated[list[Name], Field(max_length=200)]
Days = Annotated[int, Field(ge=0, le=20_000)]
FIELDS = ("regional_office", "manager", "sales_agent", "product", "risk")
"""Fields of which several values can be asked for."""
RANKED = ("sales_agent", "manager", "regional_office", "product")


class Filters(Asking):
    """Which of the open deals; several values of a field are joined by or, fields by and."""

    sales_agent: Names = Field([], description="Only of these agents.")
    manager: Names = Field([], description="Only of these managers' agents.")
    regional_office: Names = Field([], description="Only of these offices.")
    product: Names = Field([], description="Only of these products.")
    risk: list[Literal[RISKS]] = Field([], max_length=10, description="Only of these classes of risk.")  # type: ignore[valid-type]  # names of a tuple
    abandoned: Literal["yes", "no"] | None = Field(None, description="Only those that are abandoned, or are not.")
    min_age_days: Days | None = Field(None, description="Only those engaged at least as many days ago.")
    max_age_days: Days | None = Field(None, description="Only those engaged at most as many days ago.")
    min_probability: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0, description="Only with at least this probability."
    )
    search: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="Only with this text in id, account or agent, in capitals or not.", examples=["Condax"]
    )

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        low, high = self.min_age_days, self.max_age_days
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_age_days {low} is above max_age_days {high}: exchange them")
        return self


Sort = Literal["expected_value", "probability", "change", "age_days", "list_price", "opportunity_id"]


class Ordered(Filters):
    """Filters and order."""

    sort: Sort = Field(
        "expected_value",
        description="Column to sort by; rows with equal values by their id, those without a value last.",
    )
    order: Literal["asc", "desc"] = Field("desc", description="Smallest or largest first.")


class PipelineQuery(Ordered):
    """Filters, order and page."""

    limit: int = Field(100, ge=1, le=1000, description="Rows of a page.")
    skip: int = Field(0, ge=0, le=100_000_000, description="Rows before the page, unless a cursor says where it is.")
    cursor: Annotated[str, StringConstraints(max_length=1000)] | None = Field(
        None, description="`next_cursor` of the page before, with the same filters and order."
    )


class FileQuery(Ordered):
    """Filters, order and format of a file."""

    format: Literal["csv", "xlsx"] = Field("csv", description="CSV in UTF-8, or a workbook of Excel.")


class Sum(BaseModel):
    """A figure of the chosen deals."""

    now: float
    before: float | None = Field(description="Of the deals chosen alike that were open the month before, if stored.")


class Thresholds(BaseModel):
    """Where the classes begin."""

    risk_low_from: Probability
    risk_high_below: Probability
    abandoned_from: Probability


class Bin(BaseModel):
    """Deals with a probability from `low` up to `high`."""

    low: Probability
    high: Probability
    opportunities: int
    abandoned: int = Field(description="Those of them that are abandoned.")
    expected_value: float


class Point(BaseModel):
    """A deal among others."""

    opportunity_id: str
    account: str | None
    sales_agent: str
    product: str
    probability: Probability
    list_price: float
    expected_value: float
    risk: Literal[RISKS]  # type: ignore[valid-type]  # as above


class Group(BaseModel):
    """The deals of an agent, a manager, an office or a product."""

    name: str
    opportunities: int
    list_value: float = Field(description="Sum of list prices, USD.")
    expected_value: float = Field(description="Sum of probability times list price, USD.")


class Facet(BaseModel):
    """A value of a field, and how many deals have it that all filters but those of this field leave."""

    value: str
    opportunities: int


class Ages(BaseModel):
    """Youngest and oldest deal of the whole book, days; empty where there is none."""

    min: int | None
    max: int | None


class SummaryAnswer(AsOf):
    """The chosen deals in figures."""

    month_before: str | None = Field(description="Month that figures are compared with; empty where it has no scores.")
    total: int = Field(description="Deals of the whole book, whatever is chosen.")
    opportunities: Sum = Field(description="Deals that are chosen.")
    list_value: Sum = Field(description="Their list prices, USD.")
    expected_revenue: Sum = Field(description="Sum of probability times list price, USD.")
    at_risk: Sum = Field(description="Deals at high risk.")
    at_risk_value: Sum = Field(description="Their list prices, USD.")
    abandoned: Sum | None = Field(description="Deals that are abandoned; empty where the model cannot tell.")
    thresholds: Thresholds
    histogram: list[Bin] = Field(description="Deals by probability.")
    points: list[Point] = Field(description="All of the chosen deals where they are few, else a sample of them.")
    points_are: Literal["all", "sample"] = Field(
        description="`sample`: every n-th deal by id, and those with the largest expected value."
    )
    top: list[PipelineRow] = Field(description="Deals with the largest expected value.")
    ranking: dict[Literal[RANKED], list[Group]] = Field(description="Groups with the largest expected value.")  # type: ignore[valid-type]  # as above
    facets: dict[Literal[FIELDS], list[Facet]]  # type: ignore[valid-type]  # as above
    ages: Ages


class Agent(BaseModel):
    """Somebody who sells."""

    name: str
    manager: str | None
    regional_office: str | None


class Product(BaseModel):
    """What is sold."""

    name: str
    series: str | None
    list_price: float | None = Field(description="USD.")


class CatalogueAnswer(AsOf):
    """What a score can be asked for and is judged by, as the CRM knew it at the month-end."""

    thresholds: Thresholds
    agents: list[Agent]
    products: list[Product]
