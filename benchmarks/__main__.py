"""`python -m benchmarks`: this project beside asyncpg, on one server. See README.md in this folder.

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
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.cases import CASES, TASKS, Case, Shape
from benchmarks.instructions import count_instructions
from benchmarks.report import Result, Round, as_json, growth_table, main_table, memory_table
from benchmarks.runners import RUNNERS, Runner
from benchmarks.server import Prepared, prepared_server

ROOT: Final = Path(__file__).resolve().parent.parent


class Unavailable(Exception):
    """A runner cannot be used here; the text says why."""


class Child:
    """The process of one runner. Commands and answers are lines of JSON."""

    def __init__(self, runner: Runner, server: Prepared) -> None:
        self.runner = runner
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runners"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.versions: dict[str, str] = self._ask(runner=runner.name, dsn=server.dsn, places=server.places)["versions"]
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(command), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process has ended; see above"}
        if "error" in answer:
            self.close()
            raise Unavailable(answer["error"])
        return answer

    def run(self, case: Case, count: int) -> tuple[int, Round]:
        """Measure so many operations; returns the rows of each, too."""
        answer = self._ask(case=case.name, count=count)
        return answer.pop("rows"), Round(count, **answer)

    def close(self) -> None:
        """Hang up, which ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def calibrate(child: Child, case: Case, seconds: float) -> int:
    """How many operations take about this long; they are carried out meanwhile, so that nothing is cold afterwards."""
    unit = TASKS if case.shape is Shape.TASKS else 1
    count = unit
    while True:
        _, measured = child.run(case, count)
        if measured.wall >= seconds / 4:
            return max(unit, round(count * seconds / measured.wall / unit) * unit)
        count = max(count * 2, round(count * seconds / 3 / max(measured.wall, 1e-6) / unit) * unit)


def measure(case: Case, children: Sequence[Child], rounds: int, seconds: float, server: Prepared) -> list[Result]:
    """One case on all these runners."""
    children = [child for child in children if case.shape in child.runner.shapes]
    results = [Result(case.name, child.runner.name, case.rows, []) for child in children]
    memory = case.shape is Shape.MEMORY
    counts = [1 if memory else calibrate(child, case, seconds) for child in children]
    for number in range(rounds):
        progress(f"{case.name}: round {number + 1} of {rounds} ")
        for child, result, count in zip(children, results, counts, strict=True):
            if memory:
                with Child(child.runner, server) as fresh:
                    result.rows, measured = fresh.run(case, count)
            else:
                result.rows, measured = child.run(case, count)
            result.rounds.append(measured)
    progress("")
    return results


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


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
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
        for key, value in machine.items():
            print(f"{key}: {value}")
        for case in _measurable(arguments.cases, server):
            of_case = measure(case, children, arguments.rounds, arguments.seconds, server)
            results += of_case
            print(f"\n{main_table(of_case)}", flush=True)
    for title, text in (
        ("Memory that one result takes", memory_table(results)),
        ("CPU per row, by the size of the result", growth_table(results)),
    ):
        if text:
            print(f"\n{title}\n{text}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(results, machine), indent=1) + "\n")


def instructions(arguments: argparse.Namespace) -> None:
    """Count instructions and print."""
    with prepared_server(arguments.dsn) as server:
        for case in _measurable(arguments.cases, server):
            for runner in arguments.runners:
                if case.shape in runner.shapes:
                    count = count_instructions(runner, case, server, ROOT)
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
    parser = argparse.ArgumentParser("python -m benchmarks", description="Compare this project with asyncpg.")
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
    else:
        parsed.cases = parsed.cases or list(CASES.values())
        parsed.runners = parsed.runners or list(RUNNERS.values())
        compare(parsed)


if __name__ == "__main__":
    main()
