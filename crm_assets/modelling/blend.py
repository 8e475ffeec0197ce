"""A blend of two candidates: the weighted mean of their log-odds.

Satopää et al., "Combining multiple probability predictions using a simple logit model", International Journal of
Forecasting 30 (2014), without its sharpening.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.modelling.candidate import Candidate, Fitted, Known
from crm_assets.modelling.recalibration import log_odds

if TYPE_CHECKING:
    import pandas as pd

BLEND = "blend"


@dataclass(frozen=True)
class Blend:
    """A blend of candidates.

    Attributes:
        members: each candidate with its weight; weights sum to 1.
    """

    members: tuple[tuple[Candidate, float], ...]

    @property
    def name(self) -> str:
        """`blend`."""
        return BLEND

    def parameters(self) -> dict[str, Any]:
        """Member -> weight, and each member's parameters behind its name."""
        parts: dict[str, Any] = {f"weight_{member.name}": weight for member, weight in self.members}
        for member, _ in self.members:
            parts |= {f"{member.name}_{name}": value for name, value in member.parameters().items()}
        return parts

    def fit(self, known: Known) -> FittedBlend:
        """Fit every member. Raises what they raise."""
        return self.of([member.fit(known) for member, _ in self.members])

    def of(self, fitted: list[Fitted]) -> FittedBlend:
        """The blend of members that were fitted already, in the order of `members`."""
        weights = [weight for _, weight in self.members]
        return FittedBlend(tuple(zip(fitted, weights, strict=True)))


@dataclass(frozen=True)
class FittedBlend:
    """A fitted blend.

    Attributes:
        members: each fitted member with its weight.
    """

    members: tuple[tuple[Fitted, float], ...]

    @property
    def candidate(self) -> str:
        """`blend`."""
        return BLEND

    @property
    def features(self) -> tuple[str, ...]:
        """The columns any member reads."""
        return tuple(dict.fromkeys(name for member, _ in self.members for name in member.features))

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win by the end of the next month for each row, (n,)."""
        mixed = np.zeros(len(frame))
        for member, weight in self.members:
            mixed = mixed + weight * log_odds(member.predict(frame))
        return np.asarray(1 / (1 + np.exp(-mixed)), dtype=np.float64)

    def importance(self) -> dict[str, float]:
        """Feature -> percent, the members' by their weights, largest first."""
        total: dict[str, float] = {}
        for member, weight in self.members:
            for name, value in member.importance().items():
                total[name] = total.get(name, 0.0) + weight * value
        return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        return {
            "candidate": BLEND,
            "members": [{"weight": weight, "fitted": member.to_dict()} for member, weight in self.members],
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> FittedBlend:
        """The blend that `to_dict` wrote."""
        from crm_assets.modelling.candidates import fitted_from_dict

        return cls(tuple((fitted_from_dict(member["fitted"]), member["weight"]) for member in parts["members"]))
