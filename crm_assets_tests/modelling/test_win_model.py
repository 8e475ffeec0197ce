from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_assets.errors import CrmAssetsError, QualityError
from crm_assets.modelling.win_model import FeatureMismatchError, TrainingParameters, WinModel
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows

PARAMETERS = TrainingParameters(iterations=40)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def model(rows: pd.DataFrame) -> WinModel:
    return WinModel.fit(rows, FEATURES, CATEGORICAL, PARAMETERS)


def test_probabilities_are_float64_between_0_and_1_and_tell_wins_apart(model: WinModel, rows: pd.DataFrame) -> None:
    predicted = model.predict(rows)
    assert predicted.dtype == np.float64
    assert predicted.shape == (len(rows),)
    assert predicted.min() >= 0
    assert predicted.max() <= 1
    won = (rows["outcome"] == "won").to_numpy()
    assert predicted[won].mean() > 1.5 * predicted[~won].mean()


def test_equal_fits_are_equal_files(model: WinModel, rows: pd.DataFrame, tmp_path: Path) -> None:
    again = WinModel.fit(rows.sample(frac=1, random_state=1), model.features, model.categorical, model.parameters)
    assert again.sha256 == model.sha256
    renamed = rows.assign(opportunity_id=[f"{number:05d}" for number in range(len(rows), 0, -1)])
    assert WinModel.fit(renamed, model.features, model.categorical, model.parameters).sha256 == model.sha256
    model.save(tmp_path / "model.cbm")
    assert WinModel.load(tmp_path / "model.cbm").sha256 == model.sha256
    assert hashlib.sha256((tmp_path / "model.cbm").read_bytes()).hexdigest() == model.sha256
    other = WinModel.fit(rows.iloc[1:], model.features, model.categorical, model.parameters)
    assert other.sha256 != model.sha256


def test_a_fit_does_not_depend_on_the_order_of_its_rows(model: WinModel, rows: pd.DataFrame) -> None:
    shuffled = rows.sample(frac=1, random_state=5)
    again = WinModel.fit(shuffled, FEATURES, CATEGORICAL, PARAMETERS)
    assert np.array_equal(again.predict(rows), model.predict(rows))


def test_a_prediction_belongs_to_its_row(model: WinModel, rows: pd.DataFrame) -> None:
    order = np.random.default_rng(1).permutation(len(rows))
    assert np.array_equal(model.predict(rows.iloc[order]), model.predict(rows)[order])
    assert np.array_equal(model.predict(rows.iloc[:1]), model.predict(rows)[:1])


def test_columns_are_found_by_name(model: WinModel, rows: pd.DataFrame) -> None:
    assert np.array_equal(model.predict(rows[list(reversed(FEATURES))]), model.predict(rows))


def test_an_empty_book_has_no_probabilities(model: WinModel, rows: pd.DataFrame) -> None:
    assert model.predict(rows.iloc[:0]).shape == (0,)


def test_missing_features_are_named(model: WinModel, rows: pd.DataFrame) -> None:
    with pytest.raises(FeatureMismatchError, match="age_days, product") as raised:
        model.predict(rows.drop(columns=["product", "age_days"]))
    assert isinstance(raised.value, CrmAssetsError)
    assert isinstance(raised.value, ValueError)


def test_text_in_a_number_is_refused(model: WinModel, rows: pd.DataFrame) -> None:
    with pytest.raises(FeatureMismatchError, match=r"list_price holds '55 USD'"):
        model.predict(rows.assign(list_price="55 USD"))


def test_infinite_numbers_are_refused(model: WinModel, rows: pd.DataFrame) -> None:
    with pytest.raises(QualityError, match="share_open holds 1 infinite"):
        model.predict(rows.iloc[:3].assign(share_open=[0.1, np.inf, np.nan]))


def test_empty_values_are_allowed(model: WinModel, rows: pd.DataFrame) -> None:
    some = rows.iloc[:20]
    emptied = some.assign(share_open=None, regional_office=None)
    assert np.array_equal(
        model.predict(emptied), model.predict(some.assign(share_open=np.nan, regional_office="missing"))
    )


