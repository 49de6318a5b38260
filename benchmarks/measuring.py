"""A case on all its runners, turn by turn, and what is missing of it.

How this works. In a turn each runner works once, one after the other, in the other order in every second turn: what
they are compared by has to be of one turn. Who has fewer rounds than are asked for takes part, and together with it
those whom it is compared with, though they have all of theirs: a runner that is added later is so compared fairly.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.cases import Case, Shape
from benchmarks.child import Child, Unavailable
from benchmarks.results import Result, Results
from benchmarks.runners import BASELINE, RUNNERS, Kind, Runner
from benchmarks.server import Prepared

__all__ = ["Measurement", "estimate", "is_of_another", "lacking", "takes_part"]

#: Of a process that is started; of a case that is prepared, with the answer that is checked: seconds.
_START: Final = 0.6
_PREPARE: Final = 0.05


def takes_part(runner: Runner, case: Case) -> bool:
    """Whether a runner can do a case; a series is of ours and asyncpg, since peers have the same sizes elsewhere."""
    return case.shape in runner.load().shapes() and (case.growth is None or runner.in_series)


def lacking(results: Results, case: Case, runners: Iterable[Runner], rounds: int) -> list[Runner]:
    """Those of these that have not been measured so many times."""
    found = ((runner, results.find(case.name, runner.name)) for runner in runners)
    return [runner for runner, result in found if result is None or len(result.rounds) < rounds]


def is_of_another(result: Result, commit: str) -> bool:
    """Whether it is one of ours at another commit: more rounds would mix two of them."""
    return RUNNERS[result.runner].kind is Kind.OURS and result.commit != commit


def _beside(results: Results, case: Case, runners: Sequence[Runner], commit: str) -> list[Runner]:
    """Whom these are compared with, and who with these, of those that have been measured."""
    loops = {loop for runner in runners for loop in (runner.loop, runner.compared_on)}
    return [
        other
        for other in (RUNNERS[each.runner] for each in results.of(case.name) if not is_of_another(each, commit))
        if other not in runners and other.loop in loops and (other.kind is not Kind.PEER or _is_baseline(other))
    ]


def _is_baseline(runner: Runner) -> bool:
    return runner.name.removesuffix("-uvloop") == BASELINE


def estimate(results: Results, case: Case, runners: Sequence[Runner], rounds: int, seconds: float) -> float:
    """Seconds that this will take: by what is known of this case, or by about what it takes where it was tried."""
    total = 0.0
    for runner in lacking(results, case, runners, rounds):
        result = results.find(case.name, runner.name)
        once = case.about if result is None else result.median("wall") * case.unit
        missing = rounds - (0 if result is None else len(result.rounds))
        if case.shape is Shape.MEMORY:
            total += missing * (_START + once)
        else:
            # To calibrate takes three operations or more, and about as long as a round.
            total += _PREPARE + 2 * once + missing * max(seconds, once) + seconds
    return total


@dataclass(slots=True)
class Measurement:
    """How it is measured, and to where.

    Attributes:
        children: of the runners that can be used, by name.
        commit: of what is measured now.
        save: called behind each turn.
        deadline: no turn is begun behind this time of time.monotonic().
    """

    results: Results
    server: Prepared
    children: Mapping[str, Child]
    rounds: int
    seconds: float
    commit: str
    save: Callable[[], None] = field(default=lambda: None)
    deadline: float = float("inf")

    def measure(self, case: Case, runners: Sequence[Runner]) -> bool:
        """Add what is missing of a case; False if the time was over before. One that fails is told of, and left out."""
        able = [runner for runner in runners if runner.name in self.children]
        counts: dict[str, int] = {}
        while missing := lacking(self.results, case, able, self.rounds):
            if time.monotonic() > self.deadline:
                return False
            others = [each for each in _beside(self.results, case, missing, self.commit) if each.name in self.children]
            now = [runner for runner in RUNNERS.values() if runner in missing or runner in others]
            turn = 1 + max((each.turn for result in self.results.of(case.name) for each in result.rounds), default=0)
            try:
                for runner in now if turn % 2 else reversed(now):
                    _progress(f"{case.name}: turn {turn}: {runner.name} ")
                    try:
                        self._round(case, runner, turn, counts)
                    except Unavailable as error:
                        print(f"{runner.name} is left out of {case.name}: {error}", file=sys.stderr)
                        able = [each for each in able if each is not runner]
            finally:
                _progress("")
                self.save()
        return True

    def _round(self, case: Case, runner: Runner, turn: int, counts: dict[str, int]) -> None:
        child = self.children[runner.name]
        if case.shape is Shape.MEMORY:
            with Child(runner, self.server) as fresh:
                rows, measured = fresh.run(case, 1, turn)
        else:
            if runner.name not in counts:
                counts[runner.name] = _calibrate(child, case, self.seconds)
            rows, measured = child.run(case, counts[runner.name], turn)
        result = self.results.find(case.name, runner.name)
        if result is None:
            result = Result(case.name, runner.name, rows, [], self.commit)
            self.results.add(result)
        result.rounds.append(measured)


def _calibrate(child: Child, case: Case, seconds: float) -> int:
    """How many operations take about this long; they are carried out meanwhile, so that nothing is cold afterwards."""
    count = unit = case.unit
    while True:
        _, measured = child.run(case, count)
        if measured.wall >= seconds / 4:
            return max(unit, round(count * seconds / measured.wall / unit) * unit)
        count = max(count * 2, round(count * seconds / 3 / max(measured.wall, 1e-6) / unit) * unit)


def _progress(text: str) -> None:
    """Say what is going on, to people only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
