"""What the page says of monitoring, in sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crm_assets.app.names import name_of
from crm_assets.app.states import sentence
from crm_assets.app.wording import MINUS, NOTHING, count, percent

LEVELS: Final[Mapping[str | None, tuple[str, str]]] = {
    "NONE": ("As usual", "The month looks like those the model learnt from."),
    "LOW": ("Small change", "Something differs, by too little to matter. Nothing has to be done."),
    "MEDIUM": ("Changed", "Something differs by as much as matters. See what it is before relying on the scores."),
    "HIGH": ("Very different", "The month is not like those the model learnt from. Look at the data first."),
    None: ("Not compared", "Nothing can be said of this month."),
}
"""Level of drift -> its name on the page, and what it means."""

_COLUMN = re.compile(r"\b[a-z]+(_[a-z0-9]+)+\b")

PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "New deals": (
        "intake",
        "Deals engaged in the month, against those of the months that the model learnt from. They are tested: a change "
        "of price, product, region or team shows here first.",
    ),
    "Open deals": (
        "book",
        "All open deals of the month-end, against books of the same month of the quarter. Of the probabilities it is "
        "judged how far they moved; of the other columns whether values are missing, out of range or in wrong units. "
        "How they spread follows the calendar, and is shown only.",
    ),
    "Closed deals": (
        "closings",
        "Deals that closed in the month: how many more or fewer of them were won than such a month usually brings.",
    ),
}
"""Tab of columns -> the part of the report, and what it is."""

FIGURES: Final[Mapping[str, str]] = {
    "wins": "Wins",
    "auc": "Pairs in the right order",
    "brier": "Error of the probabilities (Brier score)",
}
"""Figure of performance -> its title."""


def why(drift: Mapping[str, Any]) -> list[str]:
    """What the level comes from, or why there is none, as sentences."""
    if drift["level"] is None:
        return [not_compared(drift)]
    return [sentence(_named(part)) for part in drift["why"]]


def not_compared(drift: Mapping[str, Any]) -> str:
    """Why a month was not compared, and when one will be."""
    reason = drift["reason"] or ""
    if reason == "no scores":
        return "No model had scored the month: comparing begins with the first scores."
    if "reference" in reason:
        return f"There is too little to compare with yet: {reason}. It comes with further months."
    return sentence(reason or "there is nothing to compare it with")


def _named(text: str) -> str:
    """A reason with columns and parts by their names on the page."""
    head, colon, names = text.partition("moved: ")
    if colon and not head:
        return f"changed by as much as matters: {', '.join(name_of(name) for name in names.split(', '))}"
    for part, name in (("(intake)", "(new deals)"), ("(book)", "(open deals)")):
        text = text.replace(part, name)
    return _COLUMN.sub(lambda match: name_of(match[0]), text)


def found(column: Mapping[str, Any]) -> str:
    """What was found of a column, with its figures and limits."""
    told = []
    if column["reason"]:
        told.append(f"not compared: {column['reason']}")
    if column["bad"]:
        told.append(column["bad"])
    if column["new_categories"]:
        told.append(f"new: {column['new_categories']}")
    if column["change"] is not None:
        more = "more" if column["change"] >= 0 else "fewer"
        told.append(f"{percent(abs(column['change']))} {more} wins than expected; {_limit(column['change_limit'])}")
    if column["psi"] is not None and column["psi_limit"] is not None:
        told.append(f"moved by {column['psi']:.3f} (PSI); {column['psi_limit']:g} and more matters")
    if column["p_value"] is not None:
        told.append(f"chance makes as much in {percent(column['p_value'], 1)} of months (p-value)")
    if column["part"] == "book" and column["psi"] is None and not told:
        told.append("nothing missing, out of range or in wrong units")
    return " ".join(sentence(part) for part in told)


def _limit(limit: float | None) -> str:
    return "" if limit is None else f"{percent(limit)} and more matters, where it is beyond chance"


def relative(change: float | None) -> str:
    """A change as percent of what it is of, with its sign."""
    if change is None:
        return NOTHING
    rounded = round(100 * change)
    return f"{'+' if rounded > 0 else MINUS if rounded < 0 else ''}{abs(rounded)} %"


def changed(columns: Sequence[Mapping[str, Any]]) -> str:
    """Which columns changed, in one sentence."""
    moved = [name_of(one["column"]) for one in columns if one["verdict"] in ("moved", "bad values")]
    little = [name_of(one["column"]) for one in columns if one["verdict"] == "differs a little"]
    told = f"Changed: {', '.join(moved)}." if moved else "No column changed by as much as matters."
    return told + (f" Differs a little: {', '.join(little)}." if little else "")


def turned_out(months: Sequence[Mapping[str, Any]]) -> str:
    """How the newest scores with known outcomes turned out."""
    known = [one for one in months if one["matured"]]
    if not known:
        return "No month that was scored has known outcomes yet: they come with the month-end after it."
    one = known[-1]
    wins = one["figures"]["wins"]
    told = (
        f"Of the {count(one['rows'])} deals scored at the end of {one['month']}, {count(one['wins'])} were won by the "
        f"end of {one['matured_month']}; the probabilities promised {count(wins['estimate'])}"
    )
    if wins["low"] is not None:
        told += f" ({count(wins['low'])} to {count(wins['high'])})"
    if not one["compared"]:
        return f"{told}. {sentence(one['reason'] or 'It was not compared')}"
    if one["failed"]:
        return f"{told}. That is off: {'; '.join(one['failed'])}."
    return f"{told}. That is within what chance allows."


def quality(month: Mapping[str, Any]) -> str:
    """How clean the data of a month were, in one sentence."""
    if month["score"] is None:
        return f"The quality of {month['month']} is not known."
    kept_out = "No row broke a rule" if not month["quarantined"] else f"{count(month['quarantined'])} rows broke a rule"
    return (
        f"{month['month']}: {percent(month['score'])} of what could be right was. {kept_out}"
        f"{'' if not month['quarantined'] else ' and were kept out'}, of {count(month['rows'])}."
    )
