"""Files of a lake that are no asset's month: what a part of the platform notes as it goes along."""

from __future__ import annotations

from crm_assets.storage import Storage


class Records:
    """The files below one folder of a lake. Every method raises StorageError when the lake cannot be reached.

    Args:
        storage: of the lake.
        folder: relative to the lake.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._folder = storage, folder

    def list(self, below: str = "") -> list[str]:
        """Paths of all files below the folder, or one in it, relative to the folder, sorted."""
        found = self._storage.list(f"{self._folder}/{below}".rstrip("/"))
        return [path.removeprefix(f"{self._folder}/") for path in found]

    def read(self, path: str) -> bytes:
        """A file's content. Raises MissingError when there is no such file."""
        return self._storage.read_bytes(f"{self._folder}/{path}")

    def write(self, path: str, data: bytes) -> None:
        """Store a file, at once or not at all."""
        self._storage.write_bytes(f"{self._folder}/{path}", data)

    def location(self, path: str) -> str:
        """Full path or URL of a file, for people."""
        return self._storage.location(f"{self._folder}/{path}")
