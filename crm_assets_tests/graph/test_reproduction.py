"""Any past score, as it was given; any past month, made again to the last bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from crm_assets.calendar import Month
from crm_assets.cli import main
from crm_assets.client import Platform
from crm_assets.defs.assets import ASSETS
from crm_assets.errors import LakeError, RegistryError
from crm_assets.reproduction import Outcome, verify
from crm_assets.rollback import roll_back
from crm_assets.settings import Settings, load_settings
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets.simulator.writing import write_extracts
from crm_assets_tests.graph.conftest import SMALL, SOURCE, Command, Finished, files_below

LAST = Month(2017, 12)


def outcomes(settings: Settings, month: Month) -> dict[str, Outcome]:
    return {found.asset: found.outcome for found in verify(settings, month)}


def rewrite(settings: Settings, asset: str, month: Month, change: pl.Expr) -> None:
    """Alter a stored table and its manifest, so that nothing but making it again can tell."""
    import hashlib

    file = Path(settings.dataset_url) / asset / f"{month}.parquet"
    pl.read_parquet(file).with_columns(change).write_parquet(file)
    manifest = file.with_name(f"{month}.manifest.json")
    told = json.loads(manifest.read_text())
    told |= {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size_bytes": file.stat().st_size}
    manifest.write_text(json.dumps(told))


def test_a_month_made_again_is_identical(finished: Finished) -> None:
    before = files_below(finished.folder / "lake")
    versions = finished.platform.registry.versions()
    found = outcomes(finished.settings, LAST)
    assert set(found) == {asset.name for asset in ASSETS}
    assert {name for name, outcome in found.items() if outcome is Outcome.INTACT} == {
        *(asset.name for asset in ASSETS if asset.group == "raw"),
        "leakage_report",
        "score_writeback",
    }
    assert set(found.values()) == {Outcome.IDENTICAL, Outcome.INTACT}
    assert files_below(finished.folder / "lake") == before
    assert finished.platform.registry.versions() == versions


def test_an_altered_byte_is_found(copied: Settings) -> None:
    file = Path(copied.dataset_url) / "scores" / f"{LAST}.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    found = {reproduced.asset: reproduced for reproduced in verify(copied, LAST)}
    assert next(name for name, reproduced in found.items() if reproduced.wrong) == "scores"
    assert "is not the file that its manifest describes" in found["scores"].detail


def test_a_forged_score_is_found_and_named(copied: Settings) -> None:
    """Though its manifest was forged as well."""
    first = pl.int_range(pl.len()) == 2
    given = pl.read_parquet(Path(copied.dataset_url) / "scores" / f"{LAST}.parquet")["probability"][2]
    rewrite(copied, "scores", LAST, pl.when(first).then(0.99).otherwise("probability").alias("probability"))
    found = {reproduced.asset: reproduced for reproduced in verify(copied, LAST)}
    assert found["scores"].outcome is Outcome.DIFFERENT
    assert "column probability: 1 rows differ, the first is" in found["scores"].detail
    assert f": 0.99, not {given!r}" in found["scores"].detail


def test_a_forged_raw_value_is_found_in_what_was_made_from_it(copied: Settings) -> None:
    price = pl.when(pl.int_range(pl.len()) == 0).then(1.0).otherwise("sales_price").alias("sales_price")
    rewrite(copied, "raw/products", LAST, price)
    found = outcomes(copied, LAST)
    assert found["raw/products"] is Outcome.INTACT
    assert found["opportunity_snapshots"] is Outcome.DIFFERENT
    assert found["scores"] is Outcome.DIFFERENT


def test_the_command_says_identical_or_where_it_is_not(command: Command, copied: Settings) -> None:
    environment = {"CRM_SOURCE_URL": SOURCE, "CRM_LAKE_URL": copied.lake_url, "CRM_HOME": copied.home}
    told = command("verify", "--month", "2017-12", **environment)
    assert told.exit_code == 0, told.output
    assert "2017-12 is identical." in told.output
    rewrite(copied, "opportunity_features", LAST, (pl.col("list_price") + 1).alias("list_price"))
    told = command("verify", "--month", "2017-12", "--json")
    assert told.exit_code == 8
    shown = json.loads(told.stdout)
    assert not shown["identical"]
    different = {asset["asset"]: asset["detail"] for asset in shown["assets"] if asset["outcome"] == "different"}
    assert "column list_price" in different["opportunity_features"]
    told = command("verify", "--month", "2019-01")
    assert told.exit_code == 4
    assert "of 2019-01, only of 2016-10 to 2017-12" in told.stderr


def test_scores_are_given_as_they_were(finished: Finished, tmp_path: Path) -> None:
    platform = Platform.local(settings=finished.settings)
    found = platform.scores(as_of="2017-11")
    stored = Path(finished.settings.dataset_url) / "scores" / "2017-11.parquet"
    assert found.file.read_bytes() == stored.read_bytes()
    assert found.rows.equals(pl.read_parquet(stored))
    told = found.provenance()
    model = pl.read_parquet(finished.platform.lake.table_path("win_model", Month(2017, 11))).row(0, named=True)
    assert told["model_version"] == model["champion_version"]
    assert told["model_sha256"] == model["champion_sha256"]
    assert {"opportunity_features/2017-11", "win_model/2017-11", "raw/sales_pipeline/2016-10"} <= set(told["inputs"])
    assert not any(name > "2017-11" for name in (name.rpartition("/")[2] for name in told["inputs"]))
    assert {"raw/sales_pipeline/2016-10", "raw/products/2017-11"} <= set(told["source"])
    assert told["settings"]["trees"] == SMALL["trees"]
    assert told["replaced"] == []
    assert platform.scores().month == LAST
    with pytest.raises(LakeError, match="holds no scores of 2019-01, only of 2016-10 to 2017-12"):
        platform.scores(as_of="2019-01")
    lost = Platform.local(settings=finished.settings.model_copy(update={"home": tmp_path / "elsewhere"}))
    with pytest.raises(RegistryError, match=r"cannot read version .* not found.*CRM_MLFLOW_TRACKING_URI"):
        lost.scores(as_of="2017-11")


def test_local_platform_is_that_of_the_settings(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_HOME", str(finished.settings.home))
    platform = Platform.local(lake=finished.settings.lake_url, source=SOURCE)
    assert platform.scores(as_of="2017-12").rows.height > 0


def test_replaced_scores_are_kept(copied: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month that is made again with another champion gives other scores; those given before can still be shown."""
    month = LAST
    before = Platform.local(settings=copied).scores(as_of=str(month))
    content = before.file.read_bytes()
    assert roll_back(copied, "its prices were wrong", None, show_progress=False).month == month
    after = Platform.local(settings=copied).scores(as_of=str(month))
    assert after.file.read_bytes() != content
    assert after.rows["model_version"][0] != before.rows["model_version"][0]
    (kept,) = after.provenance()["replaced"]
    assert kept["sha256"] == before.manifest.sha256
    found = Platform.local(settings=copied).scores(as_of=str(month), sha256=kept["sha256"][:10])
    assert found.file.read_bytes() == content
    assert [other["sha256"] for other in found.provenance()["replaced"]] == [after.manifest.sha256]
    assert (found.reasons, before.reasons is None, after.reasons is None) == (None, False, False)
    with monkeypatch.context() as patch:
        for name, value in (("SOURCE_URL", SOURCE), ("LAKE_URL", copied.lake_url), ("HOME", copied.home)):
            patch.setenv(f"CRM_{name}", str(value))
        shown = CliRunner().invoke(main, ["scores", "--month", str(month), "--sha256", kept["sha256"][:10]])
        told = CliRunner().invoke(main, ["scores", "--sha256", kept["sha256"], "--month", str(month), "--reasons"])
    assert f"--sha256 {after.manifest.sha256[:12]}" in shown.stdout
    assert f"--sha256 {kept['sha256'][:12]}" not in shown.stdout
    assert told.exit_code == 2
    assert "leave --reasons out" in told.stderr
    assert found.provenance()["model_sha256"] == before.manifest.notes["model_sha256"]
    with pytest.raises(LakeError, match=r"SHA-256 beef: known are"):
        Platform.local(settings=copied).scores(as_of=str(month), sha256="beef")


