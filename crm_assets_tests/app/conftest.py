"""Views of the page, each run by Streamlit's AppTest on the real API with a small lake behind it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from crm_assets.app.api import Api
from crm_assets.app.session import VIEWER, User
from crm_assets.serving.app import build_app
from crm_assets.serving.live import Live
from crm_assets_tests.serving.conftest import Stored, business, models, stored
from crm_assets_tests.serving.small_lake import LAST, Business, Shelf, new_lake, settings_in
from crm_assets_tests.serving.told_month import write_forecast, write_told

__all__ = ["business", "models", "stored"]

Draw = Callable[..., AppTest]


@pytest.fixture(scope="session")
def sales_api(
    stored: Stored, business: Business, models: Any, tmp_path_factory: pytest.TempPathFactory
) -> httpx.BaseTransport:
    """The API on a month with reasons, changes and a forecast, without a server."""
    from fastapi.testclient import TestClient

    settings = settings_in(tmp_path_factory.mktemp("page"), api_prediction_log=False)
    folder = Path(settings.dataset_url)
    shutil.copytree(stored.folder, folder)
    lake, shelf = new_lake(folder), Shelf()
    shelf.put("1", models["blend"])
    write_told(lake, business, LAST, models["blend"])
    write_forecast(lake, stored.scores[LAST], LAST)
    live = Live(settings, shelf, lambda _: lake)
    live.look()
    transport: httpx.BaseTransport = TestClient(build_app(settings, live, watch=False))._transport
    return transport


def _script(view: str, user: object) -> None:
    from importlib import import_module

    import_module(f"crm_assets.app.views.{view}").draw(user)


@pytest.fixture
def draw(sales_api: httpx.BaseTransport) -> Iterator[Draw]:
    """Draw a view with the state of its address; another transport stands in for the API."""

    def drawn(
        view: str, transport: httpx.BaseTransport | None = None, *, may_score: bool = True, **address: Any
    ) -> AppTest:
        user = User("", VIEWER, Api("http://testserver", None, transport or sales_api), may_score)
        app = AppTest.from_function(_script, default_timeout=30, kwargs={"view": view, "user": user})
        for name, value in address.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        return app

    st.cache_resource.clear()
    yield drawn
    st.cache_resource.clear()


def texts(app: AppTest) -> str:
    """All that is written on the page, but for tables and plots."""
    kinds = ("title", "header", "subheader", "caption", "markdown", "info", "error", "warning")
    parts = [element.value for kind in kinds for element in getattr(app, kind)]
    metrics = [f"{metric.label}: {metric.value} {metric.delta}" for metric in app.metric]
    shown = "\n".join([*map(str, parts), *metrics]).replace("\\", "")
    return shown.replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")
