"""What holds of every candidate that learns from rows of features."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, QualityError, SettingsError
from crm_assets.features.registry import WIN_MODEL_FEATURES
from crm_assets.modelling.blend import BLEND
from crm_assets.modelling.candidate import Candidate, Fitted, Known
from crm_assets.modelling.candidates import CANDIDATES, candidate_named, fitted_from_dict
from crm_assets.modelling.feature_frame import FeatureMismatchError
from crm_assets.modelling.hazard_candidate import CURE_HAZARD
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows
from crm_assets_tests.modelling.known_rows import known_of

SMALL: dict[str, dict[str, Any]] = {
    "logistic": {},
    "random_forest": {"trees": 30},
    "lightgbm": {"iterations": 30, "learning_rate": 0.15},
    "catboost": {"iterations": 60, "learning_rate": 0.15},
}


def recipe(name: str, **given: Any) -> Candidate:
    return candidate_named(name, **{"features": FEATURES, "categorical": CATEGORICAL, **SMALL[name], **given})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


@pytest.fixture(scope="module", params=sorted(SMALL))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(name: str, rows: pd.DataFrame) -> Fitted:
    return recipe(name).fit(known_of(rows))


def test_every_candidate_is_tested() -> None:
    # Those that learn from deals are tested in test_hazard_candidate, test_blend and test_bad_input.
    assert {*SMALL, CURE_HAZARD, BLEND} == set(CANDIDATES)


def test_probabilities_are_float64_between_0_and_1_and_tell_wins_apart(fitted: Fitted, rows: pd.DataFrame) -> None:
    predicted = fitted.predict(rows)
    assert predicted.dtype == np.float64
    assert predicted.shape == (len(rows),)
    assert predicted.min() >= 0
    assert predicted.max() <= 1
    won = (rows["outcome"] == "won").to_numpy()
    assert predicted[won].mean() > 1.5 * predicted[~won].mean()
    assert predicted.mean() == pytest.approx(won.mean(), abs=0.02)


def test_equal_rows_in_any_order_and_of_any_id_give_equal_models(name: str, fitted: Fitted, rows: pd.DataFrame) -> None:
    shuffled = rows.sample(frac=1, random_state=5)
    renamed = shuffled.assign(opportunity_id=[f"{number:05d}" for number in range(len(rows))])
    assert recipe(name).fit(known_of(renamed)).to_dict() == fitted.to_dict()
    assert recipe(name).fit(known_of(rows.iloc[20:])).to_dict() != fitted.to_dict()


def test_a_fit_leaves_what_was_known_as_it_was(name: str, rows: pd.DataFrame) -> None:
    known = known_of(rows)
    before = known.rows.copy()
    recipe(name).fit(known)
    pd.testing.assert_frame_equal(known.rows, before)


def test_written_as_json_and_read_back_it_is_the_same_model(name: str, fitted: Fitted, rows: pd.DataFrame) -> None:
    again = fitted_from_dict(json.loads(json.dumps(fitted.to_dict(), sort_keys=True, allow_nan=False)))
    assert type(again) is type(fitted)
    assert again.candidate == name
    assert again.features == FEATURES
    assert again.to_dict() == fitted.to_dict()
    assert again.importance() == fitted.importance()
    assert np.array_equal(again.predict(rows), fitted.predict(rows))


def test_a_prediction_belongs_to_its_row(fitted: Fitted, rows: pd.DataFrame) -> None:
    order = np.random.default_rng(1).permutation(len(rows))
    predicted = fitted.predict(rows)
    assert np.array_equal(fitted.predict(rows.iloc[order]), predicted[order])
    for size in (1, 2, 3, 5, 13):
        assert np.array_equal(fitted.predict(rows.iloc[7 : 7 + size]), predicted[7 : 7 + size])


def test_an_empty_book_has_no_probabilities(fitted: Fitted, rows: pd.DataFrame) -> None:
    predicted = fitted.predict(rows.iloc[:0])
    assert predicted.shape == (0,)
    assert predicted.dtype == np.float64


def test_columns_are_found_by_name_and_must_be_there(fitted: Fitted, rows: pd.DataFrame) -> None:
    assert np.array_equal(fitted.predict(rows[list(reversed(FEATURES))]), fitted.predict(rows))
    with pytest.raises(FeatureMismatchError, match="age_days, product"):
        fitted.predict(rows.drop(columns=["product", "age_days"]))


def test_importance_is_a_percentage_of_each_feature(fitted: Fitted) -> None:
    importance = fitted.importance()
    assert set(importance) == set(FEATURES)
    assert sum(importance.values()) == pytest.approx(100)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    assert set(list(importance)[:2]) == {"age_days", "next_quarter_position"}


def test_a_category_never_seen_and_empty_values_are_predicted(fitted: Fitted, rows: pd.DataFrame) -> None:
    strange = rows.assign(product="GTX Ultra", regional_office=None, share_open=None, list_price=np.nan, age_days=9999)
    assert np.isfinite(fitted.predict(strange)).all()


@pytest.mark.parametrize("change", ["constant", "empty", "sparse", "all constant but one"])
def test_features_that_say_little_are_no_obstacle(name: str, rows: pd.DataFrame, change: str) -> None:
    changed = rows.copy()
    if change == "constant":
        changed["list_price"], changed["product"] = 1096.0, "GTX Pro"
    elif change == "empty":
        changed["share_open"], changed["product"] = None, None
    elif change == "sparse":
        random = np.random.default_rng(2)
        for column in FEATURES:
            changed[column] = changed[column].where(random.random(len(rows)) > 0.4)
    else:
        changed[[column for column in FEATURES if column != "age_days"]] = None
    model = recipe(name).fit(known_of(changed))
    for frame in (changed, rows):
        predicted = model.predict(frame)
        assert ((predicted >= 0) & (predicted <= 1)).all()
    assert set(model.importance()) == set(FEATURES)
    again = fitted_from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert np.array_equal(again.predict(rows), model.predict(rows))


def test_ten_rows_are_enough_for_some_model(name: str, rows: pd.DataFrame) -> None:
    won = rows["outcome"] == "won"
    ten = pd.concat([rows[won].head(3), rows[~won].head(7)])
    predicted = recipe(name).fit(known_of(ten)).predict(rows)
    assert ((predicted >= 0) & (predicted <= 1)).all()


@pytest.mark.parametrize("outcome", ["won", "open"])
def test_one_class_is_too_little(name: str, rows: pd.DataFrame, outcome: str) -> None:
    with pytest.raises(QualityError, match="needs wins and non-wins"):
        recipe(name).fit(known_of(rows.assign(outcome=outcome)))
    with pytest.raises(QualityError, match="0 training rows hold 0 wins"):
        recipe(name).fit(known_of(rows.iloc[:0]))


def test_features_that_say_nothing_are_named(name: str, rows: pd.DataFrame) -> None:
    same = rows.assign(age_days=3, list_price=None)
    with pytest.raises(QualityError, match="none of the features age_days, list_price varies"):
        recipe(name, features=("age_days", "list_price"), categorical=()).fit(known_of(same))


def test_a_fit_writes_no_files(name: str, rows: pd.DataFrame, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(name).fit(known_of(rows)).to_dict()
    assert not list(tmp_path.iterdir())


def test_a_fit_and_a_prediction_print_nothing(name: str, rows: pd.DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
    fitted_from_dict(recipe(name).fit(known_of(rows.iloc[:400])).to_dict()).predict(rows)
    assert capfd.readouterr() == ("", "")


def test_parameters_are_the_settings_and_all_that_is_tuned_begins_in_its_space(name: str) -> None:
    candidate: Any = candidate_named(name)
    assert candidate.name == name
    assert candidate.features == WIN_MODEL_FEATURES
    assert candidate.categorical == ()
    parameters = candidate.parameters()
    assert not {"features", "categorical"} & set(parameters)
    json.dumps(parameters)
    for setting, values in candidate.space.items():
        assert parameters[setting] in values
        assert candidate.with_values({setting: values.high}).parameters()[setting] == values.high
    with pytest.raises(ValueError, match="has no colour to tune"):
        candidate.with_values({"colour": 1})


def test_each_setting_in_the_space_shapes_the_fit(name: str, fitted: Fitted, rows: pd.DataFrame) -> None:
    candidate: Any = recipe(name)
    for of, values in candidate.space.items():
        other = candidate.with_values({of: values.low if values.low != candidate.parameters()[of] else values.high})
        assert not np.array_equal(other.fit(known_of(rows)).predict(rows), fitted.predict(rows)), of


def test_a_name_that_is_none_and_content_that_is_none_are_named() -> None:
    with pytest.raises(SettingsError, match="'forest' is no candidate model: choose among logistic, random_forest"):
        candidate_named("forest")
    with pytest.raises(CrmAssetsError, match="candidate 'forest' cannot be read"):
        fitted_from_dict({"candidate": "forest"})
    with pytest.raises(CrmAssetsError, match="candidate logistic lacks 'features'"):
        fitted_from_dict({"candidate": "logistic"})


@pytest.mark.parametrize(("name_", "key"), [("catboost", "content"), ("lightgbm", "text")])
def test_content_of_no_model_is_refused(name_: str, key: str, rows: pd.DataFrame) -> None:
    content = recipe(name_).fit(known_of(rows)).to_dict()
    with pytest.raises(CrmAssetsError, match=r"is no .* model .*: train and save it anew"):
        fitted_from_dict({**content, key: "bm90IGEgbW9kZWw="})


def test_only_what_predicts_is_loaded_to_predict_by_a_logistic_regression(rows: pd.DataFrame) -> None:
    content = json.dumps(recipe("logistic").fit(known_of(rows)).to_dict())
    code = (
        "import json, sys; import pandas as pd; from crm_assets.modelling.candidates import fitted_from_dict\n"
        f"model = fitted_from_dict(json.loads({content!r}))\n"
        f"print(*model.predict(pd.DataFrame({rows.loc[:3, list(FEATURES)].astype(object).to_dict('list')!r},"
        " dtype=None).assign(share_open=0.5)))\n"
        "print(sorted({'sklearn', 'scipy', 'catboost', 'lightgbm', 'optuna'} & set(sys.modules)))"
    ).replace("nan", "None")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    predicted, loaded = done.stdout.splitlines()
    expected = recipe("logistic").fit(known_of(rows)).predict(rows.loc[:3].assign(share_open=0.5))
    assert [float(value) for value in predicted.split()] == expected.tolist()
    assert loaded == "[]"


def test_what_was_known_earlier_holds_no_later_row(rows: pd.DataFrame) -> None:
    known = known_of(rows)
    earlier = known.at(Month(2017, 6))
    assert earlier.rows["snapshot_month"].max() == "2017-05"
    assert isinstance(earlier, Known)
