"""Machine instructions per operation, counted by valgrind: a number that is the same on a busy machine."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from typing import Final

from benchmarks.cases import Case, Shape
from benchmarks.child import COMMAND, ROOT
from benchmarks.runners import Runner
from benchmarks.server import Prepared

__all__ = ["count_instructions"]

#: Operations of the two runs whose difference is taken; start-up and connecting are the same in both.
_COUNTS: Final = (100, 600)


def count_instructions(runner: Runner, case: Case, server: Prepared) -> float:
    """Instructions of the client's process (not the kernel's) for one operation.

    Raises:
        SystemExit: there is no valgrind, or it failed.
    """
    program = shutil.which("valgrind")
    if program is None:
        raise SystemExit("--instructions needs valgrind on PATH")
    share = 5 if case.shape is Shape.CONNECT else 1 if case.rows == 1 else 50
    few, many = (count // share for count in _COUNTS)
    few, many = (max(factor, count // case.unit) * case.unit for factor, count in ((1, few), (2, many)))
    totals = [_total(program, runner, case, server, count) for count in (few, many)]
    return (totals[1] - totals[0]) / (many - few)


def _total(program: str, runner: Runner, case: Case, server: Prepared, count: int) -> int:
    first = {"runner": runner.name, "dsn": server.dsn, "places": dict(server.places)}
    commands = first, {"case": case.name, "count": count, "latencies": False}
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        finished = subprocess.run(
            [*command, *COMMAND],
            input="".join(json.dumps(each) + "\n" for each in commands),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            # The same hashes, and with them the same collisions, in both runs.
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
    found = re.search(r"Collected : (\d+)", finished.stderr)
    if finished.returncode != 0 or found is None:
        raise SystemExit(f"valgrind failed:\n{finished.stderr}")
    return int(found[1])