def test_nullable_and_boolean_columns_are_numbers(model: WinModel, rows: pd.DataFrame) -> None:
    some = rows.iloc[:2].assign(share_open=[1.0, np.nan])
    nullable = some.assign(share_open=pd.array([1, None], dtype="Int64"))
    assert np.array_equal(model.predict(nullable), model.predict(some))
    assert model.predict(rows.iloc[:2].assign(share_open=[True, False])).shape == (2,)


def test_saved_and_loaded_it_is_the_same_model(model: WinModel, rows: pd.DataFrame, tmp_path: Path) -> None:
    model.save(tmp_path / "m.cbm")
    loaded = WinModel.load(tmp_path / "m.cbm")
    assert np.array_equal(loaded.predict(rows), model.predict(rows))
    assert (loaded.features, loaded.categorical) == (FEATURES, CATEGORICAL)
    assert loaded.parameters == PARAMETERS
    assert (
        loaded.training
        == model.training
        == {
            "rows": len(rows),
            "wins": int((rows["outcome"] == "won").sum()),
            "first_month": "2017-01",
            "last_month": "2017-09",
        }
    )
    assert [path.name for path in tmp_path.iterdir()] == ["m.cbm"]


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrmAssetsError, match=r"no model at .*gone\.cbm"):
        WinModel.load(tmp_path / "gone.cbm")
    (tmp_path / "text.cbm").write_text("not a model")
    with pytest.raises(CrmAssetsError, match=r"text\.cbm is no CatBoost model"):
        WinModel.load(tmp_path / "text.cbm")


def test_a_model_of_other_origin_is_refused(tmp_path: Path) -> None:
    from catboost import CatBoostClassifier

    other = CatBoostClassifier(iterations=1, allow_writing_files=False, logging_level="Silent")
    other.fit([[0.0], [1.0]], [0, 1])
    other.save_model(str(tmp_path / "other.cbm"))
    with pytest.raises(CrmAssetsError, match=r"WinModel\.save did not write"):
        WinModel.load(tmp_path / "other.cbm")


def test_training_writes_no_files(rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    WinModel.fit(rows, FEATURES, CATEGORICAL, TrainingParameters(iterations=10))
    assert not list(tmp_path.iterdir())


def test_censored_rows_are_not_trained_on() -> None:
    with pytest.raises(QualityError, match="120 training rows have no outcome"):
        WinModel.fit(book_rows(), FEATURES, CATEGORICAL, PARAMETERS)


def test_an_unknown_outcome_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(QualityError, match="outcome holds Won"):
        WinModel.fit(rows.assign(outcome=rows["outcome"].replace("won", "Won")), FEATURES, CATEGORICAL, PARAMETERS)


def test_a_repeated_row_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(QualityError, match="2017-01-0000 in 2017-01"):
        WinModel.fit(pd.concat([rows, rows.iloc[:1]]), FEATURES, CATEGORICAL, PARAMETERS)


@pytest.mark.parametrize("outcome", ["won", "open"])
def test_one_class_is_too_little(rows: pd.DataFrame, outcome: str) -> None:
    with pytest.raises(QualityError, match="needs wins and non-wins"):
        WinModel.fit(rows.assign(outcome=outcome), FEATURES, CATEGORICAL, PARAMETERS)


def test_importance_is_a_percentage_of_each_feature(model: WinModel) -> None:
    importance = model.importance()
    assert set(importance) == set(FEATURES)
    assert sum(importance.values()) == pytest.approx(100)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    assert set(list(importance)[:2]) == {"age_days", "next_quarter_position"}


def test_parameters_as_a_dict() -> None:
    assert TrainingParameters(seed=9).as_dict() == {
        "iterations": 250,
        "depth": 4,
        "learning_rate": 0.05,
        "l2": 10.0,
        "one_hot_up_to": 64,
        "seed": 9,
        "threads": 1,
    }
