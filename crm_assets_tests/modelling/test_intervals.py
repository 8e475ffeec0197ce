from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from crm_assets.modelling import intervals
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.intervals import Interval, bootstrapped, clustered_mean, paired_improvement
from crm_assets.modelling.metrics import expected_calibration_error, measure, skill, top_decile_lift

MONTHS = ("2017-05", "2017-06", "2017-07")


def frame(opportunity: list[int], month: list[str], probability: list[float], won: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": [f"A{number}" for number in opportunity],
            "snapshot_month": month,
            "probability": probability,
            "base_rate_probability": 0.3,
            "age_table_probability": [0.2 + 0.1 * (number % 3) for number in opportunity],
            "won": won,
        },
        columns=BACKTEST.column_names,
    )


def backtest(seed: int = 3, deals: int = 120) -> pd.DataFrame:
    """A few months of predictions with many ties; a deal stays in the book until it is won."""
    random = np.random.default_rng(seed)
    rows: list[tuple[int, str, float, int]] = []
    for deal in range(deals):
        for month in MONTHS:
            probability = float(np.round(random.beta(1, 3), 1))
            won = int(random.random() < probability)
            rows.append((deal, month, probability, won))
            if won:
                break
    return frame(*(list(column) for column in zip(*rows, strict=True)))


