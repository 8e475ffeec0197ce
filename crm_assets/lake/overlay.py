"""A storage that looks like another one and keeps what is written to it elsewhere."""

from __future__ import annotations

from pathlib import Path

from crm_assets.locks import Holder, Lock
from crm_assets.storage import FilePaths, Stamps, Storage


class Overlay(Storage):
    """Reads what was written to it, and all else from below; nothing below is ever changed.

    Args:
        below: the storage that shows through.
        above: takes what is written.
    """

    def __init__(self, below: Storage, above: Storage) -> None:
        self._below = below
        self._above = above
        self.url = below.url

    def exists(self, path: str) -> bool:
        """Whether it was written here, or is below."""
        return self._above.exists(path) or self._below.exists(path)

    def fingerprint(self, path: str) -> str:
        """SHA-256 of the content that is read here."""
        return self._of(path).fingerprint(path)

    def read_bytes(self, path: str) -> bytes:
        """The content that was written here, or that below."""
        return self._of(path).read_bytes(path)

    def list(self, prefix: str = "") -> FilePaths:
        """Paths here and below."""
        return sorted({*self._above.list(prefix), *self._below.list(prefix)})

    def stamps(self) -> Stamps:
        """Those here, and those of files that are only below."""
        return dict(sorted({**self._below.stamps(), **self._above.stamps()}.items()))

    def local_copy(self, path: str) -> Path:
        """A local file with the content that is read here."""
        return self._of(path).local_copy(path)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Store it here."""
        self._above.write_bytes(path, data)

    def put_file(self, local: Path, path: str) -> None:
        """Store it here."""
        self._above.put_file(local, path)

    def delete(self, path: str) -> None:
        """Remove what was written here; what is below shows again."""
        self._above.delete(path)

    def lock(self) -> Lock:
        """The lock on what is written here."""
        return self._above.lock()

    def take(self, lock: Lock) -> Holder | None:
        """Take it."""
        return self._above.take(lock)

    def remove_leftovers(self) -> None:
        """Delete what killed writers left here."""
        self._above.remove_leftovers()

    def _of(self, path: str) -> Storage:
        return self._above if self._above.exists(path) else self._below
