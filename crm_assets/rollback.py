"""Takes the champion back: `crm-assets rollback`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError
from crm_assets.lake import Lake
from crm_assets.modelling.cold_start import MODEL, WORDS
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.run import RunResult, run_months
from crm_assets.settings import Settings
from crm_assets.sources import canonical_url


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        month: newest month, from whose end on another model is champion.
        withdrawn: versions that are champion no more, or cannot become it: those made since that of `champion`.
        champion: the row of `win_model` after it.
        result: of making the month again.
    """

    month: Month
    withdrawn: tuple[str, ...]
    champion: dict[str, Any]
    result: RunResult


def roll_back(settings: Settings, reason: str, to: str | None, *, show_progress: bool) -> RolledBack:
    """Withdraw the champion from the newest month on, and score that month by the champion before it.

    Earlier months stay as they were, and so do the scores that were given. What was trained since is withdrawn, too; a
    version that was withdrawn is never promoted again. Back on the cold-start ladder, the table is counted anew.

    Args:
        settings: the deployment's.
        reason: why, which is kept with the version.
        to: version of an earlier champion to go back to; the one before the present one when None.
        show_progress: whether to draw a progress bar.

    Raises:
        SettingsError: there is no champion, it is a rung of the cold-start ladder, or `to` was never champion.
        LakeError, RegistryError: lake or registry cannot be used.
    """
    from crm_assets.registry import Registry

    lake = Lake.open(settings.dataset_url, source=canonical_url(settings.source_url), create=False)
    registry = Registry(settings.tracking_uri, settings.model_name)
    rows = _decisions(lake)
    months = {str(row["champion_version"]): str(row["champion_month"]) for row in rows if row["champion_version"]}
    if not months:
        raise SettingsError(f"{lake.url} has no champion to roll back: run the graph first")
    month, (present, *before) = Month.parse(rows[0]["snapshot_month"]), months
    rung = str(rows[0]["champion_rung"])
    if rung != MODEL:
        raise SettingsError(
            f"the champion of {month} is no model but the {WORDS[rung]}, which is counted anew each month: "
            "mend the data"
        )
    withdrawn = registry.withdrawn()
    earlier = [version for version in before if version not in withdrawn]
    if to is not None and to not in earlier:
        among = f"choose among {', '.join(earlier)}" if earlier else "there was none before"
        raise SettingsError(f"version {to} is no champion before version {present} of {month}: {among}")
    back_to = to or (earlier[0] if earlier else None)
    # What was trained since is withdrawn as well, or else the newest of it would be champion in the same run.
    trained = {str(row["model_version"]): row["snapshot_month"] for row in rows if row["model_version"]}
    since = months.get(back_to or "", "")
    newer = [version for version, made in {**trained, **months}.items() if made > since]
    gone = tuple(version for version in dict.fromkeys([present, *newer]) if version not in withdrawn)
    for version in gone:
        registry.withdraw(version, month, reason)
    if back_to is not None:
        # At once, for whoever loads the champion by its alias while the month is made again.
        registry.set_champion(back_to)
    result = run_months(settings, [month], force=False, show_progress=show_progress)
    row = pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    return RolledBack(month, gone, row, result)


def _decisions(lake: Lake) -> list[dict[str, Any]]:
    """Rows of WIN_MODEL from the newest month with a champion on, the newest first."""
    rows = [
        pl.read_parquet(lake.table_path(WIN_MODEL.name, Month.parse(text))).row(0, named=True)
        for text in reversed(lake.months(WIN_MODEL.name))
    ]
    newest = next((number for number, row in enumerate(rows) if row["champion_version"]), len(rows))
    return rows[newest:]
