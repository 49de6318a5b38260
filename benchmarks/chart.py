"""Results as SVG, for the documentation: no library, and the same text for the same results."""

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.cases import CASES, Growth
from benchmarks.report import flatness, growth
from benchmarks.results import Result, Results, ratio
from benchmarks.runners import BASELINE, RUNNERS

__all__ = ["charts", "comparison_chart", "growth_chart"]

_WIDTH: Final = 760
_LEFT: Final = 150
_RIGHT: Final = 60
_BAR: Final = 11
#: Chosen to be told apart by those who see red and green alike, and on light and dark grounds.
_COLORS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442")
_GREY: Final = "#888888"


def _text(x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GREY}"{dashes}/>'


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'font-family="sans-serif" font-size="11" fill="{_GREY}">'
    )
    body = [f"<title>{escape(title)}</title>", _text(10, 18, title, bold=True), *parts]
    return "\n".join([head, *body, "</svg>", ""])


def _legend(names: Sequence[str]) -> tuple[list[str], float]:
    """Names and their colors, in as many lines as they need, and where the last line ends."""
    parts: list[str] = []
    x, y = 10.0, 38.0
    for index, name in enumerate(names):
        width = 30 + 6.5 * len(name)
        if x + width > _WIDTH and x > 10:
            x, y = 10.0, y + 16
        parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{_color(index)}"/>')
        parts.append(_text(x + 14, y, name))
        x += width
    return parts, y


def _color(index: int) -> str:
    return _COLORS[index % len(_COLORS)]


def comparison_chart(results: Results, loop: str) -> str:
    """Operations for the processor time that asyncpg needs for one, of each runner of a loop in each case; "" if none.

    asyncpg is the line at 1, longer is better; a bar that leaves the drawing has its number beside it.
    """
    bars: dict[str, dict[str, float]] = {}
    for result in results.all:
        baseline = results.baseline(result)
        if CASES[result.case].growth is None and baseline is not None and _is_drawn(result, loop):
            bars.setdefault(result.case, {})[result.runner] = ratio(baseline, result, "cpu").median
    runners = list(dict.fromkeys(name for of_case in bars.values() for name in of_case))
    if not runners:
        return ""
    limit = 8.0
    scale = (_WIDTH - _LEFT - _RIGHT) / limit
    parts, top = _legend([name.removesuffix(f"-{loop}") for name in runners])
    y = top + 14
    for case, of_case in bars.items():
        parts.append(_text(_LEFT - 8, y + _BAR * len(of_case) / 2 + 4, case, "end"))
        for runner, value in of_case.items():
            width = min(value, limit) * scale
            parts.append(
                f'<rect x="{_LEFT}" y="{y:.1f}" width="{width:.1f}" height="{_BAR - 2}" '
                f'fill="{_color(runners.index(runner))}"><title>{escape(runner)}: {value:.2f}</title></rect>'
            )
            parts.append(_text(_LEFT + width + 4, y + _BAR - 3, f"{value:.1f}"))
            y += _BAR
        y += 7
    parts.append(_line(_LEFT + scale, top + 8, _LEFT + scale, y, "4 3"))
    parts.append(_text(_LEFT + scale, y + 14, "asyncpg", "middle"))
    return _drawing(f"Operations per processor time of the client, asyncpg = 1 ({loop})", y + 24, parts)


def _is_drawn(result: Result, loop: str) -> bool:
    runner = RUNNERS[result.runner]
    # What is for one case alone is in its table.
    hidden = ("pgsansio-terminate", "pgsansio-pipeline", "asyncpg-dedicated", BASELINE)
    return runner.loop == loop and runner.name.removesuffix("-uvloop") not in hidden


def growth_chart(results: Results, series: Growth) -> str:
    """What one row or task costs, by their number; a level line is what is wanted. "" if there is one size."""
    costs = growth(results, series)
    sizes = sorted({size for found in costs.values() for size in found})
    if len(sizes) < 2:
        return ""
    parts, above = _legend([f"{runner} {flatness(found.values()):.2f}" for runner, found in costs.items()])
    top = above + 18
    bottom = top + 274
    highest = max(cost for found in costs.values() for cost in found.values())
    span = math.log10(sizes[-1] / sizes[0])

    def place(size: int, cost: float) -> tuple[float, float]:
        share = math.log10(size / sizes[0]) / span
        return 60 + share * (_WIDTH - 60 - _RIGHT), bottom - cost / highest * (bottom - top)

    unit = series.value
    for size in sizes:
        x, _ = place(size, 0)
        parts += [_line(x, top, x, bottom, "1 4"), _text(x, bottom + 16, f"{size:,}", "middle")]
    for part in range(5):
        cost = highest * part / 4
        x, y = place(sizes[0], cost)
        parts += [_line(x, y, _WIDTH - _RIGHT, y, "1 4"), _text(x - 6, y + 4, _cost(cost), "end")]
    for index, (runner, found) in enumerate(costs.items()):
        parts.append(_curve(runner, [place(size, found[size]) for size in sorted(found)], _color(index)))
    parts.append(_text(_WIDTH / 2, bottom + 34, f"number of {unit}", "middle"))
    title = f"Processor time of the client per {unit.removesuffix('s')}; beside the names the most by the least"
    return _drawing(title, bottom + 44, parts)


def _curve(name: str, places: Sequence[tuple[float, float]], color: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    line = f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'
    return f'<g fill="{color}"><title>{escape(name)}</title>{line}{dots}</g>'


def _cost(seconds: float) -> str:
    return f"{seconds * 1e9:,.0f} ns" if seconds < 1e-5 else f"{seconds * 1e6:,.0f} us"


def charts(results: Results) -> Mapping[str, str]:
    """All charts that these results allow, by the names of their files."""
    drawn = {f"cases-{loop}.svg": comparison_chart(results, loop) for loop in ("asyncio", "uvloop", "trio")}
    drawn |= {f"growth-{series.value}.svg": growth_chart(results, series) for series in Growth}
    return {name: text for name, text in drawn.items() if text}
