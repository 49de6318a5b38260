"""What was measured, written into the documents: `benchmarks/README.md`, and a page of `docs` with its charts.

Everything between two marks is written anew; what stands around them is written by hand.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.cases import CASES, Growth
from benchmarks.chart import charts
from benchmarks.comparison import Comparison
from benchmarks.report import case_lines, growth_lines, markdown, memory_lines
from benchmarks.results import SIGNIFICANT
from benchmarks.runners import RUNNERS
from benchmarks.targets import LOOPS, Cell, targets

__all__ = ["between", "publish"]

BEGIN: Final = "<!-- results: written by `python -m benchmarks --publish FILE` -->"
END: Final = "<!-- end of the results -->"
_CHARTS: Final = "charts"
_ALTERNATIVES: Final = {
    "cases-asyncio.svg": "Bars for each case: operations per processor time of the client, on asyncio",
    "cases-uvloop.svg": "The same on uvloop",
    "cases-trio.svg": "The same on trio",
    "growth-rows.svg": "Processor time per row, from 1,000 to 1,000,000 rows",
    "growth-tasks.svg": "Processor time per task, from 10 to 10,000 tasks",
}


def publish(comparison: Comparison, root: Path) -> list[Path]:
    """Write the tables and the charts; returns the files.

    Raises:
        ValueError: a document has not both marks, in this order.
    """
    folder = root / "docs" / _CHARTS
    folder.mkdir(parents=True, exist_ok=True)
    drawn = charts(comparison.results)
    written = [root / "benchmarks" / "README.md", root / "docs" / "performance.md"]
    for file, text in zip(written, (_all(comparison), _page(comparison, list(drawn))), strict=True):
        file.write_text(between(file.read_text(encoding="utf-8"), text), encoding="utf-8")
    for name, text in drawn.items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def between(document: str, text: str) -> str:
    """The document with this between its marks.

    Raises:
        ValueError: it has not both marks, in this order.
    """
    head, found, rest = document.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"there are no marks {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n\n{text.strip()}\n\n{END}{tail}"


def _page(comparison: Comparison, drawn: Iterable[str]) -> str:
    """For readers of the documentation: the targets, and the charts."""
    images = [f"![{_ALTERNATIVES[name]}]({_CHARTS}/{name})" for name in drawn]
    return "\n\n".join([_head(comparison), "## Targets", _targets(comparison), "## Charts", *images])


def _all(comparison: Comparison) -> str:
    results = comparison.results
    parts = [_head(comparison), "### Targets", _targets(comparison)]
    counted = _instructions(comparison)
    series = [
        ("Memory of 200,000 rows", memory_lines(results)),
        ("CPU per row, by the size of the result", growth_lines(results, Growth.ROWS)),
        ("CPU per task, by their number", growth_lines(results, Growth.TASKS)),
        ("Instructions per operation", counted),
        ("Decoding alone, per row", _decoding(comparison)),
    ]
    for title, lines in series:
        if lines:
            parts += [f"### {title}", markdown(lines)]
    measured = {result.case for result in results.all}
    for case in CASES.values():
        if case.name in measured and case.growth is None:
            commits = dict.fromkeys(result.commit for result in results.of(case.name))
            rounds = {len(result.rounds) for result in results.of(case.name)}
            about = f"{'-'.join(map(str, sorted({min(rounds), max(rounds)})))} rounds, commit {', '.join(commits)}"
            parts += [f"### `{case.name}`: {case.title}", f"{about}.", markdown(case_lines(results, case.name))]
    return "\n\n".join(parts)


def _head(comparison: Comparison) -> str:
    head = comparison.head() | {"commands": f"`{comparison.head()['commands']}`"}
    return "\n".join(["| measured on | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in head.items())])


def _targets(comparison: Comparison) -> str:
    found = targets(comparison)
    verdicts = [cell.met for target in found for cell in target.cells.values() if cell.met is not None]
    lines: list[Sequence[str]] = [("case", "measure", "target", *LOOPS)]
    for target in found:
        cells = (_cell(target.cells.get(loop)) for loop in LOOPS)
        lines.append((f"`{target.case}`", target.what, target.bound, *cells))
    met = f"{sum(verdicts)} of {len(verdicts)} are met."
    rule = f"Where G does not count, since the floor is not {SIGNIFICANT:.0%} below asyncpg, the ratio of CPU does: 1."
    return f"{met} {rule}\n\n{markdown(lines, 3)}"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return cell.text if cell.met is None else f"{cell.text} met" if cell.met else f"**{cell.text} missed**"


def _instructions(comparison: Comparison) -> Sequence[Sequence[str]]:
    """With G of instructions: of user space alone, and the same on a busy machine."""
    lines: list[Sequence[str]] = [("case", "runner", "instructions", "by asyncpg's", "G")]
    for case in CASES:
        counts = {runner: each.instructions for (name, runner), each in comparison.counts.items() if name == case}
        for runner in (name for name in RUNNERS if name in counts):
            suffix = "-uvloop" if RUNNERS[runner].loop == "uvloop" else ""
            baseline = counts.get(f"asyncpg{suffix}")
            floor = counts.get("floor-trio" if RUNNERS[runner].loop == "trio" else f"floor{suffix}")
            own = counts[runner]
            share = f"{own / baseline:.2f}" if baseline else ""
            is_between = baseline is not None and floor is not None and floor < baseline
            gap = f"{(baseline - own) / (baseline - floor):.2f}" if is_between and baseline and floor else ""
            lines.append((f"`{case}`", runner, f"{own:,.0f}", share, gap))
    return lines if len(lines) > 1 else []


def _decoding(comparison: Comparison) -> Sequence[Sequence[str]]:
    title = ("shape", "measure", "ours", "asyncpg", "times as fast")
    lines = [
        (f"`{each.shape}`", each.measure, f"{each.ours:,.0f}", f"{each.asyncpg:,.0f}", str(each.ratio))
        for each in comparison.decoding.values()
    ]
    return [title, *lines] if lines else []
