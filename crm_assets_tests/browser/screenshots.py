"""Pictures of every view at both widths, light and dark, with data and empty: `make screenshots`.

They are of the lake that the settings name (`make demo` fills it), or of a page that runs already. Those of the docs
are of what a window shows at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import httpx

from crm_assets.app.views import VIEWS
from crm_assets_tests.browser.chromium import chromium
from crm_assets_tests.browser.page_server import page_server
from crm_assets_tests.browser.visit import SIZES, Scheme, visit
from crm_assets_tests.serving.server_process import api_server

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PATHS = ("/", *(f"/{view.path}" for view in VIEWS[1:]))
_DEAL = "/opportunity?id="
DOCS: dict[str, tuple[str, str, Scheme]] = {
    "pipeline": ("/", "laptop", "light"),
    "pipeline-phone": ("/", "phone", "dark"),
    "opportunity": (_DEAL, "laptop", "light"),
    "monitoring": ("/monitoring", "laptop", "dark"),
    "operations": ("/operations", "laptop", "light"),
}
"""Name of a picture of the docs -> what it shows."""


@contextmanager
def page_of(variables: dict[str, str], *, ready: bool) -> Iterator[tuple[str, str]]:
    """The addresses of a page and of the API under it, which has these settings."""
    with tempfile.TemporaryDirectory(prefix="crm-assets-screenshots-") as name:
        folder = Path(name)
        with (
            api_server(variables, folder, ready=ready) as api,
            page_server({"CRM_HOME": name, "CRM_APP_API_URL": api.address}, folder) as address,
        ):
            yield address, api.address


def pictures(address: str, paths: Sequence[str], out: Path, ending: str = "") -> list[str]:
    """Take the pictures of a page; what went wrong in the windows. Names are `forecast-phone-dark.png`, or
    `opportunity-id-phone-dark.png` for the path `/opportunity?id=...`.

    Args:
        address: of the page.
        paths: of its views, with their queries.
        out: folder for the pictures.
        ending: of the names.
    """
    out.mkdir(parents=True, exist_ok=True)
    faults = []
    with chromium() as browser:
        for path, size, scheme in product(paths, SIZES, SCHEMES):
            view, _, query = path.strip("/").partition("?")
            shown = "-".join(part for part in (view or VIEWS[0].path, query.partition("=")[0]) if part)
            name = f"{shown}-{size}-{scheme}{ending}.png"
            with visit(browser, address, size, scheme) as window:
                window.open(path)
                window.picture(out / name)
                if (width := window.width_needed()) > SIZES[size][0]:
                    window.faults.append(f"{width} pixels wide")
                faults += [f"{name}: {fault}" for fault in (*window.faults, *window.serious_findings())]
    return faults


def deal(api: str) -> str:
    """Path of the open deal with the largest expected value."""
    asked = {"sort": "expected_value", "order": "desc", "limit": "1"}
    rows = httpx.get(f"{api}/v1/pipeline", params=asked).raise_for_status().json()["opportunities"]
    return f"{_DEAL}{rows[0]['opportunity_id']}"


def for_docs(address: str, one: str, out: Path) -> list[str]:
    """Take the pictures of the docs; what went wrong in the windows.

    Args:
        address: of the page.
        one: path of the deal to show.
        out: folder for the pictures.
    """
    out.mkdir(parents=True, exist_ok=True)
    faults = []
    with chromium() as browser:
        for name, (path, size, scheme) in DOCS.items():
            with visit(browser, address, size, scheme) as window:
                window.open(one if path == _DEAL else path)
                window.page.wait_for_timeout(500)
                window.page.screenshot(path=out / f"{name}.png", animations="disabled")
                faults += [f"{name}: {fault}" for fault in window.faults]
    return faults


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("bench/page"), help="folder for the pictures")
    parser.add_argument("--page", help="address of a page that runs already; without it, one is started")
    parser.add_argument("--path", action="append", help="one view with its query; every view by default")
    parser.add_argument("--docs", type=Path, help="folder for the pictures of the docs; without it, none are taken")
    told = parser.parse_args()
    paths = told.path or PATHS
    if told.page:
        faults = pictures(told.page, paths, told.out)
    else:
        own = {name: value for name, value in os.environ.items() if name.startswith("CRM_")}
        place = Path.cwd()
        given = {"CRM_LAKE_URL": str(place / "lake"), "CRM_HOME": str(place / ".crm_assets"), **own}
        with page_of(given, ready=True) as (address, api):
            one = deal(api)
            faults = pictures(address, told.path or (*PATHS, one), told.out)
            faults += for_docs(address, one, told.docs) if told.docs else []
        with tempfile.TemporaryDirectory(prefix="crm-assets-empty-") as nothing:
            empty = {**own, "CRM_LAKE_URL": f"{nothing}/lake", "CRM_HOME": nothing}
            with page_of(empty, ready=False) as (address, _):
                faults += pictures(address, paths, told.out, "-empty")
    sys.stdout.write(f"{told.out}: {len(list(told.out.glob('*.png')))} pictures\n")
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
