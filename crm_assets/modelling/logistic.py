"""The candidate `logistic`: logistic regression on splines of the numbers and indicators of the categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.modelling.candidate import Known
from crm_assets.modelling.feature_frame import feature_frame
from crm_assets.modelling.recipe import FeatureRecipe, largest_first, shares
from crm_assets.modelling.search_space import Real, Space, Whole
from crm_assets.modelling.training_rows import TrainingRows

if TYPE_CHECKING:
    import pandas as pd

LOGISTIC = "logistic"

MOST_LEVELS = 4
"""A number with at most this many values in training, such as the position in a quarter, is a category."""

Columns = list[NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Logistic(FeatureRecipe):
    """Logistic regression with an L2 penalty, by scikit-learn.

    A number becomes a restricted cubic spline (Harrell, "Regression Modeling Strategies", 2nd ed. 2015, section 2.4.5),
    with the median in place of an empty value and a column that says so; beyond the training rows it stays as at their
    end. A category becomes one column per value; a value that was not seen has none.

    Attributes:
        l2: penalty of half the squared coefficients, against the sum of log losses.
        knots: knots of a spline, at evenly spaced quantiles from the 5th to the 95th percentile; 2 give a straight
            line.
        crossed: pairs of features whose effects depend on each other; pairs that are not among the features are left
            out.
    """

    name: ClassVar[str] = LOGISTIC
    space: ClassVar[Space] = {"l2": Real(0.01, 300.0, log=True), "knots": Whole(2, 8)}

    l2: float = 0.1
    knots: int = 7
    crossed: tuple[tuple[str, str], ...] = (("age_days", "next_quarter_position"),)

    def fit(self, known: Known) -> FittedLogistic:
        """Fit to the matured rows; raises what `TrainingRows.of` raises."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        rows = TrainingRows.of(known.rows, self.features, self.categorical)
        encoders = tuple(_encoder(name, rows.features[name], self.knots) for name in self.features)
        crossed = tuple(pair for pair in self.crossed if set(pair) <= set(self.features))
        columns, owners = _design(rows.features, encoders, crossed)
        regression = LogisticRegression(C=1 / self.l2, solver="newton-cholesky", tol=1e-8, max_iter=500)
        # Sums of products round by the number of threads.
        with threadpool_limits(limits=1):
            regression.fit(np.column_stack(columns), rows.won)
        coefficients = [float(value) for value in regression.coef_[0]]
        terms = [coefficient * column for coefficient, column in zip(coefficients, columns, strict=True)]
        spread = {name: _spread(terms, owners, name) for name in self.features}
        return FittedLogistic(
            self.features,
            self.categorical,
            encoders,
            crossed,
            float(regression.intercept_[0]),
            tuple(coefficients),
            shares(spread),
        )


@dataclass(frozen=True)
class Levels:
    """A feature as one column per value.

    Attributes:
        feature: its column.
        values: its values in training, None for an empty one; no column when there is only one.
    """

    feature: str
    values: tuple[str | float | None, ...]

    def columns(self, seen: pd.Series[Any]) -> Columns:
        """One column of 0 and 1 for each value, each (n,)."""
        if len(self.values) < 2:
            return []
        return [np.asarray(seen.isna() if value is None else seen == value, dtype=np.float64) for value in self.values]


@dataclass(frozen=True)
class Spline:
    """A number as a restricted cubic spline, each column standardised.

    Attributes:
        feature: its column.
        median: of its training rows, in place of an empty value.
        empty: whether training rows were empty, so that there is a column for it.
        low, high: ends of its training rows.
        knots: at least 2, increasing; with fewer than 3 the spline is a straight line.
        mean, scale: of the columns, by which they are standardised.
    """

    feature: str
    median: float
    empty: bool
    low: float
    high: float
    knots: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def columns(self, seen: pd.Series[Any]) -> Columns:
        """The columns of the spline, then the one for empty values if there is one; each (n,)."""
        numbers = seen.to_numpy(dtype=np.float64)
        empty = np.isnan(numbers)
        filled = np.clip(np.where(empty, self.median, numbers), self.low, self.high)
        basis = _restricted_cubic(filled, self.knots)
        columns = [(column - mean) / by for column, mean, by in zip(basis, self.mean, self.scale, strict=True)]
        return [*columns, empty.astype(np.float64)] if self.empty else columns


