"""A cure-hazard model: when deals close, which of them never will, and which closings are wins.

A deal is abandoned, without a word, with a probability that depends on its agent and on its cohort, the region and
fortnight of its engagement. A deal that is not closes on each day with a hazard that depends on its age, on the month's
position in its quarter and on how fast its agent is. A closing is a win with a probability that depends on the month's
position, the agent and the product. Which of the open deals are abandoned is not observed, so the parts are estimated
by expectation maximisation, with every effect shrunk towards none.

Mixture cure model: Farewell, "The use of mixture models for the analysis of survival data with long-term survivors",
Biometrics 38 (1982). Discrete-time hazards: Allison, "Discrete-time methods for the analysis of event histories",
Sociological Methodology 13 (1982). EM: Dempster, Laird and Rubin, JRSS B 39 (1977).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import FIRST_MONDAY
from crm_assets.errors import QualityError
from crm_assets.modelling.deals import Days, Deals, to_days

if TYPE_CHECKING:
    pass

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

COHORT_DAYS = 14
_POSITIONS = 3
_FIRST_MONDAY = int(to_days(FIRST_MONDAY))
_TAILS = (0.97, 0.99)
_RATE = (1e-5, 1 - 1e-5)
_HAZARD = (1e-7, 0.9)
_START = 0.2
"""Share of abandoned deals that the fit begins with, and that a few deals stand for."""
_FEW = 1.0


@dataclass(frozen=True)
class HazardParameters:
    """What shapes a fit. Chosen on simulated businesses; `docs/model.md` tells which.

    Attributes:
        bins: age bins up to the last closing age, of about equally many closings.
        hazard_prior: deal-days of a bin's mean hazard that are added to each of its three positions.
        abandoned_agent_prior, abandoned_cohort_prior: deals of the average that are added to each agent and cohort.
        speed_prior: closings at average speed that are added to each agent.
        win_prior: closings of the average that are added to each position, agent and product.
        iterations: of the EM, at most.
        tolerance: largest change of a deal's probability of being abandoned at which the EM ends.
    """

    bins: int = 40
    hazard_prior: float = 5.0
    abandoned_agent_prior: float = 50.0
    abandoned_cohort_prior: float = 30.0
    speed_prior: float = 20.0
    win_prior: float = 50.0
    iterations: int = 60
    tolerance: float = 1e-5

    def as_dict(self) -> dict[str, int | float]:
        """Name -> value, in the order of the fields."""
        return asdict(self)


@dataclass(frozen=True)
class Fates:
    """What becomes of open deals; arrays of shape (n,).

    Attributes:
        abandoned: probability that the deal was abandoned and never closes.
        closes: probability that it closes within the days asked for.
        win_share: probability that such a closing is a win.
    """

    abandoned: Floats
    closes: Floats
    win_share: Floats

    @property
    def won(self) -> Floats:
        """Probability that it is won within the days asked for."""
        return self.closes * self.win_share


def fates_of(lived: Floats, ahead: Floats, *, speed: Any, abandoned: Any, win: Any) -> Fates:
    """What becomes of open deals; every argument is of shape (n,), or one number for all.

    Args:
        lived: log survival of an average agent's deal up to now.
        ahead: the same in the days that are looked ahead.
        speed: factor of the agent's hazard.
        abandoned: log-odds that the deal is abandoned.
        win: log-odds that a closing is a win.
    """
    prior = np.clip(_logistic(abandoned), *_RATE)
    gone = prior / (prior + (1 - prior) * np.exp(speed * lived))
    return Fates(gone, (1 - gone) * -np.expm1(speed * ahead), _logistic(win))


@dataclass(frozen=True)
class CureHazard:
    """A fitted cure-hazard model. What it has not seen, an agent or a cohort, counts as average.

    Attributes:
        edges: first age, in days, of every age bin but the first.
        log_survival: (bins, 3) log of 1 - daily hazard by age bin and position of the month in its quarter.
        start: first day of the first month with a closing; nothing could be seen to close before.
        abandoned_level: log-odds that an average deal is abandoned.
        abandoned_by_agent, abandoned_by_cohort: log-odds added to it.
        speed: agent -> factor of the hazard.
        win_level: log-odds that a closing is a win, by position.
        win_by_agent, win_by_product: log-odds added to it.
    """

    edges: Codes
    log_survival: Floats
    start: int
    abandoned_level: float
    abandoned_by_agent: Mapping[str, float]
    abandoned_by_cohort: Mapping[tuple[str, int], float]
    speed: Mapping[str, float]
    win_level: Floats
    win_by_agent: Mapping[str, float]
    win_by_product: Mapping[str, float]
    _calendars: dict[tuple[int, int], Calendar] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(cls, deals: Deals, parameters: HazardParameters | None = None) -> Self:
        """Estimate every part from engaged deals as known at a day.

        Raises QualityError when no deal has closed.
        """
        return cls(**_Fit(deals, parameters or HazardParameters()).run())

    def fates(
        self, *, engaged: Days, as_of: int, days: int, agent: Codes, cohort: Codes, product: Codes, names: Names
    ) -> Fates:
        """What becomes of open deals in the `days` after `as_of`.

        Args:
            engaged: (n,) days of engagement.
            as_of: day at whose end the deals are open.
            days: how far to look ahead.
            agent, cohort, product: (n,) codes into `names`.
            names: the names behind the codes.
        """
        speed = _values(self.speed, names.agents, 1.0)[agent]
        log_odds = (
            self.abandoned_level
            + _values(self.abandoned_by_agent, names.agents)[agent]
            + _values(self.abandoned_by_cohort, names.cohorts)[cohort]
        )
        win = (
            self.win_level_after(as_of)
            + _values(self.win_by_agent, names.agents)[agent]
            + _values(self.win_by_product, names.products)[product]
        )
        lived, ahead = self.log_survival_of(engaged, as_of, days)
        return fates_of(lived, ahead, speed=speed, abandoned=log_odds, win=win)

    def win_level_after(self, as_of: int) -> float:
        """Log-odds that a closing in the month after a month-end is a win, for an average agent and product."""
        return float(self.win_level[_position(np.array([as_of + 1]))[0]])

    def log_survival_of(self, engaged: Days, as_of: int, days: int) -> tuple[Floats, Floats]:
        """Log survival of a deal of an average agent up to `as_of`, and in the `days` after it, (n,) each."""
        unique, inverse = np.unique(np.maximum(engaged, self.oldest(as_of)), return_inverse=True)
        if not len(unique):
            return np.empty(0), np.empty(0)
        calendar = self._calendar(int(min(unique[0], as_of)), as_of + days)
        now = np.full(len(unique), as_of)
        begun = np.minimum(np.maximum(unique, self.start - 1), now)
        flat = self.log_survival.ravel()
        lived = calendar.days_at_risk(unique, begun, now, self.edges) @ flat
        ahead = calendar.days_at_risk(unique, now, now + days, self.edges) @ flat
        return lived[inverse], ahead[inverse]

    def oldest(self, as_of: int) -> int:
        """The day such that any deal engaged before it is, at `as_of`, like one of that day."""
        # Any age from the last edge on is the same, and days before the start are not at risk.
        return min(self.start - 1, as_of) - int(self.edges.max(initial=0))

    def _calendar(self, first: int, last: int) -> Calendar:
        for (begins, ends), calendar in self._calendars.items():
            if begins <= first and last <= ends:
                return calendar
        self._calendars[first, last] = Calendar(first, last)
        return self._calendars[first, last]

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        return {
            "edges": self.edges.tolist(),
            "log_survival": self.log_survival.tolist(),
            "start": self.start,
            "abandoned_level": self.abandoned_level,
            "abandoned_by_agent": dict(self.abandoned_by_agent),
            "abandoned_by_cohort": [[*cohort, value] for cohort, value in self.abandoned_by_cohort.items()],
            "speed": dict(self.speed),
            "win_level": self.win_level.tolist(),
            "win_by_agent": dict(self.win_by_agent),
            "win_by_product": dict(self.win_by_product),
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Self:
        """The model that `to_dict` wrote."""
        return cls(
            edges=np.array(parts["edges"], dtype=np.int64),
            log_survival=np.array(parts["log_survival"], dtype=np.float64),
            start=parts["start"],
            abandoned_level=parts["abandoned_level"],
            abandoned_by_agent=parts["abandoned_by_agent"],
            abandoned_by_cohort={
                (region, fortnight): value for region, fortnight, value in parts["abandoned_by_cohort"]
            },
            speed=parts["speed"],
            win_level=np.array(parts["win_level"], dtype=np.float64),
            win_by_agent=parts["win_by_agent"],
            win_by_product=parts["win_by_product"],
        )


@dataclass(frozen=True)
class Names:
    """Names behind codes: agents, cohorts (region, fortnight) and products."""

    agents: Sequence[str | None]
    cohorts: Sequence[tuple[str | None, int | None]]
    products: Sequence[str | None]


def fortnight(engaged: Days) -> Codes:
    """Fortnights from the first Monday to each day, (n,)."""
    return np.asarray((engaged - _FIRST_MONDAY) // COHORT_DAYS, dtype=np.int64)


class Calendar:
    """Days by the position of their month in its quarter, counted up from the first to the last of a span."""

    def __init__(self, first: int, last: int) -> None:
        self._before = first - 1
        position = _position(np.arange(first, last + 1))
        counted = np.cumsum(position[:, None] == np.arange(_POSITIONS), axis=0)
        self._counted = np.vstack([np.zeros((1, _POSITIONS)), counted])

    def days_at_risk(self, engaged: Days, after: Days, until: Days, edges: Codes) -> Floats:
        """Days by age bin and position of deals engaged on `engaged`, of the days after `after` up to `until`.

        Returns:
            (n, bins * 3), the three positions of the first bin first. A deal is one day old the day after engagement.
        """
        first_age = np.concatenate([[0], edges])
        last_age = np.concatenate([edges, [np.iinfo(np.int32).max]])
        begun = np.clip(engaged[:, None] + first_age - 1, after[:, None], until[:, None])
        ended = np.clip(engaged[:, None] + last_age - 1, after[:, None], until[:, None])
        counted = self._counted[ended - self._before] - self._counted[begun - self._before]
        return np.asarray(counted.reshape(len(engaged), -1), dtype=np.float64)


class _Fit:
    """Expectation maximisation over deals; deals with equal days share a row of days at risk."""

    def __init__(self, deals: Deals, parameters: HazardParameters) -> None:
        self.deals, self.parameters = deals, parameters
        closed = deals.is_closed
        if not closed.any():
            raise QualityError(f"none of {len(deals)} engaged deals has closed: train later")
        self.closed, self.open = closed, ~closed
        self.start = _month_start(int(deals.closed[closed].min()))
        age = np.where(closed, deals.closed - deals.engaged, 0)
        self.edges = _edges(age[closed], parameters.bins)
        self.bins = len(self.edges) + 1
        # A deal that closes on the day it was engaged was at risk for a day.
        same_day = closed & (age == 0)
        engaged = deals.engaged - same_day
        last = np.where(closed, deals.closed, deals.as_of)
        first = int(engaged.min())
        span = deals.as_of - first + 1
        pairs, self.pair = np.unique((engaged - first) * span + last - first, return_inverse=True)
        begins, ends = pairs // span + first, pairs % span + first
        begun = np.minimum(np.maximum(begins, self.start - 1), ends)
        begun = np.where(begins == ends - 1, np.minimum(begun, ends - 1), begun)
        calendar = Calendar(first, deals.as_of)
        self.at_risk = calendar.days_at_risk(begins, begun, ends, self.edges)
        since, self.engaged_on = np.unique(deals.engaged, return_inverse=True)
        now = np.full(len(since), deals.as_of)
        self.at_risk_by_now = calendar.days_at_risk(since, np.clip(since, self.start - 1, now), now, self.edges)
        cell = np.searchsorted(self.edges, np.maximum(age, 1), side="right") * _POSITIONS + _position(last)
        self.closings = np.bincount(cell[closed], minlength=self.bins * _POSITIONS).reshape(self.bins, _POSITIONS)
        self.agents, self.agent = deals.agents, deals.agent
        self.cohorts, self.cohort = cohorts(deals)

    def run(self) -> dict[str, Any]:
        """The fields of `CureHazard`."""
        parameters, opened = self.parameters, self.open
        agent, cohort = self.agent, self.cohort
        closed_by_agent = np.bincount(agent[self.closed], minlength=len(self.agents))
        abandoned = np.where(opened, _START, 0.0)
        prior = np.full(len(agent), _START)
        speed = np.ones(len(self.agents))
        for _ in range(parameters.iterations):
            hazard = self._hazard((1 - abandoned) * speed[agent])
            risk = -(self.at_risk @ np.log1p(-hazard))[self.pair]
            expected = np.bincount(agent, (1 - abandoned) * risk, minlength=len(self.agents))
            speed = (closed_by_agent + parameters.speed_prior) / (expected + parameters.speed_prior)
            # Hazards twice as high and agents half as fast are the same; without a scale they drift apart.
            speed = speed * (expected.sum() + 1e-9) / (speed @ expected + 1e-9)
            survived = np.exp(-speed[agent] * risk)
            before = abandoned
            abandoned = np.where(opened, prior / (prior + (1 - prior) * survived), 0.0)
            # How much a deal tells of abandonment: the root of how likely it had closed by now if it ever does.
            # With equal weights young groups confirm their own rates, without the root slow ones are seen too late.
            told = np.sqrt(-np.expm1(speed[agent] * (self.at_risk_by_now @ np.log1p(-hazard))[self.engaged_on]))
            counted = told * abandoned
            share = float(np.clip((counted.sum() + _FEW * _START) / (told.sum() + _FEW), 1e-4, 1 - 1e-4))
            level = _log_odds(share)
            by_agent = _effect(
                np.bincount(agent, counted, minlength=len(self.agents)),
                np.bincount(agent, told, minlength=len(self.agents)),
                parameters.abandoned_agent_prior,
                share,
            )
            # What agents do not account for.
            expected_share = _logistic(level + by_agent[agent])
            by_cohort = _effect(
                np.bincount(cohort, counted, minlength=len(self.cohorts)),
                np.bincount(cohort, told * expected_share, minlength=len(self.cohorts)) / share,
                parameters.abandoned_cohort_prior,
                share,
            )
            prior = np.clip(_logistic(level + by_agent[agent] + by_cohort[cohort]), *_RATE)
            if np.abs(abandoned - before).max() < parameters.tolerance:
                break
        return {
            "edges": self.edges,
            "log_survival": np.log1p(-hazard).reshape(self.bins, _POSITIONS),
            "start": self.start,
            "abandoned_level": float(level),
            "abandoned_by_agent": _named(self.agents, by_agent),
            "abandoned_by_cohort": dict(zip(self.cohorts, by_cohort.tolist(), strict=True)),
            "speed": _named(self.agents, speed),
            **self._wins(),
        }

    def _hazard(self, weight: Floats) -> Floats:
        """Daily hazard by age bin and position, flat, from deals that count `weight` each."""
        by_pair = np.bincount(self.pair, weight, minlength=len(self.at_risk))
        days = (by_pair @ self.at_risk).reshape(self.bins, _POSITIONS)
        prior = self.parameters.hazard_prior
        mean = (self.closings.sum(axis=1) + 1e-9) / (days.sum(axis=1) + 1e-6)
        return np.asarray(np.clip((self.closings + prior * mean[:, None]) / (days + prior), *_HAZARD).ravel())

    def _wins(self) -> dict[str, Any]:
        deals, closed, prior = self.deals, self.closed, self.parameters.win_prior
        won = deals.won[closed].astype(np.float64)
        position = _position(deals.closed[closed])
        # All or none of few closings may be wins.
        share = float((won.sum() + 0.5) / (len(won) + 1))
        counted = np.bincount(position, minlength=_POSITIONS)
        by_position = (np.bincount(position, won, minlength=_POSITIONS) + prior * share) / (counted + prior)
        expected = by_position[position]

        def effect(names: tuple[str, ...], code: Codes) -> dict[str, float]:
            deals_of = np.bincount(code, expected, minlength=len(names)) / share
            rate = (np.bincount(code, won, minlength=len(names)) + prior * share) / (deals_of + prior)
            return _named(names, _log_odds(np.clip(rate, 0.01, 0.99)) - _log_odds(share))

        return {
            "win_level": _log_odds(np.clip(by_position, 0.01, 0.99)),
            "win_by_agent": effect(deals.agents, deals.agent[closed]),
            "win_by_product": effect(deals.products, deals.product[closed]),
        }


def _effect(counted: NDArray[Any], deals: NDArray[Any], prior: float, share: float) -> Floats:
    """Log-odds by which each group's rate differs from the average `share`, shrunk by `prior` deals of it."""
    rate = (counted + prior * share) / (deals + prior)
    return np.asarray(_log_odds(np.clip(rate, *_RATE)) - _log_odds(share), dtype=np.float64)


