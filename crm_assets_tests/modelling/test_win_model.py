from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, QualityError
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.cold_start import RUNGS, best_rung
from crm_assets.modelling.feature_frame import FeatureMismatchError
from crm_assets.modelling.hazard_candidate import HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.win_model import FATES, FORMAT, WinModel
from crm_assets_tests.modelling.made_up_business import Business

AT = Month(2017, 8)
RECIPE = Blend(((HazardCandidate(), 0.7), (LightGBM(iterations=20), 0.3)))


def trained(known: Known) -> WinModel:
    return WinModel.of(RECIPE.fit(known), known, HazardCandidate().fit(known), contract="c1")


@pytest.fixture(scope="module")
def business() -> Business:
    return Business.of(1200, seed=3)


@pytest.fixture(scope="module")
def known(business: Business) -> Known:
    return business.known(AT)


@pytest.fixture(scope="module")
def book(business: Business) -> pd.DataFrame:
    return business.book(AT)


@pytest.fixture(scope="module")
def model(known: Known) -> WinModel:
    return trained(known)


@pytest.fixture(scope="module", params=RUNGS[:-1])
def rung(request: pytest.FixtureRequest, known: Known) -> WinModel:
    wins = {"overall_rate": 5, "quarter_rate": 15, "age_table": 30}[request.param]
    won = known.rows["outcome"] == "won"
    rows = pd.concat([known.rows[won].sample(wins, random_state=1), known.rows[~won].sample(100, random_state=1)])
    table = best_rung(rows, 3)
    assert table is not None
    assert table.rung == request.param
    return WinModel.of(table, Known(AT, rows, known.deals), None, contract="c1")


def test_it_predicts_what_its_candidate_predicts(model: WinModel, book: pd.DataFrame, known: Known) -> None:
    assert np.array_equal(model.predict(book), RECIPE.fit(known).predict(book))
    assert (model.candidate, model.rung) == ("blend", "model")
    assert model.importance() == model.fitted.importance()
    assert model.predict(book.iloc[:0]).shape == (0,)


def test_it_knows_what_it_was_trained_on(model: WinModel, known: Known) -> None:
    assert model.training == {
        "month": "2017-08",
        "rows": len(known.rows),
        "wins": int((known.rows["outcome"] == "won").sum()),
        "first_month": "2016-10",
        "last_month": "2017-07",
        "deals": len(known.deals),
        "closed_deals": int(known.deals.is_closed.sum()),
    }
    assert model.contract == "c1"


def test_equal_knowledge_gives_equal_bytes(model: WinModel, known: Known) -> None:
    renamed = known.rows.sample(frac=1, random_state=1).assign(
        opportunity_id=[f"{number}" for number in range(len(known.rows))]
    )
    again = trained(Known(AT, renamed.reset_index(drop=True), known.deals))
    assert again.content == model.content
    assert again.sha256 == hashlib.sha256(model.content).hexdigest()
    assert trained(Known(AT, known.rows.iloc[5:], known.deals)).sha256 != model.sha256


def test_saved_and_loaded_it_is_the_same(model: WinModel, book: pd.DataFrame, tmp_path: Path) -> None:
    model.save(tmp_path / "model.json")
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
    loaded = WinModel.load(tmp_path / "model.json")
    assert loaded.content == model.content == (tmp_path / "model.json").read_bytes()
    assert np.array_equal(loaded.predict(book), model.predict(book))
    pd.testing.assert_frame_equal(loaded.fates(book), model.fates(book), check_exact=True)
    assert (loaded.features, loaded.categorical) == (model.features, model.categorical)
    json.loads(model.content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_rung_saved_and_loaded_is_the_same(rung: WinModel, book: pd.DataFrame, tmp_path: Path) -> None:
    rung.save(tmp_path / "model.json")
    loaded = WinModel.load(tmp_path / "model.json")
    assert loaded.content == rung.content
    assert loaded.rung == loaded.candidate == rung.rung
    assert np.array_equal(loaded.predict(book), rung.predict(book))
    assert (loaded.hazard, loaded.typical) == (None, None)
    assert loaded.importance() == {}
    assert set(loaded.features) == {"age_days", "next_quarter_position"}


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrmAssetsError, match=r"no model at .*gone\.json: train and save one there"):
        WinModel.load(tmp_path / "gone.json")
    file = tmp_path / "text.json"
    for content in (b"", b"not a model", b'{"format": ', b"\xff\xfe\x00"):
        file.write_bytes(content)
        with pytest.raises(CrmAssetsError, match=r"text\.json is no win model .*: train and save it anew"):
            WinModel.load(file)
    for text in ("{}", "[1]", "null", '{"format": "crm_assets win model 0"}'):
        file.write_text(text)
        with pytest.raises(CrmAssetsError, match=rf"text\.json is not of the format '{FORMAT}'"):
            WinModel.load(file)