@dataclass(frozen=True)
class FittedLogistic:
    """A fitted regression, predicted with NumPy alone.

    Attributes:
        features: columns that it reads.
        categorical: which of them are categories.
        encoders: what becomes of each feature, in the order of `features`.
        crossed: pairs of features whose columns are multiplied.
        intercept: log odds where all columns are 0.
        coefficients: of the columns: those of the features, then those of the pairs.
        shares: feature -> standard deviation over the training rows of what the columns it is in add to the log odds,
            in percent of the total.
    """

    candidate: ClassVar[str] = LOGISTIC

    features: tuple[str, ...]
    categorical: tuple[str, ...]
    encoders: tuple[Levels | Spline, ...]
    crossed: tuple[tuple[str, str], ...]
    intercept: float
    coefficients: tuple[float, ...]
    shares: Mapping[str, float]

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win in [0, 1] for each row of `frame`, in its order; shape (n,).

        Raises what `feature_frame` raises.
        """
        seen = feature_frame(frame, self.features, self.categorical)
        columns, _ = _design(seen, self.encoders, self.crossed)
        log_odds = np.full(len(seen), self.intercept)
        # Column by column and not as a matrix product, which rounds a row by the rows beside it.
        for coefficient, column in zip(self.coefficients, columns, strict=True):
            log_odds = log_odds + coefficient * column
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -500, 500))), dtype=np.float64)

    def importance(self) -> dict[str, float]:
        """Feature -> how much what it adds to the log odds differs among the training rows, in percent of the total."""
        return dict(self.shares)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads; equal for equal fits."""
        return {
            "candidate": self.candidate,
            "features": list(self.features),
            "categorical": list(self.categorical),
            "encoders": [_encoder_to_dict(encoder) for encoder in self.encoders],
            "crossed": [list(pair) for pair in self.crossed],
            "intercept": self.intercept,
            "coefficients": list(self.coefficients),
            "shares": dict(self.shares),
        }

    @classmethod
    def from_dict(cls, fitted: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(
            features=tuple(fitted["features"]),
            categorical=tuple(fitted["categorical"]),
            encoders=tuple(_encoder_from_dict(encoder) for encoder in fitted["encoders"]),
            crossed=tuple((first, second) for first, second in fitted["crossed"]),
            intercept=float(fitted["intercept"]),
            coefficients=tuple(map(float, fitted["coefficients"])),
            # A store may have sorted the names.
            shares=largest_first(fitted["shares"]),
        )


def _encoder(feature: str, seen: pd.Series[Any], knots: int) -> Levels | Spline:
    given = seen.dropna()
    values = sorted(given.unique().tolist())
    empty = len(given) < len(seen)
    if len(values) <= MOST_LEVELS or given.dtype != np.float64:
        return Levels(feature, (*values, None) if empty else tuple(values))
    numbers = given.to_numpy(dtype=np.float64)
    places = np.unique(np.quantile(numbers, np.linspace(0.05, 0.95, knots)))
    median = float(np.median(numbers))
    basis = _restricted_cubic(np.where(seen.isna(), median, seen), places.tolist())
    spread = [float(column.std()) for column in basis]
    return Spline(
        feature=feature,
        median=median,
        empty=empty,
        low=float(numbers.min()),
        high=float(numbers.max()),
        knots=tuple(places.tolist()),
        mean=tuple(float(column.mean()) for column in basis),
        scale=tuple(value if value > 0 else 1.0 for value in spread),
    )


def _restricted_cubic(numbers: NDArray[np.float64], knots: Sequence[float]) -> Columns:
    """The number itself and, from 3 knots on, a column for each but the last two; linear outside of the knots."""
    if len(knots) < 3:
        return [numbers]
    before_last, last = knots[-2:]
    columns = [numbers]
    for knot in knots[:-2]:
        column = (
            _cubed(numbers - knot)
            - _cubed(numbers - before_last) * ((last - knot) / (last - before_last))
            + _cubed(numbers - last) * ((before_last - knot) / (last - before_last))
        )
        columns.append(column / (last - knots[0]) ** 2)
    return columns


def _cubed(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    above = np.maximum(numbers, 0.0)
    return above * above * above


def _design(
    seen: pd.DataFrame, encoders: Sequence[Levels | Spline], crossed: Sequence[tuple[str, str]]
) -> tuple[Columns, list[tuple[str, ...]]]:
    """The columns of the regression, each (n,), and the features that each was made of."""
    of = {encoder.feature: encoder.columns(seen[encoder.feature]) for encoder in encoders}
    columns = [column for encoder in encoders for column in of[encoder.feature]]
    owners: list[tuple[str, ...]] = [(encoder.feature,) for encoder in encoders for _ in of[encoder.feature]]
    for first, second in crossed:
        products = [one * other for one in of[first] for other in of[second]]
        columns += products
        owners += [(first, second)] * len(products)
    return columns, owners


def _spread(terms: Columns, owners: Sequence[tuple[str, ...]], feature: str) -> float:
    own = [term for term, names in zip(terms, owners, strict=True) if feature in names]
    return float(np.sum(own, axis=0).std()) if own else 0.0


def _encoder_to_dict(encoder: Levels | Spline) -> dict[str, Any]:
    if isinstance(encoder, Levels):
        return {"feature": encoder.feature, "values": list(encoder.values)}
    return {
        "feature": encoder.feature,
        "median": encoder.median,
        "empty": encoder.empty,
        "low": encoder.low,
        "high": encoder.high,
        "knots": list(encoder.knots),
        "mean": list(encoder.mean),
        "scale": list(encoder.scale),
    }


def _encoder_from_dict(encoder: Mapping[str, Any]) -> Levels | Spline:
    if "values" in encoder:
        return Levels(encoder["feature"], tuple(encoder["values"]))
    numbers = {name: tuple(map(float, encoder[name])) for name in ("knots", "mean", "scale")}
    return Spline(**{**encoder, **numbers})
