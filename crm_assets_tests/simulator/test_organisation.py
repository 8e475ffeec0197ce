from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from crm_assets.simulator.names import companies, people
from crm_assets.simulator.organisation import PRODUCTS, REGIONS, organise, stream

REAL = Path(os.environ.get("CRM_REAL_DATA", Path(__file__).parents[3] / "shared/data/crm_sales_opportunities"))


def test_sizes_for_the_default_number_of_opportunities() -> None:
    organisation = organise(8800, 7)
    teams = organisation.sales_teams
    assert (len(teams), teams["manager"].n_unique(), teams["regional_office"].n_unique()) == (35, 6, 3)
    assert len(organisation.accounts) == 85
    assert (organisation.agent_share == 0).sum() == 5
    assert len(PRODUCTS) == 7
    assert len({product.series for product in PRODUCTS}) == 3


@pytest.mark.parametrize(("opportunities", "agents"), [(1, 6), (880_000, 350), (88_000_000, 3500)])
def test_agents_grow_with_the_square_root(opportunities: int, agents: int) -> None:
    organisation = organise(opportunities, 3)
    teams = organisation.sales_teams
    assert len(teams) == agents == teams["sales_agent"].n_unique()
    assert teams.group_by("manager").agg(pl.col("regional_office").n_unique())["regional_office"].to_list() == [1] * (
        teams["manager"].n_unique()
    )
    for code in range(len(REGIONS)):
        assert organisation.agent_share[organisation.agent_region == code].sum() == pytest.approx(1)
    assert organisation.account_share.sum() == pytest.approx(1)


@pytest.mark.parametrize("opportunities", [1, 8800])
@pytest.mark.parametrize("seed", range(5))
def test_accounts_hold_the_spellings_that_the_contract_mends(opportunities: int, seed: int) -> None:
    accounts = organise(opportunities, seed).accounts
    assert "technolgy" in accounts["sector"]
    assert "Philipines" in accounts["office_location"]
    parents = accounts.filter(pl.col("subsidiary_of").is_not_null())
    assert 0 < len(parents) < len(accounts) / 2
    independent = accounts.filter(pl.col("subsidiary_of").is_null())["account"]
    assert parents["subsidiary_of"].is_in(independent.implode()).all()


def test_names_stay_different_when_the_pairs_run_out() -> None:
    assert len(set(people(150_000, stream(1, "x")))) == 150_000
    assert len(set(companies(5_000, stream(1, "x")))) == 5_000


@pytest.mark.skipif(not REAL.is_dir(), reason="the real export is not here; set CRM_REAL_DATA")
def test_nobody_is_called_as_in_the_real_export() -> None:
    real = {
        name
        for table, columns in (("sales_teams", ["sales_agent", "manager"]), ("accounts", ["account"]))
        for column in columns
        for name in pl.read_csv(REAL / f"{table}.csv")[column]
    }
    pairs = 64 * 64
    assert not real & {*people(pairs, stream(1, "x")), *companies(2_000, stream(1, "x"))}
    products = {product.name for product in PRODUCTS}
    assert products & {*pl.read_csv(REAL / "products.csv")["product"]} == {"GTX Pro"}