def test_scores_command_writes_the_stored_file(command: Command, finished: Finished) -> None:
    environment = {
        "CRM_SOURCE_URL": SOURCE,
        "CRM_LAKE_URL": finished.settings.lake_url,
        "CRM_HOME": finished.settings.home,
    }
    told = command("scores", "--as-of", "2017-11", "--out", "scores.parquet", **environment)
    assert told.exit_code == 0, told.output
    stored = Path(finished.settings.dataset_url) / "scores" / "2017-11.parquet"
    assert (command.folder / "scores.parquet").read_bytes() == stored.read_bytes()
    assert "Given by version" in told.output


def test_what_does_not_matter_changes_no_byte(command: Command) -> None:
    """Row order, column order, format, threads and the process do not; only raw tables keep what the file holds."""
    config = SimulationConfig(opportunities=900, first=Month(2017, 1), last=Month(2017, 6), seed=11)
    months = config.months
    write_extracts(simulate(config), command.folder / "first" / "crm", config.months, "csv")
    shutil.copytree(command.folder / "first" / "crm", command.folder / "second" / "crm")
    for file in (command.folder / "second" / "crm").rglob("sales_pipeline.csv"):
        rows = pl.read_csv(file, infer_schema=False).sample(fraction=1, shuffle=True, seed=1)
        rows.select(reversed(rows.columns)).write_csv(file)
    hashes = []
    for name, threads in (("first", "1"), ("second", "2")):
        environment = {
            **os.environ,
            **{f"CRM_{key.upper()}": str(value) for key, value in SMALL.items()},
            "POLARS_MAX_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "CRM_DATASET": "crm",
            "CRM_MIN_TRAINING_WINS": "10",
            "CRM_BACKTEST_MONTHS": "1",
        }
        arguments = ["-m", "crm_assets.cli", "run", "--source", "crm", "--json"]
        subprocess.run(
            [sys.executable, *arguments], cwd=command.folder / name, env=environment, check=True, capture_output=True
        )
        settings = load_settings(lake_url=str(command.folder / name / "lake"), dataset="crm")
        found = {}
        for asset in ASSETS:
            if asset.group == "raw":
                continue
            for month in months:
                manifest = Path(settings.dataset_url) / asset.name / f"{month}.manifest.json"
                found[asset.name, str(month)] = json.loads(manifest.read_text())["sha256"]
        hashes.append(found)
    assert {key for key in hashes[0] if hashes[0][key] != hashes[1][key]} == set()
    decided = command.folder / "first" / "lake" / "crm" / "win_model" / f"{config.last}.parquet"
    assert pl.read_parquet(decided)["status"].item() == "trained"
    # A year later the source may be gone.
    source = command.folder / "first" / "crm"
    shutil.move(source, command.folder / "elsewhere")
    later = load_settings(
        source_url=str(source),
        lake_url=str(command.folder / "first" / "lake"),
        dataset="crm",
        home=command.folder / "first" / ".crm_assets",
    )
    assert Platform.local(settings=later).scores(as_of=str(config.last)).rows.height > 0
    assert not any(found.wrong for found in verify(later, config.last))
