"""What a page shows instead of itself: nothing there yet, or something in the way, each with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from crm_assets.app.api import AnswerError, AwayError
from crm_assets.app.session import settings
from crm_assets.app.wording import written
from crm_assets.profiles import PROFILES

_UNAUTHORIZED, _FORBIDDEN, _UNAVAILABLE = 401, 403, 503


@contextmanager
def told() -> Iterator[None]:
    """Turn what the API refuses or cannot answer into sentences in the place of what is inside."""
    try:
        yield
    except AwayError as error:
        st.error(f"The scoring service is away: {said(error)}. Start it with `make api`, or tell whoever runs it.")
        again()
    except AnswerError as error:
        if error.status == _UNAVAILABLE:
            empty("There is nothing to show yet", f"{sentence(said(error))}{_remedy(str(error))}")
        elif error.status == _UNAUTHORIZED:
            st.warning("Your sign-in has expired: try again to sign in anew.")
        elif error.status == _FORBIDDEN:
            st.warning(f"You may not see this: {said(error)}.")
        else:
            st.error(sentence(said(error)))
        again()


def _remedy(detail: str) -> str:
    """What to do where nothing is there yet, unless what the API says names a command already."""
    if settings().profile != PROFILES[0]:
        return " Tell whoever runs the platform."
    return "" if _CODE.search(detail) else " `make demo` makes a first month."


def again() -> None:
    """A button that asks once more."""
    if st.button("Try again", key="again"):
        # Of the whole page: part of one would still have the user of before.
        st.rerun(scope="app")


def empty(what: str, remedy: str) -> None:
    """Say that there is nothing, and what to do about it."""
    with st.container(border=True):
        st.subheader(what)
        st.write(remedy)


def said(error: Exception) -> str:
    """What an error says, as Markdown that shows it as it stands; commands in backticks stay code."""
    parts = _CODE.split(str(error))
    # Code is every other part.
    return "".join(part if at % 2 else _written(part) for at, part in enumerate(parts))


def _written(part: str) -> str:
    """`written`, with the spaces that part it from code."""
    before = " " if part[:1].isspace() else ""
    after = " " if part.strip() and part[-1:].isspace() else ""
    return f"{before}{written(part)}{after}"


_CODE = re.compile(r"((?<!`)`[^`]+`(?!`))")


def sentence(text: str) -> str:
    """A message with a capital first and a stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
