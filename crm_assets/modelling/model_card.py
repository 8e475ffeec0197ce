"""The model card of a month: what scores the pipeline from then on, how it was judged, and what it is not for.

Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. Every number on a card is a row of MODEL_CARD with the
text it is printed as, so that all of them can be computed again and compared.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_assets.modelling.blend import FittedBlend
from crm_assets.modelling.card_figures import Book, CardContent, JudgedSections
from crm_assets.modelling.card_ledger import MODEL_CARD, MONTHS, ROWS, SHARE, as_count, as_percent
from crm_assets.modelling.card_pictures import beside
from crm_assets.modelling.cold_start import AGE_TABLE, MODEL, QUARTER_RATE, RUNGS, WORDS
from crm_assets.modelling.page import Block, Bullets, Grid, Page, Paragraph, Section
from crm_assets.modelling.promotion import DECISION
from crm_assets.modelling.reasons import SUBJECTS, Subject
from crm_assets.modelling.win_model import WinModel

__all__ = ["MODEL_CARD", "Book", "CardContent", "ModelCard", "model_card"]

SHOWN_BOOKS = 24
"""Newest books that the page lists one by one."""
SHOWN_COLUMNS = 12
"""Most important columns that the page lists."""

_RECIPES = {
    "blend": "weighted mean of the log-odds of two models",
    "cure_hazard": "month-by-month hazard of closing, with a share of deals that never close",
    "lightgbm": "gradient-boosted trees (LightGBM)",
    "catboost": "gradient-boosted trees (CatBoost)",
    "random_forest": "random forest",
    "logistic": "logistic regression",
}


@dataclass(frozen=True)
class ModelCard:
    """A card.

    Attributes:
        figures: rows of MODEL_CARD in the order of the page.
        page: all of it.
        drawing: SVG of its pictures, for the Markdown; None when it has none.
    """

    figures: tuple[Mapping[str, Any], ...]
    page: Page
    drawing: str | None


def model_card(content: CardContent) -> ModelCard:
    """The card of a month; equal contents give equal ones."""
    return _Card(content).made()


class _Card(JudgedSections):
    """Writes the page, section by section."""

    def made(self) -> ModelCard:
        judged = self._of.champion is not None and self._of.champion.rung == MODEL and bool(self._months)
        sections = [self._model(), self._data()]
        if judged:
            sections += self.judged_sections()
        sections += [self._promotion(), self._leakage(), self._cold_start(), self._limits(judged), self._not_for()]
        sections.append(self._checking())
        lead = self._lead(judged)
        title = f"Model card: deals won within a month, as of {self._of.month}"
        drawing = beside(self.drawings) if self.drawings else None
        return ModelCard(tuple(self.figures), Page(title, lead, tuple(sections)), drawing)

    def _lead(self, judged: bool) -> tuple[Block, ...]:
        month, decision = self._of.month, self._of.decision
        meant = Paragraph(
            f"For each deal that is open at the end of {month} (engaged and not closed): the probability that it is "
            f"won by the end of {month.next}. Lost and still open both count as not won."
        )
        if self._of.champion is None:
            return (meant, Paragraph(f"Nothing is scored: there is no champion. {_sentence(decision['reason'])}"))
        version = f"version {decision['champion_version']}, trained at the end of {decision['champion_month']}"
        if not judged:
            rung = WORDS[self._of.champion.rung]
            told = (
                f"What scores is {version}: the {rung}. "
                + ("It is no trained model. " if self._of.champion.rung != MODEL else "")
                + "No month could be predicted before its outcomes were known that would tell how good it is."
                if not self._months
                else f"What scores is {version}: the {rung}. It is no trained model, so this card has no figures of "
                "one; the reasons why none was promoted stand below."
            )
            return (meant, Paragraph(told))
        span = f"{self._months[0]} to {self._months[-1]}"
        rows = (
            ("Champion", f"{version} ({self._of.champion.candidate})"),
            ("Judged on", f"{self._told('Figures', 'rows')} rows of {len(self._months)} books, {span}"),
            ("Wins", f"{self._told('Figures', 'wins')}; expected {self._told('Figures', 'expected_wins')}"),
            ("Brier score", self._told("Figures", "brier")),
            ("of the " + WORDS[AGE_TABLE], self._told("Figures", "age_table_brier")),
            ("of the " + WORDS[QUARTER_RATE], self._told("Figures", "base_rate_brier")),
            ("AUC inside a month", self._told("Figures", "mean_auc")),
            ("Calibration error", self._told("Figures", "calibration_error")),
        )
        return (
            meant,
            Grid(("In short", ""), rows, left=2),
            Paragraph(
                "Each book was predicted by the model that could have been trained at its month-end, before its "
                "outcomes were known. In brackets 95 % intervals, which do not contain how months differ from each "
                "other.",
                note=True,
            ),
        )

    def _model(self) -> Section:
        self._begin("Model")
        decision, champion = self._of.decision, self._of.champion
        other = decision["model_version"] is not None and decision["model_version"] != decision["champion_version"]
        header = ["", *(["Champion"] if champion is not None else []), *(["Challenger of the month"] if other else [])]
        if len(header) == 1:
            return Section("Model", (Paragraph(f"There is none. {_sentence(decision['reason'])}"),))
        columns: list[dict[str, str]] = []
        if champion is not None:
            columns.append(self._champion_facts(champion))
        if other:
            columns.append(self._challenger_facts())
        names = list(dict.fromkeys(name for column in columns for name in column))
        rows = tuple((name, *(column.get(name, "") for column in columns)) for name in names)
        blocks: list[Block] = [Grid(tuple(header), rows, left=len(header))]
        if champion is not None and champion.importance():
            blocks += self._looks_at(champion)
        elif champion is not None:
            blocks.append(Paragraph(f"What it looks at: {', '.join(f'`{name}`' for name in champion.features)}."))
        return Section("Model", tuple(blocks))

    def _champion_facts(self, champion: WinModel) -> dict[str, str]:
        decision, training = self._of.decision, champion.training
        put, fact = self._put, self._fact
        return {
            "Version": fact("version", decision["champion_version"], subject="champion"),
            "Recipe": fact("recipe", _recipe(champion), subject="champion"),
            "Rung": fact("rung", WORDS[champion.rung], subject="champion"),
            "Trained at the end of": fact("trained_at", training["month"], subject="champion"),
            "Books it learnt from": fact(
                "books", f"{training['first_month']} to {training['last_month']}", subject="champion"
            ),
            "Rows it learnt from": put("rows", int(training["rows"]), as_count, subject="champion", unit=ROWS),
            "Wins among them": put("wins", int(training["wins"]), as_count, subject="champion", unit=ROWS),
            "Deals known then": put("deals", int(training["deals"]), as_count, subject="champion", unit="deals"),
            "Closed by then": put("closed_deals", int(training["closed_deals"]), as_count, subject="champion"),
            "Contract of its rows": f"`{fact('contract', champion.contract, subject='champion')}`",
            "SHA-256": f"`{fact('sha256', champion.sha256, subject='champion')}`",
        }

    def _challenger_facts(self) -> dict[str, str]:
        row, put, fact = self._of.decision, self._put, self._fact
        return {
            "Version": fact("version", row["model_version"], subject="challenger"),
            "Recipe": fact("recipe", row["candidate"], subject="challenger"),
            "Rung": fact("rung", WORDS[MODEL], subject="challenger"),
            "Trained at the end of": fact("trained_at", row["snapshot_month"], subject="challenger"),
            "Rows it learnt from": put("rows", row["training_rows"], as_count, subject="challenger", unit=ROWS),
            "Wins among them": put("wins", row["training_wins"], as_count, subject="challenger", unit=ROWS),
            "SHA-256": f"`{fact('sha256', row['model_sha256'], subject='challenger')}`",
        }

    def _looks_at(self, champion: WinModel) -> list[Block]:
        importance = champion.importance()
        shown = list(importance.items())[:SHOWN_COLUMNS]
        rows = tuple(
            (f"`{name}`", self._put("importance", share / 100, as_percent, subject=name, unit=SHARE))
            for name, share in shown
        )
        agent = sum(share for name, share in importance.items() if SUBJECTS.get(name) is Subject.AGENT) / 100
        told = self._put("importance_of_agent", agent, as_percent, unit=SHARE)
        rest = len(importance) - len(shown)
        return [
            Paragraph("What it looks at, as shares of the importance that it gives its columns:"),
            Grid(("Column", "Importance"), rows),
            Paragraph(
                (f"{rest} further columns have the rest. " if rest > 0 else "")
                + f"Columns about the agent who sells have {told} together."
            ),
        ]

    def _data(self) -> Section:
        self._begin("Data")
        books = self._of.books
        dataset = self._fact("dataset", self._of.dataset)
        count = self._put("month_ends", len(books), as_count, unit=MONTHS)
        closing = [book for book in books if (book.won or 0) + (book.lost or 0)]
        with_closes = self._put("months_with_closes", len(closing), as_count, unit=MONTHS)
        span = self._fact("period", f"{books[0].month} to {books[-1].month}" if books else "none")
        lines = [self._book(book) for book in books]
        hidden = max(0, len(lines) - SHOWN_BOOKS)
        blocks: list[Block] = [
            Paragraph(
                f"Data set: `{dataset}`, {count} month-ends, {span}. After {with_closes} of them deals closed within a "
                "month. A book is what is engaged and not closed at a month-end; each month is computed from what was "
                "known at its end."
            ),
            Grid(
                ("Book", "Open deals", "Won a month later", "Lost", "Still open", "Censored"),
                tuple(lines[hidden:]),
            ),
        ]
        if hidden:
            blocks.append(Paragraph(f"{hidden} earlier books stand in the table `model_card`.", note=True))
        blocks.append(
            Paragraph("Censored deals are in no later snapshot: they are neither learnt from nor judged on.", note=True)
        )
        return Section("Data", tuple(blocks))

    def _book(self, book: Book) -> tuple[str, ...]:
        numbers = {
            "deals": book.deals,
            "won": book.won,
            "lost": book.lost,
            "still_open": book.still_open,
            "censored": book.censored,
        }
        told = [
            "unknown" if value is None else self._put(name, value, as_count, subject=str(book.month), unit="deals")
            for name, value in numbers.items()
        ]
        return (str(book.month), *told)

    def _promotion(self) -> Section:
        self._begin("Promotion")
        outcome, lines = "", []
        for check in self._of.checks:
            told, subject = str(check["detail"]).replace("`", "'"), str(check["check"])
            self._row("detail", subject, told, numbers=(check["figure"], check["low"], check["high"]))
            if subject == DECISION:
                outcome = _sentence(told)
            else:
                lines.append((subject, str(check["verdict"]), told))
        blocks: list[Block] = [Paragraph(f"The model trained at the end of {self._of.month}: {outcome}")]
        if lines:
            blocks.append(Grid(("Check", "Verdict", "Reason"), tuple(lines), left=3))
        return Section("Promotion", tuple(blocks))

    def _leakage(self) -> Section:
        self._begin("Leakage gate")
        probes = self._of.probes
        verdicts = ("passed", "failed", "not run")
        lines = []
        for probe in dict.fromkeys(str(row["probe"]) for row in probes):
            counts = [
                sum(1 for row in probes if row["probe"] == probe and row["verdict"] == verdict) for verdict in verdicts
            ]
            told = [
                self._put(verdict.replace(" ", "_"), count, as_count, subject=probe)
                for verdict, count in zip(verdicts, counts, strict=True)
            ]
            lines.append((probe, *told))
        passed, failed, not_run = (
            self._put(verdict.replace(" ", "_"), sum(1 for row in probes if row["verdict"] == verdict), as_count)
            for verdict in verdicts
        )
        blocks: list[Block] = [
            Paragraph(
                "Probes of this month for anything in features or training that was not known on its date: "
                f"{passed} passed, {failed} failed, {not_run} could not be run."
            )
        ]
        if lines:
            blocks.append(Grid(("Probe", "Passed", "Failed", "Not run"), tuple(lines)))
        faults = [row for row in probes if row["verdict"] == "failed"]
        if faults:
            named = {f"{row['table']}.{row['column']}, {row['probe']}": str(row["detail"]) for row in faults}
            blocks.append(
                Bullets(tuple(f"{name}: {self._fact('fault', told, subject=name)}" for name, told in named.items()))
            )
        return Section("Leakage gate", tuple(blocks))

    def _cold_start(self) -> Section:
        self._begin("Cold start")
        champion = self._of.champion
        rung = self._fact("rung", "none" if champion is None else WORDS[champion.rung])
        ladder = ", then ".join(WORDS[name] for name in RUNGS)
        first = f"The champion is on this rung of the ladder: {rung}. " if champion is not None else ""
        return Section(
            "Cold start",
            (Paragraph(f"{first}The ladder: {ladder}. A rung is taken as soon as there are wins enough for it."),),
        )

    def _limits(self, judged: bool) -> Section:
        self._begin("Limits")
        items = self.judged_limits() if judged else []
        champion = self._of.champion
        if champion is not None and champion.typical is not None and champion.typical.won_at_age and self._of.ages.size:
            oldest = self._put("oldest_win", champion.typical.won_at_age[-1], as_count, unit="days")
            older = int((self._of.ages > champion.typical.won_at_age[-1]).sum())
            told = self._put("older_than_any_win", older, as_count, unit="deals")
            book = self._put("book", self._of.ages.size, as_count, unit="deals")
            items.append(
                f"{told} of the {book} deals in the book of {self._of.month} are older than {oldest} days, which no "
                "deal was that was won before the champion was trained. What it says of them rests on no example."
            )
        if not judged:
            items.append("How good these scores are has not been measured: there is no backtest of what gives them.")
        items += [
            "It knows one company by what it did so far. When prices, teams, territories or the way deals are entered "
            "change, it learns so only from the months after.",
            "The probability is of a win by the end of the next month. It says nothing of wins later on.",
            "It knows nothing but the columns named above: not what the customer said, nor what was agreed since.",
        ]
        return Section("Limits", (Bullets(tuple(items)),))

    def _not_for(self) -> Section:
        self._begin("What not to use it for")
        champion = self._of.champion
        agents = champion is not None and any(SUBJECTS.get(name) is Subject.AGENT for name in champion.fitted.features)
        people = "Judging people. It tells of deals, and nothing of anybody's merit or of causes."
        if agents:
            people = (
                "Judging people. Shares and names of agents are among what it looks at, so that a deal's probability "
                "is partly its agent's past; it says nothing of their merit or of causes."
            )
        return Section(
            self._section,
            (
                Bullets(
                    (
                        people,
                        "Deciding which deals to give up, or proving that an action helped: it tells what usually "
                        "happens to such deals, not what would happen if something was done.",
                        "Prospects and closed deals: it has seen only deals that were engaged and open.",
                        "Another company, or another CRM's data: train on those.",
                        "Another horizon than the end of the next month.",
                        "Amounts and discounts: the expected value is the probability times the list price.",
                        "Single deals as yes or no: a probability of 60 % is wrong four times in ten when it is right.",
                    )
                ),
            ),
        )

    def _checking(self) -> Section:
        source = f" --source {shlex.quote(self._of.source)}" if self._of.source else ""
        check = f"crm-assets model-card --month {self._of.month} --verify{source}"
        again = f"crm-assets verify --month {self._of.month}{source}"
        folder = f", with the folder of `{self._of.dataset}` as `--source` or in `CRM_SOURCE_URL`,"
        with_folder = folder if self._of.source is None else ""
        return Section(
            "How to check this card",
            (
                Paragraph(
                    f"`{check}`{with_folder} computes every number on it again from the tables it is made of and the "
                    f"registered model, and names each that differs; `{again}` makes these tables themselves again. "
                    "All figures are rows of the table `model_card`, and those of each month stand there in full "
                    "precision."
                ),
            ),
        )


def _recipe(model: WinModel) -> str:
    name = model.candidate
    told = f"{name}: {_RECIPES[name]}" if name in _RECIPES else name
    if isinstance(model.fitted, FittedBlend):
        told += " (" + ", ".join(f"{member.candidate} {weight:g}" for member, weight in _members(model.fitted)) + ")"
    return told


def _members(blend: FittedBlend) -> Iterable[tuple[Any, float]]:
    return ((member, round(weight, 6)) for member, weight in blend.members)


def _sentence(text: object) -> str:
    told = str(text).strip().rstrip(".")
    return f"{told[:1].upper()}{told[1:]}."
