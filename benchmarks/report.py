"""What the rounds have shown, as tables for people and as JSON for programs."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.cases import CASES
from benchmarks.runners import BASELINE, RUNNERS

__all__ = ["Result", "Round", "as_json", "growth_table", "main_table", "memory_table", "table"]


@dataclass(frozen=True, slots=True)
class Round:
    """One measured run: seconds and MiB for `count` operations."""

    count: int
    wall: float
    cpu: float
    peak_mib: float | None = None
    kept_mib: float | None = None


@dataclass(slots=True)
class Result:
    """All rounds of one runner at one case; round number i of all runners was measured at about the same time.

    `rows` are those of one operation.
    """

    case: str
    runner: str
    rows: int
    rounds: list[Round]

    def per_operation(self, measure: str) -> list[float]:
        """Seconds of "wall" or "cpu" for one operation, in each round."""
        return [getattr(each, measure) / each.count for each in self.rounds]

    def median(self, measure: str) -> float:
        return statistics.median(self.per_operation(measure))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the baseline; of each round, then the median and the extremes of these."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f}-{self.highest:.2f})"


def ratio(baseline: Result, result: Result, measure: str) -> Ratio:
    pairs = zip(baseline.per_operation(measure), result.per_operation(measure), strict=True)
    ratios = [of_baseline / own for of_baseline, own in pairs]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def _baseline(results: Sequence[Result], result: Result) -> Result | None:
    """asyncpg's result on the same loop; for trio, which it does not know, on asyncio."""
    wanted = RUNNERS[result.runner].baseline
    found = {other.runner: other for other in results if other.case == result.case}
    return found.get(wanted) or found.get(BASELINE)


def _floor(results: Sequence[Result], result: Result) -> Result | None:
    loop = RUNNERS[result.runner].loop
    name = "floor" if loop == "asyncio" else f"floor-{loop}"
    return next((other for other in results if other.case == result.case and other.runner == name), None)


_TITLES: Final = ("runner", "ops/s", "wall us/op", "CPU us/op", "best CPU", "wall ratio", "CPU ratio", "CPU over floor")


def main_table(results: Sequence[Result]) -> str:
    """Times of all cases, a block for each."""
    blocks: list[str] = []
    for case in dict.fromkeys(result.case for result in results):
        lines: list[Sequence[str]] = [_TITLES]
        for result in results:
            if result.case != case:
                continue
            baseline, floor = _baseline(results, result), _floor(results, result)
            compared = baseline is not None and baseline is not result
            lines.append(
                (
                    result.runner,
                    f"{1 / result.median('wall'):,.0f}",
                    f"{result.median('wall') * 1e6:,.1f}",
                    f"{result.median('cpu') * 1e6:,.1f}",
                    f"{min(result.per_operation('cpu')) * 1e6:,.1f}",
                    str(ratio(baseline, result, "wall")) if compared and baseline else "",
                    str(ratio(baseline, result, "cpu")) if compared and baseline else "",
                    f"{ratio(result, floor, 'cpu').median:.2f}" if floor is not None and floor is not result else "",
                )
            )
        blocks.append(f"{case}: {CASES[case].title}\n{table(lines)}")
    return "\n\n".join(blocks)


def memory_table(results: Sequence[Result]) -> str:
    """Memory of the cases that measure it; empty if there are none."""
    lines: list[Sequence[str]] = [("case", "runner", "peak MiB", "kept MiB")]
    for result in results:
        peaks = [each.peak_mib for each in result.rounds if each.peak_mib is not None]
        kept = [each.kept_mib for each in result.rounds if each.kept_mib is not None]
        if peaks and kept:
            medians = statistics.median(peaks), statistics.median(kept)
            lines.append((result.case, result.runner, *(f"{median:.1f}" for median in medians)))
    return table(lines) if len(lines) > 1 else ""


def growth_table(results: Sequence[Result]) -> str:
    """CPU per row at each size of result, and of the largest by the smallest; empty if there is one size."""
    sizes = sorted({result.rows for result in results if CASES[result.case].growth})
    if len(sizes) < 2:
        return ""
    lines: list[Sequence[str]] = [("runner", *(f"{size:,} rows" for size in sizes), "last / first")]
    for runner in dict.fromkeys(result.runner for result in results):
        costs = {
            result.rows: result.median("cpu") / result.rows * 1e9
            for result in results
            if result.runner == runner and CASES[result.case].growth
        }
        if len(costs) == len(sizes):
            last = costs[sizes[-1]] / costs[sizes[0]]
            lines.append((runner, *(f"{costs[size]:.0f} ns/row" for size in sizes), f"{last:.2f}"))
    return table(lines)


def table(lines: Sequence[Sequence[str]]) -> str:
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


def as_json(results: Iterable[Result], machine: dict[str, Any]) -> dict[str, Any]:
    """Everything: seconds and MiB of `count` operations in each round, and what the tables make of them."""
    results = list(results)
    entries: list[dict[str, Any]] = []
    for result in results:
        baseline = _baseline(results, result)
        entry = asdict(result) | {f"{measure}_us": result.median(measure) * 1e6 for measure in ("wall", "cpu")}
        if baseline is not None:
            entry["baseline"] = baseline.runner
            entry |= {f"{measure}_ratio": asdict(ratio(baseline, result, measure)) for measure in ("wall", "cpu")}
        entries.append(entry)
    return {"machine": machine, "results": entries}
