"""The targets of the compiled kernel, and what was measured of each.

G is the main measure (`results.py`); where it does not count, since the floor is no more than a quarter below asyncpg,
the ratio of processor times does, and has to be 1. Ratios say how many times as fast, but for instructions and memory,
where they are ours by the other's.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from benchmarks.cases import CASES, Growth, Shape
from benchmarks.comparison import Comparison
from benchmarks.decoding import SHAPES
from benchmarks.report import growth
from benchmarks.results import Ratio, Results, ratio
from benchmarks.runners import BASELINE

__all__ = ["LOOPS", "Cell", "Target", "targets"]

LOOPS: Final = ("asyncio", "uvloop", "trio")

_GAPS: Final = {
    **dict.fromkeys(("one", "lookup"), 0.7),
    **dict.fromkeys(("pg_type", "int4", "wide", "scalars", "arrays", "bytea", "text"), 0.7),
    **dict.fromkeys(("large-fetch", "large-cursor", "large-stream"), 0.7),
    **dict.fromkeys(("copy-in", "batch"), 0.6),
    **dict.fromkeys(("copy-out-raw", "copy-out-typed"), 0.5),
    **dict.fromkeys(("transaction", "pool-100", "pool-10000"), 0.6),
    "tasks": 0.8,
}
_WALL: Final = {"pg_type": 1.2, "int4": 1.4, "wide": 1.6, "scalars": 2.5, "arrays": 1.1, "bytea": 1.1, "text": 1.1}
#: What a row or a task costs more at a larger size, at most.
_FLAT: Final = 1.25


@dataclass(frozen=True, slots=True)
class Cell:
    """What was measured on one loop; `met` is None if that says nothing."""

    text: str
    met: bool | None


@dataclass(slots=True)
class Target:
    """One line of the table."""

    case: str
    what: str
    bound: str
    cells: dict[str, Cell] = field(default_factory=dict)


def _name(runner: str, loop: str) -> str:
    return f"{runner}-uvloop" if loop == "uvloop" else runner


def _at_least(measured: Ratio | None, bound: float) -> Cell | None:
    return None if measured is None else Cell(str(measured), measured.median >= bound)


def targets(comparison: Comparison) -> list[Target]:
    """All of them, in the order of the cases."""
    found: list[Target] = []
    for case in CASES:
        found += _of_case(comparison, case)
    return [*found, *_of_all(comparison.results), *_series(comparison.results)]


def _loops(case: str, what: str, bound: str, measure: Callable[[str], Cell | None]) -> Target:
    """A target on asyncio and on uvloop."""
    target = Target(case, what, bound)
    for loop in ("asyncio", "uvloop"):
        cell = measure(loop)
        if cell is not None:
            target.cells[loop] = cell
    return target


def _of_case(comparison: Comparison, case: str) -> Iterator[Target]:
    results = comparison.results

    def versus(other: str, measure: str, bound: float, own: str = "pgsansio") -> Callable[[str], Cell | None]:
        return lambda loop: _at_least(_versus(results, case, _name(own, loop), _name(other, loop), measure), bound)

    if case in _GAPS:
        yield _loops(case, "G", f">= {_GAPS[case]}", lambda loop: _gap(results, case, _name("pgsansio", loop)))
    if case in ("one", "lookup"):
        yield _instructions(comparison, case)
        trio = Target(case, "CPU, times triopg", ">= 4")
        if cell := _at_least(_versus(results, case, "pgsansio-trio", "triopg", "cpu"), 4):
            trio.cells["trio"] = cell
        yield trio
    if case in _WALL:
        yield _loops(case, "wall, times asyncpg", f">= {_WALL[case]}", versus("asyncpg", "wall", _WALL[case]))
        yield _decoding(comparison, case)
        pure = Target(case, "CPU of the pure kernel, times pg8000", ">= 3")
        if cell := _at_least(_versus(results, case, "pgsansio-pure", "pg8000", "cpu"), 3):
            pure.cells["asyncio"] = cell
        yield pure
    match case:
        case "one":
            pure = Target(case, "G of the pure kernel", ">= 0.4")
            if cell := _gap(results, case, "pgsansio-pure", 0.4):
                pure.cells["asyncio"] = cell
            yield pure
        case "large-fetch" | "large-cursor" | "large-stream":
            yield _loops(case, "CPU, times psycopg", ">= 1", versus("psycopg", "cpu", 1))
            yield _loops(case, "wall, times psycopg", ">= 1", versus("psycopg", "wall", 1))
        case "memory":
            for attribute, what in (("kept_mib", "memory held, by asyncpg's"), ("peak_mib", "at peak, by asyncpg's")):
                yield _memory(results, attribute, what)
        case "copy-in" | "batch":
            bound = 8 if case == "copy-in" else 3
            yield _loops(case, "CPU, times asyncpg", f">= {bound}", versus("asyncpg", "cpu", bound))
        case "copy-out-typed":
            yield _loops(case, "CPU, times asyncpg's fetch", ">= 2", versus("asyncpg", "cpu", 2))
        case "pool-100" | "pool-10000":
            yield _loops(case, "wall, times asyncpg", ">= 1.8", versus("asyncpg", "wall", 1.8))
            multiplexed = versus("asyncpg", "wall", 3, "pgsansio-multiplex")
            yield _loops(case, "wall, multiplexed, times asyncpg", ">= 3", multiplexed)
        case "tasks":
            yield _loops(case, "wall, times asyncpg's pool of 10", ">= 5", versus("asyncpg", "wall", 5))
            dedicated = versus("asyncpg-dedicated", "wall", 2)
            yield _loops(case, "wall, times asyncpg on 10 connections of their own", ">= 2", dedicated)
        case "connect-trust" | "connect-scram" | "connect-tls":
            for measure in ("CPU", "wall"):
                yield _loops(case, f"{measure}, times asyncpg", ">= 1", versus("asyncpg", measure.lower(), 1))
            yield from _not_slower(
                results, case, "pgsansio-terminate", ", without waiting for the end, times the best peer"
            )
        case "notify":
            yield from _not_slower(results, case, "pgsansio", ", times the best peer")
        case _:
            pass


def _not_slower(results: Results, case: str, own: str, what: str) -> Iterator[Target]:
    def cell(loop: str, measure: str) -> Cell | None:
        result = results.find(case, _name(own, loop))
        peer = None if result is None else results.best_peer(result, measure)
        if result is None or peer is None:
            return None
        measured = ratio(peer, result, measure)
        return Cell(f"{measured} {peer.runner.removesuffix('-uvloop')}", measured.median >= 1)

    for measure in ("CPU", "wall"):
        yield _loops(case, f"{measure}{what}", ">= 1", lambda loop, measure=measure: cell(loop, measure.lower()))


def _versus(results: Results, case: str, own: str, other: str, measure: str) -> Ratio | None:
    mine, others = results.find(case, own), results.find(case, other)
    return None if mine is None or others is None else ratio(others, mine, measure)


def _gap(results: Results, case: str, runner: str, bound: float | None = None) -> Cell | None:
    result = results.find(case, runner)
    if result is None:
        return None
    gap = results.gap(result)
    if gap is not None and gap.counts and gap.share is not None:
        return Cell(str(gap.share), gap.share.median >= (_GAPS[case] if bound is None else bound))
    # Where asyncpg has no such thing, there is nothing to be compared with.
    baseline = results.baseline(result)
    if baseline is None:
        return None
    measured = ratio(baseline, result, "cpu")
    return Cell(f"CPU {measured}", measured.median >= 1)


def _instructions(comparison: Comparison, case: str) -> Target:
    target = Target(case, "instructions, by asyncpg's", "<= 0.45, 0.5, 1")
    for loop, bound in (("asyncio", 0.45), ("uvloop", 0.5), ("trio", 1.0)):
        own = comparison.counts.get((case, "pgsansio-trio" if loop == "trio" else _name("pgsansio", loop)))
        other = comparison.counts.get((case, _name(BASELINE, loop)))
        if own is not None and other is not None:
            share = own.instructions / other.instructions
            target.cells[loop] = Cell(f"{share:.2f} ({own.instructions:,.0f})", share <= bound)
    return target


def _decoding(comparison: Comparison, case: str) -> Target:
    target = Target(case, "CPU of decoding alone, times asyncpg", ">= 3.5")
    measured = comparison.decoding.get((SHAPES[case], "ns"))
    if measured is not None:
        # No loop takes part.
        target.cells["asyncio"] = Cell(str(measured.ratio), measured.ratio.median >= 3.5)
    return target


def _memory(results: Results, attribute: str, what: str) -> Target:
    def share(loop: str) -> Cell | None:
        own, other = (results.find("memory", _name(name, loop)) for name in ("pgsansio", BASELINE))
        if own is None or other is None:
            return None
        mine, theirs = own.middle(attribute), other.middle(attribute)
        if mine is None or not theirs:
            return None
        return Cell(f"{mine / theirs:.2f} ({mine:.1f} MiB)", mine <= theirs)

    return _loops("memory", what, "<= 1", share)


def _like_peers(runner: str, case: str) -> str:
    """Connecting is compared with peers that do not wait until the server has ended the session."""
    if CASES[case].shape is not Shape.CONNECT or runner == "pgsansio-trio":
        return runner
    return runner.replace("pgsansio", "pgsansio-terminate")


def _of_all(results: Results) -> Iterator[Target]:
    """No case behind asyncpg or another peer."""
    runners = {"asyncio": "pgsansio", "uvloop": "pgsansio-uvloop", "trio": "pgsansio-trio"}
    for measure in ("cpu", "wall"):
        target = Target("all", f"{'CPU' if measure == 'cpu' else measure}: not behind the best peer", "none behind")
        for loop, runner in runners.items():
            found = [
                result
                for result in results.all
                if result.runner == _like_peers(runner, result.case) and not CASES[result.case].growth
            ]
            behind: list[str] = []
            for result in found:
                peer = results.best_peer(result, measure)
                if peer is not None and (measured := ratio(peer, result, measure).median) < 1:
                    behind.append(f"{result.case} ({measured:.2f} {peer.runner.removesuffix('-uvloop')})")
            if found:
                # asyncpg on asyncio is no peer of trio's own, and is not among the targets.
                text = f"{len(behind)} of {len(found)}" + (f": {', '.join(behind)}" if behind else "")
                target.cells[loop] = Cell(text, None if loop == "trio" else not behind)
        yield target


def _series(results: Results) -> Iterator[Target]:
    """What one of many costs at most, by what it costs among fewer."""
    for series in Growth:
        costs = growth(results, series)
        target = Target(f"{series.value}-...", f"CPU per {series.value.removesuffix('s')}, by that of fewer", "<= 1.25")
        for loop, runner in (("asyncio", "pgsansio"), ("uvloop", "pgsansio-uvloop"), ("trio", "pgsansio-trio")):
            found = costs.get(runner, {})
            if len(found) > 1:
                grown = _growth([found[size] for size in sorted(found)])
                target.cells[loop] = Cell(f"{grown:.2f}", grown <= _FLAT)
        yield target


def _growth(costs: Iterable[float]) -> float:
    least, most = float("inf"), 0.0
    for cost in costs:
        most = max(most, cost / least)
        least = min(least, cost)
    return most