def _edges(age: Days, bins: int) -> Codes:
    """First ages of all age bins but the first, so that bins hold about equally many closings."""
    shares = [*(np.arange(1, bins) / bins), *_TAILS]
    inner = np.quantile(age, shares, method="inverted_cdf")
    edges = np.unique(np.concatenate([inner, [age.max() + 1]])).astype(np.int64)
    return edges[edges > 1]


def cohorts(deals: Deals) -> tuple[list[tuple[str, int]], Codes]:
    """Region and fortnight of each cohort of the deals, and the code of each deal's, (n,)."""
    when = fortnight(deals.engaged)
    first = int(when.min(initial=0))
    span = int(when.max(initial=first)) - first + 1
    codes, cohort = np.unique(deals.region * span + when - first, return_inverse=True)
    return [(deals.regions[code // span], code % span + first) for code in codes.tolist()], cohort


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _values(known: Mapping[Any, float], names: Sequence[Any], otherwise: float = 0.0) -> Floats:
    return np.array([known.get(name, otherwise) for name in names], dtype=np.float64)


def _position(day: Days) -> Codes:
    """0, 1 or 2: position in its quarter of the month that holds each day."""
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray(months % _POSITIONS, dtype=np.int64)


def _month_start(day: int) -> int:
    return int(np.datetime64(day, "D").astype("datetime64[M]").astype("datetime64[D]").astype(np.int64))


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)


def _log_odds(probability: Any) -> Any:
    return np.log(probability) - np.log1p(-probability)
