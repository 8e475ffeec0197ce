"""Scores that the graph and `crm-assets write-back` send to a CSV file: when, what, and what is never sent."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.checks import CHECKS, Verdict, writeback_verdict
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.monthly import Made
from crm_assets.defs.platform import Platform
from crm_assets.defs.run_tags import ONLY_OUT_OF_DATE_TAG
from crm_assets.defs.scoring import scores
from crm_assets.defs.writeback import FAULT, NO_TARGET, score_writeback
from crm_assets.delivering import WriteBack, deliver_month
from crm_assets.errors import QualityError, WriteBackError
from crm_assets.lake import Lake
from crm_assets.run import make_range
from crm_assets.settings import Settings, load_settings
from crm_assets.writeback.plan import Action
from crm_assets_tests.graph.conftest import Command, cleared
from crm_assets_tests.writeback.made_up import scores as made_up_scores

FIRST, LAST = Month(2017, 1), Month(2017, 2)
SOURCE = f"simulator:?months={FIRST}:{LAST}&opportunities=50"
BOOKS = {FIRST: {"A": 0.1, "B": 0.2, "C": 0.3}, LAST: {"B": 0.2, "C": 0.35, "D": 0.4}}
"""Scores of each month."""


def settings_at(folder: Path, target: Path | str = "") -> Settings:
    with cleared():
        return load_settings(
            source_url=SOURCE, lake_url=str(folder / "lake"), home=folder / "home", writeback_url=str(target)
        )


def store_scores(platform: Platform, month: Month, probabilities: dict[str, float]) -> None:
    rows = made_up_scores(probabilities).with_columns(
        pl.lit(str(month)).alias("snapshot_month"),
        pl.lit(month.end).alias("as_of"),
        *(pl.lit("x").alias(name) for name in ("sales_agent", "manager", "regional_office", "product")),
        pl.lit(1000.0).alias("list_price"),
        pl.lit(40).alias("age_days"),
        pl.lit(str(FIRST)).alias("model_month"),
        pl.lit("ab" * 32).alias("features_sha256"),
    )
    with platform.writing(print):
        store(platform, scores, month, Made(nw.from_native(rows.lazy())))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Folder of a deployment whose lake holds the scores of two months."""
    platform = Platform(settings_at(tmp_path))
    for month, book in BOOKS.items():
        store_scores(platform, month, book)
    return tmp_path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "crm"


def rows_in(target: Path) -> dict[str, dict[str, str]]:
    (file,) = target.glob("*_scores.csv")
    with file.open(newline="") as lines:
        return {row["opportunity_id"]: row for row in csv.DictReader(lines)}


def at(command: Command, folder: Path, target: Path, *arguments: str) -> Any:
    values = {"CRM_SOURCE_URL": SOURCE, "CRM_LAKE_URL": folder / "lake", "CRM_WRITEBACK_URL": target}
    return command("write-back", *arguments, **values)


def made_by_asset(settings: Settings, month: Month, newest: Month | None = None) -> dict[str, Any]:
    """The notes of the asset as a run whose newest month is `newest` makes it."""
    platform = Platform(settings)
    inputs = Inputs(score_writeback, platform, month, newest)
    with platform.writing(print):
        manifest = store(platform, score_writeback, month, score_writeback.make(inputs, month))
    return dict(manifest.notes)


def test_without_a_target_nothing_is_sent_and_that_is_said(made: Path) -> None:
    settings = settings_at(made)
    assert made_by_asset(settings, LAST) == {"status": NO_TARGET}
    assert writeback_verdict(Platform(settings), LAST).skipped == NO_TARGET
    assert not (Path(settings.dataset_url) / "writeback").exists()


