"""moto's server with two answers more.

`/held` is what the account holds at the moment that an untouched one does not; moto's own list has everything that was
ever made. `/called` is which operations were asked for since it was last asked, whether moto knows them or not.
This runs in the environment that moto is in, with the port as its only argument.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.common_models import BaseModel
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

# Run as a program, it has its own folder for the top of its modules.
sys.path.append(str(Path(__file__).parents[2]))
from crm_assets_tests.cloud.emulated_gaps import fill
from crm_assets_tests.cloud.operations import operation_of

UNTOUCHED = "000000000000"
_LABELS = ("arn", "id", "name")
_STATES = ("key_state", "status", "state", "deleted_date")


def held() -> list[str]:
    """Each object as `service.Kind label state`, sorted; what it consists of is not told besides."""
    found: Counter[str] = Counter()
    services: Any = BackendDict
    for backends in services._instances:
        for account, of_regions in list(backends.items()):
            for region, backend in list(of_regions.items()):
                usual = Counter(_kind(one) for one in _models(type(backend)(region, UNTOUCHED)))
                for one in _models(backend):
                    if usual[_kind(one)] > 0:
                        usual[_kind(one)] -= 1
                    else:
                        found[_told(one, account)] += 1
    return sorted(found.elements())


def _models(backend: BaseBackend) -> Iterator[BaseModel]:
    """What a backend keeps in its own lists and dictionaries, each once."""
    seen: set[int] = set()
    waiting: list[Any] = [value for name, value in vars(backend).items() if name != "tagger"]
    while waiting:
        value = waiting.pop(0)
        if id(value) in seen or isinstance(value, BaseBackend):
            continue
        seen.add(id(value))
        if isinstance(value, BaseModel):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | set | tuple):
            waiting.extend(value)


def _kind(model: BaseModel) -> str:
    return f"{type(model).__module__.split('.')[1]}.{type(model).__name__}"


def _told(model: BaseModel, account: str) -> str:
    label = next((value for name in _LABELS if isinstance(value := _of(model, name), str) and value), "?")
    state = next((str(value) for name in _STATES if (value := _of(model, name))), "")
    return f"{_kind(model)} {label.replace(account, '')} {state}".strip()


def _of(model: BaseModel, name: str) -> Any:
    try:
        return getattr(model, name, None)
    except Exception:  # a property of moto's that asks for more than the object has
        return None


class Answers:
    """Lets requests to moto in one at a time, and answers one that is sent again as it was answered before.

    A client whose connection broke on a busy machine sends its request again, under the same number; moto would make
    most things twice, or refuse to.
    """

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._given: dict[str, tuple[str, list[tuple[str, str]], list[bytes]]] = {}

    def __call__(
        self, environment: dict[str, Any], start: Callable[..., Any], application: Callable[..., Iterable[bytes]]
    ) -> Iterable[bytes]:
        """Answer as a WSGI application does, with what `application` answers."""
        number = environment.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        with self._one_at_a_time:
            if number not in self._given:
                told: list[Any] = []
                body = list(application(environment, lambda status, headers, *_: told.extend([status, headers])))
                if not number or told[0].startswith("5"):
                    start(*told)
                    return body
                self._given[number] = (told[0], told[1], body)
        status, headers, body = self._given[number]
        start(status, headers)
        return body


class Calls:
    """Notes which operation each request asks for."""

    def __init__(self) -> None:
        self._noting = threading.Lock()
        self._noted: set[str] = set()

    def note(self, environment: dict[str, Any]) -> None:
        """Note the operation of a request; what it carries can still be read afterwards."""
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environment.items()
            if name.startswith("HTTP_") or name == "CONTENT_TYPE"
        }
        body = b""
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            body = environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"]))
            environment["wsgi.input"] = io.BytesIO(body)
        operation = operation_of(
            environment["REQUEST_METHOD"], environment["PATH_INFO"], environment["QUERY_STRING"], headers, body.decode()
        )
        if operation is not None:
            with self._noting:
                self._noted.add(operation)

    def told(self) -> list[str]:
        """What was noted since this was last asked, sorted."""
        with self._noting:
            noted, self._noted = self._noted, set()
        return sorted(noted)


def serve(port: int) -> None:
    """Answer on the port until the process is ended."""
    fill()
    answered, calls = Answers(), Calls()
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        told = {"/held": held, "/called": calls.told}.get(environment["PATH_INFO"])
        if told is None:
            calls.note(environment)
            return answered(environment, start, moto)
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told()).encode()]

    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
