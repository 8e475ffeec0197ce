"""The cure-hazard model as a candidate: fitted to deals, recalibrated on its own past, applied to rows of the book."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.cure_hazard import CureHazard, Fates, HazardParameters, Names, cohorts
from crm_assets.modelling.deals import OPEN, Deals
from crm_assets.modelling.feature_frame import FeatureMismatchError, feature_frame
from crm_assets.modelling.recalibration import Recalibration
from crm_assets.modelling.search_space import Real, Space

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

CURE_HAZARD = "cure_hazard"
HAZARD_FEATURES = ("as_of", "age_days", "sales_agent", "regional_office", "engage_fortnight", "product")
HORIZON_DAYS = 30
"""How far ahead the predictions look that it is recalibrated on: a month."""
LONGEST_MONTHS = 24
"""How far ahead an expected close is looked for."""
_LONGEST_AGE = 1e6


@dataclass(frozen=True)
class HazardCandidate:
    """The cure-hazard model, recalibrated on what it would have predicted at earlier days.

    At each of these days it is fitted to what was known then, and predicts what was won within 30 days.

    Attributes:
        parameters_of_fit: of every fit.
        every_days: days between the days it is recalibrated on.
        after_days: days from the first closing to the first of them; fits on less history tell of a model that is not
            in use any more.
    """

    parameters_of_fit: HazardParameters = field(default_factory=HazardParameters)
    every_days: int = 7
    after_days: int = 90

    space: ClassVar[Space] = {
        "hazard_prior": Real(1.0, 50.0, log=True),
        "abandoned_agent_prior": Real(10.0, 200.0, log=True),
        "abandoned_cohort_prior": Real(10.0, 200.0, log=True),
        "speed_prior": Real(5.0, 500.0, log=True),
        "win_prior": Real(10.0, 500.0, log=True),
    }

    @property
    def name(self) -> str:
        """`cure_hazard`."""
        return CURE_HAZARD

    def parameters(self) -> dict[str, Any]:
        """Name -> value."""
        return {
            **self.parameters_of_fit.as_dict(),
            "recalibrated_every_days": self.every_days,
            "recalibrated_after_days": self.after_days,
        }

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """The same recipe with other settings, each named in `space`."""
        return replace(self, parameters_of_fit=replace(self.parameters_of_fit, **values))

    def fit(self, known: Known) -> FittedHazard:
        """Fit to the deals as known at the month-end. Raises QualityError when none has closed."""
        deals = known.deals
        return FittedHazard(_fitted(deals, self.parameters_of_fit), self._recalibration(deals))

    def _recalibration(self, deals: Deals) -> Recalibration:
        first = int(deals.closed[deals.is_closed].min())
        # Days that all months have in common, so that their fits are.
        last = (deals.as_of - HORIZON_DAYS - 1) // self.every_days * self.every_days
        days = range(last, first + self.after_days, -self.every_days)
        told = [self._told(deals, day) for day in days]
        if not told:
            return Recalibration()
        return Recalibration.fit(np.concatenate([p for p, _ in told]), np.concatenate([won for _, won in told]))

    def _told(self, deals: Deals, day: int) -> tuple[Floats, Floats]:
        """What the model of an earlier day predicted for the deals open then, and which were won."""
        model = _fitted(deals.as_known_at(day), self.parameters_of_fit)
        # One selection for both, so that each prediction stands beside the outcome of its own deal.
        book = deals.only((deals.engaged <= day) & ((deals.closed == OPEN) | (deals.closed > day)))
        won = book.won & (book.closed <= day + HORIZON_DAYS)
        return _fates(model, replace(book, as_of=day), HORIZON_DAYS).won, won.astype(np.float64)


@dataclass(frozen=True)
class FittedHazard:
    """A fitted and recalibrated cure-hazard model.

    Attributes:
        model: the hazards, effects and shares.
        recalibration: of the probability of a win.
    """

    model: CureHazard
    recalibration: Recalibration

    @property
    def candidate(self) -> str:
        """`cure_hazard`."""
        return CURE_HAZARD

    @property
    def features(self) -> tuple[str, ...]:
        """The columns it reads."""
        return HAZARD_FEATURES

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Probability of a win by the end of the next month for each row, (n,)."""
        return self.recalibration(self.fates(frame).won)

    def fates(self, frame: pd.DataFrame) -> Fates:
        """What becomes of each row's deal by the end of the month after its `as_of`, before recalibration.

        Raises FeatureMismatchError or QualityError naming the column that is missing or wrong.
        """
        return self._over_months(frame, lambda as_of: Month.of(as_of).next.days)

    def close_month(self, frame: pd.DataFrame, first: int = 1) -> list[str | None]:
        """For each row the month, YYYY-MM, by whose end half of such deals have closed that ever do.

        None where half have not closed within 24 months. Months before the `first` after the row's are not considered.
        """
        import pandas as pd

        _require_features(frame)
        found = pd.Series(None, index=range(len(frame)), dtype=object)
        if not len(frame):
            return []
        month_ends = pd.Series(_dates(frame["as_of"])).to_numpy()
        for as_of in np.unique(month_ends):
            rows = np.flatnonzero(month_ends == as_of)
            month = Month.of(as_of.astype("datetime64[D]").item())
            for ahead in range(first, LONGEST_MONTHS + 1):
                if not len(rows):
                    break
                days = (month.shift(ahead).end - month.end).days
                fates = self._over_months(frame.iloc[rows], lambda _, days=days: days)
                due = fates.closes >= 0.5 * (1 - fates.abandoned)
                found.iloc[rows[due]] = str(month.shift(ahead))
                rows = rows[~due]
        return [value if isinstance(value, str) else None for value in found]

    def _over_months(self, frame: pd.DataFrame, ahead: Any) -> Fates:
        _require_features(frame)
        out = Fates(np.empty(len(frame)), np.empty(len(frame)), np.empty(len(frame)))
        if not len(frame):
            return out
        dates, age = _dates(frame["as_of"]), _ages(frame)
        agent, agents = _coded(frame["sales_agent"])
        product, products = _coded(frame["product"])
        region, regions = _coded(frame["regional_office"])
        when = _numbers(frame, "engage_fortnight")
        fortnights, at = np.unique(when, return_inverse=True)
        pairs, cohort = np.unique(region * len(fortnights) + at, return_inverse=True)
        named = [
            (regions[pair // len(fortnights)], _whole(fortnights[pair % len(fortnights)])) for pair in pairs.tolist()
        ]
        names = Names(agents, named, products)
        for as_of in np.unique(dates):
            rows = dates == as_of
            day = int(as_of.astype(np.int64))
            found = self.model.fates(
                engaged=day - age[rows],
                as_of=day,
                days=ahead(as_of.item()),
                agent=agent[rows],
                cohort=cohort[rows],
                product=product[rows],
                names=names,
            )
            out.abandoned[rows], out.closes[rows], out.win_share[rows] = found.abandoned, found.closes, found.win_share
        return out

    def importance(self) -> dict[str, float]:
        """Feature -> percent of the summed spread (standard deviation of log-odds or log-hazard over what was seen)."""
        model = self.model
        spread = {
            "age_days": float(np.log(-model.log_survival).mean(axis=1).std()),
            "as_of": float(np.log(-model.log_survival).std(axis=1).mean() + model.win_level.std()),
            "sales_agent": _spread(model.abandoned_by_agent, model.win_by_agent) + _spread_of_logs(model.speed),
            "engage_fortnight": _spread(model.abandoned_by_cohort),
            "product": _spread(model.win_by_product),
        }
        total = sum(spread.values()) or 1.0
        return {name: 100 * value / total for name, value in sorted(spread.items(), key=lambda pair: -pair[1])}

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        recalibration = {"shift": self.recalibration.shift, "slope": self.recalibration.slope}
        return {"candidate": CURE_HAZARD, "model": self.model.to_dict(), "recalibration": recalibration}

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Self:
        """The model that `to_dict` wrote."""
        return cls(CureHazard.from_dict(parts["model"]), Recalibration(**parts["recalibration"]))


_KEPT = 256
_fits: OrderedDict[tuple[bytes, HazardParameters], CureHazard] = OrderedDict()


def _fitted(deals: Deals, parameters: HazardParameters) -> CureHazard:
    """The model of these very deals; the last ones are kept, for months share the days they are recalibrated on."""
    key = (deals.digest, parameters)
    if key not in _fits:
        _fits[key] = CureHazard.fit(deals, parameters)
        while len(_fits) > _KEPT:
            _fits.popitem(last=False)
    _fits.move_to_end(key)
    return _fits[key]


def _fates(model: CureHazard, deals: Deals, days: int) -> Fates:
    """What becomes of open deals in the `days` after they were looked at."""
    names, cohort = cohorts(deals)
    return model.fates(
        engaged=deals.engaged,
        as_of=deals.as_of,
        days=days,
        agent=deals.agent,
        cohort=cohort,
        product=deals.product,
        names=Names(deals.agents, names, deals.products),
    )


def _require_features(frame: pd.DataFrame) -> None:
    missing = [name for name in HAZARD_FEATURES if name not in frame.columns]
    if missing:
        raise FeatureMismatchError(
            f"the frame lacks the feature columns {', '.join(missing)}: rebuild the features, or train a model on "
            "those that are there"
        )


def _dates(column: pd.Series[Any]) -> NDArray[np.datetime64]:
    """The column's dates, which may be texts."""
    if column.isna().any():
        raise QualityError(f"as_of is empty in {int(column.isna().sum())} rows: rebuild the features")
    try:
        return np.asarray(column, dtype="datetime64[D]")
    except (TypeError, ValueError) as error:
        raise QualityError(
            f"as_of holds {column.iloc[0]!r}, which is no date ({error}): rebuild the features"
        ) from error


def _ages(frame: pd.DataFrame) -> NDArray[np.int64]:
    age = _numbers(frame, "age_days")
    wrong = ~(np.isfinite(age) & (age >= 0))
    if wrong.any():
        raise QualityError(
            f"age_days is {age[wrong][0]:g} in {int(wrong.sum())} rows: a deal that is scored has been engaged for 0 "
            "days or more; rebuild the features"
        )
    return np.minimum(age, _LONGEST_AGE).astype(np.int64)


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    """A column as numbers, NaN where empty. Raises what `feature_frame` raises."""
    return feature_frame(frame, (name,), ())[name].to_numpy(dtype=np.float64)


def _coded(column: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str | None]]:
    """Codes (n,) and the names behind them; an empty name is a name of its own, which no model knows."""
    codes, names = column.astype(object).factorize(use_na_sentinel=False)
    return np.asarray(codes, dtype=np.int64), [name if isinstance(name, str) else None for name in names]


def _whole(number: float) -> int | None:
    return None if np.isnan(number) else int(number)


def _spread(*effects: Mapping[Any, float]) -> float:
    return sum(float(np.std([*effect.values()])) for effect in effects if effect)


def _spread_of_logs(factors: Mapping[str, float]) -> float:
    return float(np.std(np.log([*factors.values()]))) if factors else 0.0
