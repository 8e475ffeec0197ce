"""The model card of each month, made from the tables of the model and from the registered champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, history_of, monthly_asset
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.outcomes import LOST_OUTCOME, OPEN_OUTCOME, OUTCOMES, WON_OUTCOME
from crm_assets.leakage.finding import LEAKAGE_REPORT
from crm_assets.modelling.backtest import BACKTEST, CANDIDATE_BACKTEST
from crm_assets.modelling.model_card import MODEL_CARD, Book, CardContent
from crm_assets.modelling.model_card import model_card as card_of
from crm_assets.modelling.promotion import PROMOTION_CHECKS, SEGMENTS, WIN_MODEL
from crm_assets.sources import canonical_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from crm_assets.modelling.model_card import ModelCard
    from crm_assets.modelling.win_model import WinModel
    from crm_assets.settings import Settings

RESAMPLES = 200
"""Resamples of a card's intervals; they say what there is to say, in a fifth of the time of the promotion gate's."""
_KEYS = ("opportunity_id", "snapshot_month")


@monthly_asset(
    MODEL_CARD,
    group="model",
    needs=(
        history_of(FEATURE_TABLE.name),
        history_of(OUTCOMES.name),
        Needs(BACKTEST.name),
        Needs(CANDIDATE_BACKTEST.name),
        Needs(LEAKAGE_REPORT.name),
        Needs(WIN_MODEL.name),
        Needs(PROMOTION_CHECKS.name),
    ),
    kinds=("markdown", "mlflow"),
    code=("modelling", "leakage/finding", "defs/model_card"),
    settings=("backtest_months", "min_training_wins"),
)
def model_card(inputs: Inputs, month: Month) -> Made:
    """What scores from the month on, how it was judged, on what, its limits and what not to use it for.

    Every number on it is a row of the table; `crm-assets model-card --verify` computes them again.
    """
    decision = inputs.frame(WIN_MODEL.name, month).row(0, named=True)
    card = card_of(card_content(inputs, month, decision))
    documents = documents_of(card)
    version = decision["champion_version"]
    if version is not None:
        inputs.registry.describe(
            str(version),
            month,
            summary=card.page.opening(),
            files={f"{month}.{suffix}": content for suffix, content in documents.items()},
            place=inputs.location(MODEL_CARD.name, month, "html"),
        )
    return Made(
        nw.from_native(table_of(card).lazy()),
        notes={"champion_version": version, "figures": len(card.figures)},
        documents=documents,
        texts={"card": card.page.opening()},
    )


def table_of(card: ModelCard) -> pl.DataFrame:
    """Rows of MODEL_CARD."""
    return pl.DataFrame(card.figures, schema=MODEL_CARD.polars_schema(), orient="row")


def documents_of(card: ModelCard) -> dict[Any, bytes]:
    """File ending -> content of the card's documents."""
    made = {"md": card.page.markdown().encode(), "html": card.page.html().encode()}
    return made if card.drawing is None else {**made, "svg": card.drawing.encode()}


def card_content(inputs: Inputs, month: Month, decision: Mapping[str, Any]) -> CardContent:
    """All that the card of a month is made of.

    Args:
        inputs: of `model_card`.
        month: of the card.
        decision: the month's row of WIN_MODEL.
    """
    from crm_assets.modelling.intervals import bootstrapped

    champion: WinModel | None = None
    if decision["champion_version"] is not None:
        champion = inputs.registry.load(str(decision["champion_version"]), str(decision["champion_sha256"]))
    backtest = inputs.frame(BACKTEST.name, month)
    months = [Month.parse(name) for name in backtest["snapshot_month"].unique().sort()]
    segments = [
        inputs.frame(FEATURE_TABLE.name, tested, [*_KEYS, *SEGMENTS.values()]).with_columns(
            pl.col(*SEGMENTS.values()).cast(pl.String)
        )
        for tested in months
    ]
    judged = backtest.join(pl.concat(segments), on=_KEYS, how="left", maintain_order="left") if months else backtest
    return CardContent(
        month=month,
        dataset=inputs.settings.dataset_name,
        decision=decision,
        checks=inputs.frame(PROMOTION_CHECKS.name, month).to_dicts(),
        probes=inputs.frame(LEAKAGE_REPORT.name, month).to_dicts(),
        books=_books(inputs, month),
        ages=inputs.frame(FEATURE_TABLE.name, month, ["age_days"])["age_days"].to_numpy(),
        predictions=judged.to_pandas(),
        candidates=inputs.frame(CANDIDATE_BACKTEST.name, month).to_pandas(),
        champion=champion,
        unseen=_unseen(inputs, champion, backtest, months, str(decision["champion_month"])).to_pandas(),
        intervals=bootstrapped(backtest.to_pandas(), seed=0, resamples=RESAMPLES) if months else None,
        resamples=RESAMPLES,
        window=inputs.settings.backtest_months,
        min_wins=inputs.settings.min_training_wins,
        source=_named_source(inputs.settings),
    )


def _named_source(settings: Settings) -> str | None:
    """The source as a card names it: empty for the default one, None for a folder."""
    url = canonical_url(settings.source_url)
    if url == type(settings).model_fields["source_url"].default:
        return ""
    return url if url.startswith(("simulator:", "kaggle:", "s3://")) else None


def _books(inputs: Inputs, month: Month) -> list[Book]:
    sizes = inputs.history(FEATURE_TABLE.name, month, ["snapshot_month"])["snapshot_month"].value_counts()
    deals = dict(sizes.iter_rows())
    ended: dict[str, dict[str, int]] = {}
    if inputs.months(OUTCOMES.name, month):
        outcomes = inputs.history(OUTCOMES.name, month, ["snapshot_month", "outcome"])
        for name, outcome, count in outcomes.group_by("snapshot_month", "outcome").len().iter_rows():
            ended.setdefault(name, {})[outcome] = count
    books = []
    for held in inputs.months(FEATURE_TABLE.name, month):
        name, known = str(held), held < month
        found = ended.get(name, {})
        won, lost, still_open = (
            found.get(outcome, 0) if known else None for outcome in (WON_OUTCOME, LOST_OUTCOME, OPEN_OUTCOME)
        )
        books.append(Book(held, deals.get(name, 0), won, lost, still_open))
    return books


def _unseen(
    inputs: Inputs, champion: WinModel | None, backtest: pl.DataFrame, months: list[Month], since: str
) -> pl.DataFrame:
    """The champion's probabilities for the backtest's rows of the month it was trained at and later."""
    nothing = pl.DataFrame(schema={name: BACKTEST.polars_schema()[name] for name in (*_KEYS, "probability")})
    if champion is None:
        return nothing
    found = [nothing]
    for month in months:
        if str(month) < since:
            continue
        columns = list(dict.fromkeys([*_KEYS, *champion.features]))
        rows = inputs.frame(FEATURE_TABLE.name, month, columns).join(
            backtest.select(_KEYS), on=_KEYS, how="semi", maintain_order="left"
        )
        found.append(rows.select(_KEYS).with_columns(probability=champion.predict(rows.to_pandas())))
    return pl.concat(found)
