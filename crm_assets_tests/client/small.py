"""A small simulated CRM whose months take a second each, and what came out of them."""

from __future__ import annotations

from pathlib import Path

from crm_assets.calendar import Month, month_range
from crm_assets.defs.assets import ASSETS
from crm_assets.lake import Lake
from crm_assets.settings import Settings, load_settings

FIRST, LAST = Month(2017, 1), Month(2017, 2)
MONTHS = month_range(FIRST, LAST)
SOURCE = "simulator:?months=2017-01:2017-03&opportunities=200&seed=5"
VALUES = {"CRM_TREES": "10", "CRM_BACKTEST_MONTHS": "1", "CRM_MIN_TRAINING_WINS": "10", "CRM_CANDIDATES": "cure_hazard"}
CELLS = len(ASSETS) * len(MONTHS)


def environment(folder: Path) -> dict[str, str]:
    """Variables of a deployment in a folder."""
    return {
        **VALUES,
        "CRM_SOURCE_URL": SOURCE,
        "CRM_LAKE_URL": str(folder / "lake"),
        "CRM_HOME": str(folder / "home"),
    }


def settings_in(folder: Path) -> Settings:
    """Settings of a deployment in a folder, whatever this process has."""
    names = {name.removeprefix("CRM_").lower(): value for name, value in environment(folder).items()}
    return load_settings(**names)


def contents(settings: Settings) -> dict[tuple[str, str], str]:
    """SHA-256 of every table of a lake."""
    lake = Lake.open(settings.dataset_url, create=False)
    found = {}
    for asset in lake.assets():
        for month in lake.months(asset):
            manifest = lake.manifest(asset, Month.parse(month))
            assert manifest is not None
            found[asset, month] = manifest.sha256
    return found
