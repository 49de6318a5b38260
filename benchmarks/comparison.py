"""All that is known of a comparison, in a file: each finished round, so that a run can be stopped and gone on with.

What was measured on another machine, or of other versions, does not belong together, and is refused. Each result knows
its commit, which is that of the code that is measured: changes of tests or documents make no other.
"""

import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.results import Ratio, Results

__all__ = ["Comparison", "Count", "Decoding", "Differs", "commit", "describe_machine"]

ROOT: Final = Path(__file__).resolve().parent.parent
#: What is measured, and what measures.
_MEASURED: Final = ("pgsansio", "pgsansio_asyncio", "pgsansio_trio", "benchmarks/clients", "benchmarks/process.py")


class Differs(Exception):
    """What a file holds was measured elsewhere, or of something else; the text says of what."""


@dataclass(frozen=True, slots=True)
class Count:
    """Machine instructions of one operation of a case."""

    case: str
    runner: str
    commit: str
    instructions: float


@dataclass(frozen=True, slots=True)
class Decoding:
    """What one row of a shape takes to be decoded: nanoseconds (with the ratio asyncpg's by ours), or instructions."""

    shape: str
    measure: str
    commit: str
    ours: float
    asyncpg: float
    ratio: Ratio


@dataclass(slots=True)
class Comparison:
    """What was measured, in one or many runs.

    Attributes:
        machine: what has to be the same in all runs: processor, Python, server.
        versions: of the packages.
        runs: when, with which command, and at which load.
    """

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    results: Results = field(default_factory=lambda: Results([]))
    counts: dict[tuple[str, str], Count] = field(default_factory=dict)
    decoding: dict[tuple[str, str], Decoding] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Self:
        written: dict[str, Any] = json.loads(file.read_text())
        decoding = [Decoding(**each | {"ratio": Ratio(**each["ratio"])}) for each in written["decoding"]]
        return cls(
            written["machine"],
            written["versions"],
            written["runs"],
            Results.from_json(written["results"]),
            {(each["case"], each["runner"]): Count(**each) for each in written["instructions"]},
            {(each.shape, each.measure): each for each in decoding},
        )

    def save(self, file: Path) -> None:
        """Write all; a reader, or a stop in the middle, sees the old file or the new one."""
        written = {
            "machine": self.machine,
            "versions": self.versions,
            "runs": self.runs,
            "results": self.results.as_json(),
            "instructions": [asdict(each) for each in self.counts.values()],
            "decoding": [asdict(each) for each in self.decoding.values()],
        }
        beside = file.with_name(f"{file.name}.new")
        beside.write_text(json.dumps(written, indent=1) + "\n")
        beside.replace(file)

    def begin(self, machine: Mapping[str, str], versions: Mapping[str, str], command: Sequence[str]) -> None:
        """Note another run, begun with this command.

        Raises:
            Differs: it is on another machine, or of other versions.
        """
        different = [
            f"{name}: {old[name]!r}, now {new[name]!r}"
            for old, new in ((self.machine, machine), (self.versions, versions))
            for name in old.keys() & new.keys()
            if old[name] != new[name]
        ]
        if different:
            raise Differs("; ".join(sorted(different)))
        self.machine |= machine
        self.versions |= versions
        load = [round(each, 2) for each in os.getloadavg()]
        date = time.strftime("%Y-%m-%d %H:%M %z")
        self.runs.append({"date": date, "load": load, "commit": commit(), "command": shlex.join(command)})

    def head(self) -> dict[str, str]:
        """What a reader of the tables has to know."""
        commits = [each.commit for each in self.results.all]
        commits += [each.commit for each in (*self.counts.values(), *self.decoding.values())]
        loads = [run["load"][0] for run in self.runs]
        dates = [run["date"] for run in self.runs]
        return {
            **self.machine,
            "versions": ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items())),
            "commit": ", ".join(dict.fromkeys(commits or [self.runs[-1]["commit"]])),
            "date": dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
            "load before": f"{min(loads)}" if min(loads) == max(loads) else f"{min(loads)} to {max(loads)}",
            "commands": "; ".join(dict.fromkeys(run["command"] for run in self.runs)),
        }


def describe_machine(server: str) -> dict[str, str]:
    """What has to be the same for numbers to be compared."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        processor = model[1] if model is not None else processor
    return {
        "machine": f"{platform.system()} {platform.machine()}, {processor}, {os.cpu_count()} processors",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": server.partition(" on ")[0],
    }


def commit() -> str:
    """The last one that has changed what is measured, with "+" if there is more; "unknown" without git."""
    try:
        return _git("log", "-1", "--format=%h") + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", *arguments, "--", *_MEASURED]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
