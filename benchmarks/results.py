"""What the rounds have shown, as numbers: medians, ratios, and the share of the gap that is closed.

The gap, G = (A - ours) / (A - F), with A the processor time of asyncpg's client, F the floor's, and ours, each for one
operation, on the same loop and of the same round: 0 is asyncpg, 1 the floor. Where the floor itself is nearly as dear
as asyncpg, G would be a ratio of noise: it counts where (A - F) / A is at least a quarter.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.cases import CASES
from benchmarks.runners import BASELINE, RUNNERS, Kind, Runner

__all__ = ["SIGNIFICANT", "Gap", "Ratio", "Result", "Results", "Round", "ratio", "shared_turns"]

#: The part of asyncpg's time that is above the floor has to be at least this much of it, or G does not count.
SIGNIFICANT: Final = 0.25


@dataclass(frozen=True, slots=True)
class Round:
    """One measured run: seconds for `count` operations, seconds that one of them took, and MiB.

    `turn` is equal in those that were measured one after the other, and in no others of the case.
    """

    turn: int
    count: int
    wall: float
    cpu: float
    p50: float | None = None
    p99: float | None = None
    peak_mib: float | None = None
    kept_mib: float | None = None


@dataclass(slots=True)
class Result:
    """All rounds of one runner at one case.

    Attributes:
        rows: of one operation.
        commit: of what was measured.
    """

    case: str
    runner: str
    rows: int
    rounds: list[Round]
    commit: str = ""

    @property
    def by_turn(self) -> dict[int, Round]:
        return {each.turn: each for each in self.rounds}

    def per_operation(self, measure: str) -> list[float]:
        """Seconds of "wall" or "cpu" for one operation, in each round."""
        return [getattr(each, measure) / each.count for each in self.rounds]

    def of_turns(self, measure: str, turns: Sequence[int]) -> list[float]:
        """As `per_operation`, in these turns."""
        rounds = self.by_turn
        return [getattr(rounds[turn], measure) / rounds[turn].count for turn in turns]

    def median(self, measure: str) -> float:
        """Of the rounds: seconds of "wall" or "cpu" for one operation."""
        return statistics.median(self.per_operation(measure))

    def middle(self, measure: str) -> float | None:
        """Of the rounds: the median of "p50", "p99", "peak_mib" or "kept_mib"; None if that was not measured."""
        found = [value for each in self.rounds if (value := getattr(each, measure)) is not None]
        return statistics.median(found) if found else None


@dataclass(frozen=True, slots=True)
class Ratio:
    """A number of each round: the median of these, and their extremes."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Ratio":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        between = "-" if self.lowest >= 0 else " to "
        return f"{self.median:.2f} ({self.lowest:.2f}{between}{self.highest:.2f})"


def shared_turns(*results: Result) -> list[int]:
    """The turns in which all of them were measured."""
    return sorted(set[int].intersection(*(set(result.by_turn) for result in results)))


def ratio(other: Result, result: Result, measure: str) -> Ratio:
    """How many times as fast as another one; more than 1 is faster.

    Of the rounds of the same turns; of the medians, if there are none, since both were measured at other times.
    """
    turns = shared_turns(other, result)
    if not turns:
        return Ratio.of([other.median(measure) / result.median(measure)])
    pairs = zip(other.of_turns(measure, turns), result.of_turns(measure, turns), strict=True)
    return Ratio.of([of_other / own for of_other, own in pairs])


@dataclass(frozen=True, slots=True)
class Gap:
    """The share of the gap between asyncpg and the floor that is closed.

    Attributes:
        share: G of the rounds; None if asyncpg was not above the floor in one of them.
        above_floor: (A - F) / A, the median.
    """

    share: Ratio | None
    above_floor: float

    @property
    def counts(self) -> bool:
        return self.share is not None and self.above_floor >= SIGNIFICANT


