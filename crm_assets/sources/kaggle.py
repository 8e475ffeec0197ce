"""A Kaggle data set, fetched once by kagglehub and then read as a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError, SourceError
from crm_assets.sources.folder import FolderSource
from crm_assets.sources.source import Evidence, Progress

if TYPE_CHECKING:
    import polars as pl

SCHEME = "kaggle:"
_HANDLE = re.compile(r"[\w-]+/[\w-]+(/versions/[1-9]\d*)?", re.ASCII)


class KaggleSource:
    """A data set such as `kaggle:innocentmfa/crm-sales-opportunities`, fetched when it is first needed.

    kagglehub keeps what it fetched and asks Kaggle for the newest version; `kaggle:OWNER/DATASET/versions/N` stays with
    one, and is read without the network once it was fetched.

    Args:
        url: `kaggle:OWNER/DATASET`.
        progress: told before the data set is fetched.
        exported_on: see FolderSource.

    Raises SettingsError when `url` has another form.
    """

    def __init__(self, url: str, progress: Progress | None = None, exported_on: date | None = None) -> None:
        self._handle = url.removeprefix(SCHEME).rstrip("/")
        if not url.startswith(SCHEME) or _HANDLE.fullmatch(self._handle) is None:
            raise SettingsError(
                f"{url!r} names no Kaggle data set: write kaggle:OWNER/DATASET, for example "
                "kaggle:innocentmfa/crm-sales-opportunities, or kaggle:OWNER/DATASET/versions/N"
            )
        self._progress = progress
        self._exported_on = exported_on

    @property
    def url(self) -> str:
        """`kaggle:OWNER/DATASET`, with `/versions/N` where one was asked for."""
        return SCHEME + self._handle

    @property
    def evidence(self) -> Evidence:
        """As the files of the data set are laid out, see FolderSource."""
        return self._folder.evidence

    @property
    def exported_on(self) -> date | None:
        """As the files of the data set are laid out, see FolderSource."""
        return self._folder.exported_on

    def months(self) -> list[Month]:
        """As the files of the data set are laid out, see FolderSource."""
        return self._folder.months()

    def fingerprint(self, month: Month) -> str:
        """SHA-256 over the contents of the files that `month` is read from."""
        return self._folder.fingerprint(month)

    def tables(self, month: Month) -> Mapping[str, pl.LazyFrame]:
        """The five tables, as the data set holds them."""
        return self._folder.tables(month)

    def notes(self, month: Month) -> list[str]:
        """See FolderSource."""
        return self._folder.notes(month)

    @cached_property
    def _folder(self) -> FolderSource:
        try:
            import kagglehub
            import kagglehub.exceptions as faults
        except ModuleNotFoundError as error:
            raise SourceError(
                f"{self.url}: {error.name} is not installed, which fetches it: pip install 'crm-assets[kaggle]'"
            ) from error
        if self._progress:
            self._progress(f"fetching {self.url}")
        try:
            folder = kagglehub.dataset_download(self._handle)
        except (
            # Covers the errors of the network, which requests derives from it, and of the disk.
            OSError,
            ValueError,
            faults.BackendError,
            faults.CredentialError,
            faults.DataCorruptionError,
            faults.KaggleEnvironmentError,
            faults.NotFoundError,
            faults.UnauthenticatedError,
        ) as error:
            said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise SourceError(
                f"{self.url} cannot be fetched: {said}. Check its name and the network, and log in (KAGGLE_USERNAME "
                "and KAGGLE_KEY, or ~/.kaggle/kaggle.json); or download it by hand and give the unpacked folder."
            ) from error
        return FolderSource(folder, exported_on=self._exported_on)
