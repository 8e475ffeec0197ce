"""What a deployment may be given, through training to scores: a model, a rung of the ladder, or a clear message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, QualityError
from crm_assets.features.registry import WIN_MODEL_FEATURES
from crm_assets.modelling.backtest import RollingOrigin
from crm_assets.modelling.candidate import Candidate, TrainingHistory
from crm_assets.modelling.candidates import CANDIDATES, blend_of, candidate_named
from crm_assets.modelling.cold_start import best_rung
from crm_assets.modelling.deals import OPEN
from crm_assets.modelling.hazard_candidate import HAZARD_FEATURES, HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.reasons import PARTS, reasons
from crm_assets.modelling.win_model import WinModel
from crm_assets_tests.modelling.made_up_business import FIRST, Business

AT = Month(2017, 3)
READS_ROWS = ("logistic", "random_forest", "lightgbm", "catboost")
SMALL = {"random_forest": {"trees": 5}, "lightgbm": {"iterations": 5}, "catboost": {"iterations": 5}}


def recipe(name: str) -> Candidate:
    if name == "blend":
        return blend_of(HazardCandidate(), LightGBM(iterations=5))
    return candidate_named(name, **SMALL.get(name, {}))


@pytest.fixture(params=[*CANDIDATES])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def business() -> Business:
    return Business.of(450, seed=2)


@pytest.fixture(scope="module")
def history(business: Business) -> TrainingHistory:
    return business.history(AT.next)


def served(history: TrainingHistory, name: str, month: Month = AT, min_wins: int = 5) -> WinModel | None:
    """What scores at a month: the candidate, below it the best rung, None where nothing can."""
    origin = RollingOrigin(history, [recipe(name)], min_wins=min_wins)
    known = origin.known(month)
    if origin.too_little(month) is not None:
        with pytest.raises(QualityError, match=rf"no model at {month}: .*; train at a later month"):
            origin.model_for(month)
        rung = best_rung(known.rows, known.month.next.quarter_position)
        return None if rung is None else WinModel.of(rung, known, None, contract="")
    model = WinModel.of(origin.model_for(month), known, HazardCandidate().fit(known), contract="")
    report = origin.report(month, 1)
    assert report.predictions["probability"].between(0, 1).all()
    assert (report.reason is None) is (len(report.months) > 0)
    return model


def assert_scores(model: WinModel | None, book: pd.DataFrame, tmp_path: Path) -> None:
    """Probabilities, fates and reasons of a book are whole, as trained and as loaded."""
    assert model is not None
    predicted = model.predict(book)
    assert ((predicted >= 0) & (predicted <= 1)).all()
    fates = model.fates(book)
    if model.hazard is not None:
        lost = fates["probability_lost"].to_numpy()
        assert ((lost >= 0) & (predicted + lost <= 1)).all()
        assert fates["probability_abandoned"].between(0, 1).all()
    why = reasons(model, book.head(8))
    np.testing.assert_allclose(why["base"] + why[[*PARTS]].sum(axis=1), predicted[:8], rtol=0, atol=1e-12)
    assert not why[["raises", "lowers"]].stack().str.contains(r"\bnan\b|None").any()
    model.save(tmp_path / "model.json")
    loaded = WinModel.load(tmp_path / "model.json")
    assert loaded.content == model.content
    assert np.array_equal(loaded.predict(book), predicted)


def with_rows(history: TrainingHistory, **columns: object) -> TrainingHistory:
    return TrainingHistory(history.rows.assign(**columns), history.deals)  # type: ignore[arg-type]


def test_the_business_as_it_is(business: Business, history: TrainingHistory, name: str, tmp_path: Path) -> None:
    model = served(history, name)
    assert model is not None
    assert (model.rung, model.candidate) == ("model", name)
    assert_scores(model, business.book(AT), tmp_path)


@pytest.mark.parametrize(("won", "rung"), [(True, "age_table"), (False, "overall_rate")])
def test_one_class_only(business: Business, name: str, tmp_path: Path, won: bool, rung: str) -> None:
    """Every deal that was open was won within the month, or none was."""
    closed = np.where(won, business.engaged + 35, np.where(business.closed == OPEN, OPEN, business.closed))
    all_of_one = business.with_(closed=closed, won=np.full(len(closed), won))
    history = all_of_one.history(AT.next)
    outcome = history.rows["outcome"]
    if won:
        history = with_rows(history, outcome=outcome.where(outcome.isna(), "won"))
    model = served(history, name)
    assert model is not None
    assert model.rung == rung
    predicted = model.predict(all_of_one.book(AT))
    assert ((predicted > 0) & (predicted < 1)).all()
    assert bool(predicted.mean() > 0.5) is won
    assert_scores(model, all_of_one.book(AT), tmp_path)


def test_one_agent_only(name: str, tmp_path: Path) -> None:
    alone = Business.of(500, seed=3, agents=("Dee",))
    model = served(alone.history(AT.next), name)
    assert model is not None
    assert model.rung == "model"
    assert_scores(model, alone.book(AT), tmp_path)


def test_a_product_and_an_agent_that_were_never_seen(
    business: Business, history: TrainingHistory, name: str, tmp_path: Path
) -> None:
    model = served(history, name)
    new = business.book(AT).assign(product="GTK 500", sales_agent="Zoe", regional_office="North")
    assert_scores(model, new, tmp_path)
    empty = business.book(AT).assign(product=None, sales_agent=np.nan, regional_office=None)
    assert_scores(model, empty, tmp_path)


def test_all_ages_zero(business: Business, history: TrainingHistory, name: str, tmp_path: Path) -> None:
    """Every deal closed on the day it was engaged, and every row says age 0."""
    closes = business.closed != OPEN
    same_day = business.with_(engaged=np.where(closes, business.closed, business.engaged))
    history = with_rows(TrainingHistory(history.rows, same_day.deals), age_days=0)
    model = served(history, name)
    assert model is not None
    assert model.rung == "model"
    assert_scores(model, business.book(AT).assign(age_days=0), tmp_path)


def test_no_matured_month(business: Business, history: TrainingHistory, name: str) -> None:
    assert served(history, name, FIRST) is None
    none = TrainingHistory(history.rows.assign(outcome=None), business.deals)
    assert served(none, name) is None
    report = RollingOrigin(none, [recipe(name)], min_wins=1).report(AT, 6)
    assert report.reason is not None
    assert "no outcome has matured" in report.reason


def test_no_rows_at_all(history: TrainingHistory, name: str) -> None:
    nothing = TrainingHistory(history.rows.iloc[:0], lambda month: Business.of(0, seed=1).deals(month))
    assert served(nothing, name) is None


def test_constant_features(business: Business, history: TrainingHistory, name: str, tmp_path: Path) -> None:
    constant = dict.fromkeys(WIN_MODEL_FEATURES, 2)
    if name == "cure_hazard":
        model = served(with_rows(history, **constant), name)
    else:
        with pytest.raises(QualityError, match=r"none of the features age_days, .* varies among the .* training rows"):
            served(with_rows(history, **constant), name)
        # One that varies is enough.
        model = served(with_rows(history, **{key: 2 for key in constant if key != "cohort_size"}), name)
    assert_scores(model, business.book(AT).assign(**constant), tmp_path)


def test_ten_rows(business: Business, history: TrainingHistory, name: str, tmp_path: Path) -> None:
    past = history.rows[history.rows["snapshot_month"] == str(AT.previous)]
    won = past["outcome"] == "won"
    ten = pd.concat([past[won].head(4), past[~won].head(6)])
    model = served(TrainingHistory(ten, business.deals), name, min_wins=4)
    assert model is not None
    assert model.rung == "model"
    assert_scores(model, business.book(AT), tmp_path)
    below = served(TrainingHistory(ten, business.deals), name, min_wins=5)
    assert below is not None
    assert below.rung == "overall_rate"
    assert_scores(below, business.book(AT), tmp_path)


def test_ten_deals(name: str, tmp_path: Path) -> None:
    few = Business.of(10, seed=6)
    model = served(few.history(), name, Month(2017, 8), min_wins=1)
    assert model is not None
    assert_scores(model, few.book(Month(2017, 8)), tmp_path)


@pytest.mark.parametrize("where", ["training", "scoring", "both"])
def test_40_percent_missing(
    business: Business, history: TrainingHistory, name: str, tmp_path: Path, where: str
) -> None:
    book = business.book(AT)
    columns = [column for column in {*WIN_MODEL_FEATURES, *HAZARD_FEATURES} if column not in ("as_of", "age_days")]
    if where != "scoring":
        history = TrainingHistory(holes(history.rows, columns), history.deals)
    if where != "training":
        # The month that is predicted is that of the book: reasons tell it.
        book = holes(book, [column for column in columns if column != "next_quarter_position"])
    assert_scores(served(history, name), book, tmp_path)


def test_ages_that_are_missing(business: Business, history: TrainingHistory, name: str) -> None:
    """A deal's age decides by which hazard it closes; trees and regressions take it as empty."""
    ages = TrainingHistory(holes(history.rows, ["age_days"]), history.deals)
    book = holes(business.book(AT), ["age_days"])
    origin = RollingOrigin(ages, [recipe(name)], min_wins=5)
    if name in READS_ROWS:
        predicted = origin.model_for(AT).predict(book)
        assert ((predicted >= 0) & (predicted <= 1)).all()
    else:
        with pytest.raises(QualityError, match=r"age_days is nan in \d+ rows: .*; rebuild the features"):
            origin.model_for(AT).predict(book)


def test_a_missing_column_is_named(business: Business, history: TrainingHistory, name: str) -> None:
    model = served(history, name)
    assert model is not None
    for column in model.fitted.features:
        with pytest.raises(CrmAssetsError, match=f"lacks the feature columns .*{column}"):
            model.predict(business.book(AT).drop(columns=[column]))


def holes(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The rows with 40 % of the values of some columns empty, whole months of none."""
    random, changed = np.random.default_rng(1), rows.copy()
    for column in sorted(columns):
        changed[column] = changed[column].where(random.random(len(rows)) > 0.4)
    return changed
