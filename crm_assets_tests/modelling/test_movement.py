from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.errors import QualityError
from crm_assets.features.feature import Cause
from crm_assets.features.registry import CAUSES
from crm_assets.modelling.catboost_boosting import CatBoost
from crm_assets.modelling.feature_frame import FeatureMismatchError
from crm_assets.modelling.movement import (
    NOTHING,
    PARTS,
    PLAYERS,
    SCORE_CHANGES,
    changes_by_cause,
)
from crm_assets.modelling.shapley import shapley_values
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows
from crm_assets_tests.modelling.known_rows import known_of

OF: dict[str, Cause] = {"price": Cause.DEAL, "product": Cause.DEAL, "age": Cause.TIME, "rate": Cause.WORLD}
BY = {Cause.DEAL: "by_deal", Cause.TIME: "by_time", Cause.WORLD: "by_world"}


class Model:
    """A model that is a formula of the columns, and counts the rows it was asked for."""

    def __init__(self, formula: Callable[[pd.DataFrame], Any]) -> None:
        self.formula = formula
        self.asked: list[int] = []

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        self.asked.append(len(frame))
        return np.asarray(self.formula(frame), dtype=np.float64)


def rows(*values: tuple[str, float | None, str | None, float | None, float | None]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["opportunity_id", "price", "product", "age", "rate"])


def number(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(float).fillna(0.25)


def worth_of(product: pd.Series[Any]) -> pd.Series[Any]:
    return product.map({"GTX": 0.5, "MG": 0.125}).astype(float).fillna(0)


def linear(frame: pd.DataFrame) -> pd.Series[Any]:
    own = 0.1 * number(frame["price"]) + 0.2 * worth_of(frame["product"])
    return own - 0.3 * number(frame["age"]) + 0.4 * number(frame["rate"])


def interacting(frame: pd.DataFrame) -> NDArray[np.float64]:
    product = number(frame["price"]) * number(frame["age"]) * (1 + number(frame["rate"]))
    return np.asarray(1 / (1 + np.exp(-product - worth_of(frame["product"]) * number(frame["rate"]))))


def unsteady(of: Callable[[pd.DataFrame], Any]) -> Model:
    """A model whose result depends on how many rows it is asked for at once."""
    return Model(lambda frame: of(frame) + 1e-7 * len(frame))


def by_permutations(before: pd.DataFrame, now: pd.DataFrame, old: Model, new: Model) -> NDArray[np.float64]:
    """The parts by their definition: mean contribution over all orders in which the four change; shape (4, n)."""
    worth = {}
    for count in range(5):
        for coalition in itertools.combinations(PLAYERS, count):
            mixed = before.assign(**{name: now[name] for name, cause in OF.items() if cause.value in coalition})
            worth[frozenset(coalition)] = (new if "model" in coalition else old).predict(mixed)
    parts = dict.fromkeys(PLAYERS, np.zeros(len(now)))
    for order in itertools.permutations(PLAYERS):
        for place, player in enumerate(order):
            step = worth[frozenset(order[: place + 1])] - worth[frozenset(order[:place])]
            parts[player] = parts[player] + step / 24
    return np.array([*parts.values()])


def only(found: pd.DataFrame) -> dict[str, Any]:
    """The one row of a frame."""
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].items()}


VALUES = st.none() | st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-3, 3, allow_subnormal=False)
PRODUCTS = st.sampled_from(["GTX", "MG", None])
KINDS: tuple[st.SearchStrategy[Any], ...] = (VALUES, PRODUCTS, VALUES, VALUES)
FORMULAS = st.sampled_from([linear, interacting])
some = settings(max_examples=40)


