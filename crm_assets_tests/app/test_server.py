from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_assets.app.server import options, secrets, serve
from crm_assets.errors import SettingsError
from crm_assets.settings import Settings

ISSUER: dict[str, Any] = {
    "app_oidc_client_id": "page",
    "app_oidc_client_secret": "s",
    "app_cookie_secret": "c" * 32,
    "app_url": "https://sales.example/",
    "api_oidc_issuer": "https://id.example/",
}


def _settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]  # pydantic-settings' own argument


def test_nobody_signs_in_at_an_issuer_on_ones_own_machine() -> None:
    assert secrets(_settings()) == {}


def test_streamlit_is_told_where_people_sign_in() -> None:
    told = secrets(_settings(**ISSUER, app_oidc_scopes="openid crm"))["auth"]
    assert told["redirect_uri"] == "https://sales.example/oauth2callback"
    assert told["server_metadata_url"] == "https://id.example/.well-known/openid-configuration"
    assert told["client_kwargs"] == {"scope": "openid crm"}
    assert told["expose_tokens"] == ["access"]


@pytest.mark.parametrize("lacking", [name for name in ISSUER if name != "app_oidc_client_id"])
def test_what_is_lacking_is_named(lacking: str) -> None:
    given = {name: value for name, value in ISSUER.items() if name != lacking}
    with pytest.raises(SettingsError, match=f"CRM_{lacking.upper()} is not set"):
        secrets(_settings(**given))


def test_there_is_no_page_without_an_issuer_but_on_ones_own_machine() -> None:
    settings = _settings().model_copy(update={"profile": "production"})
    with pytest.raises(SettingsError, match=r"CRM_APP_OIDC_CLIENT_ID, .* CRM_API_OIDC_ISSUER is not set"):
        secrets(settings)


def test_a_short_secret_is_refused_and_never_shown() -> None:
    with pytest.raises(SettingsError, match="CRM_APP_COOKIE_SECRET is shorter than 32") as refused:
        secrets(_settings(**{**ISSUER, "app_cookie_secret": "short-secret"}))
    assert "short-secret" not in str(refused.value)


def test_the_page_tells_nobody_and_trusts_no_other_site() -> None:
    told = options(_settings(app_port=8600))
    assert told["server.port"] == 8600
    assert told["server.enableXsrfProtection"]
    assert not told["browser.gatherUsageStats"]
    assert not told["server.enableAgentApi"]
    assert told["client.showErrorDetails"] == "none"


def test_a_page_that_others_reach_wants_to_know_who_they_are() -> None:
    with pytest.raises(SettingsError, match=r"anybody who reaches 0\.0\.0\.0 could use the page"):
        secrets(_settings(app_host="0.0.0.0"))
    assert secrets(_settings(app_host="0.0.0.0", api_keys_file="keys")) == {}
    assert secrets(_settings(app_host="localhost")) == {}


def test_rules_with_a_slip_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit.starlette.App.run", lambda *_, **__: None)
    file = tmp_path / "steps.yaml"
    file.write_text("- {rule: a, when: {rsk: high}, say: Act.}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="'rsk' is no field"):
        serve(_settings(next_steps_file=file))
