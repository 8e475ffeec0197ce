"""What the IO manager does with months that a run keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from crm_assets.calendar import Month, month_range
from crm_assets.defs.io_manager import LakeIOManager


def test_the_newest_month_is_told_of_although_it_is_kept() -> None:
    told: list[str] = []
    months = month_range(Month(2017, 1), Month(2017, 3))
    platform = SimpleNamespace(
        check_lock=lambda: None,
        manifest=lambda asset, month: SimpleNamespace(
            month=str(month), notes={}, rows=1, sha256="", size_bytes=1, settings={}, written_at="before"
        ),
        lake=SimpleNamespace(location=lambda asset, month: f"{asset}/{month}"),
        tell=lambda asset, month: None,
    )
    asset = SimpleNamespace(name="win_model", stored=lambda platform, manifest: told.append(manifest.month))
    kept = SimpleNamespace(asset=asset, platform=platform, months=months, made=lambda: ((m, None) for m in months))
    shown: list[dict[str, Any]] = []
    context = SimpleNamespace(
        asset_key="win_model",
        step_context=SimpleNamespace(
            previous_attempt_count=0, add_asset_metadata=lambda metadata, **_: shown.append(metadata)
        ),
    )
    LakeIOManager().handle_output(cast(Any, context), cast(Any, kept))
    assert told == ["2017-03"]
    assert [metadata["kept"] for metadata in shown] == ["up to date since before, not made again"] * 3