@pytest.mark.parametrize("broken", [None, 5, "text", [], {}, [1, 2], {"a": 1}])
def test_a_damaged_file_is_named(model: WinModel, tmp_path: Path, broken: Any) -> None:
    parts, file = json.loads(model.content), tmp_path / "model.json"
    whole: dict[str, Any] = {**parts, "fitted": parts["fitted"]["members"][0]["fitted"]}
    for name in ("fitted", "hazard", "typical"):
        if broken is None and name != "fitted":
            # That a rung has none is no damage.
            continue
        file.write_text(json.dumps({**whole, name: broken}))
        with pytest.raises(CrmAssetsError):
            WinModel.load(file)
        for inner in {*whole[name]} - {"candidate"}:
            file.write_text(json.dumps({**whole, name: {key: of for key, of in whole[name].items() if key != inner}}))
            with pytest.raises(CrmAssetsError, match="train"):
                WinModel.load(file)
    for name in ("fitted", "hazard", "typical", "training", "contract"):
        file.write_text(json.dumps({key: of for key, of in parts.items() if key != name}))
        with pytest.raises(CrmAssetsError, match=rf"model\.json is a damaged win model .*{name}"):
            WinModel.load(file)


def test_fates_are_probabilities_that_fit_together(model: WinModel, book: pd.DataFrame) -> None:
    strange = book.assign(sales_agent="Zoe", product=None, age_days=np.arange(len(book)) * 3)
    for frame in (book, strange):
        fates, won = model.fates(frame), model.predict(frame)
        assert tuple(fates.columns) == FATES
        lost = fates["probability_lost"].to_numpy()
        assert ((lost >= 0) & (won + lost <= 1)).all()
        abandoned = fates["probability_abandoned"].to_numpy()
        assert ((abandoned >= 0) & (won + lost + abandoned <= 1 + 1e-12)).all()
        months = fates["expected_close_month"].dropna()
        assert (months > "2017-08").all()
        assert (months == months.map(lambda text: str(Month.parse(text)))).all()
        # A deal that was likely abandoned is not expected to close.
        assert fates.loc[abandoned >= 0.5, "expected_close_month"].isna().all()
        # One that closes in the next month with even odds, if it ever does, is expected to close then, and no other.
        soon = (abandoned < 0.5) & (won + lost >= 0.5 * (1 - abandoned))
        assert (fates["expected_close_month"] == "2017-09").tolist() == soon.tolist()
    assert model.fates(book)["expected_close_month"].notna().any()


def test_losses_stand_to_wins_as_in_the_cure_hazard_model(model: WinModel, book: pd.DataFrame) -> None:
    assert model.hazard is not None
    share = model.hazard.fates(book).win_share
    fates, won = model.fates(book), model.predict(book)
    small = won / share < 1
    assert small.mean() > 0.9
    lost = fates["probability_lost"].to_numpy()
    assert (won / (won + lost))[small] == pytest.approx(share[small])
    # Losses come true in the mean, too.
    assert lost.mean() == pytest.approx((book["outcome"] == "lost").mean(), abs=0.03)


def test_fates_have_the_index_of_a_new_frame(model: WinModel, book: pd.DataFrame) -> None:
    some = book.iloc[[7, 3]]
    fates = model.fates(some)
    assert list(fates.index) == [0, 1]
    expected = model.fates(book).iloc[[7, 3]].reset_index(drop=True)
    pd.testing.assert_frame_equal(fates, expected, rtol=1e-12)
    assert tuple(model.fates(book.iloc[:0]).columns) == FATES
    assert model.fates(book.iloc[:0]).empty


def test_on_the_rungs_fates_are_empty(rung: WinModel, book: pd.DataFrame) -> None:
    fates = rung.fates(book)
    assert tuple(fates.columns) == FATES
    assert len(fates) == len(book)
    assert fates.isna().all().all()
    assert fates.dtypes.astype(str).tolist() == ["float64", "float64", "object"]
    predicted = rung.predict(book)
    assert ((predicted > 0) & (predicted < 1)).all()


def test_features_are_those_of_all_parts_and_texts_are_categories(model: WinModel, book: pd.DataFrame) -> None:
    assert {"as_of", "age_days", "sales_agent", "cohort_share_open"} <= set(model.features)
    assert len(set(model.features)) == len(model.features)
    assert set(model.categorical) == {"as_of", "sales_agent", "regional_office", "product"}
    only = WinModel(model.fitted.members[1][0], model.hazard, model.typical, model.training, "")  # type: ignore[attr-defined]
    assert "sales_agent" not in only.fitted.features
    assert {"sales_agent", "as_of"} <= set(only.features)
    prepared = model.prepare(book)
    assert tuple(prepared.columns) == model.features
    for name in model.features:
        assert (prepared[name].dtype == np.float64) is (name not in model.categorical)


def test_bad_frames_are_named(model: WinModel, book: pd.DataFrame) -> None:
    some = book.head(3)
    for ask in (model.predict, model.prepare, model.fates):
        with pytest.raises(FeatureMismatchError, match="age_days") as raised:
            ask(some.drop(columns=["age_days"]))
        assert isinstance(raised.value, CrmAssetsError)
        with pytest.raises(FeatureMismatchError, match="age_days holds 'old'"):
            ask(some.assign(age_days="old"))
        with pytest.raises(QualityError, match="cohort_size holds 1 infinite"):
            ask(some.assign(cohort_size=[1, np.inf, 3]))


def test_saving_and_training_write_no_other_files(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained(known).content
    assert not list(tmp_path.iterdir())
