"""Which methods of AWS clients are called in a module's source, without running it."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from crm_assets_tests.containers.compose import REPOSITORY

_OF_BOTO3 = {"s3": {"upload_file", "upload_fileobj", "download_file", "download_fileobj", "generate_presigned_url"}}
"""Methods that boto3 adds to those of the service."""


def written_calls(modules: Iterable[str], services: Iterable[str]) -> frozenset[str]:
    """The methods, each as `s3.get_object`, that any of the modules calls or asks a paginator or waiter for.

    A method of any object counts that is named as one of a client: it is for whoever reads the result to say that it is
    none. A module is named as it is imported, or by its file in the repository. Raises ModuleNotFoundError for one that
    is not installed.
    """
    names = {name: f"{service}.{name}" for service in services for name in methods(service)}
    found = set()
    for file in (file for module in modules for file in _files(module)):
        for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
            if isinstance(node, ast.Attribute) and node.attr in names:
                found.add(names[node.attr])
            elif isinstance(node, ast.Call) and _asks_for_another(node.func):
                texts = [one.value for one in node.args if isinstance(one, ast.Constant)]
                found |= {names[text] for text in texts if text in names}
    return frozenset(found)


@functools.cache
def methods(service: str) -> frozenset[str]:
    """What the methods of a service's client are called."""
    import botocore.session
    from botocore import xform_name

    model = botocore.session.get_session().get_service_model(service)
    return frozenset({xform_name(name) for name in model.operation_names} | _OF_BOTO3.get(service, set()))


def _asks_for_another(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr in {"get_paginator", "get_waiter"}


def _files(module: str) -> Iterator[Path]:
    if module.endswith(".py"):
        yield REPOSITORY / module
        return
    # `find_spec` of a submodule imports what is above it.
    top, *below = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{top} is not installed")
    place = Path(spec.submodule_search_locations[0]).joinpath(*below)
    if place.is_dir():
        yield from sorted(place.rglob("*.py"))
    elif place.with_suffix(".py").is_file():
        yield place.with_suffix(".py")
    else:
        raise ModuleNotFoundError(f"{module} is not installed")
