"""`python -m benchmarks`: this project beside its peers, on one server. See README.md in this folder.

How this works. Each runner is a process of its own, started once, silent until it is told to run a case. The parent
asks one after the other, turn by turn (A B C C B A A B C ...), so that whatever else the machine does hits all of them
alike, and compares what was measured in the same turn. What a turn gave is in the file of --json when the next begins;
the same command again goes on with what is missing in it.
"""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import CASES, Case, Growth
from benchmarks.chart import charts
from benchmarks.child import ROOT, Child, Unavailable
from benchmarks.comparison import Comparison, Differs, commit, describe_machine
from benchmarks.decoding import time_decoding
from benchmarks.instructions import count_cases, count_decoding
from benchmarks.measuring import Measurement, estimate, is_of_another, lacking, takes_part
from benchmarks.publish import publish
from benchmarks.report import case_table, growth_table, memory_table, summary_table
from benchmarks.results import Results
from benchmarks.runners import RUNNERS, Runner
from benchmarks.server import Prepared, prepared_server

_COUNTED_CASES: Final = ("one", "lookup")
_COUNTED_RUNNERS: Final = (
    *("asyncpg", "pgsansio", "floor", "asyncpg-uvloop", "pgsansio-uvloop", "floor-uvloop"),
    *("pgsansio-trio", "pgsansio-trio-bare", "floor-trio"),
)


def compare(arguments: argparse.Namespace, comparison: Comparison) -> None:
    """Measure what is missing, and print each case when it is complete."""
    results, rounds, seconds = comparison.results, arguments.rounds, arguments.seconds
    began = time.monotonic()
    now = commit()
    plan = _plan(arguments, results, now)
    if not plan:
        print("there is nothing to be measured")
        return

    def left() -> float:
        return sum(estimate(results, case, runners, rounds, seconds) for case, runners in plan)

    print(f"estimated time: {_minutes(left())}, of {len(plan)} cases", flush=True)
    with prepared_server(arguments.dsn) as server, contextlib.ExitStack() as stack:
        children: dict[str, Child] = {}
        versions: dict[str, str] = {}
        # Those of the file, too: who is added is compared with them.
        needed = {runner.name for _, runners in plan for runner in runners} | {each.runner for each in results.all}
        for runner in _installed(runner for name, runner in RUNNERS.items() if name in needed):
            try:
                children[runner.name] = stack.enter_context(Child(runner, server))
            except Unavailable as error:
                print(f"{runner.name} is left out: {error}", file=sys.stderr)
                continue
            versions |= children[runner.name].versions
        comparison.begin(describe_machine(server.version), versions, _command(arguments))
        show_head(comparison)
        measurement = Measurement(results, server, children, rounds, seconds, now)
        if arguments.json is not None:
            measurement.save = lambda: comparison.save(arguments.json)
        if arguments.minutes is not None:
            measurement.deadline = began + 60 * arguments.minutes
        for case in _measurable([case for case, _ in plan], server):
            if not measurement.measure(case, next(runners for other, runners in plan if other is case)):
                print(f"\nthe time is over; {_minutes(left())} are left: give the same command again")
                return
            if results.of(case.name):
                print(f"\n{case_table(results, case.name)}", flush=True)


def _plan(arguments: argparse.Namespace, results: Results, now: str) -> list[tuple[Case, list[Runner]]]:
    """The cases of which something is missing, and the runners that can be asked for it."""
    plan: list[tuple[Case, list[Runner]]] = []
    runners = _installed(arguments.runners, say_so=True)
    for case in arguments.cases:
        able: list[Runner] = []
        for runner in runners:
            if not takes_part(runner, case):
                continue
            if arguments.again:
                results.drop(case.name, runner.name)
            result = results.find(case.name, runner.name)
            if result is not None and is_of_another(result, now):
                what = f"{runner.name} at {case.name} is of commit {result.commit}, and now it is {now}"
                print(f"{what}: kept; --again measures it anew", file=sys.stderr)
            else:
                able.append(runner)
        if lacking(results, case, able, arguments.rounds):
            plan.append((case, able))
    return plan


def _installed(runners: Iterable[Runner], *, say_so: bool = False) -> list[Runner]:
    found: list[Runner] = []
    for runner in runners:
        absent = runner.absent
        if not absent:
            found.append(runner)
        elif say_so:
            print(f"{runner.name} is left out: not installed: {', '.join(absent)}", file=sys.stderr)
    return found


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _command(arguments: argparse.Namespace) -> list[str]:
    """What has to be given to do the same; a connection string may have a password."""
    given: list[str] = list(arguments.command)
    if arguments.dsn is not None:
        given = ["DSN" if each == arguments.dsn else each.replace(f"={arguments.dsn}", "=DSN") for each in given]
    return ["python", "-m", "benchmarks", *given]


