"""What is made and what is not, and orders to make it: what the scope `operate` opens."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Response

from crm_assets.serving import operation_messages as op
from crm_assets.serving.answers import Json, problems
from crm_assets.serving.operations import Operations

_WAITING = 4
"""Requests that wait for Dagster at once."""
_ORDERED = (400, 413, 415, 422, 503)


def add_operations(app: FastAPI, operations: Operations) -> None:
    """Add the paths below `/v1/operations`."""
    waiting = CapacityLimiter(_WAITING)
    tags: list[str | Enum] = ["operations"]

    async def answered(work: Callable[..., dict[str, Any]], *given: Any, **named: Any) -> Response:
        return Json(await to_thread.run_sync(partial(work, *given, **named), limiter=waiting))

    @app.get("/v1/operations", response_model=op.OperationsAnswer, responses=problems(422), tags=tags)
    async def overview(asked: Annotated[op.OperationsQuery, Query()]) -> Response:
        """Which months of which assets are made, out of date or missing, and the last runs."""
        return await answered(operations.overview, asked.months, asked.before)

    @app.post("/v1/operations/plan", response_model=op.PlanAnswer, responses=problems(*_ORDERED), tags=tags)
    async def plan(asked: op.BackfillRequest) -> Response:
        """What a backfill would make, and why. Nothing is started."""
        return await answered(operations.plan, **dict(asked))

    @app.post("/v1/operations/backfills", response_model=op.BackfillAnswer, responses=problems(*_ORDERED), tags=tags)
    async def start(asked: op.BackfillRequest) -> Response:
        """Have Dagster make what is missing or out of date; the same asked for twice is one run."""
        return await answered(operations.start, **dict(asked))

    @app.get(
        "/v1/operations/backfills/{run_id}",
        response_model=op.BackfillAnswer,
        responses=problems(404, 422, 503),
        tags=tags,
    )
    async def status(run_id: op.RunId) -> Response:
        """How far a backfill is."""
        return await answered(operations.status, run_id)

    @app.post(
        "/v1/operations/backfills/{run_id}/cancel",
        response_model=op.BackfillAnswer,
        responses=problems(404, 422, 503),
        tags=tags,
    )
    async def cancel(run_id: op.RunId) -> Response:
        """Stop a backfill. What is stored by then is kept, and starting it again goes on from there."""
        return await answered(operations.cancel, run_id)

    @app.post(
        "/v1/operations/simulation/advance",
        response_model=op.AdvanceAnswer,
        responses=problems(*_ORDERED, 409),
        tags=tags,
    )
    async def advance(asked: op.AdvanceRequest) -> Response:
        """Land the next months of a simulated CRM, as if they had passed."""
        return await answered(operations.advance, asked.months)

    @app.post(
        "/v1/operations/simulation/reset", response_model=op.ResetAnswer, responses=problems(*_ORDERED, 409), tags=tags
    )
    async def reset(asked: op.ResetRequest) -> Response:
        """Remove every month of a simulated CRM that has landed; what was made of them stays."""
        return await answered(operations.reset, asked.confirm)