@st.composite
def two_months(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the same opportunities in two months, sorted; often some columns of a row did not change."""
    count = draw(st.integers(0, 4))
    earlier, later = [], []
    for index in range(count):
        then = [draw(kind) for kind in KINDS]
        now = [value if draw(st.booleans()) else draw(kind) for value, kind in zip(then, KINDS, strict=True)]
        earlier.append((f"o{index}", *then))
        later.append((f"o{index}", *now))
    return rows(*earlier), rows(*later)


@some
@given(two_months(), FORMULAS, FORMULAS)
def test_parts_are_the_mean_over_all_orders_and_sum_to_the_change(
    months: tuple[pd.DataFrame, pd.DataFrame], old: Any, new: Any
) -> None:
    before, now = months
    found = changes_by_cause(before, now, Model(old), Model(new), causes=OF)
    assert found["opportunity_id"].tolist() == now["opportunity_id"].tolist()
    assert found["probability_before"].tolist() == Model(old).predict(before).tolist()
    np.testing.assert_allclose(found["probability"], Model(new).predict(now), rtol=0, atol=1e-15)
    assert (found["change"] == found["probability"] - found["probability_before"]).all()
    np.testing.assert_allclose(found[[*PARTS]].sum(axis=1), found["change"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found[[*PARTS]].T, by_permutations(before, now, Model(old), Model(new)), rtol=0, atol=1e-12
    )


@some
@given(two_months(), FORMULAS, FORMULAS)
def test_what_did_not_change_has_exactly_no_part(months: tuple[pd.DataFrame, pd.DataFrame], old: Any, new: Any) -> None:
    before, now = months
    one, other = unsteady(old), unsteady(new)
    found = changes_by_cause(before, now, one, other, causes=OF)
    for cause, part in BY.items():
        names = [name for name, of in OF.items() if of is cause]
        same = ((before[names] == now[names]) | (before[names].isna() & now[names].isna())).all(axis=1)
        assert (found.loc[same, part] == 0).all()
    assert (changes_by_cause(before, now, one, one, causes=OF)["by_model"] == 0).all()


@some
@given(two_months(), FORMULAS, FORMULAS)
def test_seen_from_the_other_month_the_parts_are_the_reverse(
    months: tuple[pd.DataFrame, pd.DataFrame], old: Any, new: Any
) -> None:
    there = changes_by_cause(*months, Model(old), Model(new), causes=OF)
    back = changes_by_cause(months[1], months[0], Model(new), Model(old), causes=OF)
    np.testing.assert_allclose(back[[*PARTS]], -there[[*PARTS]], rtol=0, atol=1e-12)


@some
@given(two_months(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_matter(months: tuple[pd.DataFrame, pd.DataFrame], random: Any) -> None:
    found = changes_by_cause(*months, Model(linear), Model(interacting), causes=OF)
    earlier, later = (month.iloc[random.sample(range(len(month)), len(month)), ::-1] for month in months)
    again = changes_by_cause(earlier, later, Model(linear), Model(interacting), causes=OF)
    pd.testing.assert_frame_equal(again, found)


def test_of_a_linear_model_each_part_is_its_own_term() -> None:
    before = rows(("a", 1.0, "GTX", 2.0, 0.5))
    now = rows(("a", 3.0, "MG", 3.0, 0.25))
    model = Model(linear)
    part = only(changes_by_cause(before, now, model, model, causes=OF)[[*PARTS]])
    assert part == pytest.approx(
        {"by_deal": 0.1 * 2 - 0.2 * 0.375, "by_time": -0.3, "by_world": 0.4 * -0.25, "by_model": 0}, abs=1e-15
    )


def test_two_causes_that_only_work_together_share_alike() -> None:
    before, now = rows(("a", 1.0, "GTX", 0.0, 0.0)), rows(("a", 1.0, "GTX", 1.0, 1.0))
    both = Model(lambda frame: 0.5 * frame["age"] * frame["rate"])
    part = only(changes_by_cause(before, now, both, both, causes=OF))
    assert (part["by_deal"], part["by_model"]) == (0, 0)
    assert part["by_time"] == pytest.approx(0.25, abs=1e-15)
    assert part["by_world"] == pytest.approx(0.25, abs=1e-15)
    assert part["main_cause"] in {"time", "world"}


def test_a_new_model_that_reads_the_age_shares_with_time() -> None:
    """Half of what the new term brings is the model's, half is time's: it is there only after both changed."""
    before, now = rows(("a", 1.0, "GTX", 0.0, 0.0)), rows(("a", 1.0, "GTX", 1.0, 0.0))
    old = Model(lambda frame: np.full(len(frame), 0.25))
    new = Model(lambda frame: 0.25 + 0.5 * frame["age"])
    part = only(changes_by_cause(before, now, old, new, causes=OF))
    assert (part["by_time"], part["by_model"], part["change"]) == pytest.approx((0.25, 0.25, 0.5), abs=1e-15)


def test_main_cause_is_the_largest_part_whatever_its_sign() -> None:
    before = rows(("a", 0.0, "GTX", 0.0, 0.0), ("b", 0.0, "GTX", 0.0, 0.0), ("c", 0.0, None, None, 0.0))
    now = rows(("a", 1.0, "GTX", 1.0, 0.5), ("b", 1.0, "GTX", 0.0, 1.0), ("c", 0.0, None, None, 0.0))
    model = Model(linear)
    found = changes_by_cause(before, now, model, model, causes=OF)
    assert found["main_cause"].tolist() == ["time", "world", NOTHING]
    assert (found.iloc[2][["change", *PARTS]] == 0).all()


def test_models_may_read_different_features() -> None:
    before, now = rows(("a", 0.5, "GTX", 1.0, 0.5)), rows(("a", 0.5, "GTX", 2.0, 0.75))
    by_age = Model(lambda frame: 0.1 * frame["age"])
    by_rate = Model(lambda frame: 0.4 * frame["rate"])
    part = only(changes_by_cause(before, now, by_age, by_rate, causes=OF))
    assert (part["probability_before"], part["probability"]) == pytest.approx((0.1, 0.3))
    # The old model would have gone up by 0.1 with age, the new one by 0.1 with the rate; each is met half of the time.
    assert (part["by_time"], part["by_world"]) == pytest.approx((0.05, 0.05), abs=1e-15)
    assert part["by_model"] == pytest.approx(0.1, abs=1e-15)


def test_only_what_changed_is_predicted() -> None:
    before = rows(("a", 1.0, "GTX", 0.0, 0.0), ("b", 1.0, "GTX", 0.0, None), ("c", None, "GTX", 0.0, 0.0))
    now = rows(("a", 1.0, "GTX", 1.0, 0.0), ("b", 1.0, "GTX", 1.0, None), ("c", 2.0, "GTX", 1.0, 0.5))
    model = Model(linear)
    changes_by_cause(before, now, model, model, causes=OF)
    # Of a and b nothing and time; of c all eight coalitions of deal, time and world.
    assert sum(model.asked) == 2 + 2 + 8
    old, new = Model(linear), Model(linear)
    assert (changes_by_cause(before, now, old, new, causes=OF)["by_model"] == 0).all()
    assert sum(old.asked) == sum(new.asked) == 12


def test_only_opportunities_of_both_months_are_compared() -> None:
    before = rows(("gone", 1.0, "GTX", 0.0, 0.0), ("b", 1.0, "GTX", 0.0, 0.0), ("a", 1.0, "GTX", 0.0, 0.0))
    now = rows(("a", 1.0, "GTX", 1.0, 0.0), ("new", 1.0, "GTX", 1.0, 0.0), ("b", 1.0, "GTX", 1.0, 0.0))
    model = Model(linear)
    assert changes_by_cause(before, now, model, model, causes=OF)["opportunity_id"].tolist() == ["a", "b"]
    asked = changes_by_cause(before, now, model, model, causes=OF, opportunities=["b"])
    assert asked["opportunity_id"].tolist() == ["b"]


@pytest.mark.parametrize(("asked", "which"), [("new", "earlier"), ("gone", "later"), ("nobody", "earlier")])
def test_a_missing_row_is_named(asked: str, which: str) -> None:
    before, now = rows(("gone", 1.0, "GTX", 0.0, 0.0)), rows(("new", 1.0, "GTX", 1.0, 0.0))
    with pytest.raises(QualityError, match=rf"the {which} month lacks the features of 1 opportunities \({asked}\)"):
        changes_by_cause(before, now, Model(linear), Model(linear), causes=OF, opportunities=[asked])


@pytest.mark.parametrize("which", ["earlier", "later"])
def test_a_repeated_row_is_named(which: str) -> None:
    one, two = rows(("a", 1.0, "GTX", 0.0, 0.0)), rows(("a", 1.0, "GTX", 0.0, 0.0), ("a", 1.0, "GTX", 9.0, 0.0))
    before, now = (two, one) if which == "earlier" else (one, two)
    with pytest.raises(QualityError, match=rf"the {which} month holds 1 opportunities more than once \(a\)"):
        changes_by_cause(before, now, Model(linear), Model(linear), causes=OF)


def test_a_feature_of_one_month_only_is_named() -> None:
    month = rows(("a", 1.0, "GTX", 0.0, 0.0))
    with pytest.raises(FeatureMismatchError, match="features age, rate are in one of the two months only"):
        changes_by_cause(month.drop(columns=["rate", "age"]), month, Model(linear), Model(linear), causes=OF)


def test_types_do_not_count_as_a_change() -> None:
    """An empty column may have lost its type, and whole numbers with gaps are floats in pandas."""
    before, now = rows(("a", 1.0, None, None, 2.0)), rows(("a", 1.0, None, None, 2.0))
    now = now.assign(price=pd.array([1], dtype="Int64"), age=np.nan, product=pd.Categorical([None]), rate=2)
    model = Model(linear)
    assert changes_by_cause(before, now, model, model, causes=OF)["main_cause"].tolist() == [NOTHING]
    assert model.asked == [1]


@given(st.integers(0, 4), st.integers(0, 3), st.data())
def test_shapley_values_are_efficient_and_blind_to_names(players: int, games: int, data: st.DataObject) -> None:
    size = (1 << players) * games
    worth = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))).reshape(1 << players, games)
    values = shapley_values(worth)
    assert values.shape == (players, games)
    np.testing.assert_allclose(values.sum(axis=0), worth[-1] - worth[0], rtol=0, atol=1e-14)
    order = data.draw(st.permutations(range(players)))
    renamed = [sum(1 << order[player] for player in range(players) if c >> player & 1) for c in range(1 << players)]
    np.testing.assert_allclose(shapley_values(worth[renamed]), values[list(order)], rtol=0, atol=1e-14)


def test_models_of_two_months() -> None:
    """Between two real models: the ends are their own predictions, and a book without a common row has no parts."""
    book = book_rows()
    causes = {**dict.fromkeys(FEATURES, Cause.DEAL), "age_days": Cause.TIME, "share_open": Cause.WORLD}
    matured = book[book["outcome"].notna()]
    summer = matured[matured["snapshot_month"] < "2017-08"]
    two = CatBoost(features=("age_days", "next_quarter_position"), categorical=(), iterations=20)
    old = two.fit(known_of(summer))
    new = CatBoost(features=FEATURES, categorical=CATEGORICAL, iterations=20).fit(known_of(matured))
    before, now = (book[book["snapshot_month"] == month] for month in ("2017-09", "2017-10"))
    assert changes_by_cause(before, now, old, new, causes=causes).empty
    now = now.assign(opportunity_id=before["opportunity_id"].to_numpy())
    found = changes_by_cause(before, now.sample(frac=1, random_state=1), old, new, causes=causes)
    np.testing.assert_array_equal(found["probability_before"], old.predict(before))
    np.testing.assert_array_equal(found["probability"], new.predict(now))
    np.testing.assert_allclose(found[[*PARTS]].sum(axis=1), found["change"], rtol=0, atol=1e-12)
    assert (found[[*PARTS]].abs().mean() > 0).all()


def test_contract_and_players_agree() -> None:
    assert {cause.value for cause in Cause} | {"model"} == set(PLAYERS)
    assert SCORE_CHANGES.column("main_cause").allowed == (*PLAYERS, NOTHING)
    found = changes_by_cause(rows(), rows(), Model(linear), Model(linear), causes=OF)
    assert set(found.columns) <= set(SCORE_CHANGES.column_names)
    assert set(CAUSES.values()) == set(Cause)
