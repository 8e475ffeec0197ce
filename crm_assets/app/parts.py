"""The parts of a view, of which one is shown; all names stay in sight on a phone, and the address names the chosen."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st


def chosen_part(names: Sequence[str]) -> str:
    """The name of the part to show, the first one unless another was chosen."""
    chosen = st.pills(
        "Part",
        names,
        default=names[0],
        required=True,
        key="part",
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or names[0]
