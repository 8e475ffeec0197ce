"""Which package of crm_assets imports which, as its code says."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

ROOT = "crm_assets"


def packages(root: Path) -> set[str]:
    """Names of the folders of the package that hold code or files of it."""
    folders = [folder for folder in root.iterdir() if folder.is_dir() and folder.name != "__pycache__"]
    return {folder.name for folder in folders if any(folder.glob("[!_]*.*"))}


def package_imports(root: Path) -> set[tuple[str, str]]:
    """Pairs of packages, the first of which imports the second, without those that follow from others.

    A module beside the packages counts as part of what imports it: a package that imports `run.py`, which imports
    `defs`, imports `defs`. Imports for type checkers do not count.
    """
    named = packages(root)
    imported: dict[str, set[str]] = {}
    for file in sorted(root.rglob("*.py")):
        unit = file.relative_to(root).with_suffix("").parts[0]
        imported.setdefault(unit, set()).update(set(_imports(ast.parse(file.read_text(encoding="utf-8")))) - {unit})
    direct = {package: _reached(imported, package, stop=named) & named for package in named}
    beyond = {package: set[str]().union(*(_reached(direct, next_) for next_ in direct[package])) for package in named}
    return {(package, other) for package in named for other in direct[package] - beyond[package]}


def _imports(node: ast.AST) -> Iterator[str]:
    """Names right below crm_assets that are imported anywhere in the node."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    if isinstance(node, ast.ImportFrom) and node.module:
        root, *below = node.module.split(".")
        if root == ROOT:
            yield from below[:1] or (name.name for name in node.names)
    elif isinstance(node, ast.Import):
        yield from (name.name.split(".")[1] for name in node.names if name.name.startswith(f"{ROOT}."))
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _reached(imported: Mapping[str, AbstractSet[str]], start: str, stop: AbstractSet[str] = frozenset()) -> set[str]:
    """All that is imported from `start` on; what comes after a name in `stop` does not count."""
    found: set[str] = set()
    ahead = list(imported.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in found and name != start:
            found.add(name)
            ahead += [] if name in stop else imported.get(name, ())
    return found
