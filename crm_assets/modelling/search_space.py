"""What values the settings of a candidate may be tuned over; each candidate declares its own beside its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from crm_assets.modelling.candidate import Candidate


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`, both included; drawn on a log scale if `log`."""

    low: int
    high: int
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


@dataclass(frozen=True)
class Real:
    """Numbers from `low` to `high`, both included; drawn on a log scale if `log`."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


Space = Mapping[str, Whole | Real]
"""Name of a setting -> the values it may take."""


class Tunable(Candidate, Protocol):
    """A candidate with settings to choose."""

    @property
    def space(self) -> Space:
        """The settings that may be tuned; those of `self` are among the values."""
        ...

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """The same recipe with other settings, each named in `space`."""
        ...