def show_head(comparison: Comparison) -> None:
    for key, value in comparison.head().items():
        print(f"{key}: {value}")


def show_series(results: Results) -> None:
    """Print what needs more than one case."""
    tables = {
        "Memory that one result takes": memory_table(results),
        "Client CPU per row, by the size of the result": growth_table(results, Growth.ROWS),
        "Client CPU per task, by their number": growth_table(results, Growth.TASKS),
        "Summary": summary_table(results),
    }
    for title, text in tables.items():
        if text:
            print(f"\n{title}\n{text}")


def show(comparison: Comparison) -> None:
    """Print what earlier runs have measured."""
    show_head(comparison)
    for case in dict.fromkeys(result.case for result in comparison.results.all):
        print(f"\n{case_table(comparison.results, case)}")


def instructions(arguments: argparse.Namespace, comparison: Comparison) -> None:
    """Count instructions, and print."""
    with prepared_server(arguments.dsn) as server:
        now = commit()
        cases = _measurable(arguments.cases, server)
        runners = _installed(arguments.runners, say_so=True)

        def is_known(case: Case, runner: Runner) -> bool:
            count = comparison.counts.get((case.name, runner.name))
            return count is not None and count.commit == now and not arguments.again

        wanted = [
            runner
            for runner in runners
            if not all(is_known(case, runner) for case in cases if takes_part(runner, case))
        ]
        comparison.begin(describe_machine(server.version), {}, _command(arguments))
        count_cases(comparison, cases, wanted, server)
    count_decoding(comparison)


def _measurable(cases: Sequence[Case], server: Prepared) -> list[Case]:
    """Those that this server is ready for; of the others it is said why not."""
    for case in cases:
        if case.name in server.missing:
            print(f"{case.name} is left out: {server.missing[case.name]}", file=sys.stderr)
    return [case for case in cases if case.name not in server.missing]


def chosen(text: str, known: dict[str, Any]) -> list[Any]:
    """A list of names, as an argument."""
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Compare this project with its peers.")
    parser.add_argument(
        "--cases", type=lambda text: chosen(text, CASES), metavar="A,B", help=f"default: all of {','.join(CASES)}"
    )
    parser.add_argument(
        "--runners", type=lambda text: chosen(text, RUNNERS), metavar="A,B", help=f"default: all of {','.join(RUNNERS)}"
    )
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each run; default: 0.3")
    parser.add_argument("--dsn", help="a server to use (Unix socket or TCP); default: one is started")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep what was measured; what the file already has is not measured"
    )
    parser.add_argument("--minutes", type=float, help="stop behind the turn in which they are over")
    parser.add_argument("--again", action="store_true", help="forget what the file has of these cases and runners")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="draw it, as SVG files")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing, show what --json has written")
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count machine instructions with valgrind instead of time, of rows that are decoded, too; "
        "default: the cases one and lookup, the runners asyncpg, pgsansio and floor on each loop",
    )
    parser.add_argument("--decoding", action="store_true", help="measure nothing but rows that are decoded")
    parser.add_argument(
        "--publish", type=Path, metavar="FILE", help="measure nothing, write tables and charts into the documents"
    )
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="of these documents; default: ours")
    parsed = parser.parse_args(arguments)
    parsed.command = sys.argv[1:] if arguments is None else list(arguments)
    if parsed.publish is not None:
        for written in publish(Comparison.load(parsed.publish), parsed.root):
            print(written)
        return
    cases, runners = (_COUNTED_CASES, _COUNTED_RUNNERS) if parsed.instructions else (CASES, RUNNERS)
    parsed.cases = parsed.cases or [CASES[name] for name in cases]
    parsed.runners = parsed.runners or [RUNNERS[name] for name in runners]
    file = parsed.read or parsed.json
    comparison = Comparison.load(file) if file is not None and (parsed.read or file.exists()) else Comparison()
    if parsed.read is not None:
        show(comparison)
    else:
        try:
            if parsed.instructions:
                instructions(parsed, comparison)
            elif parsed.decoding:
                comparison.begin({}, {}, _command(parsed))
                time_decoding(comparison)
            else:
                compare(parsed, comparison)
        except Differs as error:
            parser.error(f"{file} was measured otherwise: {error}")
        except KeyboardInterrupt:
            raise SystemExit("\nstopped; the same command goes on, if there was --json") from None
        if parsed.json is not None:
            comparison.save(parsed.json)
    show_series(comparison.results)
    if parsed.charts is not None:
        parsed.charts.mkdir(parents=True, exist_ok=True)
        for name, text in charts(comparison.results).items():
            (parsed.charts / name).write_text(text)


if __name__ == "__main__":
    # Whoever stops it, the server of its own is stopped, too, and what was measured is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
