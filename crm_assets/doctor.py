"""Checks of a deployment: settings, source, lake, model registry and alerts, each with the remedy when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, RegistryError
from crm_assets.settings import Settings, load_settings
from crm_assets.stored import command_line


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Attributes:
        what: settings, source, lake, registry or alerts.
        text: what is there, or what is wrong and how to mend it.
        error: the fault; None when there is none.
    """

    what: str
    text: str
    error: CrmAssetsError | None = None

    def as_dict(self) -> dict[str, str | bool]:
        """As plain values."""
        return {"what": self.what, "ok": self.error is None, "text": self.text}


def diagnose(source: str | None = None) -> list[Finding]:
    """Look at every part, also after one failed. Writes nothing into a lake that is not there yet.

    Args:
        source: source URL to look at instead of the setting's.
    """
    try:
        settings = load_settings(source_url=source)
    except CrmAssetsError as error:
        return [Finding("settings", str(error), error)]
    findings = [Finding("settings", f"source {settings.source_url}, lake {settings.dataset_url}")]
    for what, look in (("source", _source), ("lake", _lake), ("registry", _registry), ("alerts", _alerts)):
        findings.append(_found(what, look, settings))
    return findings


def _found(what: str, look: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(what, look(settings))
    except CrmAssetsError as error:
        return Finding(what, str(error), error)


def _source(settings: Settings) -> str:
    from crm_assets.sources import open_source

    source = open_source(settings.source_url, exported_on=settings.exported_on)
    months = source.months()
    rows = source.tables(months[-1])
    return f"{source.url}: {source.evidence}, {months[0]} to {months[-1]}, {len(rows)} tables read"


def _lake(settings: Settings) -> str:
    from crm_assets.defs.provenance import is_intact
    from crm_assets.lake import Lake
    from crm_assets.lake.lake import MARKER
    from crm_assets.sources import canonical_url
    from crm_assets.storage import MissingError, open_storage

    url = settings.dataset_url
    try:
        there = open_storage(url).exists(MARKER)
    except MissingError:
        there = False
    if not there:
        return f"{url}: not there yet, the first run makes it"
    lake = Lake.open(url, source=canonical_url(settings.source_url), create=False)
    months = lake.months("scores")
    broken = [
        f"{asset} of {month}"
        for asset in lake.assets()
        for month in map(Month.parse, lake.months(asset))
        if not is_intact(lake, asset, month)
    ]
    state = f"damaged or half-written, the next run makes them again: {', '.join(broken)}" if broken else "intact"
    return f"{url}: {len(months)} months scored{f', {months[0]} to {months[-1]}' if months else ''}, {state}"


def _registry(settings: Settings) -> str:
    from crm_assets.registry import Registry

    registry = Registry(settings.tracking_uri, settings.model_name)
    expected = _champion_of_lake(settings)
    if expected is None and not registry.is_there:
        return f"{registry.tracking_uri}: not there yet, the first run makes it"
    champion = None
    if registry.is_there:
        registry.check()
        champion = registry.champion()
    found = f"version {champion.version} of {champion.month}" if champion else "none yet"
    if expected is not None and (champion is None or champion.sha256 != expected[1]):
        raise RegistryError(
            f"{registry.tracking_uri}: the champion is {found}, but the lake's newest month names version "
            f"{expected[0]}: set CRM_MLFLOW_TRACKING_URI to the store that has it, or run "
            f"{command_line(settings, 'run')}, which makes again what is lost"
        )
    return f"{registry.tracking_uri}: champion is {found}"


def _alerts(settings: Settings) -> str:
    from crm_assets.alerts.sending import open_targets

    targets = open_targets(settings)
    if not targets:
        return "nobody is told: CRM_ALERT_URLS is not set"
    names = ", ".join(target.name for target in targets)
    return f"{names} from {settings.alert_level} on; crm-assets alert-test tries whether they arrive"


def _champion_of_lake(settings: Settings) -> tuple[str, str] | None:
    """Version and content hash of the champion after the lake's newest month; None without one, or without a lake."""
    from crm_assets.lake import Lake
    from crm_assets.modelling.promotion import WIN_MODEL

    try:
        lake = Lake.open(settings.dataset_url, create=False)
        months = lake.months(WIN_MODEL.name)
        manifest = lake.manifest(WIN_MODEL.name, Month.parse(months[-1])) if months else None
    except CrmAssetsError:
        # Told as a finding of the lake.
        return None
    if manifest is None or "champion_version" not in manifest.notes:
        return None
    return str(manifest.notes["champion_version"]), str(manifest.notes["champion_sha256"])
