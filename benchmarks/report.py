"""Results as tables for people."""

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.cases import CASES, Growth
from benchmarks.results import Gap, Results, ratio
from benchmarks.runners import RUNNERS, Kind

__all__ = [
    "Lines",
    "case_lines",
    "case_table",
    "flatness",
    "growth",
    "growth_lines",
    "growth_table",
    "markdown",
    "memory_lines",
    "memory_table",
    "summary_table",
    "table",
]

#: Cells of a table; those of the first line are the titles.
Lines = Sequence[Sequence[str]]


_TITLES: Final = (
    *("runner", "ops/s", "p50 us", "p99 us", "CPU us/op", "best CPU", "peak MiB"),
    *("wall / asyncpg", "CPU / asyncpg", "CPU / best peer", "G"),
)


def case_table(results: Results, case: str) -> str:
    """All runners of one case."""
    return f"{case}: {CASES[case].title}\n{table(case_lines(results, case))}"


def case_lines(results: Results, case: str) -> Lines:
    """The cells of `case_table`."""
    lines: list[Sequence[str]] = [_TITLES]
    for result in results.of(case):
        baseline, peer = results.baseline(result), results.best_peer(result, "cpu")
        compared = baseline is not None and baseline is not result
        is_ours = RUNNERS[result.runner].kind is Kind.OURS
        lines.append(
            (
                result.runner,
                f"{1 / result.median('wall'):,.0f}",
                _microseconds(result.middle("p50")),
                _microseconds(result.middle("p99")),
                f"{result.median('cpu') * 1e6:,.1f}",
                f"{min(result.per_operation('cpu')) * 1e6:,.1f}",
                _number(result.middle("peak_mib")),
                str(ratio(baseline, result, "wall")) if compared and baseline else "",
                str(ratio(baseline, result, "cpu")) if compared and baseline else "",
                f"{ratio(peer, result, 'cpu')} {peer.runner}" if is_ours and peer is not None else "",
                _gap(results.gap(result)),
            )
        )
    return lines


def summary_table(results: Results) -> str:
    """Ours in all cases, a line each; empty if none of ours was measured."""
    titles = ("case", "runner", "CPU us/op", "wall / asyncpg", "CPU / asyncpg", "wall / best peer", "CPU / best peer")
    lines: list[Sequence[str]] = [(*titles, "G")]
    for result in results.all:
        if RUNNERS[result.runner].kind is not Kind.OURS:
            continue
        baseline = results.baseline(result)
        cells = [result.case, result.runner, f"{result.median('cpu') * 1e6:,.1f}"]
        cells += [f"{ratio(baseline, result, each).median:.2f}" if baseline else "" for each in ("wall", "cpu")]
        for measure in ("wall", "cpu"):
            peer = results.best_peer(result, measure)
            cells.append(f"{ratio(peer, result, measure).median:.2f} {peer.runner}" if peer else "")
        lines.append((*cells, _gap(results.gap(result))))
    return table(lines) if len(lines) > 1 else ""


def _gap(gap: Gap | None) -> str:
    if gap is None:
        return ""
    if not gap.counts:
        return f"- ({gap.above_floor:.0%} above floor)"
    return str(gap.share)


def _microseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:,.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def memory_table(results: Results) -> str:
    """Memory of the case that measures one result in a fresh process; empty without it."""
    lines = memory_lines(results)
    return table(lines) if lines else ""


def memory_lines(results: Results) -> Lines:
    """The cells of `memory_table`."""
    lines: list[Sequence[str]] = [("case", "runner", "peak MiB", "kept MiB")]
    for result in results.all:
        kept = result.middle("kept_mib")
        if kept is not None:
            lines.append((result.case, result.runner, _number(result.middle("peak_mib")), _number(kept)))
    return lines if len(lines) > 1 else []


def growth(results: Results, series: Growth) -> dict[str, dict[int, float]]:
    """CPU in seconds per row or per task, by runner and size."""
    costs: dict[str, dict[int, float]] = {}
    for result in results.all:
        case = CASES[result.case]
        if case.growth is series:
            # An operation of the other series is the lookup of one task.
            per = case.rows if series is Growth.ROWS else 1
            costs.setdefault(result.runner, {})[case.size] = result.median("cpu") / per
    return costs


def flatness(costs: Iterable[float]) -> float:
    """The most by the least: 1 is flat."""
    found = list(costs)
    return max(found) / min(found)


def growth_table(results: Results, series: Growth) -> str:
    """CPU per row or per task at each size, the most by the least, and the last by the first; empty if of one size."""
    lines = growth_lines(results, series)
    return table(lines) if lines else ""


def growth_lines(results: Results, series: Growth) -> Lines:
    """The cells of `growth_table`."""
    costs = growth(results, series)
    sizes = sorted({size for of_runner in costs.values() for size in of_runner})
    if len(sizes) < 2:
        return []
    unit = series.value
    lines: list[Sequence[str]] = [("runner", *(f"{size:,} {unit}" for size in sizes), "max / min", "last / first")]
    for runner, found in costs.items():
        if len(found) == len(sizes):
            cells = (f"{found[size] * 1e9:,.0f} ns" for size in sizes)
            shares = (flatness(found.values()), found[sizes[-1]] / found[sizes[0]])
            lines.append((runner, *cells, *(f"{share:.2f}" for share in shares)))
    return lines


def markdown(lines: Lines, texts: int = 1) -> str:
    """The same as `table`, for Markdown; so many columns are texts, and aligned to the left."""

    def format_line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    title, *rest = lines
    below = [*["---"] * texts, *["--:"] * (len(title) - texts)]
    return "\n".join(map(format_line, (title, below, *rest)))


def table(lines: Lines) -> str:
    """Lines of cells, the first of them the titles, as aligned text; the first column to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]

    def format_line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  " + "  ".join([first, *others]).rstrip()

    title, *rest = lines
    return "\n".join([format_line(title), format_line(["-" * width for width in widths]), *map(format_line, rest)])
