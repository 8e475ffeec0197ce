"""The commands of docs/api.md are run as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
COMMANDS = [
    block
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if block.startswith("curl")
]
NOT_IN_THE_SMALL_LAKE = "/v1/forecast"


def test_every_command_of_the_page_answers(deployment: Deployment) -> None:
    row = deployment.scores[LAST].row(0, named=True)
    variables = {"OPPORTUNITY": row["opportunity_id"], "AGENT": row["sales_agent"], "PATH": "/usr/bin:/bin"}
    with deployment.server() as address:
        told = [answer for block in COMMANDS for answer in _answers(block, address, variables)]
    assert len(told) == 7
    for command, answer in told:
        if NOT_IN_THE_SMALL_LAKE in command:
            assert answer["status"] == 503
        else:
            assert "errors" not in answer, (command, answer)


def _answers(block: str, address: str, variables: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for command in re.split(r"\n(?=curl)", block.strip()):
        shell = ["/bin/sh", "-c", command.replace("127.0.0.1:8000", address)]
        done = subprocess.run(shell, env=variables, capture_output=True, text=True, check=True)
        yield command, json.loads(done.stdout)
