"""Going from one view to another, with what it shows in its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from crm_assets.app.views import VIEWS


def page(path: str) -> st.Page:
    """A view as the menu knows it; Streamlit tells pages apart by their address alone."""
    return st.Page(lambda: None, title=path, url_path=path, default=path == VIEWS[0].path)


def open_deal(opportunity: str) -> None:
    """Show an opportunity."""
    st.switch_page(page("opportunity"), query_params={"id": opportunity})


def show_pipeline(address: Mapping[str, Sequence[str]]) -> None:
    """Show the book with the filters of an address: name -> values."""
    st.switch_page(page("pipeline"), query_params=address)
