"""Checks of a deployment: settings, source, lake, model registry and so on, each with its remedy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, LakeError, RegistryError
from crm_assets.settings import PREFIX, Settings, settings_and_origins
from crm_assets.storage import MissingError, Storage, StorageError, impatient, open_storage
from crm_assets.stored import command_line

_MASK = "***"
_PROBE = "doctor_probe"
"""File that is written into a lake, read and deleted; no asset has a file at the top of a data set."""
_PROBED = b"Written by crm-assets doctor to see whether it can; to be deleted at once.\n"
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""How MLflow's client is told not to wait long, unless the user said otherwise."""


@dataclass(frozen=True)
class ShownSetting:
    """A setting as it is in force.

    Attributes:
        variable: its name in the environment.
        value: as text, `***` when it is secret and set, empty when it is not set.
        origin: `default`, `profile NAME`, `.env`, `environment` or `command line`.
    """

    variable: str
    value: str
    origin: str


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Attributes:
        what: settings, source, lake, registry, dagster, alerts, features where they are made elsewhere, or write-back
            where it has a target.
        text: what is there, or what is wrong and how to mend it.
        error: the fault; None when there is none.
        seconds: that looking took.
    """

    what: str
    text: str
    error: CrmAssetsError | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, str | bool | float]:
        """As plain values."""
        return {
            "what": self.what,
            "ok": self.error is None,
            "text": self.text,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Diagnosis:
    """What was found of a deployment.

    Attributes:
        settings: all that are in force, in the order of the documentation; none when they are wrong.
        findings: one a part.
    """

    settings: tuple[ShownSetting, ...]
    findings: tuple[Finding, ...]


def diagnose(source: str | None = None) -> Diagnosis:
    """Look at every part, also after one failed. Makes no lake, no model store and no Dagster home.

    Args:
        source: source URL to look at instead of the setting's.
    """
    started = time.monotonic()
    try:
        settings, origins = settings_and_origins(source_url=source)
    except CrmAssetsError as error:
        return Diagnosis((), (Finding("settings", str(error), error, time.monotonic() - started),))
    shown = tuple(
        ShownSetting(PREFIX + name.upper(), _shown(getattr(settings, name)), origin) for name, origin in origins.items()
    )
    told = f"profile {settings.profile}, source {settings.source_url}, lake {settings.dataset_url}"
    findings = [Finding("settings", told, seconds=time.monotonic() - started)]
    with _impatient():
        for what, look in (
            ("source", _source),
            ("lake", _lake),
            ("registry", _registry),
            ("dagster", _dagster),
            ("alerts", _alerts),
            *([("features", _features)] if settings.features_on == "emr-serverless" else []),
            *([("write-back", _write_back)] if settings.writeback_url else []),
        ):
            findings.append(_found(what, look, settings))
    return Diagnosis(shown, tuple(findings))


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@contextmanager
def _impatient() -> Iterator[None]:
    """Have a dead server reported within seconds while the block runs."""
    from crm_assets.registry import set_here

    before = {name: os.environ.get(name) for name in _IMPATIENT}
    ours = {name: value for name, value in _IMPATIENT.items() if before[name] is None or name in set_here}
    os.environ.update(ours)
    try:
        with impatient():
            yield
    finally:
        for name in ours:
            value = before[name]
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _found(what: str, look: Callable[[Settings], str], settings: Settings) -> Finding:
    started = time.monotonic()
    try:
        finding = Finding(what, look(settings))
    except CrmAssetsError as error:
        finding = Finding(what, str(error), error)
    return replace(finding, seconds=time.monotonic() - started)


def _source(settings: Settings) -> str:
    from crm_assets.sources import open_source

    source = open_source(settings.source_url, exported_on=settings.exported_on)
    months = source.months()
    rows = source.tables(months[-1])
    return f"{source.evidence}, {months[0]} to {months[-1]}; of {months[-1]}, all {len(rows)} tables could be read"


def _lake(settings: Settings) -> str:
    from crm_assets.defs.provenance import is_intact
    from crm_assets.lake import Lake
    from crm_assets.lake.lake import MARKER
    from crm_assets.sources import canonical_url

    url = settings.dataset_url
    try:
        storage = open_storage(url)
        there = storage.exists(MARKER)
    except MissingError:
        return f"{url}: not there yet, the first run makes it"
    # A bucket shows nothing of what is tried below; a folder would be made by it.
    tried = _probed(storage) if there or url.startswith("s3://") else "nothing written"
    if not there:
        return f"{url}: not there yet, the first run makes it; {tried}"
    lake = Lake.open(url, source=canonical_url(settings.source_url), create=False)
    months = lake.months("scores")
    broken = [
        f"{asset} of {month}"
        for asset in lake.assets()
        for month in map(Month.parse, lake.months(asset))
        if not is_intact(lake, asset, month)
    ]
    state = f"damaged or half-written, the next run makes them again: {', '.join(broken)}" if broken else "intact"
    return f"{url}: {len(months)} months scored{f', {months[0]} to {months[-1]}' if months else ''}, {state}; {tried}"


def _probed(storage: Storage) -> str:
    """Write, read and delete a file at the top of the data set, which no asset has. Raises StorageError."""
    storage.write_bytes(_PROBE, _PROBED)
    if storage.read_bytes(_PROBE) != _PROBED:
        raise LakeError(f"{storage.location(_PROBE)} was written and read back as something else: check the disk")
    try:
        storage.delete(_PROBE)
    except StorageError:
        # The platform itself only deletes what it has merged, and does without, so it may well not be allowed to.
        return f"wrote and read {_PROBE}, which could not be deleted and may stay"
    return f"wrote, read and deleted {_PROBE}"


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


def _dagster(settings: Settings) -> str:
    from crm_assets.dagster_home import check_storage, kept_because

    told = [check_storage(settings)]
    if settings.dagster_run_launcher == "ecs":
        from crm_assets.ecs_tasks import check_tasks

        told.append(check_tasks(settings))
    if kept := kept_because(settings):
        told.append(kept)
    return "; ".join(told)


def _features(settings: Settings) -> str:
    from crm_assets.defs.spark_features import check_application

    return check_application(settings)


def _alerts(settings: Settings) -> str:
    from crm_assets.alerts.sending import open_targets

    targets = open_targets(settings)
    if not targets:
        return "nobody is told: CRM_ALERT_URLS is not set"
    names = ", ".join(target.name for target in targets)
    return f"{names} from {settings.alert_level} on; crm-assets alert-test tries whether they arrive"


def _write_back(settings: Settings) -> str:
    from crm_assets.writeback.delivery import unexpected
    from crm_assets.writeback.target import open_target

    try:
        return open_target(settings, create=False).check()
    except MissingError:
        if settings.writeback_url.startswith("s3://"):
            raise
        return f"{settings.writeback_url}: not there yet, the first delivery makes it"
    except CrmAssetsError:
        raise
    except Exception as error:
        raise unexpected(settings.writeback_url, error) from None


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
