"""What an asset's month was made from, as stored in its manifest and compared when asking whether it is up to date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from crm_assets.calendar import Month
from crm_assets.defs.monthly import SOURCE, MonthlyAsset
from crm_assets.defs.platform import Platform
from crm_assets.errors import SourceError
from crm_assets.lake import Lake, Manifest, Provenance, Stale, judge

DOCUMENTS = "documents"
"""Note that lists the documents stored beside a table."""
RETRAINED = "retrained_for"
"""Name among a manifest's settings of why the month's models were trained anew, with tuned candidates."""
_TUNING = "tuning_seconds"


def current(platform: Platform, asset: MonthlyAsset, month: Month) -> Provenance:
    """Code, settings and input hashes that the month would be made from now."""
    inputs = {}
    for needs in asset.needs:
        for needed in needs.months(month):
            manifest = platform.manifest(needs.asset, needed)
            if manifest is not None:
                inputs[f"{needs.asset}/{needed}"] = manifest.sha256
    if asset.source_fingerprint:
        inputs[SOURCE] = platform.source.fingerprint(month)
    if asset.log is not None and (mark := platform.log_marks(asset.log).get(month)):
        inputs[f"{asset.log.name}/{month}"] = mark
    settings = platform.settings.model_dump(mode="json", include=set(asset.settings))
    if platform.retrained_for is not None and _TUNING in settings:
        settings[RETRAINED] = platform.retrained_for
    return Provenance(code_version=asset.code_version, inputs=inputs, settings=settings)


def refuse_changed_source(platform: Platform, month: Month, made_from: Provenance) -> None:
    """Raise a SourceError that may pass when the source's tables of a month are not what it was made from any more.

    Half of a file may have been read, and its whole would be taken for what is stored.
    """
    if platform.source.fingerprint(month) != made_from.inputs[SOURCE]:
        raise SourceError(
            f"{platform.source.url}: the tables of {month} were changed while they were read, and nothing was stored "
            "of them; run it again once they are all there",
            transient=True,
        )


def stale_months(
    platform: Platform, assets: Iterable[MonthlyAsset], months: Iterable[Month]
) -> dict[Month, dict[str, str]]:
    """For each month that has to be made again, the assets that are out of date and why.

    Args:
        platform: the deployment.
        assets: in order, each below those it reads.
        months: in order.
    """
    stale: dict[Month, dict[str, str]] = {}
    for month in months:
        for asset in assets:
            reason = _reason(platform, asset, month, stale)
            if reason:
                stale.setdefault(month, {})[asset.name] = reason
    return stale


def out_of_date(platform: Platform, asset: MonthlyAsset, month: Month) -> str | None:
    """Why a month of an asset would come out otherwise now, from what the lake holds of its inputs; None if it is up to
    date.
    """
    return _reason(platform, asset, month, {})


def _reason(platform: Platform, asset: MonthlyAsset, month: Month, stale: dict[Month, dict[str, str]]) -> str | None:
    for needs in asset.needs:
        for needed in needs.months(month):
            if needs.asset in stale.get(needed, {}):
                return f"{needs.asset} of {needed} is out of date"
    manifest: Manifest | None = platform.manifest(asset.name, month)
    intact = is_intact(platform.lake, asset.name, month, manifest)
    verdict = judge(manifest, _as_retrained(current(platform, asset, month), manifest), intact=intact)
    if isinstance(verdict, Stale):
        return verdict.reason
    return asset.lost(platform, manifest) if asset.lost and manifest else None


def _as_retrained(now: Provenance, manifest: Manifest | None) -> Provenance:
    """What a month would be made from, were it tuned as when it was trained anew: that alone makes it not stale."""
    if manifest is None or RETRAINED not in manifest.settings:
        return now
    kept = {name: manifest.settings[name] for name in (RETRAINED, _TUNING)}
    return replace(now, settings={**now.settings, **kept})


def is_intact(lake: Lake, asset: str, month: Month, manifest: Manifest | None = None) -> bool:
    """Whether the month's table, and every document that was stored with it, are as they were written.

    Args:
        lake: that holds them.
        asset, month: which.
        manifest: of the table, where it has been read already.
    """
    manifest = manifest or lake.manifest(asset, month)
    if manifest is None:
        return False
    documents = manifest.notes.get(DOCUMENTS, [])
    suffixes = ["parquet", *(documents if isinstance(documents, list) else [])]
    return all(lake.is_intact(asset, month, str(suffix)) for suffix in suffixes)
