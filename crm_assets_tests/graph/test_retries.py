"""What is tried again and what is not, by runs of one raw table whose source is away for a while."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crm_assets.calendar import Month
from crm_assets.defs import retries
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.platform import Platform
from crm_assets.errors import CrmAssetsError, SourceError
from crm_assets.run import _fault_in
from crm_assets.settings import Settings, load_settings
from crm_assets.sources import Source
from crm_assets.storage import StorageError
from crm_assets_tests.graph.conftest import cleared
from crm_assets_tests.graph.landing import extracts

JANUARY = Month(2017, 1)


@dataclass
class Away:
    """A source that fails the first times its tables are read."""

    source: Source
    error: Exception
    times: int
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def tables(self, month: Month) -> Any:
        self.asked += 1
        if self.asked <= self.times:
            raise SourceError(str(self.error)) from self.error
        return self.source.tables(month)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(retries, "IO_RETRIES", replace_delay(retries.IO_RETRIES))
    with cleared():
        return load_settings(
            source_url=str(extracts(tmp_path / "crm")), lake_url=str(tmp_path / "lake"), first_month=JANUARY
        )


def replace_delay(policy: dg.RetryPolicy) -> dg.RetryPolicy:
    return dg.RetryPolicy(max_retries=policy.max_retries, delay=0)


def run(settings: Settings, error: Exception, times: int, *, raising: bool = False) -> tuple[Away, Any]:
    """Make one raw table of a month from a source that is away."""
    platform = Platform(settings)
    away = Away(platform.source, error, times)
    return away, run_from(away, settings, platform, raising=raising)


def run_from(source: Any, settings: Settings, platform: Platform, *, raising: bool = False) -> Any:
    """Make one raw table of a month from a source."""
    platform.source = source
    definitions = build_definitions(settings, platform)
    selection = dg.AssetSelection.assets("raw/products").without_checks()
    job = dg.define_asset_job("one", selection).resolve(asset_graph=definitions.resolve_asset_graph())
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            instance=instance,
            resources=definitions.resources,
            tags={"dagster/partition": str(JANUARY)},
            run_config=quiet,
            raise_on_error=raising,
        )


def retried(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


def test_a_source_that_comes_back_is_read_in_the_end(settings: Settings) -> None:
    away, result = run(settings, StorageError("the server said SlowDown", transient=True), 2)
    assert result.success
    assert retried(result) == 2
    assert away.asked == 4


@pytest.mark.parametrize("error", [StorageError("access denied"), SourceError("line 4 is odd"), ValueError("a bug")])
def test_what_does_not_pass_is_not_tried_again(settings: Settings, error: Exception) -> None:
    away, result = run(settings, error, 9)
    assert not result.success
    assert (retried(result), away.asked) == (0, 1)


def test_in_the_end_the_error_itself_is_told(settings: Settings) -> None:
    with pytest.raises(Exception, match="SlowDown") as caught:
        run(settings, StorageError("the server said SlowDown", transient=True), 9, raising=True)
    fault = _fault_in(caught.value)
    assert isinstance(fault, CrmAssetsError)
    assert str(fault) == "the server said SlowDown"


@dataclass
class Uploading:
    """A source that has another part of a file each time its tables were read, and then the whole."""

    source: Source
    file: Path
    whole: bytes
    parts: int
    asked: int = 0

    def __post_init__(self) -> None:
        self._upload()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def tables(self, month: Month) -> Any:
        read = self.source.tables(month)
        self.asked += 1
        self._upload()
        return read

    def _upload(self) -> None:
        part = self.whole[: self.whole.index(b"\n") + 1] + b"GTX Basic,GTX,%d\n" % self.asked
        self.file.write_bytes(part if self.asked < self.parts else self.whole)


@pytest.mark.parametrize("parts", [2, 100])
def test_a_table_that_is_uploaded_while_it_is_read_is_not_stored_half(settings: Settings, parts: int) -> None:
    platform = Platform(settings)
    file = Path(settings.source_url) / "2017-01" / "products.csv"
    whole = file.read_bytes()
    result = run_from(Uploading(platform.source, file, whole, parts), settings, platform)
    manifest = platform.lake.manifest("raw/products", JANUARY)
    if parts == 2:
        assert result.success
        assert retried(result) == 1
        assert manifest is not None
        assert manifest.rows == whole.count(b"\n") - 1
    else:
        assert manifest is None
        assert retried(result) == 3
        (failed,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
        assert "the tables of 2017-01 were changed while they were read" in str(failed.event_specific_data)


def test_waits_grow_and_differ() -> None:
    waits = [[retries.IO_RETRIES.calculate_delay(attempt) for attempt in (1, 2, 3)] for _ in range(20)]
    assert all(wait[0] < wait[2] for wait in waits)
    assert len({wait[1] for wait in waits}) == 20
