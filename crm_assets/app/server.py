"""The page's server: Streamlit, told by our settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crm_assets.app.look import THEME
from crm_assets.app.next_steps import read_rules
from crm_assets.app.shell import BackToView, Headers, routes
from crm_assets.errors import SettingsError
from crm_assets.profiles import PROFILES
from crm_assets.serving.access import is_this_machine
from crm_assets.settings import Settings

SCRIPT = Path(__file__).with_name("main.py")
_CALLBACK = "oauth2callback"
_SECRET_LENGTH = 32


def secrets(settings: Settings) -> dict[str, Any]:
    """What Streamlit's sign-in has to know; empty where nobody signs in.

    Raises SettingsError when something of it is missing, or when nobody would have to sign in and the profile is not
    `local` or other machines reach the address.
    """
    wanted = {
        "CRM_APP_OIDC_CLIENT_ID": settings.app_oidc_client_id,
        "CRM_APP_OIDC_CLIENT_SECRET": settings.app_oidc_client_secret,
        "CRM_APP_COOKIE_SECRET": settings.app_cookie_secret,
        "CRM_APP_URL": settings.app_url,
        "CRM_API_OIDC_ISSUER": settings.api_oidc_issuer,
    }
    missing = [name for name, value in wanted.items() if not value]
    if not settings.app_oidc_client_id and settings.profile == PROFILES[0]:
        if not is_this_machine(settings.app_host) and not (settings.api_keys or settings.api_keys_file):
            raise SettingsError(
                f"anybody who reaches {settings.app_host or 'this machine'} could use the page without signing in: set "
                "CRM_API_KEYS_FILE, so that it asks for a key, CRM_APP_OIDC_CLIENT_ID, or CRM_APP_HOST to 127.0.0.1"
            )
        return {}
    if missing:
        raise SettingsError(
            f"people sign in to the page (profile {settings.profile}), and {', '.join(missing)} is not set: see "
            "docs/page.md#sign-in"
        )
    assert settings.app_oidc_client_secret is not None
    assert settings.app_cookie_secret is not None
    if len(settings.app_cookie_secret.get_secret_value()) < _SECRET_LENGTH:
        raise SettingsError(
            f"CRM_APP_COOKIE_SECRET is shorter than {_SECRET_LENGTH} characters, so that a cookie could be made up: "
            "take one from `openssl rand -hex 32`"
        )
    return {
        "auth": {
            "redirect_uri": f"{settings.app_url.rstrip('/')}/{_CALLBACK}",
            "cookie_secret": settings.app_cookie_secret.get_secret_value(),
            "client_id": settings.app_oidc_client_id,
            "client_secret": settings.app_oidc_client_secret.get_secret_value(),
            "server_metadata_url": f"{settings.api_oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
            "client_kwargs": {"scope": settings.app_oidc_scopes},
            "expose_tokens": ["access"],
        }
    }


def options(settings: Settings) -> dict[str, Any]:
    """Streamlit's configuration."""
    return {
        **THEME,
        "server.address": settings.app_host,
        "server.port": settings.app_port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.enableAgentApi": False,
        "server.enableStaticServing": False,
        "browser.gatherUsageStats": False,
        # Filters turn back to the first page, which is also where the pages begin by default.
        "global.disableWidgetStateDuplicationWarning": True,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": False,
    }


def serve(settings: Settings) -> None:
    """Show the page until the process is told to stop. Raises SettingsError as `secrets` and `read_rules` do."""
    known = secrets(settings)
    read_rules(settings.next_steps_file)
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    from crm_assets.app.views import VIEWS

    for view in VIEWS:
        # Now, for otherwise whoever looks first waits for it.
        view.load()
    paths = ["/", *(f"/{view.path}" for view in VIEWS)]
    app = App(
        SCRIPT,
        secrets=known or None,
        routes=routes(paths),
        middleware=[
            Middleware(Headers, secure=settings.app_url.startswith("https://")),
            Middleware(BackToView, paths=paths),
        ],
    )
    app.run(config=options(settings))
