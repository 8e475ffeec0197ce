"""What the API answers from, kept up to date: a thread looks for a new champion and a newer month, and swaps them in.

Whoever answers takes `current` once and keeps it, so that no answer mixes two of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, LakeError, RegistryError
from crm_assets.lake import Lake
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.modelling.win_model import WinModel
from crm_assets.registry import ModelReference, Registry
from crm_assets.serving.book import Book, fingerprint, newest_month, read_book
from crm_assets.serving.open_deals import OpenDeals, stored_marks
from crm_assets.serving.scoring import Scorer, VersionedModel
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake, why_no_scores

_log = logging.getLogger(__name__)
_SERVED = "served"
"""Part of the kept champion's file that says which version it is, beside those of the model."""
_REMEMBERED = 3
"""How many states are kept for whoever is paging through an older one."""


class Models(Protocol):
    """Where champions come from: the registry, or what stands in for it."""

    def champion(self) -> ModelReference | None:
        """The version with the alias champion; None when there is none."""
        ...

    def challenger(self) -> ModelReference | None:
        """The version with the alias challenger; None when there is none."""
        ...

    def load(self, version: str, sha256: str) -> WinModel:
        """The model of a version."""
        ...


@dataclass(frozen=True, eq=False)
class State:
    """What is answered from.

    Attributes:
        book: of the month.
        champion: scores it.
        challenger: scores it in the shadow; None while there is none, or nobody asked for it.
        deals: the champion's scores with what is stored about them.
        since: when it was swapped in, seconds of the clock.
    """

    book: Book
    champion: Scorer
    challenger: Scorer | None
    deals: OpenDeals
    since: float

    @property
    def key(self) -> str:
        """A short name that another state does not have."""
        stored = hashlib.sha256(repr(self.deals.marks).encode()).hexdigest()
        parts = (str(self.book.month), self.champion.served.sha256[:12], self.book.fingerprint[1][:12], stored[:12])
        return "-".join(parts)


@dataclass(frozen=True)
class Troubles:
    """What kept the last look from seeing all; None where nothing did.

    Attributes:
        lake: about the lake.
        registry: about the registry, or the champion in it.
        champion: about a champion that could not be used.
        challenger: about the challenger.
    """

    lake: str | None = None
    registry: str | None = None
    champion: str | None = None
    challenger: str | None = None


@dataclass
class _Look:
    """What one look found to be wrong."""

    troubles: dict[str, str] = field(default_factory=dict)

    def note(self, about: str, error: Exception) -> None:
        self.troubles[about] = str(error) or type(error).__name__


