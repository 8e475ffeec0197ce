"""The sections of a model card that tell how good the model is: on what it was judged, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.backtest import CERTAINTY, MONTHS_TO_CHOOSE_ON
from crm_assets.modelling.card_ledger import (
    MONTHS,
    ROWS,
    SHARE,
    SQUARED,
    Ledger,
    as_count,
    as_four_decimals,
    as_one_decimal,
    as_percent,
    as_signed,
    as_three_decimals,
    as_two_decimals,
)
from crm_assets.modelling.card_pictures import gain_picture, reliability_picture
from crm_assets.modelling.cold_start import AGE_TABLE, QUARTER_RATE, WORDS
from crm_assets.modelling.intervals import BacktestIntervals, Interval, clustered_mean
from crm_assets.modelling.metrics import area_under_curve, brier_score, equal_frequency_bins, measure
from crm_assets.modelling.page import Block, Bullets, Grid, Paragraph, Picture, Section
from crm_assets.modelling.promotion import SEGMENT_ROWS, SEGMENTS
from crm_assets.modelling.win_model import WinModel

if TYPE_CHECKING:
    import pandas as pd

_Z = 1.959963984540054

_FORMS: Mapping[str, tuple[str, Callable[[float], str], str | None]] = {
    "mean_auc": ("Mean of the monthly AUCs", as_three_decimals, None),
    "auc": ("AUC", as_three_decimals, None),
    "average_precision": ("Average precision", as_three_decimals, None),
    "top_decile_lift": ("Lift of the best tenth", as_two_decimals, None),
    "brier": ("Brier score", as_four_decimals, SQUARED),
    "skill_vs_base_rate": ("Brier skill against the win rate by month of the quarter", as_three_decimals, None),
    "skill_vs_age_table": ("Brier skill against the win rate by age and month of the quarter", as_three_decimals, None),
    "log_loss": ("Log loss", as_four_decimals, "nats"),
    "calibration_error": ("Expected calibration error", as_three_decimals, "probability"),
}
"""Figure with an interval -> its title, how it is printed, its unit."""

_MEANT = {
    "mean_auc": "ranking inside a month: 0.5 is none, 1 perfect",
    "auc": "ranking over all rows; it takes credit for telling months apart",
    "average_precision": "ranking, with the wins in view; ranking at random has the share of wins",
    "top_decile_lift": "share of wins among the tenth ranked highest, over the share among all",
    "brier": "mean squared error of the probabilities, 0 is perfect",
    "skill_vs_base_rate": "1 - Brier / Brier of the reference: 0 is no better than it",
    "skill_vs_age_table": "the same against the stronger reference",
    "log_loss": "punishes confident mistakes hardest",
    "calibration_error": "how far probabilities and shares won are apart, over ten bins; chance only makes it larger",
}


@dataclass(frozen=True)
class Book:
    """What is known at the card's month-end of the deals that were open at the end of a month.

    Attributes:
        month: whose book.
        deals: deals in it.
        won, lost, still_open: of them, a month later; None while that month-end has not come.
    """

    month: Month
    deals: int
    won: int | None = None
    lost: int | None = None
    still_open: int | None = None

    @property
    def censored(self) -> int | None:
        """Deals whose outcome no later snapshot tells; None while it has not come."""
        if self.won is None or self.lost is None or self.still_open is None:
            return None
        return self.deals - self.won - self.lost - self.still_open


@dataclass(frozen=True)
class CardContent:
    """All that a card is made of.

    Attributes:
        month: of the card.
        dataset: name of the source's part of the lake.
        decision: the month's row of WIN_MODEL.
        checks: the month's rows of PROMOTION_CHECKS.
        probes: the month's rows of LEAKAGE_REPORT.
        books: every book of the history, oldest first.
        ages: age in days of each deal in the month's book, (n,).
        predictions: the month's rows of BACKTEST, with the columns of SEGMENTS besides.
        candidates: `opportunity_id`, `snapshot_month`, `candidate` and `probability` of every candidate on these rows.
        champion: what scores; None when nothing does.
        unseen: the champion's probabilities for those of the rows whose outcomes it had not seen: `opportunity_id`,
            `snapshot_month`, `probability`.
        intervals: of the predictions; None without any.
        resamples: that the intervals are made of.
        window: most test months of a backtest.
        min_wins: wins, and as many non-wins, without which no model is trained.
        source: URL of the source where `--source` is needed to name it; empty for the default one, None for a folder,
            whose path holds on one machine only.
    """

    month: Month
    dataset: str
    decision: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]]
    probes: Sequence[Mapping[str, Any]]
    books: Sequence[Book]
    ages: NDArray[np.int64]
    predictions: pd.DataFrame
    candidates: pd.DataFrame
    champion: WinModel | None
    unseen: pd.DataFrame
    intervals: BacktestIntervals | None
    resamples: int
    window: int
    min_wins: int
    source: str | None = ""


class JudgedSections(Ledger):
    """Puts figures down as the sections are written.

    Args:
        content: what the card is made of.
    """

    def __init__(self, content: CardContent) -> None:
        self._of = content
        super().__init__(content.month)
        self.drawings: list[str] = []
        rows = content.predictions
        self._months = sorted(str(month) for month in rows["snapshot_month"].unique())
        self._won = rows["won"].to_numpy(dtype=np.int64)
        self._probability = rows["probability"].to_numpy(dtype=np.float64)
        self._deal = rows["opportunity_id"].to_numpy(dtype=str)
        self._at = {month: np.flatnonzero((rows["snapshot_month"] == month).to_numpy()) for month in self._months}

    def judged_sections(self) -> list[Section]:
        """Protocol, figures, calibration, gain, segments, the champion itself and the candidates."""
        return [
            self._protocol(),
            self._pooled(),
            self._by_month(),
            self._calibration(),
            self._gain(),
            self._segments(),
            self._own(),
            self._candidates(),
        ]

    def _protocol(self) -> Section:
        self._begin("Protocol")
        chosen = ", ".join(sorted(self._of.candidates["candidate"].unique()))
        window = self._put("window", self._of.window, as_count, unit=MONTHS)
        min_wins = self._put("min_training_wins", self._of.min_wins, as_count, unit="wins")
        resamples = self._put("resamples", self._of.resamples, as_count)
        newest = self._put("months_to_choose_on", MONTHS_TO_CHOOSE_ON, as_count, unit=MONTHS)
        errors = self._put("standard_errors_to_choose", CERTAINTY, as_count)
        inside = {str(book.month): book.censored for book in self._of.books}
        censored = self._put("censored", sum(inside.get(month) or 0 for month in self._months), as_count, unit=ROWS)
        return Section(
            "Protocol",
            (
                Bullets(
                    (
                        f"Rolling origin: each of the newest {window} books whose outcomes are known is predicted by "
                        "the model of its own month-end, which learnt from earlier books alone. Here they are "
                        f"{', '.join(self._months)}.",
                        "So what is judged is the recipe, with a new model each month, and not the champion's file; "
                        "what that one did itself stands below.",
                        "The outcome of a book has matured when the next month-end's snapshot tells it: won, lost or "
                        f"still open. {censored} rows of these books are censored and left out.",
                        f"Candidates are {self._fact('candidates', chosen)}. The model of a month is the preferred "
                        "one, unless another's Brier score is "
                        f"smaller by more than {errors} standard errors on the newest {newest} books that had matured "
                        "by then.",
                        f"Nothing is trained below {min_wins} wins and as many non-wins, nor on books before the first "
                        "that saw a close.",
                        f"Intervals are 95 %: percentiles of {resamples} resamples of deals, each with its rows of all "
                        "months. Those of bins are Wilson's; those of segments, candidates and the champion's own "
                        "books are normal with errors clustered by deal.",
                        f"References see the same rows: the {WORDS[QUARTER_RATE]}, and the {WORDS[AGE_TABLE]}.",
                    )
                ),
            ),
        )

    def _pooled(self) -> Section:
        self._begin("Figures")
        rows, found = self._of.predictions, self._intervals.pooled
        for name, value in (("rows", self._won.size), ("wins", int(self._won.sum()))):
            self._put(name, value, as_count, unit=ROWS)
        self._put("expected_wins", float(self._probability.sum()), as_one_decimal, unit=ROWS)
        lines = []
        for name, (title, form, unit) in _FORMS.items():
            told = self._put(name, found[name].estimate, form, unit=unit, interval=found[name])
            lines.append((title, told, _MEANT[name]))
        for reference, rung in (("base_rate", QUARTER_RATE), ("age_table", AGE_TABLE)):
            figures = measure(self._won, rows[f"{reference}_probability"])
            told = self._put(f"{reference}_brier", figures.brier, as_four_decimals, unit=SQUARED)
            lines.append((f"Brier score of the {WORDS[rung]}", told, "reference"))
            told = self._put(f"{reference}_auc", figures.auc, as_three_decimals)
            lines.append((f"AUC of the {WORDS[rung]}", told, "reference"))
        right = float(((self._probability >= 0.5) == (self._won == 1)).mean())
        nobody = self._put("accuracy_of_nobody", float((self._won == 0).mean()), as_percent, unit=SHARE)
        told = self._put("accuracy", right, as_percent, unit=SHARE)
        lines.append(("Accuracy at 50 %", told, f"says little: that nobody wins is right for {nobody}"))
        grid = tuple((title, told, meant) for title, told, meant in lines)
        return Section("Figures", (Grid(("Over all test months", "Figure", "Meaning"), grid, left=3),))

    @property
    def _intervals(self) -> BacktestIntervals:
        if self._of.intervals is None:
            raise ValueError("a card with predictions needs their intervals")
        return self._of.intervals

    def _by_month(self) -> Section:
        self._begin("Month by month")
        ranking, errors = [], []
        since = str(self._of.decision["champion_month"])
        for month in self._months:
            at, found = self._at[month], self._intervals.months[month]
            rows = self._of.predictions.iloc[at]
            told = {
                name: self._put(name, found[name].estimate, form, subject=month, unit=unit, interval=found[name])
                for name, (_, form, unit) in _FORMS.items()
                if name in found
            }
            for reference in ("base_rate", "age_table"):
                brier = brier_score(self._won[at], rows[f"{reference}_probability"])
                told[reference] = self._put(f"{reference}_brier", brier, as_four_decimals, subject=month, unit=SQUARED)
            ranking.append(
                (
                    month,
                    self._fact("candidate", rows["candidate"].iloc[0], subject=month),
                    self._fact("champion", "not seen" if month >= since else "learnt from", subject=month),
                    self._put("rows", len(at), as_count, subject=month, unit=ROWS),
                    self._put("wins", int(self._won[at].sum()), as_count, subject=month, unit=ROWS),
                    self._put(
                        "expected_wins", float(self._probability[at].sum()), as_one_decimal, subject=month, unit=ROWS
                    ),
                    told["auc"],
                    told["average_precision"],
                    told["top_decile_lift"],
                )
            )
            names = ("skill_vs_base_rate", "skill_vs_age_table", "log_loss", "calibration_error")
            errors.append((month, told["brier"], told["base_rate"], told["age_table"], *(told[name] for name in names)))
        ranked = ("Book", "Recipe", "By the champion", "Rows", "Wins", "Expected", "AUC", "Average precision", "Lift")
        scored = ("Book", "Brier", "by quarter", "by age too", "Skill, quarter", "Skill, age")
        return Section(
            "Month by month",
            (
                Grid(ranked, tuple(ranking), left=3),
                Grid((*scored, "Log loss", "Calibration error"), tuple(errors)),
                Paragraph(
                    "Books that the champion learnt from were predicted here by the models of their own month-ends, "
                    "which had not seen their outcomes.",
                    note=True,
                ),
            ),
        )

    def _calibration(self) -> Section:
        self._begin("Calibration")
        inside = equal_frequency_bins(self._probability)
        lines, points = [], []
        for number, label in enumerate(np.unique(inside), start=1):
            at, subject = np.flatnonzero(inside == label), f"bin {number:02d}"
            rows, wins = len(at), int(self._won[at].sum())
            predicted, share = float(self._probability[at].mean()), wins / rows
            low, high = _wilson(wins, rows)
            points.append((predicted, share, low, high))
            lines.append(
                (
                    str(number),
                    self._put("rows", rows, as_count, subject=subject, unit=ROWS),
                    self._put("predicted", predicted, as_percent, subject=subject, unit="probability"),
                    self._put(
                        "won", share, as_percent, subject=subject, unit=SHARE, interval=Interval(share, low, high)
                    ),
                    self._put("wins", wins, as_count, subject=subject, unit=ROWS),
                    self._put("expected_wins", predicted * rows, as_one_decimal, subject=subject, unit=ROWS),
                )
            )
        drawing = reliability_picture(points)
        self.drawings.append(drawing)
        shown = Picture(
            "Share won against predicted probability, ten bins of equally many rows, with 95 % intervals. On the "
            "dashed line the probabilities are right.",
            drawing,
            self._drawn_in,
        )
        return Section(
            "Calibration", (shown, Grid(("Bin", "Rows", "Predicted", "Won", "Wins", "Expected"), tuple(lines)))
        )

    @property
    def _drawn_in(self) -> str:
        return f"{self._of.month}.svg"

    def _gain(self) -> Section:
        self._begin("Cumulative gain")
        worked = np.arange(101) / 100
        curves = {
            "model": _found(self._won, self._probability, worked),
            "age": _found(self._won, self._of.predictions["age_table_probability"].to_numpy(dtype=np.float64), worked),
        }
        lines = []
        for step in range(10, 101, 10):
            subject = f"first {step:03d} %"
            lines.append(
                (
                    f"{step} %",
                    self._put("model", float(curves["model"][step]), as_percent, subject=subject, unit=SHARE),
                    self._put("age_table", float(curves["age"][step]), as_percent, subject=subject, unit=SHARE),
                )
            )
        model, age = (list(zip(worked.tolist(), curves[name].tolist(), strict=True)) for name in ("model", "age"))
        drawing = gain_picture(model, age)
        self.drawings.append(drawing)
        shown = Picture(
            f"Share of the wins found when deals are worked through from the highest probability down: the model in "
            f"colour, the {WORDS[AGE_TABLE]} in grey, at random dashed.",
            drawing,
            self._drawn_in,
        )
        header = ("Deals worked through", "Wins found by the model", f"by the {WORDS[AGE_TABLE]}")
        return Section("Cumulative gain", (shown, Grid(header, tuple(lines))))

    def _segments(self) -> Section:
        self._begin("Segments")
        rows, blocks = self._of.predictions, list[Block]()
        squared = (self._probability - self._won) ** 2
        for level, column in SEGMENTS.items():
            parts = {str(name): at for name, at in rows.groupby(column).indices.items()}
            lines = []
            for name, at in sorted(parts.items()):
                if len(at) < SEGMENT_ROWS:
                    continue
                subject = f"{level} {name}"
                brier = clustered_mean(squared[at], self._deal[at])
                auc = area_under_curve(self._won[at], self._probability[at])
                lines.append(
                    (
                        self._fact("segment", name, subject=subject),
                        self._put("rows", len(at), as_count, subject=subject, unit=ROWS),
                        self._put("wins", int(self._won[at].sum()), as_count, subject=subject, unit=ROWS),
                        self._put("expected_wins", float(self._probability[at].sum()), as_one_decimal, subject=subject),
                        self._put(
                            "brier", brier.estimate, as_four_decimals, subject=subject, unit=SQUARED, interval=brier
                        ),
                        self._put("auc", auc, as_three_decimals, subject=subject),
                    )
                )
            small = [len(at) for at in parts.values() if len(at) < SEGMENT_ROWS]
            if lines:
                blocks.append(Grid((level.capitalize(), "Rows", "Wins", "Expected", "Brier", "AUC"), tuple(lines)))
            if small:
                count = self._put("left_out", len(small), as_count, subject=level)
                left = self._put("rows_left_out", sum(small), as_count, subject=level, unit=ROWS)
                blocks.append(
                    Paragraph(
                        f"By {level}: {count} with fewer than {SEGMENT_ROWS} rows, {left} rows in all.", note=True
                    )
                )
        about = "The row of an agent tells how good the model is on their deals, not how good they are."
        blocks.append(Paragraph(about, note=True))
        return Section("Segments", tuple(blocks))

    def _own(self) -> Section:
        self._begin("The champion itself")
        champion, decision = self._of.champion, self._of.decision
        since = str(decision["champion_month"])
        own = self._of.unseen.merge(
            self._of.predictions[["opportunity_id", "snapshot_month", "won", "age_table_probability"]],
            on=["opportunity_id", "snapshot_month"],
            how="inner",
        )
        if champion is None or own.empty:
            told = f"It was trained at the end of {since}, and no outcome has matured since that it had not seen."
            return Section(self._section, (Paragraph(told),))
        months = sorted(str(month) for month in own["snapshot_month"].unique())
        groups = [(month, own[own["snapshot_month"] == month]) for month in months]
        lines = [self._own_line(month, rows) for month, rows in groups]
        if len(months) > 1:
            lines.append(self._own_line("together", own))
        told = (
            f"What version {decision['champion_version']} itself predicts of the books from {since} on, whose outcomes "
            "it had not seen when it was trained:"
        )
        header = ("Book", "Rows", "Wins", "Expected", "Brier", "by age and quarter", "AUC")
        return Section(self._section, (Paragraph(told), Grid(header, tuple(lines))))

    def _own_line(self, subject: str, rows: pd.DataFrame) -> tuple[str, ...]:
        won, probability = rows["won"].to_numpy(), rows["probability"].to_numpy(dtype=np.float64)
        age = brier_score(won, rows["age_table_probability"])
        brier = clustered_mean((probability - won) ** 2, rows["opportunity_id"].to_numpy(dtype=str))
        return (
            subject,
            self._put("rows", won.size, as_count, subject=subject, unit=ROWS),
            self._put("wins", int(won.sum()), as_count, subject=subject, unit=ROWS),
            self._put("expected_wins", float(probability.sum()), as_one_decimal, subject=subject, unit=ROWS),
            self._put("brier", brier.estimate, as_four_decimals, subject=subject, unit=SQUARED, interval=brier),
            self._put("age_table_brier", age, as_four_decimals, subject=subject, unit=SQUARED),
            self._put("auc", area_under_curve(won, probability), as_three_decimals, subject=subject),
        )

    def _candidates(self) -> Section:
        self._begin("Candidates")
        rows = self._of.predictions
        keys = ["opportunity_id", "snapshot_month"]
        lines = []
        for name, own in self._of.candidates.groupby("candidate"):
            both = rows[[*keys, "won", "probability", "candidate"]].merge(
                own[[*keys, "probability"]], on=keys, suffixes=("", "_own")
            )
            won, probability = both["won"].to_numpy(), both["probability_own"].to_numpy(dtype=np.float64)
            figures, subject = measure(won, probability), str(name)
            worse = (probability - won) ** 2 - (both["probability"].to_numpy(dtype=np.float64) - won) ** 2
            gap = clustered_mean(worse, both["opportunity_id"].to_numpy(dtype=str))
            months = int(both.loc[both["candidate"] == name, "snapshot_month"].nunique())
            lines.append(
                (
                    self._fact("candidate", subject, subject=subject),
                    self._put("months_chosen", months, as_count, subject=subject, unit=MONTHS),
                    self._put("brier", figures.brier, as_four_decimals, subject=subject, unit=SQUARED),
                    self._put("brier_over_chosen", gap.estimate, as_signed, subject=subject, interval=gap),
                    self._put("auc", figures.auc, as_three_decimals, subject=subject),
                    self._put("average_precision", figures.average_precision, as_three_decimals, subject=subject),
                    self._put("log_loss", figures.log_loss, as_four_decimals, subject=subject, unit="nats"),
                    self._put("calibration_error", figures.calibration_error, as_three_decimals, subject=subject),
                )
            )
        header = ("Candidate", "Months chosen", "Brier", "Brier above the chosen", "AUC", "Average precision")
        return Section(
            "Candidates",
            (
                Paragraph("Every candidate on the same rows, each book predicted by its model of that month-end:"),
                Grid((*header, "Log loss", "Calibration error"), tuple(lines)),
            ),
        )

    def judged_limits(self) -> list[str]:
        """What the figures show the limits of the model to be, after they were put down."""
        rows = self._of.predictions
        count, wins = (self._told("Figures", name) for name in ("rows", "wins"))
        shares = {month: len(at) / self._won.size for month, at in self._at.items()}
        won = {month: int(self._won[at].sum()) / max(1, int(self._won.sum())) for month, at in self._at.items()}
        most, most_won = (max(parts, key=lambda month: (parts[month], month)) for parts in (shares, won))
        largest = self._put("largest_share_of_rows", shares[most], as_percent, subject=most, unit=SHARE)
        largest_won = self._put("largest_share_of_wins", won[most_won], as_percent, subject=most_won, unit=SHARE)
        items = [
            f"{count} rows and {wins} wins, but only {len(self._months)} months: {most} has {largest} of the rows, "
            f"{most_won} {largest_won} of the wins. The intervals draw deals, not months, so they do not contain how "
            "much the next month may differ."
        ]
        aucs = {m: found["auc"].estimate for m, found in self._intervals.months.items()}
        defined = {month: auc for month, auc in aucs.items() if auc is not None}
        if defined:
            worst, best = min(defined, key=lambda m: defined[m]), max(defined, key=lambda m: defined[m])
            low_auc = self._put("lowest_auc", defined[worst], as_three_decimals, subject=worst)
            high_auc = self._put("highest_auc", defined[best], as_three_decimals, subject=best)
            items.append(f"Months differ: the AUC was {low_auc} in {worst} and {high_auc} in {best}.")
        gaps = {m: float((self._probability[at] - self._won[at]).mean()) for m, at in self._at.items()}
        off = max(gaps, key=lambda month: (abs(gaps[month]), month))
        told = self._put("largest_gap", 100 * abs(gaps[off]), as_one_decimal, subject=off, unit="points")
        items.append(
            f"Deals of a month are not independent: in {off} the expected wins were {told} points per row too "
            f"{'many' if gaps[off] > 0 else 'few'}, and such a month shifts all of its probabilities at once."
        )
        beaten = [
            month
            for month, at in self._at.items()
            if (brier_score(self._won[at], self._probability[at]) or 0.0)
            > (brier_score(self._won[at], rows["age_table_probability"].iloc[at]) or 0.0)
        ]
        lost_to = self._put("months_worse_than_age_table", len(beaten), as_count, unit=MONTHS)
        named = f" ({', '.join(beaten)})" if beaten else ""
        items.append(f"In {lost_to} of the {len(self._months)} months{named} the plain {WORDS[AGE_TABLE]} was better.")
        order = np.argsort(self._probability, kind="stable")
        low = order[: int(0.4 * order.size)]
        if low.size:
            expected = self._put("expected_lowest_40", float(self._probability[low].sum()), as_one_decimal, unit=ROWS)
            came = self._put("wins_lowest_40", int(self._won[low].sum()), as_count, unit=ROWS)
            told = self._put("rows_lowest_40", low.size, as_count, unit=ROWS)
            items.append(
                f"Small probabilities: among the {told} rows with the lowest ones, 40 % of all, {expected} wins "
                f"were expected and {came} came. So few wins do not tell 1 in 100 from 1 in 1,000."
            )
        return items


def _wilson(wins: int, rows: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which stays inside [0, 1]."""
    share, spread = wins / rows, _Z**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = _Z / (1 + spread) * np.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def _found(
    won: NDArray[np.int64], probability: NDArray[np.float64], worked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the wins among the shares `worked` of the rows, the highest probability first; ties in any order."""
    _, tie, rows = np.unique(-probability, return_inverse=True, return_counts=True)
    ranked = np.concatenate([[0], np.cumsum(rows)]) / won.size
    found = np.concatenate([[0], np.cumsum(np.bincount(tie, weights=won))]) / max(1, int(won.sum()))
    return np.asarray(np.interp(worked, ranked, found), dtype=np.float64)
