"""A candidate whose settings are chosen anew in every fit, inside what was known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from crm_assets.calendar import Month
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Candidate, Fitted, Known
from crm_assets.modelling.search_space import Tunable
from crm_assets.modelling.tuning import Tuned, TuningLimits, tune


@dataclass(frozen=True)
class TunedCandidate:
    """A candidate that is tuned before it is fitted.

    Attributes:
        candidate: with its untuned settings.
        limits: what tuning may cost, in each fit.
        found: month of a fit -> what was found.
    """

    candidate: Tunable
    limits: TuningLimits
    found: dict[Month, Tuned] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """That of the candidate."""
        return self.candidate.name

    def parameters(self) -> dict[str, Any]:
        """The untuned settings, and the limits."""
        return {
            **self.candidate.parameters(),
            "tuning_seconds": self.limits.seconds,
            "tuning_trials": self.limits.trials,
        }

    def fit(self, known: Known) -> Fitted:
        """Choose settings inside what was known, and fit with them. Raises what `tune` raises."""
        self.found[known.month] = tune(self.candidate, known, self.limits)
        return self.found[known.month].candidate.fit(known)


def tuned(candidate: Candidate, *, seconds: float, trials: int, seed: int) -> TunedCandidate:
    """The candidate, tuned in every fit."""
    return TunedCandidate(cast(Tunable, candidate), TuningLimits(seconds=seconds, trials=trials, seed=seed))


def tuning_of(candidate: Candidate, month: Month) -> dict[str, Any] | None:
    """What was tried for the fit of `month`, as JSON types; None when the candidate was not tuned for it."""
    if not isinstance(candidate, TunedCandidate) or month not in candidate.found:
        return None
    return candidate.found[month].as_dict()


def settled(candidate: Candidate, month: Month) -> Candidate:
    """The candidate with the settings that were found for the fit of `month`; itself when it is not tuned."""
    if isinstance(candidate, TunedCandidate):
        return candidate.found[month].candidate if month in candidate.found else candidate.candidate
    if isinstance(candidate, Blend):
        return Blend(tuple((settled(member, month), weight) for member, weight in candidate.members))
    return candidate
