"""The parent's end of a runner's process."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.cases import Case, Shape
from benchmarks.results import Round
from benchmarks.runners import Runner
from benchmarks.server import Prepared

__all__ = ["COMMAND", "ROOT", "Child", "Unavailable", "hang_up"]

ROOT: Final = Path(__file__).resolve().parent.parent
COMMAND: Final = (sys.executable, "-m", "benchmarks.process")


class Unavailable(Exception):
    """A runner cannot be used here; the text says why."""


class Child:
    """The process of one runner, and another one after it has failed. Commands and answers are lines of JSON.

    Attributes:
        versions: of what is measured.
        shapes: what it can do.
    """

    def __init__(self, runner: Runner, server: Prepared) -> None:
        self.runner = runner
        self._server = server
        self._start()

    def _start(self) -> None:
        runner, server = self.runner, self._server
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | dict(runner.environment),
            # Control-C is for the parent, which hangs up then.
            start_new_session=True,
        )
        about = self._ask(runner=runner.name, dsn=server.dsn, places=dict(server.places))
        self.versions: dict[str, str] = about["versions"]
        self.shapes = frozenset(map(Shape, about["shapes"]))
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

    def run(self, case: Case, count: int, turn: int = 0) -> tuple[int, Round]:
        """Measure so many operations; returns the rows of each, too.

        Raises:
            Unavailable: the process has ended: an answer was wrong, or a library failed.
        """
        if self._process.poll() is not None:
            self._start()
        answer = self._ask(case=case.name, count=count, latencies=True)
        return answer.pop("rows"), Round(turn, count, **answer)

    def close(self) -> None:
        """Hang up, which ends the process."""
        hang_up(self._process)


def hang_up(process: "subprocess.Popen[str]") -> None:
    """Close its input, which ends it, and wait for that."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.wait()
    process.stdout.close()
