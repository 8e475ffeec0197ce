"""Which months of a landing folder are ready to be made, and what the others wait for.

A month is ready when its tables are all there, its listing was the same at two looks in a row, and its files could be
read. Whether it is new is told by its content, compared with what the lake was made from: never by names or times,
which only save reading it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from crm_assets.calendar import Month, month_range
from crm_assets.sources.source import Extract

_TOLD = 6


@dataclass(frozen=True)
class Seen:
    """What is known of a month's extract.

    Attributes:
        facts: digest of its listing.
        content: fingerprint of its content; empty while it was not read.
        fault: why it cannot be used; empty while nothing is wrong.
        again: whether to read it again though its listing stays the same, because the place was at fault.
    """

    facts: str
    content: str = ""
    fault: str = ""
    again: bool = False


@dataclass(frozen=True)
class Held:
    """What the lake holds of a month.

    Attributes:
        content: fingerprint of the extract that every raw table was made from; empty when they were made from several.
        stamp: changes whenever one of them is made.
    """

    content: str
    stamp: str = ""


@dataclass(frozen=True)
class Known:
    """What was read from the lake about a month.

    Attributes:
        listed: digest of what the lake's listing told of the month's raw tables; as long as it is the same, so is held.
        held: what their manifests say.
    """

    listed: str
    held: Held


@dataclass(frozen=True)
class Decision:
    """What to make, and why not more.

    Attributes:
        months: first and last month of the run to ask for; None for no run.
        changed: those of them whose extract is new or changed.
        key: tells requests apart: equal for equal content in the place of equal months of the lake.
        notes: what waits and for what, and what else a person should know.
    """

    months: tuple[Month, Month] | None = None
    changed: tuple[Month, ...] = ()
    key: str = ""
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The notes as one sentence, the first few of them."""
        more = len(self.notes) - _TOLD
        return "; ".join(self.notes[:_TOLD]) + (f"; and {more} more" if more > 0 else "")


def look(
    before: Mapping[Month, Seen], now: Mapping[Month, Extract], read: Callable[[Month, str], Seen | None]
) -> dict[Month, Seen]:
    """What is known of each extract after this look; months that are gone are left out.

    Args:
        before: what the last look left.
        now: the listing.
        read: reads the extract of a month with these facts; None puts it off. Asked only for what is complete and was
            listed alike by the last look.
    """
    seen = {}
    for month, extract in sorted(now.items()):
        known = before.get(month)
        if known is None or known.facts != extract.facts:
            seen[month] = Seen(extract.facts)
        elif extract.missing or known.content or (known.fault and not known.again):
            seen[month] = known
        else:
            seen[month] = read(month, extract.facts) or Seen(extract.facts)
    return seen


def known(
    before: Mapping[Month, Known], listed: Mapping[Month, str], read: Callable[[Month], Held | None]
) -> dict[Month, Known]:
    """What is known of each month in the lake; months that are gone, or whose reading was put off, are left out.

    Args:
        before: what was known before.
        listed: digest of the listing of each month's raw tables.
        read: reads the manifests of a month's raw tables; None puts it off. Asked only where the listing has changed.
    """
    found = {}
    for month, digest in sorted(listed.items()):
        one = before.get(month)
        if one is None or one.listed != digest:
            held = read(month)
            one = Known(digest, held) if held else None
        if one:
            found[month] = one
    return found


