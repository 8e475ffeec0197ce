"""What the page says of a model's report, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_assets.app.states import sentence
from crm_assets.app.wording import count, percent

FIGURES: Mapping[str, tuple[str, str]] = {
    "mean_auc": (
        "Pairs in the right order, within a month",
        "Of a deal that was won and one that was not, how often the won one had the higher probability; 50 % is chance",
    ),
    "auc": ("Pairs in the right order, over all months", "The same; it also counts for telling months apart"),
    "average_precision": (
        "Average precision",
        "How pure the top of the list is, over all lengths; in any order it would be the share of wins",
    ),
    "top_decile_lift": (
        "Lift of the best tenth",
        "How many times more wins there are among the tenth ranked highest than in a tenth at random",
    ),
    "brier": ("Error of the probabilities (Brier score)", "Mean squared distance from what came; 0 is perfect"),
    "base_rate_brier": (
        "The same of the base rate",
        "When each deal is given the share that is usually won in such a month of the quarter",
    ),
    "age_table_brier": (
        "The same of the rate by age",
        "When each deal is given the share won of such a month and of deals as old",
    ),
    "skill_vs_base_rate": ("Less error than the base rate", "0 % would be no better"),
    "skill_vs_age_table": ("Less error than the rate by age", "0 % would be no better"),
    "log_loss": ("Log loss", "Another error, which punishes confident mistakes hardest; 0 is perfect"),
    "calibration_error": (
        "Off on average (calibration error)",
        "How far probabilities and the shares that were won lie apart; chance alone makes some of it",
    ),
}
"""Figure of the backtest -> what it is called, and what it means."""

_SHARES = frozenset({"mean_auc", "auc", "skill_vs_base_rate", "skill_vs_age_table"})
_POINTS = "calibration_error"


def written(name: str, figure: Mapping[str, Any]) -> str:
    """A figure as it is shown, with its interval where it has one."""
    text = _number(name, figure.get("value"))
    if figure.get("value") is None or figure.get("low") is None:
        return text
    return f"{text} ({interval(name, figure)})"


def interval(name: str, figure: Mapping[str, Any]) -> str:
    """The ends of a figure's interval; blank where it has none."""
    if figure.get("low") is None or figure.get("high") is None:
        return ""
    return f"{_number(name, figure['low'])} to {_number(name, figure['high'])}"


def _number(name: str, value: float | None) -> str:
    if name in _SHARES:
        return percent(value)
    if name == _POINTS:
        return percent(value, 1)
    return count(value, 1 if name == "top_decile_lift" else 4)


def decides(report: Mapping[str, Any]) -> str:
    """Which model decides, since when, and what it learnt from."""
    champion = report["champion"]
    if champion is None:
        return "No model decides, so nothing is scored yet."
    told = f"**Version {champion['version']}** decides since {champion['champion_since']}. It is "
    if champion["rung"] == "model":
        recipe = f" ({champion['recipe']})" if champion["recipe"] else ""
        told += f"a trained model of the kind `{champion['candidate']}`{recipe}."
    else:
        told += f"no trained model yet but the {champion['rung_in_words']}, the best that so few wins allow."
    if champion["rows"]:
        told += (
            f" It learnt from {count(champion['rows'])} views of open deals at the ends of {champion['learnt_from']}, "
            f"of which {count(champion['wins'])} were won in the month after."
        )
    return told


def beside(report: Mapping[str, Any]) -> str:
    """What became of the month's own model; blank where it is the one that decides, or there is none."""
    challenger, newest = report["challenger"], report["promotions"][0] if report["promotions"] else None
    if challenger is None or newest is None:
        return ""
    return (
        f"The challenger of {challenger['month']}, version {challenger['version']} (`{challenger['candidate']}`), was "
        "trained and did not take its place; *Promotions* tells why."
    )


def calibration(bins: Sequence[Mapping[str, Any]]) -> str:
    """One bin in words: the one that was predicted nearest to 30 %, where most is decided."""
    if not bins:
        return ""
    one = min(bins, key=lambda each: abs(each["predicted"] - 0.3))
    return (
        f"Of the {count(one['rows'])} deals, counted once a month, that it gave about {percent(one['predicted'])}, "
        f"{percent(one['won']['value'])} were won (95 % interval: {percent(one['won']['low'])} to "
        f"{percent(one['won']['high'])})."
    )


def gain(points: Sequence[Mapping[str, Any]]) -> str:
    """What the top fifth of the list holds."""
    fifth = next((point for point in points if abs(point["worked"] - 0.2) < 1e-9), None)
    if fifth is None:
        return ""
    return (
        f"The top 20 % of the list held {percent(fifth['model'])} of the wins. In any order it would be 20 %, by age "
        f"alone {percent(fifth['age_table'])}."
    )


def importance(shares: Sequence[Mapping[str, Any]], agents: Sequence[str]) -> str:
    """How much of what it looks at is about the agent."""
    about = sum(one["share"] for one in shares if one["name"] in agents)
    if not about:
        return "Nothing that it looks at is about the agent."
    return (
        f"{percent(about)} of it is about the agent who sells. That tells of deals, not of anybody's merit: do not "
        "judge people by it."
    )


def outcome(promotion: Mapping[str, Any]) -> str:
    """What was decided in a month, in two or three words."""
    if promotion["promoted"]:
        return "became champion"
    if promotion["trained"]:
        return "not promoted"
    return "none trained"


def in_short(promotion: Mapping[str, Any]) -> str:
    """Why it was decided so, without figures."""
    if promotion["promoted"]:
        if promotion["champion_rung"] not in (None, "model"):
            return "There is no model that could decide, and this is the best that so few wins allow."
        return "It was surely better on months that neither model had seen, and passed every check."
    if not promotion["trained"]:
        return "Too few deals had been won, or not won, to learn from."
    failed = [_FAILED[kind] for check in promotion["checks"] if check["verdict"] == "failed" for kind in _kinds(check)]
    return " ".join(dict.fromkeys(failed)) or sentence(promotion["reason"])


_FAILED: Mapping[str, str] = {
    "contract": "It was trained on data of another layout than today's.",
    "leakage": "It failed the leakage gate.",
    "withdrawn": "It was rolled back before, and stays so.",
    "comparison": "There was nothing yet that shows which of the two is better.",
    "brier": "Its probabilities were not surely closer to what came.",
    "average precision": "Its list was not surely better ordered.",
    "calibration": "In some month it expected too many or too few wins.",
    "segments": "It was worse for a region, product or agent.",
}
"""Kind of a check of the promotion gate -> what it means that it failed."""


def _kinds(check: Mapping[str, Any]) -> list[str]:
    return [kind for kind in _FAILED if check["name"].startswith(kind)]


def reason(promotion: Mapping[str, Any]) -> str:
    """Why, with all figures."""
    return sentence(promotion["reason"])


def leakage(found: Mapping[str, Any]) -> str:
    """The outcome of the leakage gate in one sentence."""
    if found["failed"]:
        return f"{count(found['failed'])} of {count(_tried(found))} checks failed, so this model may not decide."
    left = f" {count(found['not_run'])} could not be run." if found["not_run"] else ""
    return f"All {count(found['passed'])} checks passed: nothing of the future had a hand in this model.{left}"


def _tried(found: Mapping[str, Any]) -> int:
    return int(found["passed"] + found["failed"] + found["not_run"])
