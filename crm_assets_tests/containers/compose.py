"""The containers' files, and the tools that read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
COMPOSE_FILE = DOCKER / "compose.yaml"
EXAMPLE = DOCKER / ".env.example"


def tool(name: str) -> str:
    """Path of a development tool, beside the interpreter or on the path. Raises FileNotFoundError without it."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: run make setup")
    return path


def compose(
    *arguments: str,
    env_file: Path,
    files: tuple[Path, ...] = (COMPOSE_FILE,),
    project: str = "crm-assets",
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run Docker Compose on the platform's file; its environment is `environment` and what it needs to run at all."""
    command = [tool("docker-compose"), "--project-name", project, "--env-file", str(env_file)]
    for file in files:
        command += ["--file", str(file)]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    return subprocess.run(
        [*command, *arguments],
        env={**kept, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
