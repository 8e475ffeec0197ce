"""The lake as commands read it: opened, or with the reason why it cannot be and the command that helps."""

from __future__ import annotations

import shlex

import polars as pl

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, LakeError
from crm_assets.lake import Lake
from crm_assets.lake.lake import NoLakeError
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.settings import Settings
from crm_assets.sources import canonical_url, open_source


def command_line(settings: Settings, *words: object) -> str:
    """A `crm-assets` command on the source of the settings, to be pasted into a shell."""
    default = type(settings).model_fields["source_url"].default
    source = [] if settings.source_url == default else ["--source", settings.source_url]
    return shlex.join(["crm-assets", *map(str, words), *source])


def stored_lake(settings: Settings) -> Lake:
    """The lake of the source.

    Raises SourceError when neither lake nor source is there, and LakeError when there is no such lake, or it cannot be
    used.
    """
    try:
        return Lake.open(settings.dataset_url, source=canonical_url(settings.source_url), create=False)
    except NoLakeError as error:
        # A mistyped source has no lake: what is wrong then is the source.
        open_source(settings.source_url, exported_on=settings.exported_on)
        raise LakeError(
            f"there is no lake at {error.url} yet; run `{command_line(settings, 'run')}`, or correct CRM_LAKE_URL or "
            "CRM_DATASET"
        ) from None


def stored_month(settings: Settings, asset: str, what: str, month: Month | None) -> tuple[Lake, Month]:
    """The lake, and `month` or the newest that it holds of an asset.

    Args:
        settings: the deployment's.
        asset: whose months count.
        what: its name in messages.
        month: that is asked for; the newest when None.

    Raises what `stored_lake` does, and LakeError when the lake holds no such month.
    """
    lake = stored_lake(settings)
    held = lake.months(asset)
    if not held:
        raise LakeError(f"{lake.url} holds no {what}: make it with {command_line(settings, 'run')}")
    if month is None or str(month) in held:
        return lake, month or Month.parse(held[-1])
    told = f"{lake.url} holds no {what} of {month}, only of {held[0]} to {held[-1]}: ask for one of these"
    known = _months_of_source(settings)
    if known and month not in known:
        raise LakeError(f"{told}; the source tells about {known[0]} to {known[-1]}")
    raise LakeError(f"{told}, or make it with {command_line(settings, 'run', '--months', month)}")


def _months_of_source(settings: Settings) -> list[Month]:
    """Months that the source tells about; none where it cannot be read."""
    try:
        return open_source(settings.source_url, exported_on=settings.exported_on).months()
    except CrmAssetsError:
        return []


def why_no_scores(lake: Lake, month: Month) -> str:
    """Why a month has no scores, as a sentence without a full stop. Raises LakeError when the lake lacks its model."""
    decided = pl.read_parquet(lake.table_path(WIN_MODEL.name, month)).row(0, named=True)
    if decided["champion_version"] is not None:
        return f"No scores at the end of {month}: no opportunity was open"
    return f"No scores at the end of {month}, for there is no champion yet: {decided['reason']}"
