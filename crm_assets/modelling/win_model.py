"""The win model: what is registered, loaded and scored with, whatever candidate or rung it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError
from crm_assets.modelling.candidate import Fitted, Known
from crm_assets.modelling.candidates import fitted_from_dict
from crm_assets.modelling.cold_start import MODEL, RateTable
from crm_assets.modelling.feature_frame import feature_frame
from crm_assets.modelling.hazard_candidate import FittedHazard
from crm_assets.modelling.typical import Typical

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.modelling.cure_hazard import Fates

FORMAT = "crm_assets win model 1"
FATES = ("probability_lost", "probability_abandoned", "expected_close_month")
"""What a model gives besides the probability of a win."""
_EVEN = 0.5
_LEAST = 1e-12
_TEXTS = frozenset({"as_of", "sales_agent", "manager", "regional_office", "product", "series"})


@dataclass(frozen=True)
class WinModel:
    """A model of P(won by the end of the month after the snapshot), and of what else becomes of open deals.

    Attributes:
        fitted: the candidate, or the rung of the cold-start ladder, that gives the probability of a win.
        hazard: the cure-hazard model that gives everything else; None on the rungs below a model.
        typical: typical deals, which reasons compare with; None on the rungs below a model.
        training: rows, wins, first and last snapshot month, and the month of the fit.
        contract: digest of the definitions whose rows it was trained on.
    """

    fitted: Fitted
    hazard: FittedHazard | None
    typical: Typical | None
    training: Mapping[str, int | str]
    contract: str

    @classmethod
    def of(cls, fitted: Fitted, known: Known, hazard: FittedHazard | None, *, contract: str) -> Self:
        """The model of a month.

        Args:
            fitted: fitted to `known`.
            known: what was known at the month-end.
            hazard: fitted to it too; None while too few deals have closed.
            contract: digest of the definitions.
        """
        rows = known.rows
        training: dict[str, int | str] = {
            "month": str(known.month),
            "rows": len(rows),
            "wins": int((rows["outcome"] == "won").sum()),
            "first_month": str(rows["snapshot_month"].min()),
            "last_month": str(rows["snapshot_month"].max()),
            "deals": len(known.deals),
            "closed_deals": int(known.deals.is_closed.sum()),
        }
        typical = None if isinstance(fitted, RateTable) else Typical.of(fitted, known)
        return cls(fitted, hazard, typical, training, contract)

    @property
    def rung(self) -> str:
        """Rung of the cold-start ladder; `model` for a candidate."""
        return self.fitted.rung if isinstance(self.fitted, RateTable) else MODEL

    @property
    def candidate(self) -> str:
        """Name of the candidate, or of the rung."""
        return self.fitted.candidate

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The columns it reads; `as_of` may be among them."""
        more = self.hazard.features if self.hazard is not None else ()
        return tuple(dict.fromkeys([*self.fitted.features, *more]))

    @property
    def categorical(self) -> tuple[str, ...]:
        """Those of the features that are texts."""
        return tuple(name for name in self.features if name in _TEXTS)

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win in [0, 1] for each row of `frame`, in its order; (n,).

        Columns that are no features are ignored. Raises FeatureMismatchError naming feature columns that are missing or
        are not numbers, and QualityError on numbers that are infinite or cannot be.
        """
        if not len(frame):
            return np.empty(0)
        return self.fitted.predict(frame)

    def fates(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What else becomes of each row's deal.

        Returns:
            Frame with `probability_lost`, of being lost by the end of the next month; `probability_abandoned`, of never
            closing; and `expected_close_month`, YYYY-MM, by whose end half of such deals have closed that ever do.
            It is empty where the deal was more likely than not abandoned, or half have not closed within 24 months.
            All empty on the rungs below a model.

        Losses stand to wins, and the abandoned to all that do not close, as in the cure-hazard model, so that the
        probabilities of winning, of losing and of being abandoned are together at most 1.
        """
        import pandas as pd

        if self.hazard is None or not len(frame):
            empty = pd.Series(np.nan, index=range(len(frame)), dtype="float64")
            none = pd.Series(None, index=range(len(frame)), dtype=object)
            return pd.DataFrame(
                {"probability_lost": empty, "probability_abandoned": empty, "expected_close_month": none}
            )
        fates, won = self.hazard.fates(frame), self.predict(frame)
        lost, abandoned, closes, soon = fates_beside(won, fates)
        later = np.flatnonzero(closes & ~soon)
        months = np.full(len(frame), None, dtype=object)
        months[soon] = _months_after(frame["as_of"])[soon]
        months[later] = self.hazard.close_month(frame.iloc[later], first=2)
        return pd.DataFrame(
            {
                "probability_lost": lost,
                "probability_abandoned": abandoned,
                "expected_close_month": pd.Series(months, dtype=object),
            }
        )

    def prepare(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What the model sees of `frame`: the features in order, texts and dates as strings, all else as float64.

        Raises what `predict` raises.
        """
        return feature_frame(frame, self.features, self.categorical)

    def importance(self) -> dict[str, float]:
        """Feature -> share in percent, largest first; empty on the rungs below a model."""
        return self.fitted.importance()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of `content`, in hexadecimal: equal fits have equal ones."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def content(self) -> bytes:
        """The model and what it knows of itself as JSON: equal for equal fits."""
        parts = {
            "format": FORMAT,
            "fitted": self.fitted.to_dict(),
            "hazard": None if self.hazard is None else self.hazard.to_dict(),
            "typical": None if self.typical is None else self.typical.to_dict(),
            "training": dict(self.training),
            "contract": self.contract,
        }
        return json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()

    def save(self, path: Path) -> None:
        """Write `content` to a file, `*.json`."""
        path.write_bytes(self.content)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Raises CrmAssetsError naming the file when it is missing or is no such model."""
        try:
            parts = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise CrmAssetsError(f"no model at {path}: train and save one there") from error
        except ValueError as error:
            raise CrmAssetsError(f"{path} is no win model ({error}): train and save it anew") from error
        if not isinstance(parts, dict) or parts.get("format") != FORMAT:
            raise CrmAssetsError(f"{path} is not of the format {FORMAT!r}: train and save it anew")
        try:
            return cls(
                fitted=fitted_from_dict(parts["fitted"]),
                hazard=None if parts["hazard"] is None else FittedHazard.from_dict(parts["hazard"]),
                typical=None if parts["typical"] is None else Typical.from_dict(parts["typical"]),
                training=parts["training"],
                contract=parts["contract"],
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise CrmAssetsError(f"{path} is a damaged win model ({error!r}): train and save it anew") from error


def fates_beside(
    won: NDArray[np.float64], fates: Fates
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """What goes with probabilities of a win, (n,) each.

    Args:
        won: probability of a win by the end of the next month.
        fates: of the cure-hazard model, by then.

    Returns:
        (probability of a loss by then, probability of being abandoned, whether it rather closes some day, whether half
        of such deals that ever close do by then).
    """
    lost = np.minimum(won * (1 - fates.win_share) / fates.win_share, 1 - won)
    # Capped because rounding may carry a share of all that does not close above 1.
    abandoned = (1 - won - lost) * np.minimum(fates.abandoned / np.maximum(1 - fates.closes, _LEAST), 1)
    closes = abandoned < _EVEN
    # As the probabilities beside it say: the next month where half close in it, else a later one.
    return lost, abandoned, closes, closes & (won + lost >= _EVEN * (1 - abandoned))


def _months_after(as_of: pd.Series[Any]) -> NDArray[np.object_]:
    """The month after each date, YYYY-MM, (n,)."""
    days, at = np.unique(np.asarray(as_of, dtype="datetime64[D]"), return_inverse=True)
    return np.array([str(Month.of(day.item()).next) for day in days], dtype=object)[at]
