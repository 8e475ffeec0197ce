"""Terraform's commands on a copy of the project's configuration, against an emulated account."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crm_assets_tests.containers.compose import REPOSITORY
from crm_assets_tests.integration.required import not_installed

TERRAFORM = Path(os.environ.get("TERRAFORM_FOLDER", REPOSITORY / "terraform"))
"""The tree that is looked at."""
ENVIRONMENTS = ("dev", "staging", "prod")
COMMAND_SECONDS = 1500

PROVIDER = """\
provider "aws" {{
{alias}  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  # Its server is an address, which a bucket's name cannot stand before.
  s3_use_path_style = true
}}
"""

_PROVIDER = re.compile(r'^provider "aws" \{\n(?P<body>.*?)^\}', re.MULTILINE | re.DOTALL)
_ALIAS = re.compile(r"^  alias\s*=.*\n", re.MULTILINE)


def terraform_program() -> str:
    """Path of Terraform. Fails the test without it."""
    return shutil.which("terraform") or not_installed("terraform", "install Terraform 1.11 or later")


@dataclass
class Terraform:
    """A folder with a configuration, and the commands on it.

    Args:
        folder: of the configuration.
        environment: variables besides those of this process.
        options: of `plan`, `apply` and `destroy`, as `-var-file`.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def init(self, *arguments: str) -> None:
        """Make the providers and modules ready, from `TF_PLUGIN_DIR` where that is set."""
        mirror = os.environ.get("TF_PLUGIN_DIR")
        self.run("init", *([f"-plugin-dir={mirror}"] if mirror else []), *arguments)

    def apply(self) -> None:
        """Make what is configured."""
        self.run("apply", "-auto-approve", *self.options)

    def replan(self) -> str:
        """What would be changed now; empty when nothing would."""
        done = self.run("plan", "-detailed-exitcode", *self.options, passing=(0, 2))
        return done.stdout[max(done.stdout.find("Terraform will perform"), 0) :] if done.returncode else ""

    def destroy(self) -> None:
        """Remove what was made."""
        self.run("destroy", "-auto-approve", *self.options)

    def state(self) -> dict[str, Any]:
        """The state, as `terraform show -json` has it."""
        found: dict[str, Any] = json.loads(self.run("show", "-json").stdout)
        return found

    def addresses(self) -> list[str]:
        """Everything that the state says was made; what was only looked up is left out."""
        return [one["address"] for one in resources(self.state())]

    def run(self, *arguments: str, passing: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run a command. It fails the test, with all that was said, unless it ends with one of `passing`."""
        done = subprocess.run(
            [terraform_program(), arguments[0], "-no-color", *arguments[1:]],
            cwd=self.folder,
            env={**_environment(), **self.environment},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode not in passing:
            # Where it failed last is what matters; a plan before it may be long.
            raise AssertionError(
                f"terraform {' '.join(arguments)} in {self.folder.name} ended with {done.returncode}:\n"
                f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
            )
        return done


def resources(state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything in a state that was made, from all its modules; also of the planned values of a plan."""
    waiting = [state.get("values", {}).get("root_module", {})]
    while waiting:
        module = waiting.pop()
        yield from (one for one in module.get("resources", []) if one["mode"] == "managed")
        waiting.extend(module.get("child_modules", []))


def copied(folder: Path) -> Path:
    """The configuration in a folder of its own, without what Terraform left in it."""
    target = folder / "terraform"
    shutil.copytree(TERRAFORM, target, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*"))
    return target


def emulate(folder: Path) -> None:
    """Write into a copied configuration what makes it ask an emulated account and keep its state beside it."""
    text = "".join(file.read_text() for file in sorted(folder.glob("*.tf")))
    overrides = []
    for block in _PROVIDER.finditer(text):
        alias = _ALIAS.search(block["body"])
        overrides.append(PROVIDER.format(alias=alias[0] if alias else ""))
    backend = 'terraform {\n  backend "local" {}\n}\n' if re.search(r'^  backend "', text, re.MULTILINE) else ""
    (folder / "emulated_override.tf").write_text("\n".join([backend, *overrides]))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    for name in ("TF_PLUGIN_CACHE_DIR", "TF_CLI_CONFIG_FILE"):
        # A configuration that is named and not there is told of in every command.
        if (value := os.environ.get(name)) and Path(value).exists():
            kept[name] = value
    return {**kept, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
