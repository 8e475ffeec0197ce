from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from crm_assets import dev
from crm_assets.errors import SettingsError


@pytest.mark.parametrize("option", ["--port", "-p"])
def test_a_port_that_is_taken_is_told_before_anything_starts(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    started: list[str] = []
    monkeypatch.setenv("CRM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRM_LAKE_URL", str(tmp_path / "lake"))
    monkeypatch.setattr("os.execvpe", lambda program, *_: started.append(program))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["dev", option, port])
        with pytest.raises(SystemExit) as ended:
            dev.main()
    assert ended.value.code == SettingsError.exit_code
    assert f"127.0.0.1:{port} cannot be opened (Address already in use)" in capsys.readouterr().err
    assert not started
    dev.main()
    assert started, "the port is free again"


def test_a_number_that_is_no_port_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.execvpe", lambda *_: pytest.fail("Dagster was started"))
    monkeypatch.setattr(sys, "argv", ["dev", "--port", "70000"])
    with pytest.raises(SystemExit) as ended:
        dev.main()
    assert ended.value.code == SettingsError.exit_code
    assert "127.0.0.1:70000 cannot be opened (bind(): port must be 0-65535.)" in capsys.readouterr().err
