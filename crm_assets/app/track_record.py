"""How often deals with such a probability were won, in the months that the model was tested on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

_SECTION = "Calibration"


@dataclass(frozen=True)
class TrackRecord:
    """Deals that had about the same probability.

    Attributes:
        deals: how many, counted once a month.
        predicted: their mean probability.
        won: share of them that was won.
        low, high: interval that the share of many such deals lies in with 95 % confidence.
    """

    deals: int
    predicted: float
    won: float
    low: float
    high: float

    @classmethod
    def near(cls, card: Iterable[Mapping[str, Any]] | None, probability: float) -> Self | None:
        """The tenth of the tested deals whose mean probability is nearest; None where the card does not tell.

        Args:
            card: figures of the model card, as the API tells them.
            probability: of the deal.
        """
        bins: dict[str, dict[str, Mapping[str, Any]]] = {}
        for figure in card or ():
            if figure["section"] == _SECTION:
                bins.setdefault(figure["subject"], {})[figure["name"]] = figure
        whole = [one for one in bins.values() if {"rows", "predicted", "won"} <= one.keys() and _sure(one["won"])]
        if not whole:
            return None
        one = min(whole, key=lambda one: abs(one["predicted"]["value"] - probability))
        won, predicted = one["won"], one["predicted"]["value"]
        return cls(
            int(one["rows"]["value"]),
            predicted,
            won["value"],
            max(won["low"], 0.0),
            won["high"],
        )


def _sure(figure: Mapping[str, Any]) -> bool:
    return None not in (figure["value"], figure["low"], figure["high"])
