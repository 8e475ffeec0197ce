"""How the model was judged, and what monitoring found."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Response

from crm_assets.alerts.sent_log import newest
from crm_assets.calendar import Month
from crm_assets.modelling.card_ledger import MODEL_CARD
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.serving import model_report_messages as report_msg
from crm_assets.serving import monitoring_messages as monitoring_msg
from crm_assets.serving.answers import AT_ONCE, Json, problems
from crm_assets.serving.kept import kept_by_history
from crm_assets.serving.model_report import MODEL_REPORT_FROM, model_report
from crm_assets.serving.monitored import MONITORED_FROM, monitored
from crm_assets.serving.problems import ProblemError
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake, stored_month

_ALERTS = 100
"""Sent alerts that are told at most."""


def add_trust(app: FastAPI, settings: Settings) -> None:
    """Add the paths of the model's report, of monitoring and of sent alerts."""
    reading = CapacityLimiter(AT_ONCE)
    reports = kept_by_history(settings, MODEL_REPORT_FROM, lambda month: model_report(settings, month))
    monitorings = kept_by_history(settings, MONITORED_FROM, lambda month: monitored(settings, month))
    html: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}

    @app.get(
        "/v1/model/report", response_model=report_msg.ModelReport, responses=problems(404, 422, 503), tags=["trust"]
    )
    async def report(asked: Annotated[report_msg.ReportQuery, Query()]) -> Response:
        """Champion and challenger, how they were judged, every promotion and why, and what the leakage gate found."""
        month = await to_thread.run_sync(_held_month, settings, MODEL_CARD.name, asked.month, limiter=reading)
        return Json(await to_thread.run_sync(reports, month, limiter=reading))

    @app.get("/v1/model/card", response_class=Response, responses={**html, **problems(404, 422, 503)}, tags=["trust"])
    async def card(asked: Annotated[report_msg.ReportQuery, Query()]) -> Response:
        """The stored model card of a month, a page that loads nothing from elsewhere."""
        return await to_thread.run_sync(_stored_page, settings, MODEL_CARD.name, asked.month, limiter=reading)

    @app.get(
        "/v1/monitoring",
        response_model=monitoring_msg.MonitoringAnswer,
        responses=problems(404, 422, 503),
        tags=["trust"],
    )
    async def monitoring(asked: Annotated[monitoring_msg.MonitoringQuery, Query()]) -> Response:
        """Drift of a month and its columns; quality, performance and traffic of all months up to it."""
        month = await to_thread.run_sync(_held_month, settings, DRIFT.name, asked.month, limiter=reading)
        return Json(await to_thread.run_sync(monitorings, month, limiter=reading))

    @app.get(
        "/v1/monitoring/report",
        response_class=Response,
        responses={**html, **problems(404, 422, 503)},
        tags=["trust"],
    )
    async def drift_page(asked: Annotated[monitoring_msg.MonitoringQuery, Query()]) -> Response:
        """The stored drift report of a month with Evidently's pictures, a page that loads nothing from elsewhere."""
        return await to_thread.run_sync(_stored_page, settings, DRIFT.name, asked.month, limiter=reading)

    @app.get(
        "/v1/monitoring/alerts", response_model=monitoring_msg.AlertsAnswer, responses=problems(503), tags=["trust"]
    )
    async def alerts() -> Response:
        """The alerts that were sent last."""
        told = await to_thread.run_sync(lambda: newest(stored_lake(settings), _ALERTS), limiter=reading)
        return Json({"receivers": len(settings.alert_targets), "alerts": told})


def _held_month(settings: Settings, asset: str, asked: str | None) -> Month:
    """The month that is asked for, or the newest. Raises ProblemError where the lake does not hold that one."""
    held = stored_lake(settings).months(asset)
    if asked is not None and asked not in held:
        known = f"there are those of {held[0]} to {held[-1]}" if held else "there is none yet"
        raise ProblemError("not-found", f"there is no {asset} of {asked}: {known}")
    return stored_month(settings, asset, asset, None if asked is None else Month.parse(asked))[1]


def _stored_page(settings: Settings, asset: str, asked: str | None) -> Response:
    lake, month = stored_lake(settings), _held_month(settings, asset, asked)
    if lake.manifest(asset, month, "html") is None:
        raise ProblemError("not-found", f"{asset} of {month} has no page: there was nothing to show")
    return Response(lake.document(asset, month, "html"), media_type="text/html")
