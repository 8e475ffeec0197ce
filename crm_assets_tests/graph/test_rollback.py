from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import LakeError, SettingsError
from crm_assets.lake import Lake
from crm_assets.registry import Registry
from crm_assets.rollback import roll_back
from crm_assets.run import run_months
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.graph.conftest import cut

REASON = "it was trained on prices of another currency"


def champions(settings: Settings) -> dict[Month, str]:
    """Month -> version, of months with a champion."""
    found = {}
    for file in sorted((Path(settings.dataset_url) / "win_model").glob("*.parquet")):
        row = pl.read_parquet(file).row(0, named=True)
        if row["champion_version"] is not None:
            found[Month.parse(row["snapshot_month"])] = row["champion_version"]
    return found


def rung(settings: Settings, month: Month) -> str:
    row = pl.read_parquet(Path(settings.dataset_url) / "win_model" / f"{month}.parquet").row(0, named=True)
    return str(row["champion_rung"])


def test_the_newest_month_is_scored_by_the_champion_before(copied: Settings) -> None:
    """Now and in every later run; earlier months and the scores that were given stay."""
    run_months(copied, None, force=False, show_progress=False)
    before, registry = champions(copied), Registry(copied.tracking_uri, copied.model_name)
    last = max(before)
    lake = Lake.open(copied.dataset_url, create=False)
    earlier = {month: Path(lake.table_path("scores", month)).read_bytes() for month in before if month != last}
    done = roll_back(copied, REASON, None, show_progress=False)
    after = champions(copied)
    present, former = before[last], after[last]
    assert done.month == last
    assert done.withdrawn[0] == present
    # The newest challenger would pass the gate against the champion before.
    assert str(pl.read_parquet(lake.table_path("win_model", last))["model_version"].item()) in done.withdrawn
    assert former in set(before.values()) - {present}
    assert {month: version for month, version in after.items() if month != last} == {
        month: version for month, version in before.items() if month != last
    }
    assert pl.read_parquet(lake.table_path("scores", last))["model_version"].unique().to_list() == [former]
    assert {month: Path(lake.table_path("scores", month)).read_bytes() for month in earlier} == earlier
    assert pl.read_parquet(lake.table_path("shadow_scores", last)).is_empty(), "of a withdrawn model nothing is of use"
    champion = registry.champion()
    assert champion is not None
    assert champion.version == former
    assert REASON in str(registry.withdrawn()[present])
    assert run_months(copied, None, force=False, show_progress=False).made == ()


def test_one_can_go_back_further(copied: Settings) -> None:
    run_months(copied, None, force=False, show_progress=False)
    versions = list(dict.fromkeys(champions(copied).values()))
    first = next(version for month, version in champions(copied).items() if rung(copied, month) == "model")
    newer = versions[versions.index(first) + 1 :]
    assert len(newer) > 1, "the small business promotes several models"
    done = roll_back(copied, REASON, first, show_progress=False)
    assert done.champion["champion_version"] == first
    assert set(newer) < set(done.withdrawn)
    assert first not in done.withdrawn


def test_back_on_the_ladder_its_table_is_counted_anew(copied: Settings) -> None:
    run_months(copied, None, force=False, show_progress=False)
    first = next(iter(champions(copied).values()))
    done = roll_back(copied, REASON, first, show_progress=False)
    assert done.champion["champion_rung"] == "age_table"
    assert done.champion["champion_month"] == str(done.month)


def test_a_rung_of_the_ladder_is_not_taken_back(copied: Settings) -> None:
    """It would be counted again from the same deals."""
    run_months(copied, None, force=False, show_progress=False)
    first = next(iter(champions(copied)))
    assert rung(copied, first) != "model"
    cut(copied, first)
    with pytest.raises(SettingsError, match=f"the champion of {first} is no model but the win rate"):
        roll_back(copied, REASON, None, show_progress=False)
    assert Registry(copied.tracking_uri, copied.model_name).withdrawn() == {}


@pytest.mark.parametrize("version", ["99", "champion", ""])
def test_a_version_that_was_no_champion_before_is_refused_and_nothing_is_withdrawn(
    copied: Settings, version: str
) -> None:
    run_months(copied, None, force=False, show_progress=False)
    with pytest.raises(SettingsError, match=f"version {version} is no champion before .*choose among"):
        roll_back(copied, REASON, version, show_progress=False)
    assert Registry(copied.tracking_uri, copied.model_name).withdrawn() == {}


def test_without_a_champion_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    settings = load_settings(lake_url=str(tmp_path / "lake"), home=tmp_path / "home")
    with pytest.raises(LakeError, match="run `crm-assets run`"):
        roll_back(settings, REASON, None, show_progress=False)
    assert list(tmp_path.iterdir()) == []
