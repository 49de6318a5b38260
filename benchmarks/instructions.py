"""Machine instructions, counted by valgrind: a number that is the same on a busy machine.

How this works. A process (`process.py`, `decoding.py`) starts under callgrind without being counted, which is ten times
faster, and gets ready. Then counting is switched on from outside, with valgrind's `vgdb`, two numbers of operations are
carried out, each followed by a dump of what was counted, and the difference of the two is divided: what is around the
operations is in both.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.cases import Case, Shape
from benchmarks.child import ROOT, Unavailable, hang_up
from benchmarks.comparison import Comparison, Count, Decoding, commit
from benchmarks.decoding import SHAPES
from benchmarks.results import Ratio
from benchmarks.runners import Runner
from benchmarks.server import Prepared

__all__ = ["Counted", "count_cases", "count_decoding"]

#: Operations: of the run before it is counted, and of the two whose difference is taken.
_WARM: Final = 150
_COUNTS: Final = (50, 150)
#: trio runs its tasks in an order by chance, so that the paths differ; elsewhere, three times as many operations change
#: the number by less than half a percent.
_COUNTS_ON_TRIO: Final = (100, 600)


class Counted:
    """A process under valgrind. Commands and answers are lines of JSON."""

    def __init__(self, module: str, environment: tuple[tuple[str, str], ...] = ()) -> None:
        program, self._vgdb = shutil.which("valgrind"), shutil.which("vgdb")
        if program is None or self._vgdb is None:
            raise SystemExit("--instructions needs valgrind and vgdb on PATH")
        self._folder = tempfile.TemporaryDirectory()
        output = f"--callgrind-out-file={self._folder.name}/out"
        python = [sys.executable, "-m", module]
        self._process = subprocess.Popen(
            [program, "--tool=callgrind", "--instr-atstart=no", output, *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            # The same hashes, and with them the same collisions, in all of them.
            env=os.environ | dict(environment) | {"PYTHONHASHSEED": "0"},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        hang_up(self._process)
        self._folder.cleanup()

    def ask(self, **command: object) -> dict[str, Any]:
        """Have this done, whether it is counted or not.

        Raises:
            Unavailable: the process answers with an error, or ends.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(command), file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next one.

        Raises:
            Unavailable: it is an error, or the process ends.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process has ended under valgrind"}
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def per_operation(self, few: int, many: int, **command: object) -> float:
        """Instructions of one operation of a command that takes their number as `count`."""
        self._control("instrumentation", "on")
        totals: list[int] = []
        for count in (few, many):
            self._control("zero")
            self.ask(**command, count=count)
            self._control("dump")
            totals.append(self._dumped())
        self._control("instrumentation", "off")
        return (totals[1] - totals[0]) / (many - few)

    def _control(self, *words: str) -> None:
        command = [str(self._vgdb), f"--pid={self._process.pid}", *words]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if finished.returncode != 0:
            raise SystemExit(f"vgdb failed: {finished.stderr}")

    def _dumped(self) -> int:
        files = Path(self._folder.name).glob("out.*")
        newest = max(files, key=lambda file: int(file.suffix[1:]))
        found = re.search(r"^(?:totals|summary): (\d+)", newest.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])


def count_cases(comparison: Comparison, cases: list[Case], runners: list[Runner], server: Prepared) -> None:
    """Count one operation of each, as many runners at once as there are processors; prints what was counted."""
    now = commit()

    def count(runner: Runner) -> None:
        able = [case for case in cases if case.shape in runner.load().shapes() and case.shape is not Shape.MEMORY]
        if not able:
            return
        try:
            with Counted("benchmarks.process", runner.environment) as counted:
                counted.ask(runner=runner.name, dsn=server.dsn, places=dict(server.places))
                counted.answer()
                for case in able:
                    found = _count_case(counted, case, _COUNTS_ON_TRIO if runner.loop == "trio" else _COUNTS)
                    comparison.counts[case.name, runner.name] = Count(case.name, runner.name, now, found)
                    print(f"{case.name}  {runner.name}  {found:,.0f} instructions per operation", flush=True)
        except Unavailable as error:
            print(f"{runner.name} is left out: {error}", flush=True)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(count, runners))


def _count_case(counted: Counted, case: Case, counts: tuple[int, int]) -> float:
    share = 1 if case.rows == 1 and case.shape is not Shape.CONNECT else 10
    warm, few, many = (max(1, count // share // case.unit) * case.unit for count in (_WARM, *counts))
    many = max(many, few + case.unit)
    counted.ask(case=case.name, count=warm, latencies=False)
    return counted.per_operation(few, many, case=case.name, latencies=False)


def count_decoding(comparison: Comparison) -> None:
    """Count one row of each shape, decoded by the kernel and by asyncpg; prints what was counted."""
    now = commit()
    with Counted("benchmarks.decoding") as counted:
        for shape in SHAPES.values():
            rows: int = counted.ask(shape=shape, who="ours", count=5)["rows"]
            counted.ask(shape=shape, who="asyncpg", count=5)
            counted.ask(shape=shape, who="nothing", count=5)
            found = {who: counted.per_operation(2, 4, shape=shape, who=who) for who in ("ours", "asyncpg", "nothing")}
            ours, theirs = found["ours"] / rows, (found["asyncpg"] - found["nothing"]) / rows
            decoding = Decoding(shape, "instructions", now, ours, theirs, Ratio.of([theirs / ours]))
            comparison.decoding[shape, "instructions"] = decoding
            print(f"{shape}  ours {ours:,.0f}, asyncpg {theirs:,.0f} instructions per row", flush=True)
