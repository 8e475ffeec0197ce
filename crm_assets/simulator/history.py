"""What happened: one simulated life per opportunity, as compact arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crm_assets.simulator.business import Business, Codes, Floats
from crm_assets.simulator.hazard import first_engagement
from crm_assets.simulator.organisation import PRODUCTS, REGIONS, stream

Days: TypeAlias = npt.NDArray[np.int32]
Progress: TypeAlias = Callable[[str], None]
"""Told in one line what begins."""

NEVER = np.iinfo(np.int32).max
_ID_LETTERS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", dtype=np.uint8)
ID_LENGTH = 8

_NEVER_ENGAGED = 0.05
_DAYS_TO_ENGAGE = 12.0
_ACCOUNT_AT_CREATION = 0.2
_DAYS_TO_ACCOUNT = 800.0
_VALUE_SPREAD = 0.1
_MONTH_WEIGHT = (1.25, 0.9, 0.9)
_START_UP_DAYS, _WIND_DOWN_DAYS = 140, 115


@dataclass(frozen=True)
class History:
    """One element per opportunity, in order of creation; days count from the first of the simulation.

    Attributes:
        number: identifier, as a number below 36 to the power of 8.
        agent, product, account: codes.
        created, engaged, closed: days, `NEVER` for what never happens; a deal that is engaged and never closes is
            abandoned. Days after the last month are kept.
        account_known: day on which the account is filled in, `NEVER` or beyond the last month where it stays empty.
        won: whether it is won once it closes.
        value: close value in whole USD if won, else 0.
    """

    number: npt.NDArray[np.uint64]
    agent: npt.NDArray[np.int16]
    product: npt.NDArray[np.int16]
    account: npt.NDArray[np.int16]
    created: Days
    engaged: Days
    closed: Days
    account_known: Days
    won: npt.NDArray[np.bool_]
    value: Floats

    def id_characters(self) -> npt.NDArray[np.uint8]:
        """(n, 8) ASCII codes of the identifiers: digits and capitals."""
        rest = self.number.copy()
        characters = np.empty((len(rest), ID_LENGTH), dtype=np.uint8)
        for position in range(ID_LENGTH):
            rest, digit = np.divmod(rest, np.uint64(36))
            characters[:, position] = _ID_LETTERS[digit]
        return characters


def live(business: Business, progress: Progress) -> History:
    """Let every opportunity of the configuration live its life, given who does what with which probability."""
    config = business.config
    count, seed = config.opportunities, config.seed

    def uniform(what: str) -> npt.NDArray[np.float32]:
        return stream(seed, what).random(count, dtype=np.float32)

    progress("creating opportunities")
    created = np.repeat(
        np.arange(business.days, dtype=np.int32), stream(seed, "created").multinomial(count, _creation(business))
    )
    agent, product = _assignment(business, created)

    progress("engaging opportunities")
    wait = stream(seed, "engaged").standard_exponential(count, dtype=np.float32) * np.float32(_DAYS_TO_ENGAGE)
    engaged = created + 1 + wait.astype(np.int32)
    engaged[(uniform("never engaged") < _NEVER_ENGAGED) | (engaged >= business.days)] = NEVER

    progress("closing deals")
    closed = _closing(business, agent, engaged, uniform("abandoned"))
    ended = np.flatnonzero(closed != NEVER)
    month = business.month_of(closed[ended])
    won = np.zeros(count, dtype=np.bool_)
    won[ended] = uniform("won")[ended] < business.win_probability(agent[ended], product[ended], month)
    value = np.zeros(count)
    wins = won[ended]
    sold, month = ended[wins], month[wins]
    spread = np.exp(_VALUE_SPREAD * stream(seed, "value").standard_normal(count, dtype=np.float32)[sold])
    value[sold] = np.maximum(np.round(business.price[product[sold], month] * spread), 1)

    progress("filling in accounts")
    account = _picked(business.organisation.account_share, stream(seed, "account").random(count)).astype(np.int16)
    wait = stream(seed, "account known").standard_exponential(count, dtype=np.float32) * np.float32(_DAYS_TO_ACCOUNT)
    wait[uniform("account at creation") < _ACCOUNT_AT_CREATION] = 0
    account_known = np.minimum(created + np.ceil(wait).astype(np.int32), closed)

    progress("numbering opportunities")
    return History(
        _numbers(count, stream(seed, "number")),
        agent,
        product,
        account,
        created,
        engaged,
        closed,
        account_known,
        won,
        value,
    )


def _creation(business: Business) -> Floats:
    """(days,) share of the opportunities created on each day: a start-up, a plateau with quarters, a slow end."""
    start = (first_engagement(business.config.first) - business.config.first.start).days - 1
    day = np.arange(business.days)
    weight = np.minimum(1, 0.04 + (day - start) / _START_UP_DAYS)
    weight *= np.minimum(1, 0.1 + (business.days - day) / _WIND_DOWN_DAYS)
    first = business.config.first.number - 1
    weight *= np.array(_MONTH_WEIGHT)[(first + business.month_of(day)) % 3]
    weight[day < start] = 0
    share: Floats = weight / weight.sum()
    return share


def _assignment(business: Business, created: Days) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Agent and product of each opportunity."""
    config, organisation = business.config, business.organisation
    region_share = np.array([region.share for region in REGIONS])
    share = region_share[organisation.agent_region] * organisation.agent_share
    agent = _picked(share, stream(config.seed, "agent").random(len(created))).astype(np.int16)
    listed = np.array([product.share for product in business.products]) * (business.product_start == 0)
    product = _picked(listed, stream(config.seed, "product").random(len(created))).astype(np.int16)
    new_product = len(PRODUCTS)
    for position, drift in enumerate(config.drifts):
        start = int(np.searchsorted(created, business.day(drift.start.previous), side="right"))
        later_agent, later_product = agent[start:], product[start:]
        rng = stream(config.seed, f"drift {position}")
        if drift.kind == "region_mix":
            target = [region.name for region in REGIONS].index(str(drift.region))
            gained = drift.size / (1 - region_share[target])
            moved = (rng.random(len(later_agent)) < gained) & (organisation.agent_region[later_agent] != target)
            here = np.where(organisation.agent_region == target, organisation.agent_share, 0)
            later_agent[moved] = _picked(here, rng.random(int(moved.sum())))
            region_share *= 1 - gained
            region_share[target] += gained
        elif drift.kind == "new_product":
            later_product[rng.random(len(later_product)) < drift.size] = new_product
            new_product += 1
    return agent, product


