"""The FastAPI application: paths, and from request to answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from crm_assets import __version__
from crm_assets.errors import CrmAssetsError
from crm_assets.serving import messages as msg
from crm_assets.serving.access import Access
from crm_assets.serving.answers import WHY, Json, problems, state_of
from crm_assets.serving.guard import Guard, scope_of
from crm_assets.serving.live import Live
from crm_assets.serving.metrics import CONTENT_TYPE, Metrics
from crm_assets.serving.operation_paths import add_operations
from crm_assets.serving.operations import Operations
from crm_assets.serving.prediction_log import PredictionLog
from crm_assets.serving.problems import MEDIA_TYPE, FaultyValue, Problem, ProblemError, body, kind_of
from crm_assets.serving.reading_paths import add_pipeline, add_reading
from crm_assets.serving.scoring_paths import add_scoring
from crm_assets.serving.trust_paths import add_trust
from crm_assets.settings import Settings

_FIRST_LOOK_SECONDS = 30.0

_JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)


def build_app(settings: Settings, live: Live | None = None, *, watch: bool = True) -> FastAPI:
    """The application.

    Args:
        settings: the deployment's.
        live: what is answered from.
        watch: look for a new champion while it runs; a test that looks by hand sets it to False.

    Raises SettingsError when nobody could ask, as `Access` does.
    """
    held = live or Live(settings)
    access, metrics = Access(settings), Metrics()
    log: PredictionLog | None = None
    if settings.api_prediction_log:
        log = PredictionLog(held.lake, written=metrics.logged.inc, dropped=metrics.dropped.inc)

    def looked(seen: Live) -> None:
        metrics.tell(seen, log)
        access.look()
        metrics.tell_trouble("keys", access.trouble)

    held.on_look = looked

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        if watch:
            held.start()
        if log is not None:
            log.start()
        if watch:
            # It listens once there is something to answer from, or a reason why there is not.
            await to_thread.run_sync(held.wait, _FIRST_LOOK_SECONDS)
        try:
            yield
        finally:
            if watch:
                await to_thread.run_sync(held.stop)
            if log is not None:
                await to_thread.run_sync(log.stop)

    app = FastAPI(
        title="crm_assets",
        version=__version__,
        summary="Sales probabilities, the same as in batch.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=running,
        redirect_slashes=False,
    )
    app.add_middleware(Guard, settings=settings, access=access, metrics=metrics)
    app.state.live, app.state.metrics, app.state.settings = held, metrics, settings
    _add_problems(app)
    add_scoring(app, settings, held, metrics, log)
    add_pipeline(app, settings, held)
    add_reading(app, settings, held)
    add_trust(app, settings)
    add_operations(app, Operations(settings))
    _add_health(app, held, metrics, log, access)
    app.openapi = lambda: _openapi(app, anonymous=access.open)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _add_health(app: FastAPI, live: Live, metrics: Metrics, log: PredictionLog | None, access: Access) -> None:
    @app.get("/health/live", response_model=msg.Alive, tags=["health"])
    async def alive() -> Response:
        """Whether the process answers."""
        return Json({"status": "alive"})

    @app.get("/health/ready", response_model=msg.Ready, responses=problems(503), tags=["health"])
    async def ready(request: Request) -> Response:
        """Whether there is something to answer from. `degraded`: the last look failed, and the last good one serves."""
        state = state_of(live)
        access.look()
        troubles = {about: told for about, told in {**vars(live.troubles), "keys": access.trouble}.items() if told}
        if log is not None and log.trouble:
            troubles["prediction_log"] = log.trouble
        served = state.champion.served
        return Json(
            {
                "status": "degraded" if troubles else "ready",
                "month": str(state.book.month),
                "model_version": served.version,
                "rung": served.model.rung,
                "shadow_version": state.challenger.served.version if state.challenger else None,
                "since": _utc(state.since),
                "looked_at": None if live.looked_at is None else _utc(live.looked_at),
                "troubles": troubles if request.state.may_read else dict.fromkeys(troubles, WHY),
            }
        )

    @app.get("/metrics", tags=["health"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures() -> Response:
        """Figures for Prometheus."""
        metrics.tell_trouble("keys", access.trouble)
        return Response(metrics.exposition(live, log), media_type=CONTENT_TYPE)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _add_problems(app: FastAPI) -> None:
    def answer(problem: ProblemError, request: Request) -> Response:
        status, content = body(
            problem,
            instance=request.url.path,
            request_id=request.state.request_id,
            whole=request.state.may_read,
        )
        return Response(content, status, headers=problem.headers, media_type=MEDIA_TYPE)

    @app.exception_handler(ProblemError)
    async def told(request: Request, problem: ProblemError) -> Response:
        return answer(problem, request)

    @app.exception_handler(CrmAssetsError)
    async def not_there(request: Request, error: CrmAssetsError) -> Response:
        outline = f"what is answered from cannot be read: {WHY}"
        return answer(ProblemError("unavailable", str(error), headers={"Retry-After": "30"}, outline=outline), request)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        if any(fault["type"] == "json_invalid" for fault in faults):
            said = str(faults[0].get("ctx", {}).get("error", "it is no JSON"))
            return answer(ProblemError("bad-request", f"the body is no JSON: {said}"), request)
        kind = request.headers.get("content-type", "")
        if any(fault["loc"] == ("body",) for fault in faults) and not _JSON.match(kind):
            shown = kind[:100] or "nothing"
            problem = ProblemError("unsupported-media-type", f"Content-Type says {shown}: send application/json")
            return answer(problem, request)
        errors = [FaultyValue(pointer=_pointer(fault), detail=_said(fault)) for fault in faults]
        problem = ProblemError("not-valid", f"{errors[0].pointer}: {errors[0].detail}", errors=errors[:100])
        return answer(problem, request)

    @app.exception_handler(HTTPException)
    async def of_status(request: Request, error: HTTPException) -> Response:
        kind = kind_of(error.status_code)
        details = {
            "not-found": "no path of this API: see /v1/openapi.json",
            "method-not-allowed": f"{request.method} is no method of this path: see /v1/openapi.json",
        }
        return answer(ProblemError(kind, details.get(kind, str(error.detail)), headers=error.headers), request)


def _pointer(fault: Mapping[str, Any]) -> str:
    where, *rest = fault["loc"]
    if where != "body":
        return str(rest[0]) if rest else str(where)
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in rest) or "/"


def _said(fault: Mapping[str, Any]) -> str:
    """What is wrong in words, without the value: it may be long, or nobody's business in a log."""
    if fault["type"] == "extra_forbidden":
        return "it is not a field of the request: leave it out, or correct its name"
    return str(fault["msg"]).removeprefix("Value error, ")


def _openapi(app: FastAPI, *, anonymous: bool) -> dict[str, Any]:
    """OpenAPI with the problems' schema and the ways to say who asks."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
    )
    parts = schema.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts |= problem.pop("$defs", {})
    parts["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        parts.pop(unused, None)
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer."},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, methods in schema["paths"].items():
        scope = scope_of(path)
        for told in methods.values():
            if told["responses"].get("422", {}).get("content", {}).get("application/json"):
                del told["responses"]["422"]
            if scope is not None and not anonymous:
                told["security"] = [{"bearer": []}, {"key": []}]
                told["description"] = f"{told.get('description', '')} Needs the scope `{scope}`.".strip()
    app.openapi_schema = schema
    return schema