def decide(
    before: Mapping[Month, Seen],
    now: Mapping[Month, Extract],
    seen: Mapping[Month, Seen],
    held: Mapping[Month, Held],
    *,
    asked: Mapping[str, str],
    outside: Callable[[Month], str | None],
    going_on: str | None,
    unfinished: Mapping[Month, str] | None = None,
) -> Decision:
    """The one run to ask for: from the first month that changed to the newest, since what follows is made of it.

    Args:
        before: what the look before knew.
        now: the listing.
        seen: what is known after this look.
        held: what the lake holds, by month.
        asked: key of each request made before -> how its run ended. It is not made again: what failed once with the
            same content is for people to look at.
        outside: why a month is none of the monthly partitions; None when it is one.
        going_on: the run that must end first; None when there is none.
        unfinished: months whose raw tables are in the lake and of which the rest was not made -> what to do.
    """
    excluded = {month: why for month in now if (why := outside(month))}
    listed = {month for month in now if month not in excluded}
    lake = {month for month in held if not outside(month)}
    waits = {month: why for month in listed if (why := _waits_for(month, before, now, seen))}
    ready = listed - waits.keys()
    changed = {month for month in ready if month not in held or held[month].content != seen[month].content}
    block = _block(lake, listed, ready | lake)
    rest = {month: told for month, told in (unfinished or {}).items() if month in ready - changed and not going_on}
    notes = {**excluded, **waits, **rest}
    for month in changed - block:
        notes[month] = f"{month} waits for {_gap(month, lake or listed, ready | lake)}, which is missing before it"
        if lake and month < min(lake):
            notes[month] = f"{month} waits for the months between it and {min(lake)}, where the lake begins"
    chosen = changed & block
    # A run reads the extract of every month it makes, so none of them may be on its way, or gone.
    unready = [month for month in month_range(min(chosen), max(block)) if month not in ready] if chosen else []
    if unready:
        for month in {month for month in chosen if month < unready[-1]}:
            notes[month] = f"{month} has changed and waits for the extract of {unready[-1]}, which is made after it"
        chosen = {month for month in chosen if month > unready[-1]}
    gone = {
        month: f"{month} is in the lake and no longer in the source: it stays in the lake"
        for month in lake - now.keys()
    }
    gone |= {month: f"{month} was there at the last look and is gone" for month in before.keys() - now.keys() - lake}
    told = tuple(text for _, text in sorted({**gone, **notes}.items()))
    if not chosen:
        return Decision(notes=told)
    first, last = min(chosen), max(block)
    what = ", ".join(f"{month}" for month in sorted(chosen))
    key = _key(first, last, {month: (seen[month].content, held.get(month)) for month in chosen})
    # First, for the run that goes on may be the one that was asked for.
    if going_on:
        return Decision(notes=(f"{what} waits for {going_on} to end", *told))
    if key in asked:
        return Decision(notes=(f"{what}: the same content was asked for before, in {asked[key]}", *told))
    return Decision((first, last), tuple(sorted(chosen)), key, told)


def _waits_for(
    month: Month, before: Mapping[Month, Seen], now: Mapping[Month, Extract], seen: Mapping[Month, Seen]
) -> str | None:
    """Why an extract is not ready; None when it is."""
    if now[month].missing:
        return f"{month} waits for {', '.join(now[month].missing)}"
    if seen[month].fault:
        return f"{month} cannot be used: {seen[month].fault}"
    if seen[month].content:
        return None
    if month not in before:
        return f"{month} has just landed and waits until it was listed alike twice"
    if before[month].facts != now[month].facts:
        return f"{month} is still being written and waits until it was listed alike twice"
    return f"{month} waits to be read at the next look"


def _block(lake: Collection[Month], listed: Collection[Month], available: Collection[Month]) -> set[Month]:
    """The available months without a gap around the lake's newest; from the first listed one where there is no lake."""
    if not lake and not listed:
        return set()
    anchor = max(lake) if lake else min(listed)
    if anchor not in available:
        return set()
    first = last = anchor
    while first.previous in available:
        first = first.previous
    while last.next in available:
        last = last.next
    return set(month_range(first, last))


def _gap(month: Month, known: Collection[Month], available: Collection[Month]) -> Month:
    """The first month before `month` that is not available, from the first known one on."""
    before = month_range(min(known), month.previous)
    return next((one for one in before if one not in available), month.previous)


def _key(first: Month, last: Month, chosen: Mapping[Month, tuple[str, Held | None]]) -> str:
    parts = [f"{month} {content} {held}" for month, (content, held) in sorted(chosen.items())]
    return f"{first}:{last} {hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"
