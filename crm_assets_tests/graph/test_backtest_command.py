from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.defs.training import candidates_of
from crm_assets.features.registry import FEATURE_NAMES
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.tuned_candidate import TunedCandidate
from crm_assets.settings import load_settings
from crm_assets_tests.graph.conftest import SOURCE, Command, Finished


def test_it_is_the_backtest_of_the_graph(command: Command, finished: Finished) -> None:
    """Rows and probabilities of the newest matured months, without a lake."""
    told = command(
        "backtest", "--source", SOURCE, "--months", "2017-09:2017-11", "--out", "p.csv", "--features-out", "f.csv"
    )
    assert told.exit_code == 0, told.output
    found = pl.read_csv(command.folder / "p.csv")
    assert found.columns == ["opportunity_id", "snapshot_month", "probability"]
    stored = pl.read_parquet(finished.platform.lake.table_path("backtest_predictions", finished.last))
    key = ["snapshot_month", "opportunity_id"]
    assert_frame_equal(found.sort(key), stored.select(found.columns).sort(key), rel_tol=1e-9)
    features = pl.read_csv(command.folder / "f.csv")
    assert features.select("opportunity_id", "snapshot_month").equals(found.select("opportunity_id", "snapshot_month"))
    assert set(features.columns) <= {"opportunity_id", "snapshot_month", "as_of", *FEATURE_NAMES}
    for name in ("2017-09", "2017-10", "2017-11", "all"):
        assert name in told.output
    assert {"preparing 2017-12", "predicting 2017-11"} <= set(told.stderr.splitlines())
    assert sorted(path.name for path in command.folder.iterdir()) == ["f.csv", "p.csv"]


@pytest.mark.parametrize("month", ["2017-12", "2016-10", "2018-03", "2016-05:2017-10"])
def test_a_month_that_cannot_be_judged_is_refused_with_those_that_can(command: Command, month: str) -> None:
    told = command("backtest", "--source", SOURCE, "--months", month, "--out", "p.csv")
    assert told.exit_code == 2
    month = month.partition(":")[0]
    assert f"{month} cannot be predicted and judged" in told.output
    assert "preparing" not in told.output, "the months of the source tell so"
    assert not (command.folder / "p.csv").exists()


def test_a_month_with_too_little_before_it_is_refused_with_those_that_can(command: Command) -> None:
    told = command("backtest", "--source", "simulator:?opportunities=300&seed=1", "--months", "2016-11")
    assert told.exit_code == 2
    assert "2016-11 cannot be predicted and judged: 0 wins" in told.output


def test_figures_of_months_without_a_win_are_told_as_undefined(command: Command) -> None:
    source = "simulator:?opportunities=150&seed=1"
    told = command("backtest", "--source", source, "--months", "2017-06", CRM_MIN_TRAINING_WINS=10)
    assert told.exit_code == 0, told.output
    assert "AUC undefined" in told.output


def test_a_tuned_blend_and_its_members_are_the_same_objects() -> None:
    """What was found for a member in a fit is asked of the blend, which is fitted through the members."""
    settings = load_settings(candidates="blend,cure_hazard,lightgbm", tuning_seconds=5)
    blend, *members = candidates_of(settings)
    assert isinstance(blend, Blend)
    assert all(isinstance(member, TunedCandidate) for member in members)
    assert [id(member) for member, _ in blend.members] == [id(member) for member in members]
