"""`python -m benchmarks`: this project beside its peers, on one server. See README.md in this folder.

How this works. Each runner is a process of its own, started once, silent until it is told to run a case. The parent
asks one after the other, round by round (A B C A B C ...), so that whatever else the machine does hits all of them
alike, and compares what was measured in the same round.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case, Growth, Shape
from benchmarks.chart import charts
from benchmarks.child import Child, Unavailable
from benchmarks.instructions import count_instructions
from benchmarks.report import case_table, growth_table, memory_table, summary_table
from benchmarks.results import Result, Results
from benchmarks.runners import BASELINE, RUNNERS, Kind
from benchmarks.server import Prepared, prepared_server


def calibrate(child: Child, case: Case, seconds: float) -> int:
    """How many operations take about this long; they are carried out meanwhile, so that nothing is cold afterwards."""
    count = unit = case.unit
    while True:
        _, measured = child.run(case, count)
        if measured.wall >= seconds / 4:
            return max(unit, round(count * seconds / measured.wall / unit) * unit)
        count = max(count * 2, round(count * seconds / 3 / max(measured.wall, 1e-6) / unit) * unit)


def takes_part(child: Child, case: Case) -> bool:
    """Whether a runner can do a case; a series is of ours and asyncpg, since peers have the same sizes elsewhere."""
    is_meant = case.growth is None or child.runner.kind is Kind.OURS or child.runner.name.startswith(BASELINE)
    return is_meant and case.shape in child.shapes


def measure(case: Case, children: Sequence[Child], rounds: int, seconds: float, server: Prepared) -> list[Result]:
    """One case on all these runners. One that fails is told of, and left out."""
    results: dict[Child, Result] = {}
    counts: dict[Child, int] = {}

    def run(child: Child) -> None:
        if case.shape is Shape.MEMORY:
            with Child(child.runner, server) as fresh:
                rows, measured = fresh.run(case, 1)
        else:
            rows, measured = child.run(case, counts[child])
        results[child].rows = rows
        results[child].rounds.append(measured)

    def attempt(child: Child) -> None:
        try:
            if child not in counts:
                progress(f"{case.name}: {child.runner.name} ")
                counts[child] = 1 if case.shape is Shape.MEMORY else calibrate(child, case, seconds)
                results[child] = Result(case.name, child.runner.name, case.rows, [])
            else:
                run(child)
        except Unavailable as error:
            print(f"{child.runner.name} is left out of {case.name}: {error}", file=sys.stderr)
            results.pop(child, None)
            taking_part.remove(child)

    taking_part = [child for child in children if takes_part(child, case)]
    for number in range(rounds + 1):  # the first is to calibrate
        for child in list(taking_part):
            if number:
                progress(f"{case.name}: round {number} of {rounds} ")
            attempt(child)
    progress("")
    return list(results.values())


def progress(text: str) -> None:
    """Say what is going on, to people only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def describe_machine(server: str, versions: dict[str, str]) -> dict[str, Any]:
    """What has to be known to compare numbers with those of another day or machine."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        processor = model[1] if model is not None else processor
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
        "server": server.partition(" on ")[0],
        "machine": f"{platform.system()} {platform.machine()}, {processor}, {os.cpu_count()} processors",
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def compare(arguments: argparse.Namespace) -> tuple[Results, dict[str, Any]]:
    """Measure, and print each case when it is done; returns the results and the machine."""
    results: list[Result] = []
    versions: dict[str, str] = {}
    with prepared_server(arguments.dsn) as server, contextlib.ExitStack() as stack:
        children: list[Child] = []
        for runner in arguments.runners:
            try:
                child = stack.enter_context(Child(runner, server))
            except Unavailable as error:
                print(f"{runner.name} is left out: {error}", file=sys.stderr)
                continue
            versions |= child.versions
            children.append(child)
        machine = describe_machine(server.version, versions)
        show_machine(machine)
        for case in _measurable(arguments.cases, server):
            of_case = measure(case, children, arguments.rounds, arguments.seconds, server)
            results += of_case
            if of_case:
                print(f"\n{case_table(Results(of_case), case.name)}", flush=True)
    return Results(results), machine


def show_machine(machine: dict[str, Any]) -> None:
    for key, value in machine.items():
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


def read(file: Path) -> tuple[Results, dict[str, Any]]:
    """What an earlier run has written, printed again."""
    written: dict[str, Any] = json.loads(file.read_text())
    results = Results.from_json(written)
    show_machine(written["machine"])
    for case in dict.fromkeys(result.case for result in results.all):
        print(f"\n{case_table(results, case)}")
    return results, written["machine"]


def instructions(arguments: argparse.Namespace) -> None:
    """Count instructions and print."""
    with prepared_server(arguments.dsn) as server:
        for case in _measurable(arguments.cases, server):
            for runner in arguments.runners:
                if case.shape in runner.load().shapes():
                    count = count_instructions(runner, case, server)
                    print(f"{case.name}  {runner.name}  {count:,.0f} instructions per operation", flush=True)


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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="draw it, as SVG files")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing, show what --json has written")
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count machine instructions of the process with valgrind instead of time; "
        "default: the case 'one', the runners asyncpg and pgsansio",
    )
    parsed = parser.parse_args(arguments)
    if parsed.instructions:
        parsed.cases = parsed.cases or [CASES["one"]]
        parsed.runners = parsed.runners or [RUNNERS["asyncpg"], RUNNERS["pgsansio"]]
        instructions(parsed)
        return
    parsed.cases = parsed.cases or list(CASES.values())
    parsed.runners = parsed.runners or list(RUNNERS.values())
    results, machine = compare(parsed) if parsed.read is None else read(parsed.read)
    show_series(results)
    if parsed.json is not None:
        parsed.json.write_text(json.dumps(results.as_json(machine), indent=1) + "\n")
    if parsed.charts is not None:
        parsed.charts.mkdir(parents=True, exist_ok=True)
        for name, text in charts(results).items():
            (parsed.charts / name).write_text(text)


if __name__ == "__main__":
    main()
