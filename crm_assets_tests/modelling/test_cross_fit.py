from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.cross_fit import FOLDS, cross_fitted, folds

MONTH = Month(2017, 6)
IDS = [f"O{number:04d}" for number in range(400)]


@dataclass(frozen=True)
class Remembering:
    """A recipe whose model gives 1 to a deal that it was fitted to, and else the number of deals it knows."""

    name: str = "remembering"

    def parameters(self) -> dict[str, Any]:
        return {}

    def fit(self, known: Known) -> Any:
        assert known.month == MONTH
        seen, deals = set(known.rows["opportunity_id"]), len(known.deals)

        class Fitted:
            def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
                return np.where(frame["opportunity_id"].isin(seen), 1.0, deals / 1000)

        return Fitted()


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        [(name, month) for month in ("2017-04", "2017-05") for name in IDS],
        columns=["opportunity_id", "snapshot_month"],
    )


def snapshot() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": IDS,
            "engage_date": pd.to_datetime("2017-03-01"),
            "close_date": pd.NaT,
            "deal_stage": "Engaging",
            "sales_agent": "Ada",
            "regional_office": "East",
            "product": "GTX",
        }
    ).astype({"close_date": "datetime64[ns]"})


def test_no_row_is_predicted_by_a_model_that_saw_its_opportunity_in_any_month() -> None:
    found = cross_fitted(Remembering(), MONTH, rows(), snapshot(), np.ones(800, dtype=np.bool_))
    assert (found < 1).all()


def test_each_model_learns_from_the_deals_of_the_other_folds() -> None:
    found = cross_fitted(Remembering(), MONTH, rows(), snapshot(), np.ones(800, dtype=np.bool_))
    sizes = np.bincount(folds(pd.Series(IDS)), minlength=FOLDS)
    np.testing.assert_allclose(found[:400], (400 - sizes[folds(pd.Series(IDS))]) / 1000)


def test_only_what_is_wanted_is_predicted_in_order() -> None:
    wanted = np.arange(800) % 7 == 0
    everything = cross_fitted(Remembering(), MONTH, rows(), snapshot(), np.ones(800, dtype=np.bool_))
    np.testing.assert_array_equal(cross_fitted(Remembering(), MONTH, rows(), snapshot(), wanted), everything[wanted])


def test_folds_are_even_and_do_not_depend_on_what_else_there_is() -> None:
    dealt = folds(pd.Series(IDS))
    assert np.bincount(dealt).min() > 400 / FOLDS / 2
    np.testing.assert_array_equal(folds(pd.Series(IDS[::-1])), dealt[::-1])
    np.testing.assert_array_equal(folds(pd.Series(IDS[:10])), dealt[:10])
