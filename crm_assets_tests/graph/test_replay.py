"""`crm-assets advance` and `crm-assets demo`: what they print, and that what they land is scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest

from crm_assets import cli
from crm_assets.calendar import Month
from crm_assets.modelling.cold_start import MODEL
from crm_assets.replay import ReplayedMonth, ending, header, line
from crm_assets.simulator import Drift
from crm_assets_tests.graph.conftest import Command, files_below

CRM = "simulator:?opportunities=300&months=2017-01:2017-06&seed=5"
MONTH = ReplayedMonth(
    month=Month(2017, 12),
    scored=1234,
    trained=True,
    promoted=False,
    decision="Brier score 0.19 against 0.14 (95% interval 0.1 to 0.2): worse, which decides; and more",
    champion="7",
    champion_month="2017-09",
    champion_rung=MODEL,
    level="NONE",
    drift="",
    auc=0.731,
    wins=250,
    predicted_wins=270.4,
    seconds=1.0,
)


def test_a_line_says_what_became_of_a_month() -> None:
    (told,) = line(MONTH)
    assert told == (
        "2017-12   1,234  v7 of 2017-09    0.73  250 (270)       NONE    refused: Brier score 0.19 against 0.14: worse"
    )
    titles = header()[-1]
    for title, value in (("champion", "v7"), ("AUC", "0.73"), ("won", "250"), ("drift", "NONE"), ("model", "refused")):
        assert titles.index(title) == told.index(value)


def test_a_drifted_month_says_why_and_a_promotion_shows() -> None:
    drifted = replace(MONTH, level="HIGH", drift="won 30 % less than expected (95% interval ...); units", promoted=True)
    first, second = map(click.unstyle, line(drifted))
    assert first.endswith("HIGH    promoted")
    assert second.strip() == drifted.drift
    assert all(len(click.unstyle(told)) <= 60 for told in line(drifted, 60)[1:])
    assert len(click.unstyle(line(MONTH, 90)[0])) == 90


def test_a_month_without_a_model() -> None:
    none = replace(
        MONTH, scored=0, trained=False, decision="0 wins have matured; nothing", champion=None, level=None,
        auc=None, wins=None, predicted_wins=None,
    )  # fmt: skip
    (told,) = line(none)
    assert told.split() == ["2017-12", "0", "none", "-", "-", "-", "none:", "0", "wins", "have", "matured"]


def test_the_ending_says_whether_a_drift_was_seen() -> None:
    months = [
        replace(MONTH, month=Month(2017, number), level=level, drift="won less (30 %); x", promoted=number == 12)
        for number, level in ((10, "HIGH"), (11, "LOW"), (12, "MEDIUM"))
    ]
    drifts = [Drift.parse(f"win_rate@{month}:0.3") for month in ("2017-11", "2018-01")]
    seen, to_come, promoted, champion = ending(months, drifts)
    assert seen == "win_rate@2017-11:0.3 was seen at the end of 2017-12, as MEDIUM: won less."
    assert to_come == "win_rate@2018-01:0.3 is still to come."
    assert promoted == "Models promoted at the end of 2017-12."
    assert champion == "Champion now: v7 of 2017-09."
    assert ending(months[:2], drifts[:1])[0] == "win_rate@2017-11:0.3 was not seen by the end of 2017-11."


def test_advance_lands_and_says_so(command: Command) -> None:
    told = command("advance", "--to", "crm", "--simulator", CRM, "--months", "2")
    assert told.exit_code == 0, told.output
    assert [row.split("  ")[0] for row in told.stdout.splitlines()[:2]] == ["2017-01", "2017-02"]
    assert "crm-assets run --source crm" in told.stdout
    shown = json.loads(command("advance", "--json", "--drift", "price@2017-03:0.2", CRM_SOURCE_URL="crm").stdout)
    assert shown["landed"] == ["2017-03"]
    assert "drift=price@2017-03:0.2" in shown["simulator"]
    assert (command.folder / "crm" / "2017-03" / "sales_pipeline.csv").is_file()


def test_advance_needs_a_place(command: Command) -> None:
    told = command("advance")
    assert told.exit_code == 2
    assert "'simulator:' is no place to land extracts in: name a folder or s3://bucket/prefix with --to" in told.stderr
    assert files_below(command.folder) == {}


def test_reset_asks_first(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("advance", "--to", "crm", "--simulator", CRM, "--months", "2")
    (command.folder / "lake").mkdir()
    (command.folder / "lake" / "file").write_text("kept")
    before = files_below(command.folder)
    told = command("advance", "--to", "crm", "--reset")
    assert told.exit_code == 2
    assert "2017-01 to 2017-02" in told.stdout
    assert "nothing was removed, for nobody can be asked here: add --yes to do it" in told.stderr
    monkeypatch.setattr(cli, "_can_ask", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda text: False)
    assert "nothing was removed" in command("advance", "--to", "crm", "--reset").stderr
    assert files_below(command.folder) == before
    shown = json.loads(command("advance", "--to", "crm", "--reset", "--yes", "--json").stdout)
    assert shown["removed"] == ["2017-02", "2017-01"]
    assert [path for path in files_below(command.folder) if "lock" not in path] == ["lake/file"]


@pytest.mark.slow
def test_replay_runs_each_month_and_goes_on(command: Command) -> None:
    told = command("demo", "--months", "1", "--simulator", CRM)
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines()[2].startswith("2017-01 ")
    command("advance", "--to", "demo")
    shown = json.loads(command("demo", "--replay", "--json", "--months", "1", "--drift", "price@2017-03:0.2").stdout)
    assert [month["month"] for month in shown["months"]] == ["2017-03"], "2017-02 has landed before"
    assert shown["simulator"].endswith("drift=price@2017-03:0.2")
    made = {path.stem for path in Path("lake/demo/scores").glob("*.parquet")}
    assert made == {"2017-01", "2017-02", "2017-03"}, "what had landed was run, too"
    nothing = json.loads(command("run", "--source", "demo", "--json").stdout)
    assert nothing["made"] == [], "the same as runs of one's own"
