"""The simulated CRM as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from crm_assets.calendar import Month
from crm_assets.code_version import code_version
from crm_assets.errors import SourceError
from crm_assets.sources.source import Evidence, Progress

if TYPE_CHECKING:
    import polars as pl

    from crm_assets.simulator import Simulation

SCHEME = "simulator:"


class SimulatorSource:
    """`simulator:` or, with parameters, `simulator:?seed=8`; simulated when tables are first asked for.

    Args:
        url: parameters that are left out have their defaults.
        progress: told what the simulation is about to do.

    Raises SettingsError when a parameter is unknown or invalid.
    """

    def __init__(self, url: str, progress: Progress | None = None) -> None:
        from crm_assets.simulator import SimulationConfig

        self._config = SimulationConfig.from_url(url)
        self._progress = progress
        self._kept: tuple[Month, Mapping[str, pl.LazyFrame]] | None = None

    @property
    def url(self) -> str:
        """The URL with the parameters that are not at their defaults."""
        return self._config.url()

    @property
    def evidence(self) -> Evidence:
        """Monthly extracts."""
        return Evidence.EXTRACT

    @property
    def exported_on(self) -> date | None:
        """None: it gives monthly extracts."""
        return None

    def months(self) -> list[Month]:
        """Every month from the first simulated one to the last."""
        return self._config.months

    def fingerprint(self, month: Month) -> str:
        """SHA-256 over the parameters and the simulator's code."""
        self._check(month)
        return hashlib.sha256(f"{self.url} {code_version('simulator', 'contracts')}".encode()).hexdigest()

    def tables(self, month: Month) -> Mapping[str, pl.LazyFrame]:
        """The five tables at the end of `month`."""
        self._check(month)
        # The tables of a month are mostly asked for one after another.
        if self._kept is None or self._kept[0] != month:
            tables = self._simulation.tables(month)
            self._kept = (month, {name: frame.lazy() for name, frame in tables.items()})
        return self._kept[1]

    def notes(self, month: Month) -> list[str]:
        """None."""
        self._check(month)
        return []

    def _check(self, month: Month) -> None:
        months = self.months()
        if month not in months:
            raise SourceError(f"{self.url} simulates {months[0]} to {months[-1]}, not {month}. Ask for another month.")

    @cached_property
    def _simulation(self) -> Simulation:
        from crm_assets.simulator import simulate

        return simulate(self._config, self._progress)
