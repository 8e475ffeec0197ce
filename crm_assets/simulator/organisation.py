"""Who sells what to whom: offices, agents, products and accounts of the simulated CRM, and how each of them sells."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from crm_assets.contracts import ACCOUNTS, SALES_TEAMS
from crm_assets.simulator import names

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """One regional office.

    Attributes:
        name: of the office.
        share: of all opportunities.
        win_effect: added to the log-odds of a win.
        diligent: share of agents who abandon no deal.
        abandoned: share of deals that the other agents abandon, in an ordinary fortnight of engagement.
        neglected: the same in the two fortnights a year in which the office neglects its new deals.
    """

    name: str
    share: float
    win_effect: float
    diligent: float
    abandoned: float
    neglected: float


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes:
        name: as on the price list.
        series: product family.
        price: list price before any drift, USD.
        share: of all opportunities, before any drift.
        win_effect: added to the log-odds of a win.
    """

    name: str
    series: str
    price: float
    share: float
    win_effect: float


REGIONS = (
    Region("Central", 0.40, 0.12, diligent=0.2, abandoned=0.02, neglected=0.6),
    Region("East", 0.26, -0.12, diligent=0.3, abandoned=0.23, neglected=0.35),
    Region("West", 0.34, 0.0, diligent=0.1, abandoned=0.23, neglected=0.35),
)
PRODUCTS = (
    Product("GTX Lite", "GTX", 560, 0.212, 0.05),
    Product("Orla Mini", "Orla", 58, 0.188, 0.15),
    Product("GTX Pro", "GTX", 4750, 0.168, 0.0),
    Product("Orla Studio", "Orla", 3350, 0.160, -0.2),
    Product("Orla Desk", "Orla", 1120, 0.157, -0.05),
    Product("GTX Max", "GTX", 5600, 0.110, 0.1),
    Product("Helix 900", "Helix", 26500, 0.005, -0.3),
)
MISSPELT = {"GTX Pro": "GTXPro"}
"""Product -> how most agents write it in the pipeline; see `contracts.SALES_PIPELINE`."""
NEW_PRODUCT_SERIES, NEW_PRODUCT_PRICE = "Helix", 2400.0

SECTORS = (
    "retail",
    "technolgy",
    "medical",
    "finance",
    "marketing",
    "software",
    "entertainment",
    "telecommunications",
    "services",
    "employment",
)
_SECTOR_WEIGHTS = (17, 12, 12, 8, 8, 7, 6, 6, 5, 4)
_HOME, _ABROAD = (
    "United States",
    ("Philipines", "Canada", "Spain", "Sweden", "India", "Mexico", "Ireland", "Chile", "Austria", "Portugal", "Ghana"),
)
_ABROAD_SHARE, _SUBSIDIARY_SHARE = 0.165, 0.18


def stream(seed: int, what: str) -> np.random.Generator:
    """The random numbers of one purpose: what one purpose draws never shifts what another one gets."""
    return np.random.default_rng([seed, zlib.crc32(what.encode())])


@dataclass(frozen=True)
class Organisation:
    """Everything that does not change from one opportunity to the next.

    Attributes:
        sales_teams: table `sales_teams`; its row number is an agent's code.
        accounts: table `accounts`; its row number is an account's code.
        agent_region: (agents,) index into `REGIONS`.
        agent_share: (agents,) share of the opportunities of the agent's region; 0 for idle agents.
        agent_speed: (agents,) factor on the hazard of closing.
        agent_win_effect: (agents,) added to the log-odds of a win.
        agent_abandons: (agents,) factor on the region's share of abandoned deals; 0 for diligent agents.
        agent_misspells: (agents,) bool, whether the agent writes `MISSPELT` names.
        account_share: (accounts,) share of the opportunities.
    """

    sales_teams: pl.DataFrame
    accounts: pl.DataFrame
    agent_region: npt.NDArray[np.int64]
    agent_share: Floats
    agent_speed: Floats
    agent_win_effect: Floats
    agent_abandons: Floats
    agent_misspells: npt.NDArray[np.bool_]
    account_share: Floats


def organise(opportunities: int, seed: int) -> Organisation:
    """The organisation that handles that many opportunities.

    35 agents (5 of them idle), 6 managers and 85 accounts for 8,800 opportunities; agents and managers grow with the
    square root of the opportunities, accounts with their power of 0.3.
    """
    scale = opportunities / 8800
    agents = max(6, round(35 * math.sqrt(scale)))
    managers = max(len(REGIONS), round(6 * agents / 35))
    accounts = max(20, round(85 * scale**0.3))
    people = names.people(agents + managers, stream(seed, "people"))
    manager = np.arange(agents) % managers
    region = manager % len(REGIONS)

    rng = stream(seed, "agents")
    share = rng.lognormal(0, 0.4, agents)
    speed = rng.lognormal(0, 0.3, agents)
    win_effect = rng.normal(0, 0.4, agents)
    abandons = rng.uniform(0.85, 1.15, agents)
    misspells = rng.random(agents) < 0.7
    # Idle agents come last, so that every region keeps at least one who works.
    share[agents - round(agents / 7) :] = 0
    for code, office in enumerate(REGIONS):
        here = np.flatnonzero(region == code)
        share[here] /= share[here].sum()
        working = here[share[here] > 0]
        abandons[rng.permutation(working)[: round(office.diligent * len(working))]] = 0
    return Organisation(
        sales_teams=pl.DataFrame(
            {
                "sales_agent": people[:agents],
                "manager": [people[agents + code] for code in manager],
                "regional_office": [REGIONS[code].name for code in region],
            },
            schema=SALES_TEAMS.polars_schema(),
        ),
        accounts=_accounts(accounts, seed),
        agent_region=region,
        agent_share=share,
        agent_speed=speed,
        agent_win_effect=win_effect,
        agent_abandons=abandons,
        agent_misspells=misspells,
        account_share=_normalised(stream(seed, "account shares").lognormal(0, 0.35, accounts)),
    )


def _accounts(count: int, seed: int) -> pl.DataFrame:
    rng = stream(seed, "accounts")
    company = names.companies(count, rng)
    revenue = np.clip(rng.lognormal(7.05, 1.1, count), 4, 40_000)
    employees = np.maximum(5, revenue * rng.lognormal(0.8, 0.35, count)).astype(np.int64)
    weights = _normalised(np.array(_SECTOR_WEIGHTS, dtype=np.float64))
    sector = rng.choice(len(SECTORS), count, p=weights)
    office = [_HOME] * count
    abroad = rng.permutation(count)[: max(1, round(_ABROAD_SHARE * count))]
    for position, code in enumerate(abroad):
        office[code] = _ABROAD[position % len(_ABROAD)]
    # Both spellings that the contract mends occur in every CRM, however small.
    sector[abroad[0]] = SECTORS.index("technolgy")
    parent: list[str | None] = [None] * count
    order = rng.permutation(count)
    subsidiaries = max(1, round(_SUBSIDIARY_SHARE * count))
    parents = order[subsidiaries : subsidiaries + max(1, subsidiaries // 2)]
    for code in order[:subsidiaries]:
        parent[code] = company[parents[rng.integers(len(parents))]]
    return pl.DataFrame(
        {
            "account": company,
            "sector": [SECTORS[code] for code in sector],
            "year_established": rng.integers(1975, 2016, count),
            "revenue": np.round(revenue, 2),
            "employees": employees,
            "office_location": office,
            "subsidiary_of": parent,
        },
        schema=ACCOUNTS.polars_schema(),
    ).sort("account")


def _normalised(weights: Floats) -> Floats:
    shares: Floats = weights / weights.sum()
    return shares
