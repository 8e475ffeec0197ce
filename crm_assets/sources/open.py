"""URL -> source."""

from __future__ import annotations

import difflib
import re
from datetime import date
from pathlib import Path

from crm_assets.errors import SettingsError, SourceError
from crm_assets.sources import kaggle, simulator
from crm_assets.sources.folder import FolderSource
from crm_assets.sources.source import Progress, Source

FORMS = "simulator:, simulator:?seed=8, a folder, s3://bucket/prefix, or kaggle:OWNER/DATASET"
"""The forms of a source's URL."""

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):.*", re.DOTALL)


def canonical_url(url: str) -> str:
    """`Source.url` of the source that `url` names, which need not be there any more.

    Raises SettingsError when `url` has no such form.
    """
    if url.startswith(simulator.SCHEME):
        return simulator.SimulatorSource(url).url
    if url.startswith(kaggle.SCHEME):
        return kaggle.KaggleSource(url).url
    if "://" in url:
        return url.rstrip("/")
    return str(Path(url).expanduser().resolve())


def open_source(url: str, *, progress: Progress | None = None, exported_on: date | None = None) -> Source:
    """The source that `url` names.

    A folder or bucket is looked at, nothing is read, simulated or fetched yet.

    Args:
        url: `simulator:`, `simulator:?seed=8`, a folder, `s3://bucket/prefix` or `kaggle:OWNER/DATASET`.
        progress: told in one line what takes a while.
        exported_on: day one late export or field history was taken; the latest date in it when None. Monthly extracts
            know theirs.

    Raises SettingsError when `url` has no such form, SourceError when the folder or bucket cannot be opened.
    """
    if not url.strip():
        raise SettingsError(f"the URL of the source is empty; a source is one of {FORMS}")
    if url.startswith(simulator.SCHEME):
        return simulator.SimulatorSource(url, progress)
    if url.startswith(kaggle.SCHEME):
        return kaggle.KaggleSource(url, progress, exported_on)
    scheme = _SCHEME.fullmatch(url)
    if scheme is not None and not url.startswith("s3://"):
        near = difflib.get_close_matches(scheme[1].lower(), ["simulator", "kaggle", "s3"], n=1)
        hint = f" (did you mean {near[0]}:?)" if near else ""
        raise SettingsError(f"{url!r} is of no known kind{hint}; a source is one of {FORMS}")
    try:
        return FolderSource(url, exported_on=exported_on)
    except SourceError as error:
        raise SourceError(f"{error}. A source is one of {FORMS}.") from error
