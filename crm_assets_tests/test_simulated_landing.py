"""Landing a simulated CRM month by month, in a folder and on a real S3 server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_assets import simulated_landing
from crm_assets.calendar import Month, month_range
from crm_assets.errors import SettingsError
from crm_assets.simulated_landing import DEFAULT, STATE, LandedMonth, Landing
from crm_assets.simulator import Drift, SimulationConfig, simulate
from crm_assets.simulator.writing import write_extracts
from crm_assets.sources import open_source
from crm_assets.storage import Storage, open_storage

CRM = "simulator:?opportunities=300&months=2016-10:2017-06&seed=5"
FIRST = Month(2016, 10)


def held(url: str) -> dict[str, bytes]:
    """Every file of the extracts that lie there."""
    storage = open_storage(url)
    return {path: storage.read_bytes(path) for path in storage.list() if path != STATE}


def expected(crm: str, last: Month, folder: Path) -> dict[str, bytes]:
    """What `crm-assets simulate` writes of the months up to one."""
    config = SimulationConfig.from_url(crm)
    write_extracts(simulate(config), folder, month_range(config.first, last))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.csv")}


def refused(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(SettingsError) as caught:
        call(*arguments, **named)  # type: ignore[operator]  # whatever is to be refused
    return str(caught.value)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 50),
    steps=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    drift=st.sampled_from([None, "price@{}:0.4", "region_mix@{}:0.2:West", "new_product@{}:0.3", "win_rate@{}:0.5"]),
    opportunities=st.integers(1, 400),
)
def test_each_month_is_that_of_the_simulator(
    seed: int, steps: list[int], drift: str | None, opportunities: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("landing")
    landing = Landing(str(folder / "crm"))
    crm = f"simulator:?opportunities={opportunities}&months=2016-10:2018-06&seed={seed}"
    last = FIRST.previous
    for number, count in enumerate(steps):
        # A drift that is added later leaves what has landed as it was.
        new = [Drift.parse(drift.format(last.next))] if drift and number == 1 else []
        made = landing.advance(count, simulator=crm if number == 0 else None, drifts=new)
        assert made == month_range(last.next, made[-1])
        assert len(made) == count
        last = made[-1]
        remembered = landing.simulator()
        assert remembered is not None
        assert held(str(folder / "crm")) == expected(remembered, last, folder / f"simulated {number}")
    config = SimulationConfig.from_url(str(landing.simulator()))
    assert (config.seed, config.opportunities, len(config.drifts)) == (
        seed,
        opportunities,
        int(bool(drift and steps[1:])),
    )


def test_a_source_sees_each_month(storage_url: str) -> None:
    landing = Landing(storage_url)
    assert landing.simulator() is None
    assert landing.months() == []
    told: list[LandedMonth] = []
    assert landing.advance(2, simulator=CRM, landed=told.append) == [FIRST, FIRST.next]
    source = open_source(storage_url)
    assert source.months() == landing.months() == [FIRST, FIRST.next]
    assert landing.advance(1) == [FIRST.shift(2)]
    assert source.months()[-1] == FIRST.shift(2)
    assert [month.month for month in told] == [FIRST, FIRST.next]
    assert told[1].opportunities == told[0].opportunities + told[1].created
    pipeline = source.tables(FIRST.next)["sales_pipeline"].collect()
    assert pipeline.height == told[1].opportunities


def test_closings_are_counted_in_their_month(tmp_path: Path) -> None:
    told: list[LandedMonth] = []
    Landing(str(tmp_path / "crm")).advance(8, simulator=CRM, landed=told.append)
    stages = open_source(str(tmp_path / "crm")).tables(told[-1].month)["sales_pipeline"].collect()["deal_stage"]
    assert sum(month.won for month in told) == (stages == "Won").sum() > 0
    assert sum(month.lost for month in told) == (stages == "Lost").sum() > 0


def test_the_default_goes_on_for_years() -> None:
    config = SimulationConfig.from_url(DEFAULT)
    assert config.url() == DEFAULT
    assert len(config.months) > 12 * 15


def test_the_crm_ends(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path / "crm"))
    assert len(landing.advance(9, simulator=CRM)) == 9
    assert "ends with 2017-06: begin anew with --reset" in refused(landing.advance, 1)


@pytest.mark.parametrize("name", ["2017-03/sales_pipeline.csv", "2016-10/products.parquet", "sales_pipeline.csv"])
def test_own_extracts_are_refused(name: str, tmp_path: Path) -> None:
    place = open_storage(str(tmp_path / "crm"), create=True)
    place.write_bytes(name, b"mine")
    landing = Landing(place.url)
    assert f"holds extracts that were not landed by advance, such as {name}" in refused(landing.advance, 1)
    assert "nothing to reset" in refused(landing.reset)
    assert held(place.url) == {name: b"mine"}


def test_own_extracts_beside_landed_ones_are_refused(storage_url: str) -> None:
    landing = Landing(storage_url)
    landing.advance(1, simulator=CRM)
    open_storage(storage_url).write_bytes("2017-03/sales_pipeline.csv", b"mine")
    for call in (lambda: landing.advance(1), landing.planned_reset, landing.reset):
        assert "such as 2017-03/sales_pipeline.csv" in refused(call)
    assert landing.months() == [FIRST]


def test_another_crm_is_refused(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path / "crm"))
    landing.advance(2, simulator=CRM)
    assert "holds the CRM simulator:?" in refused(landing.advance, 1, simulator="simulator:?seed=8")
    late = refused(landing.advance, 1, drifts=[Drift.parse("price@2016-11:0.2")])
    assert "begins in a month that has landed: let it begin in 2016-12 or later" in late
    assert landing.advance(1, simulator=CRM) == [FIRST.shift(2)], "the same one may be named again"


def test_a_crm_that_comes_out_otherwise_is_refused(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path / "crm"))
    landing.advance(2, simulator=CRM)
    state = tmp_path / "crm" / STATE
    state.write_text(state.read_text().replace("seed=5", "seed=6"))
    assert "simulates 2016-11 otherwise than it was landed" in refused(landing.advance, 1)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "simulator": 3, "months": {}}'])
def test_a_broken_note_is_refused(content: str, tmp_path: Path) -> None:
    landing = Landing(str(tmp_path))
    (tmp_path / STATE).write_text(content)
    assert STATE in refused(landing.advance, 1)
    assert (tmp_path / STATE).read_text() == content


@pytest.mark.parametrize("url", ["simulator:", "kaggle:a/b", "http://host/crm", ""])
def test_no_place_to_land_in(url: str) -> None:
    assert "is no place to land extracts in: name a folder" in refused(Landing, url)


def test_what_is_gone_lands_again(storage_url: str) -> None:
    landing = Landing(storage_url)
    landing.advance(3, simulator=CRM)
    before = held(storage_url)
    place = open_storage(storage_url)
    for path in before:
        if path.startswith("2016-11/") or path == "2016-12/sales_pipeline.csv":
            place.delete(path)
    assert landing.months() == [FIRST]
    assert landing.advance(2) == [FIRST.next, FIRST.shift(2)]
    assert held(storage_url) == before


def test_reset_removes_what_landed_and_nothing_else(storage_url: str) -> None:
    landing = Landing(storage_url)
    landing.advance(3, simulator=CRM)
    open_storage(storage_url).write_bytes("notes.txt", b"mine")
    assert landing.planned_reset() == landing.reset() == [FIRST.shift(2), FIRST.next, FIRST]
    assert open_storage(storage_url).list() == ["notes.txt"]
    assert landing.advance(1, simulator="simulator:?opportunities=20&seed=9") == [FIRST], "another CRM may begin"


@pytest.mark.parametrize("name", ["2016-11/sales_pipeline.csv", "2016-11/notes.txt"])
def test_reset_leaves_what_a_person_changed(name: str, storage_url: str) -> None:
    landing = Landing(storage_url)
    landing.advance(2, simulator=CRM)
    open_storage(storage_url).write_bytes(name, b"mine")
    before = held(storage_url)
    assert f"{name} is not as it was landed" in refused(landing.reset)
    assert held(storage_url) == before


def test_on_s3_the_pipeline_comes_last(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[str] = []
    kind = type(open_storage(s3_url))
    original = kind.put_file

    def noted(self: Storage, file: Path, path: str) -> None:
        put.append(path)
        original(self, file, path)

    monkeypatch.setattr(kind, "put_file", noted)
    Landing(s3_url).advance(2, simulator=CRM)
    assert [path.partition("/")[0] for path in put] == ["2016-10"] * 5 + ["2016-11"] * 5
    assert put[4::5] == ["2016-10/sales_pipeline.csv", "2016-11/sales_pipeline.csv"]


def test_on_s3_a_month_cut_off_is_completed(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = Landing(s3_url)
    landing.advance(1, simulator=CRM)
    kind = type(open_storage(s3_url))
    original = kind.put_file

    def dies(self: Storage, file: Path, path: str) -> None:
        if path.endswith("products.csv"):
            raise KeyboardInterrupt
        original(self, file, path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kind, "put_file", dies)
        landing.advance(1)
    assert any(path.startswith("2016-11/") for path in held(s3_url))
    assert landing.months() == [FIRST]
    assert landing.advance(1) == [FIRST.next]
    assert landing.months() == open_source(s3_url).months() == [FIRST, FIRST.next]


KILLED = """
import os, signal, sys
from pathlib import Path
from crm_assets import simulated_landing, storage
steps = iter(range(10**6))
at = int(sys.argv[2])
def dying(function):
    def wrapped(*arguments, **named):
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return wrapped
for owner, name in ((Path, "rename"), (Path, "replace"), (os, "fsync"), (simulated_landing, "sha256_of"),
                    (simulated_landing, "write_tables"), (simulated_landing.shutil, "rmtree")):
    setattr(owner, name, dying(getattr(owner, name)))