def _closing(business: Business, agent: Codes, engaged: Days, uniform: npt.NDArray[np.float32]) -> Days:
    """Day on which each deal closes; `uniform` decides which are abandoned."""
    closed = np.full(len(engaged), NEVER, dtype=np.int32)
    active = np.flatnonzero(engaged != NEVER)
    active = active[uniform[active] >= business.abandonment(agent[active], engaged[active])]
    # Inverse transform: a deal closes at the first age whose cumulative hazard exceeds an exponential draw.
    exponential = stream(business.config.seed, "closed").standard_exponential(len(engaged), dtype=np.float32)
    active = active[np.argsort(engaged[active], kind="stable")]
    threshold = exponential[active] / business.organisation.agent_speed[agent[active]]
    bounds = np.searchsorted(engaged[active], np.arange(business.days + 1))
    for day in range(business.days):
        here = slice(bounds[day], bounds[day + 1])
        closed[active[here]] = day + np.searchsorted(business.cumulative[day], threshold[here], side="right")
    return closed


def _picked(share: Floats, uniform: Floats) -> Codes:
    """Codes with probabilities in proportion to `share`, one for each number from 0 to below 1."""
    bounds = np.cumsum(share)
    return np.searchsorted(bounds / bounds[-1], uniform, side="right")


def _numbers(count: int, rng: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Different random numbers below 36 to the power of 8."""
    number = rng.integers(36**ID_LENGTH, size=count, dtype=np.uint64)
    while True:
        order = np.argsort(number)
        repeated = order[1:][number[order[1:]] == number[order[:-1]]]
        if not len(repeated):
            return number
        number[repeated] = rng.integers(36**ID_LENGTH, size=len(repeated), dtype=np.uint64)
