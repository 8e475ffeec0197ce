"""The Python SDK: `Platform.local()` reads a deployment in this process.

>>> from crm_assets.client import Platform
>>> platform = Platform.local(lake="./lake")  # doctest: +SKIP
>>> platform.scores(as_of="2017-09").rows  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Self

from crm_assets.calendar import Month
from crm_assets.published import PublishedScores, check_model, published
from crm_assets.settings import Settings, load_settings

__all__ = ["Platform", "PublishedScores"]


class Platform:
    """A deployment, read in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @classmethod
    def local(cls, *, lake: str | None = None, source: str | None = None) -> Self:
        """The deployment that the environment names, or another.

        Args:
            lake: folder or `s3://bucket/prefix` instead of `CRM_LAKE_URL`.
            source: URL of the source instead of `CRM_SOURCE_URL`.

        Raises SettingsError naming the setting that is wrong.
        """
        return cls(load_settings(lake_url=lake, source_url=source))

    def scores(self, as_of: str | None = None, *, sha256: str | None = None) -> PublishedScores:
        """The scores as they were given at a month-end, with model version, code version, inputs and settings.

        Args:
            as_of: `2017-09`; the newest when None.
            sha256: first digits of the content hash of scores that were given earlier and replaced.

        Raises LakeError when they are not stored, or not the file that was written; RegistryError when the model that
        gave them is gone.
        """
        found = published(self._settings, Month.parse(as_of) if as_of else None, sha256)
        check_model(self._settings, found)
        return found
