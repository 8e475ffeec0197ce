"""`/v1/score` and `/v1/explain`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response

from crm_assets.serving import messages as msg
from crm_assets.serving.answers import AT_ONCE, Json, as_of, problems, state_of
from crm_assets.serving.explaining import explained
from crm_assets.serving.live import Live, State
from crm_assets.serving.metrics import Metrics
from crm_assets.serving.prediction_log import PredictionLog
from crm_assets.serving.problems import FaultyValue, ProblemError
from crm_assets.serving.scoring import Asked, Fault, RefusedError, Scorer, Told, resolved
from crm_assets.settings import Settings

_log = logging.getLogger(__name__)
INLINE = 20
"""Opportunities that are scored without leaving the event loop; more go to a thread."""


def add_scoring(app: FastAPI, settings: Settings, live: Live, metrics: Metrics, log: PredictionLog | None) -> None:
    """Add the paths that score; `log` takes what was asked and answered."""
    working = CapacityLimiter(AT_ONCE)

    @app.post("/v1/score", response_model=msg.ScoreAnswer, responses=problems(400, 413, 415, 422, 503), tags=["score"])
    async def score(asked: msg.ScoreRequest, request: Request) -> Response:
        """The champion's score of each opportunity, in the order of the request; all of it or none."""
        state = state_of(live)
        count = len(asked.opportunities)
        if count > settings.api_batch_limit:
            limit = f"{count} opportunities at once: send {settings.api_batch_limit} at most"
            raise _refused([Fault("/opportunities", limit)])
        request.state.opportunities, request.state.model_version = count, state.champion.served.version
        if count <= INLINE:
            return Json(scored(state, asked, request.state))
        return Json(await to_thread.run_sync(scored, state, asked, request.state, limiter=working))

    def scored(state: State, asked: msg.ScoreRequest, request: Any) -> dict[str, Any]:
        told = _all_resolved(state, asked, settings)
        answer = _scored(state, told, metrics)
        if log is not None:
            log.put(_to_log(answer, told, request))
        return answer

    @app.post(
        "/v1/explain", response_model=msg.ExplainAnswer, responses=problems(400, 413, 415, 422, 503), tags=["score"]
    )
    async def explain(asked: msg.ExplainRequest, request: Request) -> Response:
        """Why the score of an opportunity is what it is, and what it would be with another agent, age or product."""
        state = state_of(live)
        request.state.opportunities, request.state.model_version = 1, state.champion.served.version
        one = Asked(**dict(asked.opportunity))
        change = {} if asked.change is None else asked.change.model_dump(exclude_none=True)
        try:
            told = await to_thread.run_sync(
                explained, state.champion, one, change, settings.api_unknown, limiter=working
            )
        except RefusedError as error:
            raise _refused(list(error.faults)) from None
        return Json({**as_of(state), **told})


def _resolved(state: State, one: msg.Opportunity, settings: Settings) -> Told:
    return resolved(Asked(**dict(one)), state.book, settings.api_unknown)


def _refused(faults: list[Fault]) -> ProblemError:
    errors = [FaultyValue(pointer=fault.pointer, detail=fault.detail) for fault in faults]
    return ProblemError("not-valid", f"{errors[0].pointer}: {errors[0].detail}", errors=errors)


def _all_resolved(state: State, asked: msg.ScoreRequest, settings: Settings) -> list[Told]:
    told: list[Told] = []
    faults: list[Fault] = []
    for at, one in enumerate(asked.opportunities):
        try:
            told.append(_resolved(state, one, settings))
        except RefusedError as error:
            faults += [Fault(f"/opportunities/{at}{fault.pointer}", fault.detail) for fault in error.faults]
    if faults:
        raise _refused(faults)
    return told


def _to_log(answer: Mapping[str, Any], told: Sequence[Told], request: Any) -> list[dict[str, Any]]:
    """Rows of the prediction log, but for when."""
    same = {
        "request_id": request.request_id,
        "asker": request.asker.name,
        "snapshot_month": answer["month"],
        **{name: answer[name] for name in ("model_version", "rung", "shadow_version")},
    }
    return [
        {
            **same,
            "place": place,
            "opportunity_id": found["opportunity_id"],
            "sales_agent": one.fields.sales_agent,
            "product": one.fields.product,
            "engage_date": one.fields.engage_date,
            **{name: found[name] for name in ("age_days", "list_price", "probability")},
            "shadow_probability": found.get("shadow_probability"),
        }
        for place, (one, found) in enumerate(zip(told, answer["opportunities"], strict=True))
    ]


def _scored(state: State, told: Sequence[Told], metrics: Metrics) -> dict[str, Any]:
    scores = state.champion.scores(told)
    answers: list[dict[str, Any]] = [{**found, "unknown": one.unknown} for one, found in zip(told, scores, strict=True)]
    shadow = None
    if state.challenger is not None:
        shadow = state.challenger.served.version
        for answer, probability in zip(answers, _beside(state.challenger, told, metrics), strict=True):
            answer["shadow_probability"] = probability
    by_id = sum(one.opportunity_id is not None for one in told)
    metrics.scored.labels("id").inc(by_id)
    metrics.scored.labels("fields").inc(len(told) - by_id)
    return {**as_of(state), "shadow_version": shadow, "opportunities": answers}


def _beside(challenger: Scorer, told: Sequence[Told], metrics: Metrics) -> list[float | None]:
    """The challenger's probabilities; none where it fails, for nobody asked for them."""
    try:
        return [found["probability"] for found in challenger.scores(told)]
    except Exception:
        _log.exception("the challenger, version %s, cannot score", challenger.served.version)
        metrics.shadow_failures.inc(len(told))
        return [None] * len(told)
