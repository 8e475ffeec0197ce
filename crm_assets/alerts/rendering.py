"""A message in words, as plain text, Markdown and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from crm_assets.alerts.alert import Alert, Kind, Link, Message

Format: TypeAlias = Literal["text", "markdown", "html"]

_LONGEST = 1500
"""Characters of what was found that are sent; the page in Dagster has the rest."""

_BETWEEN = 4
"""Characters that a service may put between a title and the body."""


@dataclass(frozen=True)
class Letter:
    """A message as it is sent: one line, and a body in the format that was asked for."""

    title: str
    body: str


def letter(message: Message, dataset: str, form: Format, room: int = 100_000) -> Letter:
    """The words of a message.

    Args:
        message: what to tell.
        dataset: name of the data set, which tells deployments apart.
        form: of the body. The title is plain text.
        room: characters that title and body may take; what was found is cut, so that the links at the end are not.
    """
    write = {"text": _text, "markdown": _markdown, "html": _html}[form]
    title, longest = _title(message, dataset), min(_LONGEST, len(message.alert.how_bad))
    while True:
        body = write(_headline(message), facts(message, dataset, longest), message.alert.links)
        if len(title) + len(body) + _BETWEEN < room or longest == 0:
            return Letter(title, body)
        # Markup takes room of its own, so that how much to cut is found by trying.
        longest = longest * 3 // 4


def facts(message: Message, dataset: str, longest: int = _LONGEST) -> list[tuple[str, str]]:
    """What is told besides the headline: label and value, in order; `longest` limits what was found."""
    alert = message.alert
    where = [alert.where, *([f"month {alert.month}"] if alert.month else []), f"data set {dataset}"]
    told = [("Where", ", ".join(where)), ("How bad", _how_bad(alert, longest))]
    if not alert.kind.lasts:
        return [told[0], ("Why", told[1][1]), ("When", moment(alert.at))]
    times = f", seen {message.count} times, the last time {moment(alert.at)}" if message.count > 1 else ""
    told.append(("Since", f"{moment(message.since)}{times}"))
    if message.recovered_at is None:
        return told
    lasted = duration(message.recovered_at - message.since)
    # How bad it was is told as what it was: it is over.
    return [told[0], ("Was", told[1][1]), told[2], ("Recovered", f"{moment(message.recovered_at)}, after {lasted}")]


def moment(at: datetime) -> str:
    """A point in time for people."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """A length of time for people, in its two largest units."""
    minutes = max(0, round(length.total_seconds() / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    told = [f"{number} {name}{'s' if number != 1 else ''}" for number, name in units if number]
    return " ".join(told[:2]) or "less than a minute"


def _title(message: Message, dataset: str) -> str:
    alert = message.alert
    about = f" ({alert.month})" if alert.month and alert.month not in alert.what else ""
    word = "recovered" if message.recovered_at else str(alert.severity)
    # A line break in a title would end an e-mail's header.
    return " ".join(f"[crm_assets {dataset}] {word}: {alert.what}{about}".split())


def _headline(message: Message) -> str:
    return f"Recovered: {message.alert.what}." if message.recovered_at else f"{message.alert.what}."


def _how_bad(alert: Alert, longest: int) -> str:
    found = alert.how_bad.strip()
    if len(found) > longest:
        found = f"{found[:longest].rstrip()} ..."
    if alert.kind is Kind.TEST or not alert.kind.lasts:
        return found
    return f"{alert.severity}. {found}" if found else str(alert.severity)


def _text(headline: str, told: Sequence[tuple[str, str]], links: Sequence[Link]) -> str:
    lines = [headline, "", *(f"{label}: {value}" for label, value in told)]
    return "\n".join([*lines, *(f"{link.title}: {link.target}" for link in links)])


def _markdown(headline: str, told: Sequence[tuple[str, str]], links: Sequence[Link]) -> str:
    shown = [f"[{link.title}]({link.target})" if _is_url(link) else f"{link.title}: `{link.target}`" for link in links]
    lines = [f"**{headline}**", *(f"**{label}:** {' / '.join(value.splitlines())}" for label, value in told), *shown]
    return "\n\n".join(lines)


def _html(headline: str, told: Sequence[tuple[str, str]], links: Sequence[Link]) -> str:
    rows = [f"<p><b>{html.escape(headline)}</b></p>"]
    rows += [f"<p>{label}: {html.escape(value).replace(chr(10), '<br>')}</p>" for label, value in told]
    for link in links:
        target = html.escape(link.target)
        rows.append(
            f"<p>{link.title}: " + (f'<a href="{target}">{target}</a></p>' if _is_url(link) else f"{target}</p>")
        )
    return "\n".join(rows)


def _is_url(link: Link) -> bool:
    return link.target.startswith(("http://", "https://"))
