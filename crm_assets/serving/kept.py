"""Answers that are kept as long as the tables that they are read from are those of then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import TypeVar

from crm_assets.calendar import Month
from crm_assets.serving.book import marks
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake

T = TypeVar("T")
_MOST = 8


def kept_by_history(settings: Settings, assets: Collection[str], make: Callable[[Month], T]) -> Callable[[Month], T]:
    """`make`, whose last answers are kept while no table of the assets, of that month or an earlier one, is replaced.

    Whether one was is told by one listing of the lake, without reading any.
    """

    @lru_cache(maxsize=_MOST)
    def made(month: Month, _: tuple[tuple[str, str, str], ...]) -> T:
        return make(month)

    def answer(month: Month) -> T:
        stamps = stored_lake(settings).table_stamps()
        found = ((asset, held, stamp) for (asset, held), stamp in stamps.items())
        return made(month, tuple(sorted(one for one in found if one[0] in assets and one[1] <= str(month))))

    return answer


def kept(settings: Settings, assets: Sequence[str], make: Callable[[Month], T]) -> Callable[[Month], T]:
    """`make`, whose last answers are kept as long as the tables that it reads are those of then."""

    @lru_cache(maxsize=4)
    def made(month: Month, _: tuple[str | None, ...]) -> T:
        return make(month)

    return lambda month: made(month, marks(stored_lake(settings), month, assets))
