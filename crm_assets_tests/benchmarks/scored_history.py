"""What the platform would have scored, month by month, on a simulated business: champions by the promotion gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crm_assets.backtesting import history_in_memory
from crm_assets.calendar import Month, month_range
from crm_assets.code_version import code_version
from crm_assets.defs.training import TRAINING_CODE, training_over
from crm_assets.settings import Settings
from crm_assets.simulator import SimulationConfig
from crm_assets_tests.benchmarks.champions import Held, champion_of, first_wins, informed

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.modelling.backtest import RollingOrigin


@dataclass(frozen=True)
class ScoredHistory:
    """A simulated business and what was scored in it.

    Attributes:
        scores: one row per opportunity and month: `opportunity_id`, `snapshot_month`, `regional_office`, `product`,
            `list_price`, `probability` of the champion as of the month, `model_version`, `model`, whether the champion
            is one and no table of win rates, and `outcome`, won, lost or open; empty in the newest month.
        backtest: rows of BACKTEST of every month that could be predicted, each by the model of the month.
        first_win: first month with wins.
        backtest_months: how many of them the backtest as of a month covers.
    """

    scores: pd.DataFrame
    backtest: pd.DataFrame
    first_win: Month
    backtest_months: int

    def backtest_as_of(self, month: Month) -> pd.DataFrame:
        """The rows of `backtest_predictions` of a month, of those months that a model could know something of."""
        known = self.backtest[self.backtest["snapshot_month"] < str(month)]
        newest = sorted(known["snapshot_month"].unique())[-self.backtest_months :]
        return known[
            known["snapshot_month"].isin([text for text in newest if informed(Month.parse(text), self.first_win)])
        ]


def scored_history(config: SimulationConfig, cache: Path | None = None) -> ScoredHistory:
    """Simulate, train, promote and score every month; read from `cache` where it holds the same made by this code."""
    import pandas as pd

    settings = Settings(source_url=config.url(), _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own
    stem = f"{settings.dataset_name}-{code_version('simulator', *TRAINING_CODE)}"
    if cache is not None and (cache / f"{stem}-backtest.parquet").is_file():
        scores, backtest = (pd.read_parquet(cache / f"{stem}-{part}.parquet") for part in ("scores", "backtest"))
    else:
        origin = training_over(settings, history_in_memory(settings, lambda month: None))
        scores, backtest = _scores(origin, settings), _backtest(origin)
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            scores.to_parquet(cache / f"{stem}-scores.parquet")
            backtest.to_parquet(cache / f"{stem}-backtest.parquet")
    return ScoredHistory(scores, backtest, first_wins(scores), settings.backtest_months)


def _months(origin: RollingOrigin) -> list[Month]:
    known = origin.history.rows["snapshot_month"]
    return month_range(Month.parse(known.min()), Month.parse(known.max()))


def _backtest(origin: RollingOrigin) -> pd.DataFrame:
    return origin.pooled(origin.test_months(_months(origin)[-1]))


def _scores(origin: RollingOrigin, settings: Settings) -> pd.DataFrame:
    import pandas as pd

    rows, parts = origin.history.rows, []
    champion: Held | None = None
    for month in _months(origin):
        champion = champion_of(month, champion, origin, settings)
        if champion is None:
            continue
        book = rows[rows["snapshot_month"] == str(month)].reset_index(drop=True)
        kept = ["opportunity_id", "snapshot_month", "regional_office", "product", "list_price", "outcome"]
        found = book[kept].assign(probability=champion.model.predict(book), model_version=str(champion.since))
        parts.append(found.assign(model=champion.is_model))
    return pd.concat(parts, ignore_index=True)
