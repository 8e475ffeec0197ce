"""Pictures of a model card as SVG: drawn in a few lines, equal for equal figures, and quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from crm_assets.modelling.page import COLOURS

_WIDTH, _HEIGHT = 380, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 14, 44

_STYLE = (
    "text { font: 11px system-ui, sans-serif; fill: var(--faint); } .line { stroke: var(--line); } "
    ".right { stroke: var(--faint); stroke-dasharray: 4 4; fill: none; } "
    ".other { stroke: var(--faint); fill: none; stroke-width: 1.5; } "
    ".model { stroke: var(--accent); fill: none; stroke-width: 2; } .dot { fill: var(--accent); }"
)

_STEPS = {0.1: 5, 0.2: 4, 0.4: 4, 0.6: 6, 0.8: 4, 1.0: 5}
"""Where an axis may end -> steps of whole percents up to there."""

Points = Sequence[tuple[float, float]]


def reliability_picture(bins: Sequence[tuple[float, float, float, float]]) -> str:
    """Share won against mean probability, with the interval of the share.

    Args:
        bins: mean probability, share won and the ends of its interval, each in [0, 1].
    """
    top = min(1.0, _rounded_up(max((max(p, high) for p, _, _, high in bins), default=1.0)))
    x, y, frame = _axes(top, top, "predicted probability of a win (%)", "won (%)")
    parts = [frame, _path([(x(0), y(0)), (x(top), y(top))], "right")]
    for predicted, won, low, high in bins:
        at = x(predicted)
        parts.append(_path([(at, y(low)), (at, y(min(high, top)))], "model"))
        parts.append(f'<circle class="dot" cx="{at:.1f}" cy="{y(won):.1f}" r="4"/>')
    return _svg(parts, "Share won against predicted probability; on the dashed line the probabilities are right")


def gain_picture(model: Points, reference: Points) -> str:
    """Share of the wins found against share of the deals worked through, of the model and of a reference."""
    x, y, frame = _axes(1.0, 1.0, "deals worked through, highest probability first (%)", "wins among them (%)")
    parts = [
        frame,
        _path([(x(0), y(0)), (x(1), y(1))], "right"),
        _path([(x(a), y(b)) for a, b in reference], "other"),
        _path([(x(a), y(b)) for a, b in model], "model"),
    ]
    return _svg(parts, "Share of the wins found against share of the deals worked through")


def beside(pictures: Sequence[str]) -> str:
    """Pictures side by side in one SVG file of their own; an empty one when there are none."""
    placed = [
        picture.replace("<svg ", f'<svg x="{at * _WIDTH}" width="{_WIDTH}" height="{_HEIGHT}" ', 1)
        for at, picture in enumerate(pictures)
    ]
    width = max(1, len(pictures)) * _WIDTH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}">\n'
        f'<style>{COLOURS}</style>\n<rect width="100%" height="100%" style="fill: var(--paper)"/>\n'
        + "\n".join(placed)
        + "\n</svg>\n"
    )


def _rounded_up(share: float) -> float:
    return next((end for end in _STEPS if share <= end), 1.0)


def _axes(
    right: float, top: float, along: str, up: str
) -> tuple[Callable[[float], float], Callable[[float], float], str]:
    """Where a value is across and up, and the drawn axes."""

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / right

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top

    parts = []
    for step in range(_STEPS[top] + 1):
        across, above = right * step / _STEPS[top], top * step / _STEPS[top]
        parts.append(
            f'<path class="line" d="M{x(0):.1f} {y(above):.1f}H{x(right):.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y(above) + 4:.1f}" text-anchor="end">{100 * above:.0f}</text>'
            f'<text x="{x(across):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{100 * across:.0f}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(along)}</text>')
    centre = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(12 {centre:.1f}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    return x, y, "\n".join(parts)


def _path(points: Points, kind: str) -> str:
    return f'<path class="{kind}" d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in points)}"/>'


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>"
    )
