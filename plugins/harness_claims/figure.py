"""The figure of a claim: the effect of each seed, the interval of each condition, and the region where it is true."""

from __future__ import annotations

import math
from html import escape

from harness_claims.claim import Claim
from harness_claims.deciding import Decided
from harness_claims.text import quantity

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 720, 210, 20, 30, 8, 46
COLOUR = {"holds": "#1a7f37", "fails": "#cf222e", "not settled": "#57606a"}
TRUE = "#dafbe1"
TICKS = 5


def figure(claim: Claim, decided: tuple[Decided, ...], language: str = "en") -> str:
    """Return an SVG image: a row for each condition, with a mark for each seed and a bar for the interval.

    Args:
        claim: The claim.
        decided: The outcome of each condition.
        language: The language of its text.
    """
    height = TOP + ROW * len(decided) + BOTTOM
    low, high = _range(claim, decided)

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    bottom = TOP + ROW * len(decided)
    start, end = x(claim.region.low), x(claim.region.high)
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(quantity(claim, language))}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<rect x="{start:.1f}" y="{TOP}" width="{end - start:.1f}" height="{bottom - TOP}" fill="{TRUE}"/>',
    ]
    for tick in _ticks(low, high):
        found += [
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{bottom}" stroke="#d0d7de"/>',
            f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle" fill="#57606a">{tick:.6g}</text>',
        ]
    found.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{bottom + 36}" text-anchor="middle" fill="#24292f">'
        f"{escape(_short(quantity(claim, language), 90))}</text>"
    )
    for place, one in enumerate(decided):
        y, colour = TOP + ROW * (place + 0.5), COLOUR[one.outcome]
        found.append(f'<text x="8" y="{y + 4:.1f}" fill="#24292f">{escape(_short(one.condition, 32))}</text>')
        if one.low is not None and one.high is not None and claim.of == "mean":
            found.append(
                f'<line x1="{x(one.low):.1f}" x2="{x(one.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
                'stroke-width="5" stroke-opacity="0.5"/>'
            )
        found += [
            f'<circle cx="{x(effect):.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity="0.55"/>'
            for effect in one.effects
            if effect is not None
        ]
        if one.estimate is not None and claim.of != "share":
            found.append(
                f'<line x1="{x(one.estimate):.1f}" x2="{x(one.estimate):.1f}" y1="{y - 8:.1f}" y2="{y + 8:.1f}" '
                f'stroke="{colour}" stroke-width="2"/>'
            )
    return "\n".join([*found, "</svg>\n"])


def _range(claim: Claim, decided: tuple[Decided, ...]) -> tuple[float, float]:
    """Return the ends of the axis: all finite numbers of the figure, with a margin."""
    numbers = [claim.region.low, claim.region.high]
    for one in decided:
        numbers += [value for value in (*one.effects, one.low, one.high) if value is not None]
    finite = [number for number in numbers if math.isfinite(number)]
    low, high = min(finite), max(finite)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.5
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two ends."""
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(place * step, 12) for place in range(first, math.floor(high / step) + 1)]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
