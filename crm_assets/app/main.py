"""The script that Streamlit runs for each look at the page: who is it, and which view is asked for."""

from __future__ import annotations

import streamlit as st

from crm_assets.app import session, states
from crm_assets.app.look import CLOSE_MENU, DARK_STYLE, STYLE
from crm_assets.app.shell import ICON, NAME
from crm_assets.app.views import VIEWS

st.set_page_config(page_title=NAME, page_icon=str(ICON), layout="wide")

st.html(STYLE)
st.html(CLOSE_MENU, unsafe_allow_javascript=True)
if st.context.theme.type == "dark":
    st.html(DARK_STYLE)

with states.told():
    found = session.signed_in()
    user = found if isinstance(found, session.User) else None
    pages = [
        st.Page(
            # Whoever has to sign in stays at the address that was asked for.
            found if not isinstance(found, session.User) else view.show(found),
            title=view.title,
            icon=view.icon,
            url_path=view.path,
            default=view is VIEWS[0],
            visibility="visible" if user is not None and view.is_for(user) else "hidden",
        )
        for view in VIEWS
    ]
    chosen = st.navigation(pages, position="sidebar" if user else "hidden")
    if user is not None and user.name:
        with st.sidebar:
            st.caption(f"{user.name} ({user.role})")
            st.button("Sign out", on_click=session.sign_out)
    with states.told():
        chosen.run()