landing = simulated_landing.Landing(sys.argv[1])
landing.reset() if sys.argv[3] == "reset" else landing.advance(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("what", "moments"), [("advance", range(0, 34, 4)), ("reset", range(4))])
def test_a_kill_leaves_whole_months(what: str, moments: range, tmp_path: Path) -> None:
    whole = expected(CRM, FIRST.shift(3), tmp_path / "whole")
    killed = 0
    for moment in moments:
        folder = tmp_path / f"killed {moment}"
        landing = Landing(str(folder))
        landing.advance(2, simulator=CRM)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(moment), what],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False, capture_output=True,
        )  # fmt: skip
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
        killed += done.returncode != 0
        there = held(str(folder))
        months = {path.partition("/")[0] for path in there}
        assert there == {path: data for path, data in whole.items() if path.partition("/")[0] in months}, moment
        if what == "advance":
            assert {"2016-10", "2016-11"} <= months
        rest = 4 - len(landing.months())
        if rest and landing.simulator() is not None:
            landing.advance(rest)
            assert held(str(folder)) == whole, moment
            assert not [path.name for path in folder.iterdir() if "partial" in path.name or "removed" in path.name]
    assert killed > len(moments) / 2, "most moments lie within the call"


def test_on_s3_two_do_not_land_at_once(s3_url: str) -> None:
    seen: list[str] = []
    Landing(s3_url).advance(1, simulator=CRM, landed=lambda _: seen.append(refused(Landing(s3_url).advance, 1)))
    (told,) = seen
    assert f" is landing in {s3_url}: wait until it has ended" in told
    assert Landing(s3_url).advance(1) == [FIRST.next]


def test_two_processes_do_not_land_at_once(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path / "crm"))
    landing.advance(1, simulator=CRM)
    seen: list[str] = []

    def meanwhile(_month: LandedMonth) -> None:
        seen.append(refused(Landing(str(tmp_path / "crm")).advance, 1))

    landing.advance(1, landed=meanwhile)
    assert seen == [f"another process is landing in {tmp_path / 'crm'}: wait until it has ended"]
    assert landing.months() == [FIRST, FIRST.next]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "choose another place" in refused(Landing(str(tmp_path / "file")).advance, 1)


def test_the_note_is_small_and_says_what_landed(tmp_path: Path) -> None:
    Landing(str(tmp_path)).advance(1, simulator=CRM)
    told = json.loads((tmp_path / STATE).read_text())
    assert told["simulator"] == SimulationConfig.from_url(CRM).url()
    assert {month: set(files) for month, files in told["months"].items()} == {
        "2016-10": {path.name for path in (tmp_path / "2016-10").iterdir()}
    }
    assert simulated_landing.STATE not in str(open_source(str(tmp_path)).months())