def test_a_run_sends_its_newest_month_alone(made: Path, target: Path) -> None:
    settings = settings_at(made, target)
    make_range(Platform(settings), [FIRST, LAST], assets=["score_writeback"])
    assert {name: float(row["probability"]) for name, row in rows_in(target).items()} == BOOKS[LAST]
    assert {row["score_month"] for row in rows_in(target).values()} == {str(LAST)}, "2017-01 was never sent"
    lake = Lake.open(settings.dataset_url, create=False)
    earlier, newest = (lake.manifest("score_writeback", month) for month in (FIRST, LAST))
    assert earlier is not None
    assert newest is not None
    assert earlier.notes["status"] == "not sent, for 2017-02 is newer"
    assert newest.notes["delivered"] == len(BOOKS[LAST])
    trail = pl.read_parquet(lake.table_path("score_writeback", LAST))
    assert set(trail["outcome"]) == {"delivered"}
    assert trail["sent_by"][0].startswith("score_writeback, ")
    before = {file: file.stat().st_mtime_ns for file in target.iterdir()}
    make_range(Platform(settings), [FIRST], assets=["score_writeback"])
    make_range(Platform(settings), [LAST], assets=["score_writeback"])
    assert {file: file.stat().st_mtime_ns for file in target.iterdir()} == before, "nothing had changed"
    assert lake.table("score_writeback", LAST)[1].rows == len(BOOKS[LAST]), "the trail stays"


def test_a_month_before_the_sources_newest_is_not_sent(made: Path, target: Path) -> None:
    """As in a backfill that makes month after month, each in a run of its own."""
    Path(settings_at(made).dataset_url, "scores", f"{LAST}.manifest.json").unlink()
    assert made_by_asset(settings_at(made, target), FIRST)["status"] == "not sent, for 2017-02 is newer"
    assert not list(target.iterdir())


@pytest.mark.parametrize("fault", ["a deal has no score", None])
def test_scores_that_a_blocking_check_fails_are_not_sent(
    made: Path, target: Path, monkeypatch: pytest.MonkeyPatch, fault: str | None
) -> None:
    settings = settings_at(made, target)
    (check,) = (one for one in CHECKS if one.asset == "scores" and one.blocking)
    judged = replace(check, verdict=lambda platform, month: Verdict(fault, {}))
    monkeypatch.setattr("crm_assets.defs.composition.CHECKS", (judged,))
    # What the scores were made of is not there, so they are kept as they are.
    monkeypatch.setattr("crm_assets.defs.assets.out_of_date", lambda _, asset, month: None if asset is scores else "")
    run: dict[str, Any] = {"assets": ["scores", "score_writeback"], "tags": {ONLY_OUT_OF_DATE_TAG: "true"}}
    if fault:
        with pytest.raises(QualityError, match=fault):
            make_range(Platform(settings), [LAST], **run)
        assert not target.exists()
    else:
        make_range(Platform(settings), [LAST], **run)
        assert rows_in(target).keys() == BOOKS[LAST].keys()


def test_a_month_made_again_sends_what_changed_and_tells_both_in_its_trail(made: Path, target: Path) -> None:
    settings = settings_at(made, target)
    made_by_asset(settings, LAST)
    store_scores(Platform(settings), LAST, {**BOOKS[LAST], "B": 0.25})
    notes = made_by_asset(settings, LAST)
    assert (notes["delivered"], notes["unchanged"]) == (1, 2)
    trail = pl.read_parquet(Lake.open(settings.dataset_url, create=False).table_path("score_writeback", LAST))
    assert trail.select("delivery", "opportunity_id", "action").rows() == [
        (1, "B", "add"),
        (1, "C", "add"),
        (1, "D", "add"),
        (2, "B", "update"),
    ]


def test_verifying_a_month_sends_nothing(made: Path, target: Path) -> None:
    made_by_asset(settings_at(made), LAST)
    from crm_assets.reproduction import verify

    found = {one.asset: one for one in verify(settings_at(made, target), LAST)}
    assert str(found["score_writeback"].outcome) == "intact"
    assert not target.exists()


def test_a_target_that_fails_leaves_the_month_made_and_its_check_failed(made: Path, target: Path) -> None:
    target.mkdir()
    dataset = settings_at(made).dataset_name
    (target / f"{dataset}_scores.csv").write_text("id,amount\n1,2\n")
    settings = settings_at(made, target)
    notes = made_by_asset(settings, LAST)
    assert "has other columns" in str(notes[FAULT])
    verdict = writeback_verdict(Platform(settings), LAST)
    assert verdict.severe
    assert f"write-back --month {LAST}" in str(verdict.fault)
    (target / f"{dataset}_scores.csv").unlink()
    notes = made_by_asset(settings, LAST)
    assert FAULT not in notes
    assert writeback_verdict(Platform(settings), LAST).fault is None
    assert rows_in(target).keys() == BOOKS[LAST].keys()


