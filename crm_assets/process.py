"""Which process something belongs to, whether that process is gone, and the folder for what ends with this one."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import re
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_FOLDER = "crm-assets-"
_ENDED = {"Z", "X"}


@dataclass(frozen=True)
class Process:
    """A process, in words that another one can judge by.

    Attributes:
        host: name of its machine or container.
        pid: its number there.
        started: when it started, in ticks since the machine's own start; empty where the system does not tell.
        space: digest of the machine's start and of the namespace in which `pid` counts.
    """

    host: str
    pid: int
    started: str
    space: str

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()) or "", _space())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The process that `str` was made of; None when the text is something else."""
        found = re.fullmatch(r"(\d+)-(\d*)-([0-9a-f]{8})@(.*)", text, re.DOTALL)
        return cls(found[4], int(found[1]), found[2], found[3]) if found else None

    def __str__(self) -> str:
        return f"{self.pid}-{self.started}-{self.space}@{self.host}"

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended. Of another machine or container nothing is known from here."""
        if self.space != _space() or self.host != socket.gethostname():
            return False
        started = _started(self.pid)
        return started is None or self.started not in {"", started}

    @property
    def name(self) -> str:
        """For people."""
        return f"process {self.pid} on {self.host}"

    @property
    def file_part(self) -> str:
        """The process as part of a file's name."""
        return f"{self.pid}-{self.started}-{_host_digest(self.host, self.space)}"


def file_is_left(name: str) -> bool:
    """Whether a file's name holds the `file_part` of a process that is known to have ended."""
    found = re.search(r"(\d+)-(\d*)-([0-9a-f]{8})-", name)
    if found is None or found[3] != _host_digest(socket.gethostname(), _space()):
        return False
    return Process(socket.gethostname(), int(found[1]), found[2], _space()).is_gone


def process_folder() -> Path:
    """This process's folder for temporary files, below TMPDIR.

    It is removed when the process ends; what was left by one that was killed is removed by the next on the machine.
    Raises OSError when it cannot be made.
    """
    return _process_folder(os.getpid())


@functools.cache
def _process_folder(process: int) -> Path:
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        if file_is_left(left.name):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{Process.current().file_part}-"))

    def remove() -> None:
        # A forked process inherits this, but not the folder.
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


@functools.cache
def _space() -> str:
    try:
        told = f"{_BOOT.read_text()}{_NAMESPACE.readlink()}"
    except OSError:
        told = ""
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _host_digest(host: str, space: str) -> str:
    return hashlib.sha256(f"{host}\n{space}".encode()).hexdigest()[:8]


def _started(pid: int) -> str | None:
    """When a process started, empty where the system does not tell; None when there is no such process."""
    try:
        # The second field, the program's name in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in _ENDED else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
