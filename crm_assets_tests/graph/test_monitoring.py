"""Reference and drift in the graph, and `crm-assets monitor` and `monitor-demo` on it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import narwhals as nw
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.checks import drift_verdict
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.monthly import Made
from crm_assets.defs.platform import Platform
from crm_assets.errors import LakeError
from crm_assets.monitor import monitor
from crm_assets.monitoring.status import NO_SCORES
from crm_assets.settings import Settings
from crm_assets_tests.graph.conftest import SOURCE, Command, Finished, files_below
from crm_assets_tests.graph.test_run import shown


def held(finished: Finished, asset: str, month: Month) -> pl.DataFrame:
    return pl.read_parquet(finished.platform.lake.table_path(asset, month))


def notes(finished: Finished, asset: str, month: Month) -> dict[str, object]:
    manifest = finished.platform.lake.manifest(asset, month)
    return dict(manifest.notes) if manifest else {}


def scored(finished: Finished) -> list[Month]:
    return [month for month in finished.result.months if held(finished, "scores", month).height]


@pytest.fixture
def at(command: Command, finished: Finished) -> Command:
    """The command line, on the finished run."""
    command.patch.setenv("CRM_SOURCE_URL", SOURCE)
    command.patch.setenv("CRM_LAKE_URL", finished.settings.lake_url)
    command.patch.setenv("CRM_HOME", str(finished.settings.home))
    return command


def at_copy(command: Command, copied: Settings) -> None:
    command.patch.setenv("CRM_SOURCE_URL", SOURCE)
    command.patch.setenv("CRM_LAKE_URL", copied.lake_url)
    command.patch.setenv("CRM_HOME", str(copied.home))


def test_a_reference_belongs_to_the_champion_and_to_earlier_months(finished: Finished) -> None:
    for month in scored(finished):
        reference = held(finished, "reference_set", month)
        champion = held(finished, "win_model", month)["champion_version"].item()
        assert set(reference["model_version"]) == {champion}
        assert reference["snapshot_month"].max() < str(month)  # type: ignore[operator]  # texts


def test_it_is_kept_while_the_champion_stays_and_says_why_it_was_made(finished: Finished) -> None:
    months = scored(finished)
    kept = changed = 0
    for before, month in itertools.pairwise(months):
        old, new = (held(finished, "reference_set", m) for m in (before, month))
        reason = str(notes(finished, "reference_set", month)["reason"])
        if old["model_version"][0] == new["model_version"][0]:
            kept += 1
            assert reason.startswith("kept: version ")
            assert new.filter(pl.col("made_in") != str(month)).equals(old.filter(pl.col("made_in") != str(month)))
        else:
            changed += 1
            version, earlier = new["model_version"][0], old["model_version"][0]
            assert reason.startswith(f"version {version} became champion at {month}, after {earlier}")
    assert kept
    assert changed


def test_a_book_before_the_first_close_is_never_in_it(finished: Finished) -> None:
    first = str(Month.of(held(finished, "opportunity_snapshots", finished.last)["close_date"].min()))  # type: ignore[arg-type]  # a date
    for month in scored(finished):
        books = held(finished, "reference_set", month).filter(pl.col("part") != "intake")
        assert min(books["snapshot_month"], default=first) >= first


def test_no_month_of_a_business_without_drift_is_above_low(finished: Finished) -> None:
    levels = [notes(finished, "drift_report", month).get("level") for month in scored(finished)]
    assert set(levels) <= {None, "NONE", "LOW"}
    assert levels[-1] is not None


def test_how_last_months_scores_turned_out_is_in_the_level(copied: Settings, finished: Finished) -> None:
    off = pl.when(pl.col("figure") == "wins").then(pl.lit(1e-6)).otherwise(pl.col("estimate_chance"))
    comparison = held(finished, "performance_comparison", finished.last).with_columns(off.alias("estimate_chance"))
    platform = Platform(copied)
    for asset in ASSETS:
        if asset.name == "performance_comparison":
            store(platform, asset, finished.last, Made(nw.from_native(comparison.lazy())))
        if asset.name == "drift_report":
            store(platform, asset, finished.last, asset.make(Inputs(asset, platform, finished.last), finished.last))
    found = monitor(copied)
    assert found.level == "HIGH"
    assert "last month's scores promised other wins than there were" in found.why
    assert "promised other wins" in platform.lake.document("drift_report", finished.last, "html").decode()


@pytest.mark.parametrize(
    ("written", "fault", "severe", "skipped"),
    [
        ({"level": "NONE", "why": "nothing"}, None, False, None),
        ({"level": "LOW", "why": "one column"}, None, False, None),
        ({"level": "MEDIUM", "why": "product"}, "drift of 2017-11 is MEDIUM, product: see /page", False, None),
        ({"level": "HIGH", "why": "units"}, "drift of 2017-11 is HIGH, units: see /page", True, None),
        ({"level": None, "reason": "no reference"}, "drift of 2017-11 is not known: no reference", False, None),
        (None, "drift of 2017-11 is not known: there is no report", False, None),
        ({"reason": NO_SCORES}, None, False, f"there is nothing to compare in 2017-11: {NO_SCORES}"),
    ],
)
def test_the_check_of_drift_fails_from_medium_on(
    written: dict[str, Any] | None, fault: str | None, severe: bool, skipped: str | None
) -> None:
    lake = SimpleNamespace(
        manifest=lambda *_: None if written is None else SimpleNamespace(notes=written), location=lambda *_: "/page"
    )
    found = drift_verdict(cast("Platform", SimpleNamespace(lake=lake)), Month(2017, 11))
    assert (found.fault, found.severe, found.skipped) == (fault, severe, skipped)


def test_the_newest_month_shows_the_trend_and_json_stands_beside_the_page(finished: Finished) -> None:
    newest = shown(finished, "drift_report", finished.last)
    assert "drift_by_month" in newest
    told = json.loads(finished.platform.lake.document("drift_report", finished.last, "json"))
    assert told["level"] == newest["level"]
    assert len(told["columns"]) == held(finished, "drift_report", finished.last).height


def test_monitor_tells_level_and_place_and_makes_nothing_that_is_there(at: Command, finished: Finished) -> None:
    before = files_below(finished.folder / "lake")
    told = at("monitor")
    assert told.exit_code == 0
    assert told.stdout.startswith(f"Drift of {finished.last}: ")
    assert f"drift_report/{finished.last}.html" in told.stdout
    assert files_below(finished.folder / "lake") == before


def test_monitor_of_a_month_without_reference_says_so_and_does_not_exit_with_0(at: Command) -> None:
    told = at("monitor", "--month", "2017-03", "--json")
    shown_month = json.loads(told.stdout)
    assert (told.exit_code, shown_month["level"]) == (7, None)
    assert "reference" in shown_month["why"]


def test_monitor_of_a_month_that_is_not_scored_is_refused(at: Command, finished: Finished) -> None:
    told = at("monitor", "--month", "2018-03")
    assert told.exit_code == LakeError.exit_code
    assert "holds no scores of 2018-03" in told.stderr


def test_monitor_makes_a_report_that_is_missing(command: Command, copied: Settings, finished: Finished) -> None:
    at_copy(command, copied)
    for file in (Path(copied.dataset_url) / "drift_report").glob(f"{finished.last}*"):
        file.unlink()
    found = monitor(copied)
    assert found.made
    assert found.level == notes(finished, "drift_report", finished.last)["level"]
    assert not monitor(copied).made


@pytest.mark.parametrize(("drift", "level"), [("price", "MEDIUM"), ("nulls", "MEDIUM"), ("units", "HIGH")])
def test_the_demo_shows_a_drift_on_a_copy(drift: str, level: str, at: Command, finished: Finished) -> None:
    before = files_below(finished.folder / "lake")
    out = at.folder / "copy"
    told = json.loads(at("monitor-demo", "--drift", drift, "--out", str(out), "--json").stdout)
    assert told["before"] in {"NONE", "LOW"}
    assert told["level"] == level
    assert f">{level}</span>" in Path(told["report"]).read_text()
    assert f"drift of {finished.last} is {level}" in told["alert"]
    assert str(finished.last) in told["alert"]
    assert files_below(finished.folder / "lake") == before


def test_the_demo_refuses_an_unknown_drift(at: Command) -> None:
    told = at("monitor-demo", "--drift", "weather")
    assert told.exit_code == 2
    assert "choose among price, region_mix" in told.stderr
