from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.modelling.logistic import FittedLogistic, Levels, Logistic, Spline
from crm_assets_tests.modelling.book_rows import book_rows
from crm_assets_tests.modelling.known_rows import known_of

FEATURES = ("age_days", "next_quarter_position", "share_open", "list_price")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


def fit(rows: pd.DataFrame, **given: object) -> FittedLogistic:
    return Logistic(**{"features": FEATURES, "categorical": (), **given}).fit(known_of(rows))  # type: ignore[arg-type]


def test_it_is_the_regression_of_scikit_learn_on_the_same_columns(rows: pd.DataFrame) -> None:
    from sklearn.linear_model import LogisticRegression

    position = (rows["next_quarter_position"].to_numpy()[:, None] == [1, 2, 3]).astype(float)
    age = rows["age_days"].to_numpy(dtype=float)
    age = ((age - age.mean()) / age.std())[:, None]
    columns = np.hstack([age, position, age * position])
    won = (rows["outcome"] == "won").to_numpy()
    expected = LogisticRegression(C=1 / 3, tol=1e-10, max_iter=5000).fit(columns, won).predict_proba(columns)[:, 1]
    model = fit(rows, features=("age_days", "next_quarter_position"), l2=3.0, knots=2)
    assert model.predict(rows) == pytest.approx(expected, abs=1e-5)


def test_few_values_are_levels_and_many_a_spline(rows: pd.DataFrame) -> None:
    age, position, share, price = fit(rows, knots=5).encoders
    assert position == Levels("next_quarter_position", (1.0, 2.0, 3.0))
    assert price == Levels("list_price", (55.0, 1096.0, 4821.0, 26768.0))
    assert isinstance(age, Spline)
    assert not age.empty
    assert age.knots == pytest.approx(np.quantile(rows["age_days"], [0.05, 0.275, 0.5, 0.725, 0.95]))
    assert isinstance(share, Spline)
    assert share.empty
    assert share.median == np.nanmedian(rows["share_open"])


def test_a_spline_follows_a_curve_and_is_straight_outside_of_its_knots(rows: pd.DataFrame) -> None:
    random = np.random.default_rng(4)
    middle = (rows["age_days"] > 60) & (rows["age_days"] < 110)
    outcome = np.where(random.random(len(rows)) < np.where(middle, 0.7, 0.1), "won", "open")
    model = fit(rows.assign(outcome=outcome), features=("age_days",))
    assert isinstance(model.encoders[0], Spline)
    ages = np.arange(1, 160)
    chance = model.predict(pd.DataFrame({"age_days": ages}))
    assert 40 < ages[chance.argmax()] < 130
    assert chance.max() > 2 * max(chance[0], chance[-1])
    log_odds = np.log(chance / (1 - chance))
    first, last = model.encoders[0].knots[0], model.encoders[0].knots[-1]
    bends = np.abs(np.diff(log_odds, 2))
    assert bends[ages[2:] <= first].max() < 1e-9
    assert bends[ages[:-2] >= last].max() < 1e-9
    assert bends.max() > 1e-4


def test_beyond_the_training_rows_a_number_says_what_their_end_says(rows: pd.DataFrame) -> None:
    model = fit(rows)
    oldest, youngest = rows["age_days"].max(), rows["age_days"].min()
    some = rows.head(20)
    for beyond, end in ((oldest + 5000, oldest), (youngest - 300, youngest)):
        assert np.array_equal(model.predict(some.assign(age_days=beyond)), model.predict(some.assign(age_days=end)))


def test_an_empty_number_has_a_say_of_its_own_where_training_rows_were_empty(rows: pd.DataFrame) -> None:
    outcome = rows["outcome"].where(rows["share_open"].notna(), "won")
    model = fit(rows.assign(outcome=outcome))
    assert (model.predict(rows.assign(share_open=None)) > model.predict(rows.assign(share_open=0.5))).all()
    full = fit(rows[rows["share_open"].notna()])
    share = full.encoders[2]
    assert isinstance(share, Spline)
    assert np.array_equal(
        full.predict(rows.assign(share_open=None)), full.predict(rows.assign(share_open=share.median))
    )


def test_crossed_features_depend_on_each_other(rows: pd.DataFrame) -> None:
    crossed, added = fit(rows), fit(rows, crossed=())

    def odds_ratio(model: FittedLogistic, position: int) -> float:
        pair = rows.iloc[[0, 0]].assign(age_days=[20, 100], next_quarter_position=position, share_open=0.5)
        young, old = model.predict(pair)
        return float(old / (1 - old) / (young / (1 - young)))

    assert odds_ratio(added, 3) == pytest.approx(odds_ratio(added, 1))
    assert odds_ratio(crossed, 3) > 2 * odds_ratio(crossed, 1)
    assert fit(rows, crossed=(("age_days", "sales_agent"),)).crossed == ()


def test_very_sure_it_stays_within_0_and_1(rows: pd.DataFrame) -> None:
    model = fit(rows)
    extreme = FittedLogistic(
        model.features,
        model.categorical,
        model.encoders,
        model.crossed,
        -1e4,
        tuple(1e6 * value for value in model.coefficients),
        model.shares,
    )
    predicted = extreme.predict(rows)
    assert ((predicted >= 0) & (predicted <= 1)).all()