class Live:
    """The state that is answered from.

    Args:
        settings: the deployment's; `api_month` pins the month and its champion, else the newest and the alias are
            followed.
        models: the registry unless given.
        open_lake: opens the lake.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models | None = None,
        open_lake: Callable[[Settings], Lake] = stored_lake,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._models = models or Registry(settings.tracking_uri, settings.model_name)
        self._open_lake = open_lake
        self._clock = clock
        self._recent: OrderedDict[str, State] = OrderedDict()
        self._looking = threading.Lock()
        self._ended, self._looked = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.current: State | None = None
        self.troubles = Troubles()
        self.looked_at: float | None = None
        """When the last look ended."""
        self.swaps = 0
        self.on_look: Callable[[Live], object] = lambda _: None
        """Called when a look has ended."""

    def start(self) -> None:
        """Look now and then, in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until the thread has looked once, but no longer than that."""
        self._looked.wait(seconds)

    def stop(self) -> None:
        """End the thread; a look that goes on is not waited for longer than a moment."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def lake(self) -> Lake:
        """The lake that is read from. Raises LakeError when it cannot be opened."""
        return self._open_lake(self._settings)

    def remembered(self, key: str) -> State | None:
        """A recent state by its key; None when it is too long ago."""
        return self._recent.get(key)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.look()
            except Exception:
                # The thread must live on: whatever it was, what is served stays.
                _log.exception("looking for a new champion failed")
            self._looked.set()
            self._ended.wait(self._settings.api_look_seconds)

    def look(self) -> State | None:
        """Look once, swap in what is new, and keep what there is where something is in the way."""
        with self._looking:
            seen = _Look()
            book = self._book(seen)
            champion = None if book is None else self._champion(book, seen)
            if book is not None and champion is not None:
                self._swap(book, champion, self._challenger(book, champion, seen), seen)
            self.troubles = Troubles(**seen.troubles)
            self.looked_at = self._clock()
            self.on_look(self)
            return self.current

    def _book(self, seen: _Look) -> Book | None:
        held = self.current.book if self.current else None
        try:
            lake = self._open_lake(self._settings)
            month = self._settings.api_month or newest_month(lake)
            if month is None:
                raise LakeError(f"{lake.url} holds no month with scores yet: run crm-assets run")
            if held is not None and (held.month, held.fingerprint) == (month, fingerprint(lake, month)):
                return held
            return read_book(lake, month)
        except (CrmAssetsError, OSError, pl.exceptions.PolarsError) as error:
            seen.note("lake", error)
            return held

    def _champion(self, book: Book, seen: _Look) -> VersionedModel | None:
        held = self.current.champion.served if self.current else None
        try:
            named = self._named(book, seen)
        except (CrmAssetsError, OSError, pl.exceptions.PolarsError) as error:
            seen.note("registry", error)
            return self._known_before(book, held)
        if held is not None and (held.version, held.sha256) == (named.version, named.sha256):
            return held
        try:
            model = self._models.load(named.version, named.sha256)
        except RegistryError as error:
            seen.note("registry" if error.transient else "champion", error)
            return self._known_before(book, held)
        except Exception as error:
            seen.note("champion", error)
            return self._known_before(book, held)
        return VersionedModel(named.version, model.sha256, str(named.month), model)

    def _known_before(self, book: Book, held: VersionedModel | None) -> VersionedModel | None:
        """The last good champion that had not learnt from what came after the month."""
        if held is not None:
            return held if _had_learnt_by(book, held.month) else None
        kept = self._last_good()
        return kept if kept is not None and _had_learnt_by(book, kept.month) else None

    def _named(self, book: Book, seen: _Look) -> ModelReference:
        """The champion of now, or of the month where it is pinned or now's has learnt from what came after it."""
        if self._settings.api_month:
            return self._decided(book)
        found = self._models.champion()
        if found is None:
            raise RegistryError("there is no champion yet: crm-assets run makes one once enough deals have closed")
        if found.month <= book.month:
            return found
        # A run moves the alias before it stores the scores: a model of the month after knows how these deals ended.
        decided = self._decided(book)
        seen.troubles["champion"] = (
            f"the champion, version {found.version}, was trained at the end of {found.month}, of which the lake does "
            f"not hold all that is answered from: version {decided.version} answers as of {book.month}, as in batch, "
            f"until crm-assets run --months {found.month} is through"
        )
        return decided

    def _decided(self, book: Book) -> ModelReference:
        """The champion that the batch scored the month with."""
        lake = self._open_lake(self._settings)
        decided = pl.read_parquet(lake.table_path(WIN_MODEL.name, book.month)).row(0, named=True)
        if decided["champion_version"] is None:
            raise RegistryError(why_no_scores(lake, book.month))
        trained, sha256 = Month.parse(decided["champion_month"]), decided["champion_sha256"]
        return ModelReference(self._settings.model_name, decided["champion_version"], "", trained, sha256)

    def _challenger(self, book: Book, champion: VersionedModel, seen: _Look) -> VersionedModel | None:
        if not self._settings.api_shadow:
            return None
        held = self.current.challenger.served if self.current and self.current.challenger else None
        if held is not None and not _had_learnt_by(book, held.month):
            held = None
        try:
            named = self._models.challenger()
            if named is None or named.version == champion.version:
                return None
            if named.month > book.month:
                seen.troubles["challenger"] = (
                    f"the challenger, version {named.version}, was trained at the end of {named.month} and casts no "
                    f"shadow as of {book.month}"
                )
                return None
            if held is not None and (held.version, held.sha256) == (named.version, named.sha256):
                return held
            model = self._models.load(named.version, named.sha256)
        except Exception as error:
            # The shadow must not darken what it falls beside.
            seen.note("challenger", error)
            return held
        return VersionedModel(named.version, model.sha256, str(named.month), model)

    def _swap(self, book: Book, champion: VersionedModel, challenger: VersionedModel | None, seen: _Look) -> None:
        held = self.current
        shadow = held.challenger.served if held and held.challenger else None
        same = held and held.book is book and held.champion.served is champion and shadow is challenger
        # Reasons and changes are stored after the scores.
        if held and same and self._is_told(held.deals, seen):
            return
        try:
            scorer = self._scorer(book, champion, held.champion if held else None)
        except Exception as error:
            # A model that loads and cannot score the book must not take the place of one that can.
            seen.note("champion", error)
            if held is None or held.book is book or not _had_learnt_by(book, held.champion.served.month):
                return
            try:
                scorer = self._scorer(book, held.champion.served, None)
            except Exception as again:
                seen.note("champion", again)
                return
        beside = None
        if challenger is not None:
            try:
                beside = self._scorer(book, challenger, held.challenger if held else None)
            except Exception as error:
                seen.note("challenger", error)
        state = State(book, scorer, beside, self._deals(scorer, seen), self._clock())
        self._recent[state.key] = state
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        self.current = state
        self.swaps += 1
        self._keep(scorer.served)
        _log.info("answering from %s with version %s", book.month, scorer.served.version)

    def _is_told(self, deals: OpenDeals, seen: _Look) -> bool:
        """Whether what was read about the deals is what is stored, as far as the lake can be read."""
        try:
            return stored_marks(self._open_lake(self._settings), deals.month) == deals.marks
        except (CrmAssetsError, OSError) as error:
            seen.note("lake", error)
            return True

    def _deals(self, scorer: Scorer, seen: _Look) -> OpenDeals:
        """The scores with what is stored about them; with nothing beside them where that cannot be read."""
        try:
            return OpenDeals.read(self._open_lake(self._settings), scorer.book, scorer.scored, self._settings)
        except (CrmAssetsError, OSError, pl.exceptions.PolarsError) as error:
            seen.note("lake", error)
            return OpenDeals.of(scorer.book, scorer.scored, self._settings)

    @staticmethod
    def _scorer(book: Book, served: VersionedModel, held: Scorer | None) -> Scorer:
        if held is not None and held.book is book and held.served is served:
            return held
        scorer = Scorer(book, served)
        # Made ready here, so that the first request does not wait for it.
        _ = scorer.known
        return scorer

    @property
    def _file(self) -> Path:
        """Where the champion is kept: of this model in this store, for others may share the folder."""
        store = hashlib.sha256(self._settings.tracking_uri.encode()).hexdigest()[:16]
        return self._settings.home / "serving" / f"{self._settings.model_name}-{store}.json"

    def _keep(self, served: VersionedModel) -> None:
        """Keep the champion on disk, for a start while the registry is away; one of a pinned month is nobody's."""
        if self._settings.api_month:
            return
        told = {"version": served.version, "sha256": served.sha256, "month": served.month}
        part = self._file.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({**json.loads(served.model.content), _SERVED: told}), encoding="utf-8")
            part.replace(self._file)
        except OSError as error:
            _log.warning("the champion cannot be kept for the next start: %s", error)

    def _last_good(self) -> VersionedModel | None:
        """The champion that was kept; None when there is none, or a month is pinned."""
        if self._settings.api_month:
            return None
        try:
            told = json.loads(self._file.read_bytes())[_SERVED]
            model = WinModel.load(self._file)
            if model.sha256 != told["sha256"]:
                return None
            return VersionedModel(told["version"], told["sha256"], told["month"], model)
        except (OSError, ValueError, KeyError, TypeError, CrmAssetsError):
            return None


def _had_learnt_by(book: Book, trained: str) -> bool:
    """Whether a model trained at the end of a month could have scored the book when it was made."""
    return Month.parse(trained) <= book.month
