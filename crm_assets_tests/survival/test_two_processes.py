"""Two processes that are started together to make the same month."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crm_assets.lake import Lake
from crm_assets_tests.survival.commands import commands
from crm_assets_tests.survival.conftest import RUN, InFolder, OnServers, Place


def _together(place: Place) -> None:
    place.renew()
    assert place.run() == 0, place.command.told()
    alone = place.state()
    place.renew()
    options: dict[str, Any] = place.environment
    with commands(place.root / "second") as second, ThreadPoolExecutor(1) as pool:
        place.command.log.write_text("")
        first = pool.submit(place.run)
        codes = [second(*RUN, folder=place.folder, **options), first.result()]
        told = [place.command.told(), second.told()]
    assert codes == [0, 0], told
    assert place.state() == alone
    assert sorted("Made 2017-06" in text for text in told) == [False, True], told
    (waited,) = [text for text in told if "Waiting for process" in text]
    assert "Nothing to do" in waited


@pytest.mark.survival
def test_in_a_folder(in_folder: InFolder) -> None:
    _together(in_folder)


@pytest.mark.survival
def test_on_servers(on_servers: OnServers) -> None:
    _together(on_servers)


@pytest.mark.slow
def test_the_loser_says_who_holds_the_lake(in_folder: InFolder) -> None:
    in_folder.renew()
    lake = Lake.open(in_folder.settings.dataset_url, create=False)
    with lake.held(0, print):
        code = in_folder.run(CRM_WAIT_SECONDS="0")
    assert code == 4
    told = in_folder.command.told()
    assert "is being written to by process" in told
    assert "wait for it, or end it" in told
