"""The pipeline, an opportunity, the forecast, the champion and who asks: what the scope `read` opens."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Path, Query, Request, Response

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, LakeError
from crm_assets.features.registry import AS_OF, FEATURES
from crm_assets.modelling.card_ledger import MODEL_CARD
from crm_assets.modelling.forecast import FORECAST
from crm_assets.modelling.forecast_accuracy import ACCURACY
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.serving import messages as msg
from crm_assets.serving import pipeline_messages as of_pipeline
from crm_assets.serving.answers import AT_ONCE, Json, as_of, problems, state_of
from crm_assets.serving.catalogue import catalogue
from crm_assets.serving.choice import chosen, ordered
from crm_assets.serving.history import told_opportunity
from crm_assets.serving.kept import kept
from crm_assets.serving.live import Live, State
from crm_assets.serving.pages import page
from crm_assets.serving.pipeline_file import FILE_COLUMNS, MEDIA_TYPES, as_csv, as_workbook
from crm_assets.serving.pipeline_summary import summary, thresholds
from crm_assets.serving.problems import ProblemError
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake, why_no_scores

_FORECAST_FROM = (FORECAST.name, ACCURACY.name, WIN_MODEL.name)
_CARD_FROM = (MODEL_CARD.name,)
Identifier = Annotated[str, Path(min_length=1, max_length=200, description="As in the CRM.", examples=["1C1I7A6R"])]


def add_pipeline(app: FastAPI, settings: Settings, live: Live) -> None:
    """Add the paths of the open pipeline, and of the names in it."""
    reading = CapacityLimiter(AT_ONCE)

    @app.get("/v1/pipeline", response_model=msg.PipelineAnswer, responses=problems(410, 422, 503), tags=["read"])
    async def pipeline(asked: Annotated[of_pipeline.PipelineQuery, Query()]) -> Response:
        """The open opportunities with their scores: filtered, sorted, in pages that stay as they are."""
        state, rows, total, cursor = await to_thread.run_sync(page, live, state_of(live), asked, limiter=reading)
        return Json({**as_of(state), "total": total, "opportunities": rows, "next_cursor": cursor})

    @app.get(
        "/v1/pipeline/summary",
        response_model=of_pipeline.SummaryAnswer,
        responses=problems(422, 503),
        tags=["read"],
    )
    async def summed(asked: Annotated[of_pipeline.Filters, Query()]) -> Response:
        """The chosen opportunities in figures: sums beside the month before, distribution, ranking, choices."""
        state = state_of(live)
        told = await to_thread.run_sync(summary, state.deals, asked, settings, limiter=reading)
        return Json({**as_of(state), **told})

    @app.get(
        "/v1/pipeline/file",
        response_class=Response,
        responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}, **problems(422, 503)},
        tags=["read"],
    )
    async def file(asked: Annotated[of_pipeline.FileQuery, Query()]) -> Response:
        """The chosen opportunities as a file for a spreadsheet, in order."""
        state = state_of(live)
        content = await to_thread.run_sync(_file, state, asked, limiter=reading)
        named = f'attachment; filename="pipeline-{state.book.month}.{asked.format}"'
        return Response(content, media_type=MEDIA_TYPES[asked.format], headers={"Content-Disposition": named})

    @app.get("/v1/catalogue", response_model=of_pipeline.CatalogueAnswer, responses=problems(503), tags=["read"])
    async def names() -> Response:
        """The agents and products that a score can be asked for, and where the classes of risk begin."""
        state = state_of(live)
        return Json({**as_of(state), "thresholds": thresholds(settings), **catalogue(state.book)})


def _file(state: State, asked: of_pipeline.FileQuery) -> bytes:
    rows = ordered(chosen(state.deals.rows, asked), asked).select(FILE_COLUMNS)
    return as_csv(rows) if asked.format == "csv" else as_workbook(rows, f"Pipeline {state.book.month}")


def add_reading(app: FastAPI, settings: Settings, live: Live) -> None:
    """Add the paths of an opportunity, the forecast, the champion and of who asks."""
    reading = CapacityLimiter(AT_ONCE)
    forecasts = kept(settings, _FORECAST_FROM, lambda month: _forecast(settings, month))
    cards = kept(settings, _CARD_FROM, lambda month: _card(settings, month))

    def card_of(month: Month) -> list[dict[str, Any]] | None:
        try:
            return cards(month)
        except (CrmAssetsError, OSError, pl.exceptions.PolarsError):
            return None

    @app.get("/v1/me", response_model=msg.Me, responses=problems(), tags=["read"])
    async def me(request: Request) -> Response:
        """Who asks, and what it may do."""
        asker = request.state.asker
        return Json({"name": asker.name, "scopes": sorted(asker.scopes)})

    @app.get(
        "/v1/opportunities/{opportunity_id}",
        response_model=msg.OpportunityAnswer,
        responses=problems(404, 422, 503),
        tags=["read"],
    )
    async def opportunity(opportunity_id: Identifier) -> Response:
        """The scores of an opportunity month by month, why the newest is what it is, and why it moved."""
        state = state_of(live)
        told = await to_thread.run_sync(told_opportunity, settings, state, opportunity_id, limiter=reading)
        if told is None:
            known = f"no opportunity of that id is known at the end of {state.book.month}, nor was one scored before"
            raise ProblemError("not-found", f"{known}: open ones are listed by /v1/pipeline")
        return Json({**as_of(state), **told})

    @app.get("/v1/forecast", response_model=msg.ForecastAnswer, responses=problems(422, 503), tags=["read"])
    async def forecast(asked: Annotated[msg.ForecastQuery, Query()]) -> Response:
        """The stored revenue forecast of the next month, and how those before it turned out."""
        state = state_of(live)
        told = await to_thread.run_sync(forecasts, state.book.month, limiter=reading)
        lines = [line for line in told["lines"] if line["level"] in {*msg.TOTALS, asked.by}]
        return Json({**told, "lines": lines})

    @app.get("/v1/model", response_model=msg.ModelAnswer, responses=problems(503), tags=["read"])
    async def model() -> Response:
        """The champion: what it is, what it learnt from, what it reads, and the figures of its card."""
        state = state_of(live)
        card = await to_thread.run_sync(card_of, state.book.month, limiter=reading)
        return Json({**as_of(state), **_champion(state), "card": card})


def _champion(state: State) -> dict[str, Any]:
    served = state.champion.served
    importance = served.model.importance()
    described = {feature.name: (feature.description, feature.unit) for feature in FEATURES}
    described[AS_OF] = ("Last day of the month as of which is scored", None)
    return {
        "candidate": served.model.candidate,
        "sha256": served.sha256,
        "training": dict(served.model.training),
        "features": [
            {"name": name, "description": told, "unit": unit, "importance": importance.get(name)}
            for name, (told, unit) in ((name, described[name]) for name in served.model.features)
        ],
        "challenger_version": state.challenger.served.version if state.challenger else None,
    }


def _forecast(settings: Settings, month: Month) -> dict[str, Any]:
    from crm_assets.forecast import stored_forecast

    found = stored_forecast(settings, month)
    lake = stored_lake(settings)
    past = pl.read_parquet(lake.table_path(ACCURACY.name, month))
    decided = pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    if decided["champion_version"] is None:
        raise LakeError(why_no_scores(lake, month))
    return {
        "month": str(month),
        "as_of": month.end,
        "predicted_month": str(month.next),
        "forecast_month": str(month.next),
        **{f"model_{name}": decided[f"champion_{name}"] for name in ("version", "month")},
        "rung": decided["champion_rung"],
        "lines": found.rows.drop("snapshot_month", "forecast_month").to_dicts(),
        "given": found.given,
        "past": past.sort("forecast_month").select(list(msg.PastForecast.model_fields)).to_dicts(),
    }


def _card(settings: Settings, month: Month) -> list[dict[str, Any]]:
    """The figures of the month's card."""
    from crm_assets.card import stored_card

    return stored_card(settings, month).figures.to_dicts()
