"""The version of the code that makes an asset: a digest of the modules its content depends on."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


@cache
def code_version(*modules: str) -> str:
    """First 12 hexadecimal digits of a SHA-256 over the source of `modules`, in the order given.

    Args:
        modules: names below the package, `history` (a folder, with everything in it) or `calendar`.

    Raises FileNotFoundError when there is no such module, or its folder holds no source.
    """
    digest = hashlib.sha256()
    for module in modules:
        path = _PACKAGE / module
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        if not files:
            # A deleted package leaves its folder of compiled files behind.
            raise FileNotFoundError(f"{path} holds no Python module: correct the name {module!r}, or delete the folder")
        for file in files:
            digest.update(f"{file.relative_to(_PACKAGE).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
