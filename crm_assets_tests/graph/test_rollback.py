from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from crm_assets.calendar import Month
from crm_assets.cli import main
from crm_assets.errors import LakeError, SettingsError
from crm_assets.lake import Lake
from crm_assets.registry import Registry
from crm_assets.rollback import PlannedRollback, roll_back
from crm_assets.run import run_months
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.graph.conftest import Command, cut

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
    if done.champion["champion_rung"] == "model":
        assert former in set(before.values()) - {present}
    else:
        assert done.champion["champion_month"] == str(last), "a table is counted anew"
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


@pytest.mark.parametrize("reason", ["", " ", "\n"])
def test_a_blank_reason_is_refused_before_anything_is_looked_at(tmp_path: Path, reason: str) -> None:
    settings = load_settings(lake_url=str(tmp_path / "lake"), home=tmp_path / "home")
    with pytest.raises(SettingsError, match="the reason is blank"):
        roll_back(settings, reason, None, show_progress=False)
    assert list(tmp_path.iterdir()) == []


class _StopError(Exception):
    pass


def plan(settings: Settings, to: str | None) -> PlannedRollback:
    """What would be done; nothing is."""
    told: list[PlannedRollback] = []

    def agreed(planned: PlannedRollback) -> None:
        told.append(planned)
        raise _StopError

    with pytest.raises(_StopError):
        roll_back(settings, REASON, to, show_progress=False, agreed=agreed)
    assert Registry(settings.tracking_uri, settings.model_name).withdrawn() == {}
    return told[0]


def test_what_will_be_done_is_told_before_it_is(copied: Settings) -> None:
    rows = [
        pl.read_parquet(file).row(0, named=True)
        for file in sorted((Path(copied.dataset_url) / "win_model").glob("*.parquet"))
    ]
    present = rows[-1]["champion_version"]
    rung = next(row for row in rows if row["champion_rung"] not in {None, "model"})
    planned = plan(copied, rung["champion_version"])
    assert planned.month == max(champions(copied))
    assert planned.withdrawn[0] == present
    told = planned.lines()
    assert f"the champion, version {present} (" in told[0]
    never = {row["model_version"] for row in rows} - {row["champion_version"] for row in rows}
    later = [row for row in rows if row["model_version"] in never and row["snapshot_month"] > rung["champion_month"]]
    (trained,) = [line for line in told if "none was ever champion" in line]
    for row in later:
        assert f"{row['model_version']} ({row['candidate']} of {row['snapshot_month']})" in trained
    assert "counted anew" in told[-1]
    name = f"{rung['champion_rung'].replace('_', ' ')} of {rung['champion_month']}"
    assert f"version {rung['champion_version']} ({name}) itself is not used" in told[-1]


def test_a_rollback_that_was_interrupted_can_be_planned_again(copied: Settings) -> None:
    planned = plan(copied, None)
    registry = Registry(copied.tracking_uri, copied.model_name)
    for version in planned.withdrawn:
        registry.withdraw(version, planned.month, REASON)
    told: list[PlannedRollback] = []

    def agreed(again: PlannedRollback) -> None:
        told.append(again)
        raise _StopError

    with pytest.raises(_StopError):
        roll_back(copied, REASON, None, show_progress=False, agreed=agreed)
    assert told[0].withdrawn == ()
    assert told[0].lines()[0].startswith(f"Withdrawn already: the champion, version {planned.present} (")
    assert told[0].lines()[1:] == planned.lines()[-1:]


@pytest.fixture
def at(command: Command, copied: Settings) -> Command:
    """The command line, on a copy of the finished run."""
    command.patch.setenv("CRM_SOURCE_URL", copied.source_url)
    command.patch.setenv("CRM_LAKE_URL", copied.lake_url)
    command.patch.setenv("CRM_HOME", str(copied.home))
    return command


def test_nothing_is_done_where_nobody_can_be_asked(at: Command, copied: Settings) -> None:
    told = at("rollback", "--reason", REASON)
    assert told.exit_code == 2
    assert "withdrawn for good: the champion, version " in told.stdout
    assert "Champion then: " in told.stdout
    assert "nothing was withdrawn" in told.stderr
    assert "--yes" in told.stderr
    assert json.loads(at("rollback", "--reason", REASON, "--json").stdout)["exit_code"] == 2
    assert Registry(copied.tracking_uri, copied.model_name).withdrawn() == {}


def test_it_is_asked_for_and_done_with_a_yes(at: Command, copied: Settings) -> None:
    at.patch.setattr("crm_assets.cli._can_ask", lambda: True)
    run_months(copied, None, force=False, show_progress=False)
    asked = CliRunner().invoke(main, ["rollback", "--reason", REASON], input="n\n")
    assert asked.exit_code == 2
    assert "Do it? [y/N]" in asked.output
    assert Registry(copied.tracking_uri, copied.model_name).withdrawn() == {}
    at.patch.setattr("crm_assets.cli._can_ask", lambda: False)
    present = str(list(champions(copied).values())[-1])
    done = at("rollback", "--reason", REASON, "--yes")
    assert done.exit_code == 0, done.output
    assert f"Withdrawn from 2017-12 on: version {present} (" in done.stdout
    assert present in Registry(copied.tracking_uri, copied.model_name).withdrawn()


@pytest.mark.parametrize("version", ["99", "champion", ""])
def test_a_version_that_was_no_champion_before_is_refused_and_nothing_is_withdrawn(
    copied: Settings, version: str
) -> None:
    run_months(copied, None, force=False, show_progress=False)
    with pytest.raises(
        SettingsError, match=f"version {version} is no champion before .*choose among .* \\(overall rate of 2017-"
    ):
        roll_back(copied, REASON, version, show_progress=False)
    assert Registry(copied.tracking_uri, copied.model_name).withdrawn() == {}


def test_without_a_champion_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    settings = load_settings(lake_url=str(tmp_path / "lake"), home=tmp_path / "home")
    with pytest.raises(LakeError, match="run `crm-assets run`"):
        roll_back(settings, REASON, None, show_progress=False)
    assert list(tmp_path.iterdir()) == []