def test_the_command_tells_first_and_sends_then(made: Path, target: Path, command: Command) -> None:
    count = len(BOOKS[LAST])
    told = at(command, made, target, "--dry-run", "--top", "2")
    assert told.exit_code == 0, told.output
    assert f"Scores of {LAST} to {target} (nothing was delivered yet)." in told.output
    assert f"{count} to add; 0 unchanged." in told.output
    assert f"  and {count - 2} more" in told.output
    assert not list(target.iterdir())
    told = at(command, made, target)
    assert told.exit_code == 2
    assert "nothing was sent, for nobody can be asked here: add --yes" in told.output
    told = at(command, made, target, "--yes")
    assert told.exit_code == 0, told.output
    assert f"{LAST}: {count} delivered, 0 unchanged." in told.output
    assert rows_in(target).keys() == BOOKS[LAST].keys()
    told = at(command, made, target)
    assert told.exit_code == 0, told.output
    assert f"Nothing to send; {count} unchanged." in told.output


def test_nobody_waits_for_an_answer_and_only_what_was_agreed_to_is_sent(made: Path, target: Path) -> None:
    """A run writes while the question stands: it is not held up, and what it changed is asked about anew."""
    settings = settings_at(made, target)
    impatient = settings.model_copy(update={"wait_seconds": 0.0})
    asked = []

    def agreed(found: WriteBack) -> bool:
        assert not list(target.iterdir())
        asked.append({change.opportunity_id: change.action for change in found.planned.changes})
        if len(asked) == 1:
            store_scores(Platform(impatient), LAST, {"B": 0.9})
        return True

    done = deliver_month(settings, None, agreed)
    assert asked == [dict.fromkeys("BCD", Action.ADD), {"B": Action.ADD}]
    assert done.delivered is not None
    assert done.planned.counts()["add"] == 1
    assert {name: row["probability"] for name, row in rows_in(target).items()} == {"B": "0.9"}


def test_the_doctor_looks_at_the_target_and_writes_nothing(made: Path, target: Path, command: Command) -> None:
    def told() -> dict[str, Any]:
        values = {"CRM_SOURCE_URL": SOURCE, "CRM_LAKE_URL": made / "lake", "CRM_WRITEBACK_URL": target}
        last: dict[str, Any] = json.loads(command("doctor", "--json", **values).stdout)["findings"][-1]
        assert last.pop("what") == "write-back"
        return last

    assert told()["text"] == f"{target}: not there yet, the first delivery makes it"
    assert not target.exists()
    at(command, made, target, "--yes")
    (file,) = target.iterdir()
    assert told()["text"] == f"{file}: 3 rows"
    file.write_text("id,amount\n")
    assert not told()["ok"]
    assert file.read_text() == "id,amount\n"


def test_an_older_month_is_sent_by_force_alone(made: Path, target: Path, command: Command) -> None:
    assert at(command, made, target, "--yes").exit_code == 0
    refused = at(command, made, target, "--month", str(FIRST), "--yes", "--json")
    assert refused.exit_code == WriteBackError.exit_code
    assert "are older: nothing was sent" in json.loads(refused.stdout)["message"]
    forced = at(command, made, target, "--month", str(FIRST), "--yes", "--force", "--json")
    assert forced.exit_code == 0, forced.output
    told = json.loads(forced.stdout)
    assert told["outcomes"]["delivered"] == sum(told["counts"].values()) > 0
    standing = {name: row for name, row in rows_in(target).items() if row["status"] == "scored"}
    assert {name: float(row["probability"]) for name, row in standing.items()} == BOOKS[FIRST]


def test_what_cannot_be_sent_exits_with_a_code(made: Path, target: Path, command: Command) -> None:
    assert at(command, made, target, "--yes").exit_code == 0
    (file,) = target.iterdir()
    text = file.read_text().splitlines()
    file.write_text("\n".join(["other,columns", *text[1:]]))
    again = at(command, made, target, "--yes", "--resend")
    assert again.exit_code == WriteBackError.exit_code
    assert "unknown" in again.output
    file.unlink()
    again = at(command, made, target, "--yes")
    assert again.exit_code == 0, again.output
    assert len(rows_in(target)) == len(text) - 1


def test_no_target_is_named(made: Path, command: Command) -> None:
    told = command("write-back", CRM_SOURCE_URL=SOURCE, CRM_LAKE_URL=made / "lake")
    assert told.exit_code == 2
    assert "CRM_WRITEBACK_URL is not set" in told.output
