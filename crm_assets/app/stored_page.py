"""A stored HTML page inside the page: shown on demand, in a frame that reaches nothing outside of itself."""

from __future__ import annotations

from functools import lru_cache
from html import escape

import streamlit as st

from crm_assets.app.api import Api

_HEIGHT = 900


@lru_cache(maxsize=4)
def framed(content: str, title: str) -> str:
    """HTML that shows a page in a frame of its own origin: its scripts run, and see nothing of what is around it."""
    return (
        f'<iframe sandbox="allow-scripts" title="{escape(title)}" srcdoc="{escape(content)}" '
        f'style="border: 0; width: 100%; height: {_HEIGHT - 20}px; background: #fff"></iframe>'
    )


def stored_page(api: Api, path: str, month: str, title: str, file: str) -> None:
    """A page of the API, once somebody asks to see it, and as a file.

    Args:
        api: of the user.
        path: of the page.
        month: of the page.
        title: what it is, for people.
        file: name to save it by.

    Raises AnswerError or AwayError.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = st.toggle(f"Show the {title} of {month}", key="show", bind="query-params")
        st.download_button(
            "Save it as a file",
            data=lambda: api.download(path, month=month),
            file_name=file,
            mime="text/html",
            on_click="ignore",
        )
    if shown:
        content = api.download(path, month=month).decode()
        st.iframe(framed(content, f"{title} of {month}"), height=_HEIGHT, alt=f"{title} of {month}")