def repeated(rows: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    return rows.loc[rows.index.repeat(rows["opportunity_id"].map(counts))]


small_backtests = st.lists(
    st.tuples(
        st.integers(0, 8), st.sampled_from([0.0, 0.1, 0.1 + 1e-12, 0.5, 1.0]), st.integers(0, 1), st.integers(0, 3)
    ),
    min_size=2,
    max_size=25,
)


@given(small_backtests)
def test_a_resample_gives_what_its_repeated_rows_give(drawn: list[tuple[int, float, int, int]]) -> None:
    opportunity, probability, won = (np.array([row[at] for row in drawn]) for at in range(3))
    counts = np.array([[row[3] for row in drawn][deal % len(drawn)] for deal in range(9)], dtype=np.int32)
    rows = frame(opportunity.tolist(), [MONTHS[0]] * len(drawn), probability.tolist(), won.tolist())
    sample = intervals._Sample(rows, opportunity)
    weight = counts[opportunity]
    y, p = np.repeat(won, weight), np.repeat(probability, weight)
    plain = measure(y, p)
    age_table = np.repeat(rows["age_table_probability"].to_numpy(), weight)
    expected = {
        "auc": plain.auc,
        "average_precision": plain.average_precision,
        "brier": plain.brier,
        "log_loss": plain.log_loss,
        "calibration_error": expected_calibration_error(y, p),
        "top_decile_lift": top_decile_lift(y, p),
        "skill_vs_base_rate": skill(plain.brier, measure(y, np.full(len(y), 0.3)).brier),
        "skill_vs_age_table": skill(plain.brier, measure(y, age_table).brier),
    }
    figures = sample.figures(counts[None, :])
    assert list(figures) and set(figures) == set(expected)
    for name, value in expected.items():
        assert figures[name][0] == pytest.approx(np.nan if value is None else value, nan_ok=True, abs=1e-12), name


def test_ranking_with_weights_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(5)
    won, probability = random.integers(0, 2, 200), np.round(random.random(200), 1)
    weight = random.integers(0, 4, (3, 200)).astype(np.int32)
    ranking = intervals._Ranking(won.astype(np.float64), probability, np.arange(200))
    figures = ranking.figures(weight)
    for at, weights in enumerate(weight):
        assert figures["auc"][at] == pytest.approx(roc_auc_score(won, probability, sample_weight=weights))
        precision = average_precision_score(won, probability, sample_weight=weights)
        assert figures["average_precision"][at] == pytest.approx(precision)
        assert ranking.average_precision(weight)[at] == pytest.approx(precision)


def test_estimates_are_the_figures_of_the_rows() -> None:
    rows = backtest()
    found = bootstrapped(rows, seed=1, resamples=20)
    plain = measure(rows["won"], rows["probability"])
    assert found.pooled["brier"].estimate == plain.brier
    assert found.pooled["average_precision"].estimate == plain.average_precision
    aucs = [measure(part["won"], part["probability"]).auc for _, part in rows.groupby("snapshot_month")]
    assert found.pooled["mean_auc"].estimate == pytest.approx(np.mean(np.array(aucs, dtype=np.float64)))
    assert tuple(found.months) == MONTHS
    assert set(found.months[MONTHS[0]]) == set(found.pooled) - {"mean_auc"}
    for month, part in rows.groupby("snapshot_month"):
        assert found.months[str(month)]["auc"].estimate == measure(part["won"], part["probability"]).auc
    for interval in (*found.pooled.values(), *found.months[MONTHS[1]].values()):
        assert interval.low is not None and interval.high is not None
        assert interval.low < interval.high


def test_an_opportunity_is_drawn_with_all_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = backtest()
    names = sorted(rows["opportunity_id"].unique())
    counts = np.random.default_rng(0).integers(0, 3, (1, len(names))).astype(np.int32)
    monkeypatch.setattr(intervals, "_draws", lambda *_: iter([counts]))
    drawn = repeated(rows, dict(zip(names, counts[0].tolist(), strict=True)))
    found = bootstrapped(rows, seed=1)
    plain = measure(drawn["won"], drawn["probability"])
    assert found.pooled["brier"].low == pytest.approx(plain.brier)
    assert found.pooled["auc"].high == pytest.approx(plain.auc)
    aucs = [measure(part["won"], part["probability"]).auc for _, part in drawn.groupby("snapshot_month")]
    assert found.pooled["mean_auc"].low == pytest.approx(np.mean(np.array(aucs, dtype=np.float64)))
    improvement = paired_improvement(rows, over="age_table_probability", seed=1)
    old = measure(drawn["won"], drawn["age_table_probability"])
    assert plain.brier is not None and old.brier is not None
    assert plain.average_precision is not None and old.average_precision is not None
    assert improvement["brier"].low == pytest.approx(old.brier - plain.brier)
    assert improvement["average_precision"].low == pytest.approx(plain.average_precision - old.average_precision)


def test_the_seed_decides_and_the_order_of_the_rows_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = backtest()
    found = bootstrapped(rows, seed=1, resamples=50)
    shuffled = rows.sample(frac=1, random_state=0)
    assert bootstrapped(shuffled, seed=1, resamples=50) == found
    assert bootstrapped(rows, seed=2, resamples=50) != found
    improvement = paired_improvement(rows, over="age_table_probability", seed=1, resamples=50)
    assert paired_improvement(shuffled, over="age_table_probability", seed=1, resamples=50) == improvement
    monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", 7 * len(rows))
    in_blocks = bootstrapped(rows, seed=1, resamples=50)
    assert in_blocks.pooled["brier"].low == pytest.approx(found.pooled["brier"].low)


def test_what_is_undefined_has_no_interval() -> None:
    nothing = bootstrapped(frame([], [], [], []), seed=1)
    assert nothing.months == {}
    assert set(nothing.pooled.values()) == {Interval(None, None, None)}
    losses = bootstrapped(frame([0, 1, 2], [MONTHS[0]] * 3, [0.1, 0.2, 0.3], [0, 0, 0]), seed=1, resamples=20)
    assert losses.pooled["auc"] == losses.pooled["top_decile_lift"] == Interval(None, None, None)
    assert losses.pooled["brier"].low is not None
    alone = bootstrapped(frame([0, 0], list(MONTHS[:2]), [0.1, 0.2], [0, 1]), seed=1, resamples=20)
    assert alone.pooled["brier"].estimate is not None
    assert alone.pooled["brier"].low is None
    assert not alone.pooled["brier"].above(-1) and not alone.pooled["brier"].below(1)
    empty = paired_improvement(frame([], [], [], []), over="age_table_probability", seed=1)
    assert set(empty.values()) == {Interval(None, None, None)}


def _moving_together(random: np.random.Generator, deals: int, months: int) -> tuple[pd.DataFrame, float]:
    """Rows of deals that are all won or all not, and the Brier score that such rows have on average."""
    chance = random.choice([0.1, 0.4], size=deals)
    won = np.repeat((random.random(deals) < chance).astype(int), months)
    month = [f"2017-{number % months + 1:02d}" for number in range(deals * months)]
    rows = frame(np.repeat(np.arange(deals), months).tolist(), month, np.repeat(chance, months).tolist(), won.tolist())
    return rows, (0.1 * 0.9 + 0.4 * 0.6) / 2


def _share_covered(interval_of: Callable[[pd.DataFrame, int], Interval], expected: float, months: int) -> float:
    random = np.random.default_rng(11)
    held = []
    for seed in range(200):
        found = interval_of(_moving_together(random, 200, months)[0], seed)
        assert found.low is not None and found.high is not None
        held.append(found.low <= expected <= found.high)
    return float(np.mean(held))


def _pooled_brier(rows: pd.DataFrame, seed: int) -> Interval:
    # The gain over a model that is never wrong is minus the Brier score, without the cost of the other figures.
    interval = paired_improvement(rows.assign(truth=rows["won"].astype(float)), over="truth", seed=seed, resamples=200)
    low, high = interval["brier"].low, interval["brier"].high
    assert low is not None and high is not None
    return Interval(None, -high, -low)


def test_about_95_of_100_intervals_hold_the_expected_brier() -> None:
    expected = _moving_together(np.random.default_rng(0), 1, 4)[1]
    assert 0.91 <= _share_covered(_pooled_brier, expected, months=4) <= 0.985

    def as_if_rows_were_deals(rows: pd.DataFrame, seed: int) -> Interval:
        return _pooled_brier(rows.assign(opportunity_id=[f"B{number}" for number in range(len(rows))]), seed)

    assert _share_covered(as_if_rows_were_deals, expected, months=4) < 0.8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_the_mean_of_clusters_agrees_with_the_bootstrap(seed: int) -> None:
    random = np.random.default_rng(seed)
    cluster = random.integers(0, 80, 300)
    value = random.normal(size=80)[cluster] + random.normal(size=300) / 4
    found = clustered_mean(value, cluster)
    assert found.estimate == pytest.approx(value.mean())
    sums, sizes = np.bincount(cluster, weights=value, minlength=80), np.bincount(cluster, minlength=80)
    drawn = np.random.default_rng(1).multinomial(80, np.full(80, 1 / 80), size=2000)
    low, high = np.quantile(drawn @ sums / (drawn @ sizes), [0.025, 0.975])
    assert found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(high - low, rel=0.15)
    wider = clustered_mean(value, cluster, confidence=0.999)
    assert wider.low is not None and wider.low < found.low


def test_the_mean_of_one_cluster_or_none_has_no_interval() -> None:
    assert clustered_mean([1.0, 2.0], ["a", "a"]) == Interval(1.5, None, None)
    assert clustered_mean([], []) == Interval(None, None, None)
