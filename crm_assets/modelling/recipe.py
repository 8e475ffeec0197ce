"""What candidates that learn from rows of features have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

from crm_assets.features.registry import CATEGORICAL, WIN_MODEL_FEATURES
from crm_assets.modelling.search_space import Space

DEFAULT_CATEGORICAL = tuple(name for name in WIN_MODEL_FEATURES if name in CATEGORICAL)


@dataclass(frozen=True, kw_only=True)
class FeatureRecipe:
    """The features and the settings of a candidate; a subclass adds its settings as fields with defaults, and a fit.

    Attributes:
        features: feature columns.
        categorical: which of them are categories; the others must be numbers or booleans.
    """

    name: ClassVar[str]
    space: ClassVar[Space]

    features: tuple[str, ...] = field(default=WIN_MODEL_FEATURES)
    categorical: tuple[str, ...] = field(default=DEFAULT_CATEGORICAL)

    def parameters(self) -> dict[str, Any]:
        """Setting -> value, in the order of the fields."""
        return {name: value for name, value in asdict(self).items() if name not in ("features", "categorical")}

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """The same recipe with other settings. Raises ValueError when one is not in `space`."""
        unknown = sorted(set(values) - set(self.space))
        if unknown:
            raise ValueError(f"{self.name} has no {', '.join(unknown)} to tune; it has {', '.join(self.space)}")
        return replace(self, **values)


def shares(values: Mapping[str, float]) -> dict[str, float]:
    """Values of at least 0 as percent of their total, largest first, equal ones by name; all 0 when the total is."""
    total = sum(values.values())
    percent = {name: 100 * value / total if total > 0 else 0.0 for name, value in values.items()}
    return largest_first(percent)


def largest_first(values: Mapping[str, float]) -> dict[str, float]:
    """The values from the largest to the smallest, equal ones by name."""
    return dict(sorted(values.items(), key=lambda pair: (-pair[1], pair[0])))
