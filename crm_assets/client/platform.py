"""One class for a running Dagster and for a deployment in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from crm_assets.backfill_plan import Plan, Question
from crm_assets.calendar import Month
from crm_assets.client.backfill import Backfill, OnProgress
from crm_assets.errors import SettingsError

if TYPE_CHECKING:
    from crm_assets.client.local import LocalPlatform
    from crm_assets.client.server import ServerPlatform
    from crm_assets.published import PublishedScores
    from crm_assets.settings import Settings

AnyMonth: TypeAlias = Month | str
"""A month, or its text `2017-03`."""
AnyRun: TypeAlias = Backfill | str
"""A backfill, or the id of a Dagster run."""


class Platform(ABC):
    """A deployment: what would be made, making it, watching it, and reading what came out.

    A backfill is one Dagster run over a range of months. It makes what is missing or out of date, and nothing else:
    called again after it was cut off, it goes on where it stopped; called while it is going on, it joins the run.

    Every method raises CrmAssetsError: ClientError where Dagster cannot be used, SettingsError where something is asked
    for that there is not, SourceError and LakeError where the deployment cannot read its source or its lake.
    """

    @staticmethod
    def connect(
        url: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        location: str | None = None,
        lake: str | None = None,
        source: str | None = None,
        patience: float = 30,
    ) -> ServerPlatform:
        """The deployment of a running Dagster.

        Args:
            url: of its web server, `http://host:3000`; `CRM_DAGSTER_URL` by default.
            headers: sent with every request, such as `{"Dagster-Cloud-Api-Token": ...}` or `Authorization`.
            location: name of the code location, where more than one is this project's.
            lake: where this process reads the scores, instead of `CRM_LAKE_URL`; nothing else is read from it.
            source: whose part of that lake, instead of `CRM_SOURCE_URL`.
            patience: seconds for which questions are repeated when the server does not answer.

        Raises UnreachableError, NotDagsterError, CodeLocationError, or SettingsError on a wrong address.
        """
        from crm_assets.client.server import ServerPlatform

        return ServerPlatform(
            url, headers=dict(headers or {}), location=location, lake=lake, source=source, patience=patience
        )

    @staticmethod
    def local(*, lake: str | None = None, source: str | None = None, settings: Settings | None = None) -> LocalPlatform:
        """A deployment in this process, without a server: the one that the environment names, or another.

        Args:
            lake: folder or `s3://bucket/prefix` instead of `CRM_LAKE_URL`.
            source: URL of the source instead of `CRM_SOURCE_URL`.
            settings: all of them, instead of those of the environment; then without `lake` and `source`.

        Raises SettingsError naming the setting that is wrong.
        """
        from crm_assets.client.local import LocalPlatform
        from crm_assets.settings import load_settings

        if settings is not None and (lake, source) != (None, None):
            raise SettingsError("lake and source are part of settings: give either")
        return LocalPlatform(settings or load_settings(lake_url=lake, source_url=source))

    @abstractmethod
    def assets(self) -> tuple[str, ...]:
        """Names of the assets that can be made, each below those it reads."""

    @abstractmethod
    def plan(
        self,
        assets: Sequence[str] | None = None,
        start: AnyMonth | None = None,
        end: AnyMonth | None = None,
        *,
        force: bool = False,
    ) -> Plan:
        """What `backfill` would make now, and why; printing it tells it to people. Nothing is started.

        Args:
            assets: their names; None for all.
            start, end: first and last month; `end` is `start` by default.
            force: whether to make what is up to date as well.

        Raises UnknownAssetError, MonthRangeError, or MissingInputError when an asset is asked for without another that
        it reads and that is missing.
        """

    @abstractmethod
    def backfill(
        self,
        assets: Sequence[str] | None = None,
        start: AnyMonth | None = None,
        end: AnyMonth | None = None,
        *,
        per_month: bool = False,
        force: bool = False,
        on_progress: OnProgress | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Backfill:
        """Make what is missing or out of date in a range of months.

        Args:
            assets: their names; None for all.
            start, end: first and last month; `end` is `start` by default.
            per_month: a Dagster run for each month, one after the other, instead of one over the range. It takes
                several times as long.
            force: make what is up to date as well.
            on_progress: told how far it is; a bar by default in terminals and notebooks, and nothing elsewhere.
            wait: until it is done. Otherwise the run is started and a handle returned, for `wait`, `status`, `cancel`.
            timeout: seconds to wait for all of it at most; None for as long as it takes.

        Raises what `plan` and `wait` do. It is one run at a time: asked for again while it is going on, it is joined.
        """

    @abstractmethod
    def wait(self, backfill: AnyRun, timeout: float | None = None, on_progress: OnProgress | None = None) -> Backfill:
        """Wait until a backfill is done.

        Args:
            backfill: what `backfill` returned, or the id of a run.
            timeout: seconds; None for as long as it takes.
            on_progress: as of `backfill`.

        Raises RunFailedError with what failed and the address of its page, RunCanceledError, or WaitTimeoutError, after
        which the run goes on.
        """

    @abstractmethod
    def status(self, backfill: AnyRun) -> Backfill:
        """Where a backfill stands now. Raises ClientError when there is no such run."""

    @abstractmethod
    def cancel(self, backfill: AnyRun, timeout: float = 60) -> Backfill:
        """Stop a backfill, and wait until it has stopped; what is stored by then is kept, whole.

        A run whose process is gone is written down as cancelled. Of a process of another machine that is not known.
        Raises WaitTimeoutError when it has not stopped within `timeout` seconds; Dagster shows it as being cancelled.
        In process raises ClientError, at once, when another process executes the run.
        """

    def materialize(
        self, assets: Sequence[str] | None, month: AnyMonth, *, on_progress: OnProgress | None = None
    ) -> Backfill:
        """Make assets of one month now, up to date or not, and wait until they are done; raises as `backfill` does."""
        return self.backfill(assets, month, month, force=True, on_progress=on_progress)

    @abstractmethod
    def scores(self, as_of: str | None = None, *, sha256: str | None = None) -> PublishedScores:
        """The scores as they were given at a month-end, with model version, code version, inputs and settings.

        They are read from the lake by this process; `.rows` is a Polars frame.

        Args:
            as_of: `2017-09`; the newest when None.
            sha256: first digits of the content hash of scores that were given earlier and replaced.

        Raises LakeError when they are not stored, or not the file that was written; RegistryError when the model that
        gave them is gone.
        """


def question(assets: Sequence[str] | None, start: AnyMonth | None, end: AnyMonth | None, *, force: bool) -> Question:
    """The arguments of `plan` and `backfill` as one value. Raises SettingsError when there is no first month."""
    if isinstance(assets, str):
        raise SettingsError(f"assets must be a list of names: write [{assets!r}]")
    if start is None:
        raise SettingsError("start is missing: name the first month, such as start='2017-01'")
    first, last = (month if isinstance(month, Month) else Month.parse(month) for month in (start, end or start))
    return Question(first, last, None if assets is None else tuple(assets), force)
