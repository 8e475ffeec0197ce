"""Takes the champion back: `crm-assets rollback`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from crm_assets.stored import stored_lake


@dataclass(frozen=True)
class PlannedRollback:
    """What a rollback is about to do.

    Attributes:
        month: newest month, from whose end on another model is champion.
        present: version that is champion as yet.
        withdrawn: the versions that will be withdrawn, the present champion first unless it is withdrawn already.
        back_to: version gone back to; None where no model was champion before.
        anew: whether no model but the best rung of the cold-start ladder becomes champion, counted anew.
        names: version -> the same with what it is and its month, "7 (age table of 2017-05)".
        champions: versions that were champion in some month.
    """

    month: Month
    present: str
    withdrawn: tuple[str, ...]
    back_to: str | None
    anew: bool
    names: Mapping[str, str]
    champions: frozenset[str]

    def lines(self) -> list[str]:
        """The plan in sentences."""
        others = [version for version in self.withdrawn if version != self.present]
        champion = f"the champion, version {self.names[self.present]}"
        told = [f"From the end of {self.month} on, withdrawn for good: {champion}."]
        if self.present not in self.withdrawn:
            # After a rollback that was interrupted.
            told = [f"Withdrawn already: {champion}."]
        former = [self.names[version] for version in others if version in self.champions]
        never = [self.names[version] for version in others if version not in self.champions]
        if former:
            told.append(f"Withdrawn with it, for they were champion since the one gone back to: {', '.join(former)}.")
        if never:
            told.append(
                f"Withdrawn with it, for they were trained since and the newest could be promoted in the same run, "
                f"though none was ever champion: {', '.join(never)}."
            )
        if self.back_to is not None and not self.anew:
            return [*told, f"Champion then: version {self.names[self.back_to]}."]
        ladder = (
            "Champion then: no model, but the best rung of the cold-start ladder, whose table of win rates is counted "
            f"anew from the deals known at the end of {self.month}"
        )
        kept = "" if self.back_to is None else f"; version {self.names[self.back_to]} itself is not used again"
        return [*told, f"{ladder}{kept}."]


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        month: newest month, from whose end on another model is champion.
        withdrawn: versions that are champion no more, or cannot become it: those made since that of `champion`.
        names: version -> the same with what it is and its month.
        champion: the row of `win_model` after it.
        result: of making the month again.
    """

    month: Month
    withdrawn: tuple[str, ...]
    names: Mapping[str, str]
    champion: dict[str, Any]
    result: RunResult


def roll_back(
    settings: Settings,
    reason: str,
    to: str | None,
    *,
    show_progress: bool,
    agreed: Callable[[PlannedRollback], None] = lambda planned: None,
) -> RolledBack:
    """Withdraw the champion from the newest month on, and score that month by the champion before it.

    Earlier months stay as they were, and so do the scores that were given. What was trained since is withdrawn, too; a
    version that was withdrawn is never promoted again. Back on the cold-start ladder, the table is counted anew.

    Args:
        settings: the deployment's.
        reason: why, which is kept with the version.
        to: version of an earlier champion to go back to; the one before the present one when None.
        show_progress: whether to draw a progress bar.
        agreed: told what will be done before anything is; raises to have nothing done.

    Raises:
        SettingsError: the reason is blank, there is no champion, it is a rung of the cold-start ladder, or `to` was
            never champion.
        LakeError, RegistryError: lake or registry cannot be used.
    """
    from crm_assets.registry import Registry

    reason = " ".join(reason.split())
    if not reason:
        raise SettingsError(
            "the reason is blank, and it is kept with what is withdrawn for good: say why with --reason"
        )
    lake = stored_lake(settings)
    registry = Registry(settings.tracking_uri, settings.model_name)
    rows = _decisions(lake)
    names = _names(rows)
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
        among = (
            f"choose among {', '.join(names[version] for version in earlier)}" if earlier else "there was none before"
        )
        raise SettingsError(f"version {to} is no champion before version {present} of {month}: {among}")
    back_to = to or (earlier[0] if earlier else None)
    # What was trained since is withdrawn as well, or else the newest of it would be champion in the same run.
    trained = {str(row["model_version"]): row["snapshot_month"] for row in rows if row["model_version"]}
    since = months.get(back_to or "", "")
    newer = [version for version, made in {**trained, **months}.items() if made > since]
    gone = tuple(version for version in dict.fromkeys([present, *newer]) if version not in withdrawn)
    rungs = {str(row["champion_version"]) for row in rows if row["champion_rung"] != MODEL}
    anew = back_to is None or back_to in rungs
    agreed(PlannedRollback(month, present, gone, back_to, anew, names, frozenset(months)))
    for version in gone:
        registry.withdraw(version, month, reason)
    if back_to is not None:
        # At once, for whoever loads the champion by its alias while the month is made again.
        registry.set_champion(back_to)
    result = run_months(settings, [month], force=False, show_progress=show_progress)
    row = pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    return RolledBack(month, gone, names, row, result)


def _names(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Version -> "12 (blend of 2017-11)", or "7 (age table of 2017-05)" for a rung of the ladder."""
    names: dict[str, str] = {}
    for row in rows:
        version, trained = row["champion_version"], row["model_version"]
        if trained:
            names[str(trained)] = f"{trained} ({row['candidate']} of {row['snapshot_month']})"
        if version and row["champion_rung"] != MODEL:
            names[str(version)] = f"{version} ({row['champion_rung'].replace('_', ' ')} of {row['champion_month']})"
        elif version:
            # The month that trained it may be one that the lake no longer holds.
            names.setdefault(str(version), f"{version} (model of {row['champion_month']})")
    return names


def _decisions(lake: Lake) -> list[dict[str, Any]]:
    """Rows of WIN_MODEL from the newest month with a champion on, the newest first."""
    rows = [
        pl.read_parquet(lake.table_path(WIN_MODEL.name, Month.parse(text))).row(0, named=True)
        for text in reversed(lake.months(WIN_MODEL.name))
    ]
    newest = next((number for number, row in enumerate(rows) if row["champion_version"]), len(rows))
    return rows[newest:]
