"""The model card in the lake, in MLflow, in Dagster and on the command line; and that an altered number is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import list_artifacts

from crm_assets.calendar import Month
from crm_assets.card import stored_card, verify_card
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import shown_metadata
from crm_assets.defs.model_card import model_card
from crm_assets.errors import LakeError
from crm_assets.registry import CARD_MONTH_TAG, CARD_TAG
from crm_assets.reproduction import beside_platform
from crm_assets.settings import Settings
from crm_assets_tests.graph.conftest import SOURCE, Command, Finished, files_below


@pytest.fixture
def altered(finished: Finished, tmp_path: Path) -> Settings:
    """A copy of the finished lake, to be altered."""
    shutil.copytree(finished.settings.lake_url, tmp_path / "altered")
    return finished.settings.model_copy(update={"lake_url": str(tmp_path / "altered")})


def file_of(settings: Settings, asset: str, month: Month, suffix: str = "parquet") -> Path:
    return Path(settings.dataset_url) / asset / f"{month}.{suffix}"


def test_every_number_of_every_card_is_the_same_when_it_is_computed_again(finished: Finished) -> None:
    before, versions = files_below(finished.folder / "lake"), finished.platform.registry.versions()
    for month in (finished.result.months[0], finished.result.months[7], finished.last):
        checked = verify_card(finished.settings, month)
        assert checked.differences == (), month
        assert checked.numbers > 20
    assert verify_card(finished.settings).month == finished.last
    assert files_below(finished.folder / "lake") == before
    assert finished.platform.registry.versions() == versions


def test_a_card_tells_of_the_champion_of_its_month(finished: Finished) -> None:
    for month in finished.result.months:
        path = finished.platform.lake.table_path("win_model", month)
        version = pl.read_parquet(path).row(0, named=True)["champion_version"]
        figures = stored_card(finished.settings, month).figures
        told = figures.filter((pl.col("subject") == "champion") & (pl.col("name") == "version"))["told"].to_list()
        assert told == ([] if version is None else [version]), month


def test_figures_are_those_of_the_backtest(finished: Finished) -> None:
    rows = pl.read_parquet(finished.platform.lake.table_path("backtest_predictions", finished.last))
    figures = stored_card(finished.settings).figures.filter(pl.col("section") == "Figures")
    found = dict(figures.select("name", "value").iter_rows())
    assert found["rows"] == rows.height
    assert found["brier"] == pytest.approx(((rows["probability"] - rows["won"]) ** 2).mean())


def test_months_do_not_depend_on_the_months_of_the_run(finished: Finished, tmp_path: Path) -> None:
    month = finished.result.months[-3]
    beside = finished.platform.lake.beside(tmp_path)
    platform = beside_platform(finished.settings, beside)
    made = model_card.make(Inputs(model_card, platform, month, finished.last), month)
    for suffix, content in made.documents.items():
        assert finished.platform.lake.document("model_card", month, suffix) == content


def test_mlflow_has_the_card_beside_the_champion(finished: Finished) -> None:
    registry = finished.platform.registry
    champion = registry.champion()
    assert champion is not None
    version = MlflowClient(registry.tracking_uri).get_model_version(registry.model_name, champion.version)
    assert str(version.description).startswith("# Model card: deals won within a month, as of 2017-12")
    stored = finished.platform.lake.location("model_card", finished.last, "html")
    assert version.tags[CARD_TAG] == stored.replace(str(finished.folder), str(finished.made_in))
    assert version.tags[CARD_MONTH_TAG] == str(finished.last)
    listed = list_artifacts(run_id=version.run_id, artifact_path="model_card", tracking_uri=registry.tracking_uri)
    assert {"model_card/2017-12.html", "model_card/2017-12.md"} <= {found.path for found in listed}


def test_an_earlier_month_does_not_describe_a_version_again(finished: Finished) -> None:
    registry = finished.platform.registry
    champion = registry.champion()
    assert champion is not None
    registry.describe(champion.version, Month(2017, 1), summary="old", files={"2017-01.md": b"old"}, place="nowhere")
    version = MlflowClient(registry.tracking_uri).get_model_version(registry.model_name, champion.version)
    assert version.tags[CARD_MONTH_TAG] == str(finished.last)
    assert version.description != "old"


def test_dagster_links_the_card(finished: Finished, tmp_path: Path) -> None:
    platform = beside_platform(finished.settings, finished.platform.lake.beside(tmp_path))
    month = finished.last
    made = model_card.make(Inputs(model_card, platform, month), month)
    manifest = finished.platform.lake.manifest("model_card", month)
    assert manifest is not None
    shown = shown_metadata(finished.platform, model_card, month, made, manifest, newest=True)
    for suffix in ("md", "html"):
        assert shown[f"{suffix}_report"] == dg.MetadataValue.path(
            str(file_of(finished.settings, "model_card", month, suffix))
        )
    assert shown["card"].value.startswith("# Model card")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_number_altered_on_a_page_is_named(altered: Settings, finished: Finished) -> None:
    rows = stored_card(finished.settings).figures
    brier = rows.filter((pl.col("section") == "Figures") & (pl.col("name") == "brier"))["told"][0].partition(" ")[0]
    for suffix in ("md", "html"):
        path = file_of(altered, "model_card", finished.last, suffix)
        before = path.read_text()
        change(path, brier, "0.0001")
        (first, *others) = verify_card(altered).differences
        assert first == f"{path} was altered since it was made"
        assert any(f"0.0001 is printed, not {brier}" in told and f".{suffix}:" in told for told in others), others
        path.write_text(before)
    assert verify_card(altered).differences == ()


def test_a_number_altered_in_the_table_is_named(altered: Settings, finished: Finished) -> None:
    path = file_of(altered, "model_card", finished.last)
    wrong = pl.when((pl.col("section") == "Figures") & (pl.col("name") == "auc")).then(0.99).otherwise("value")
    pl.read_parquet(path).with_columns(wrong.alias("value")).write_parquet(path)
    found = verify_card(altered).differences
    assert len(found) == 2
    assert found[1].startswith("table: Figures, all, auc: value 0.99 is stored, not 0.")


def test_a_prediction_altered_in_the_backtest_is_named_with_what_follows_from_it(
    altered: Settings, finished: Finished
) -> None:
    path = file_of(altered, "backtest_predictions", finished.last)
    first = pl.when(pl.int_range(pl.len()) == 0).then(0.987).otherwise("probability")
    pl.read_parquet(path).with_columns(first.alias("probability")).write_parquet(path)
    found = verify_card(altered).differences
    assert found[0] == f"{path} was altered since it was made"
    assert any(told.startswith("table: Figures, all, brier: value ") for told in found)


def test_a_table_that_cannot_be_read_is_told(altered: Settings, finished: Finished) -> None:
    file_of(altered, "backtest_predictions", finished.last).write_bytes(b"no parquet")
    with pytest.raises(LakeError, match="cannot be read"):
        verify_card(altered)


def test_the_command_shows_writes_and_checks(command: Command, altered: Settings, finished: Finished) -> None:
    environment = {"CRM_SOURCE_URL": SOURCE, "CRM_LAKE_URL": altered.lake_url, "CRM_HOME": altered.home}
    told = command("model-card", **environment)
    assert told.exit_code == 0, told.output
    assert told.output.startswith("# Model card: deals won within a month, as of 2017-12")
    told = command("model-card", "--month", "2017-11", "--out", "cards/new")
    assert told.exit_code == 0, told.output
    assert {path.name for path in (command.folder / "cards" / "new").iterdir()} >= {"2017-11.md", "2017-11.html"}
    told = command("model-card", "--verify")
    assert told.exit_code == 0, told.output
    assert f"of the model card of 2017-12 (data set {altered.dataset_name}) were computed again: all are the same" in (
        told.output
    )
    assert f"--verify --source '{SOURCE}'` computes" in command("model-card").output
    change(file_of(altered, "model_card", finished.last, "md"), "## Data", "## Dates")
    told = command("model-card", "--verify", "--json")
    assert told.exit_code == 8
    shown = json.loads(told.stdout)
    assert shown["differences"]
    assert shown["checked"] > 100
    told = command("model-card", "--month", "2019-01")
    assert told.exit_code == 4
    assert "only of 2016-10 to 2017-12" in told.stderr
    assert "was changed" in command("model-card").stderr