class Results:
    """The results of all runners and cases."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.all = list(results)
        self._found = {(result.case, result.runner): result for result in self.all}

    def add(self, result: Result) -> None:
        """Take it in, at its place in the order of the cases and the runners."""
        cases, runners = list(CASES), list(RUNNERS)
        self.all.append(result)
        self.all.sort(key=lambda each: (cases.index(each.case), runners.index(each.runner)))
        self._found[result.case, result.runner] = result

    def drop(self, case: str, runner: str) -> None:
        """Forget what was measured, if anything was."""
        found = self._found.pop((case, runner), None)
        if found is not None:
            self.all.remove(found)

    def find(self, case: str, runner: str) -> Result | None:
        return self._found.get((case, runner))

    def of(self, case: str) -> list[Result]:
        return [result for result in self.all if result.case == case]

    def baseline(self, result: Result) -> Result | None:
        """asyncpg's on the same loop; for trio and what blocks, on asyncio."""
        return self._on(result, BASELINE)

    def floor(self, result: Result) -> Result | None:
        """The floor of the same loop."""
        loop = RUNNERS[result.runner].loop
        return self._found.get((result.case, "floor-trio")) if loop == "trio" else self._on(result, "floor")

    def _on(self, result: Result, name: str) -> Result | None:
        on_uvloop = RUNNERS[result.runner].compared_on == "uvloop"
        return self._found.get((result.case, f"{name}-uvloop" if on_uvloop else name))

    def best_peer(self, result: Result, measure: str) -> Result | None:
        """The fastest of the others, asyncpg among them, on the same loop; for trio, on asyncio, too.

        What blocks is not among them: the floor of a loop may need more than a socket that is simply waited for.
        """
        own = RUNNERS[result.runner]
        loops = {own.loop, own.compared_on}

        def is_peer(runner: Runner) -> bool:
            return runner.kind is Kind.PEER and runner.loop in loops and runner is not own

        peers = [other for other in self.of(result.case) if is_peer(RUNNERS[other.runner])]
        return min(peers, key=_median_of(measure), default=None)

    def gap(self, result: Result) -> Gap | None:
        """G of one of ours; None without asyncpg or the floor to compare with."""
        baseline, floor = self.baseline(result), self.floor(result)
        if RUNNERS[result.runner].kind is not Kind.OURS or baseline is None or floor is None:
            return None
        measured = baseline, result, floor
        turns = shared_turns(*measured)
        if not turns:
            return None
        rounds = list(zip(*(each.of_turns("cpu", turns) for each in measured), strict=True))
        above = statistics.median((a - f) / a for a, _, f in rounds)
        if any(a <= f for a, _, f in rounds):
            return Gap(None, above)
        return Gap(Ratio.of([(a - own) / (a - f) for a, own, f in rounds]), above)

    def as_json(self) -> list[dict[str, Any]]:
        """Everything: what was measured in each round, and what the tables make of it."""
        entries: list[dict[str, Any]] = []
        for result in self.all:
            entry = asdict(result) | {f"{measure}_us": result.median(measure) * 1e6 for measure in ("wall", "cpu")}
            for name, other in (("baseline", self.baseline(result)), ("best_peer", self.best_peer(result, "cpu"))):
                if other is not None and other is not result:
                    ratios = {measure: asdict(ratio(other, result, measure)) for measure in ("wall", "cpu")}
                    entry[name] = {"runner": other.runner} | ratios
            if (gap := self.gap(result)) is not None:
                entry["gap"] = asdict(gap) | {"counts": gap.counts}
            entries.append(entry)
        return entries

    @classmethod
    def from_json(cls, written: Iterable[dict[str, Any]]) -> "Results":
        """What `as_json` has written."""
        return cls(
            Result(
                each["case"],
                each["runner"],
                each["rows"],
                [Round(**values) for values in each["rounds"]],
                each["commit"],
            )
            for each in written
        )


def _median_of(measure: str) -> Callable[[Result], float]:
    return lambda result: result.median(measure)
