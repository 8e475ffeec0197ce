"""Other programs, started; and what a job on GitHub is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPORTS = Path("bench")
"""Folder of what is told about a deployment, which git ignores."""


class DeployError(Exception):
    """Something that keeps an image from an environment, with the remedy."""


def required(name: str, example: str, environment: Mapping[str, str] | None = None) -> str:
    """The value of a variable of the environment. Raises DeployError where it is missing or empty."""
    value = (os.environ if environment is None else environment).get(name, "")
    if not value:
        raise DeployError(f"{name} is not set: write it in front of the command, such as {name}={example}")
    return value


def output_of(command: Sequence[str], *, given: str | None = None) -> str:
    """What a program prints. Raises DeployError with what it complained of."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DeployError(f"{command[0]} is not installed") from None
    if done.returncode:
        raise DeployError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def aws(service: str, *arguments: str) -> Any:
    """What AWS's command line answers for a service, as JSON reads it; None for nothing. Raises DeployError."""
    told = output_of(["aws", service, *arguments, "--output", "json"])
    return json.loads(told) if told.strip() else None


def run(command: Sequence[str], *, seconds: float | None = None, ending: float = 300) -> None:
    """Start a program that shows what it does. Raises DeployError when it fails or takes too long.

    Args:
        command: the program and its arguments.
        seconds: after which it is interrupted, as from a keyboard, so that it can end in order; never by default.
        ending: seconds that it then has before it is killed.
    """
    try:
        process = subprocess.Popen(command)
    except FileNotFoundError:
        raise DeployError(f"{command[0]} is not installed") from None
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ending)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise DeployError(f"{' '.join(command[:3])} took longer than {seconds:.0f} s and was ended") from None
    except KeyboardInterrupt:
        # It was interrupted with us, and ends in order.
        process.wait()
        raise
    if code:
        raise DeployError(f"{' '.join(command[:3])} failed with code {code}; what it said is above")


def tell(**values: str) -> None:
    """Print each value, and hand it to later steps of a job on GitHub."""
    lines = [f"{name}={value}" for name, value in values.items()]
    if any("\n" in line for line in lines):
        raise DeployError("a value of more than one line cannot be handed on")
    print("\n".join(lines))
    _append("GITHUB_OUTPUT", "\n".join(lines))


def summarise(text: str) -> None:
    """Print a text, and show it on the page of a job on GitHub."""
    print(text)
    _append("GITHUB_STEP_SUMMARY", text)


def _append(variable: str, text: str) -> None:
    if file := os.environ.get(variable):
        with Path(file).open("a") as opened:
            opened.write(f"{text}\n")
