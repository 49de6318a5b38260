"""`python -m fuzz`: run the targets, time-boxed. See fuzz/README.md."""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from fuzz import (
    fuzz_backend_bytes,
    fuzz_codecs,
    fuzz_conninfo,
    fuzz_frontend_bytes,
    fuzz_introspection,
    fuzz_kernels,
    fuzz_literals,
    fuzz_rows,
    fuzz_sasl,
    fuzz_simple,
    fuzz_startup_bytes,
)
from fuzz.limits import execute, no_hangs

CORPUS = Path(__file__).parent / "corpus"
TARGETS: dict[str, ModuleType] = {
    module.__name__.removeprefix("fuzz.fuzz_"): module
    for module in (
        fuzz_backend_bytes, fuzz_startup_bytes, fuzz_sasl, fuzz_frontend_bytes, fuzz_rows, fuzz_kernels, fuzz_codecs,
        fuzz_literals, fuzz_introspection, fuzz_conninfo, fuzz_simple,
    )
}  # fmt: skip
#: So many different findings of one target, and the rest of its time is better spent on mending them.
MAX_FINDINGS = 5


def corpus_of(name: str) -> list[bytes]:
    """The committed inputs of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def place_of(error: BaseException) -> str:
    """Where an error was raised, to tell findings apart."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"


class Findings:
    """What a target has not stood, each place once."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.places: set[str] = set()

    def add(self, data: bytes, error: BaseException) -> None:
        place = place_of(error)
        if place in self.places:
            return
        self.places.add(place)
        path = self.folder / f"{self.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"FINDING in {self.name}: {place}\n  reproducer: {path}")
        print("  " + "  ".join(traceback.format_exception(error)), flush=True)


def mutations(module: ModuleType, corpus: list[bytes], seed: int) -> Iterator[bytes]:
    """The corpus as it is, then changed for ever."""
    yield from corpus
    chance = random.Random(seed)
    while True:
        yield module.mutate(chance.choice(corpus), corpus, chance)


def run_random(name: str, seconds: float, seed: int, findings: Findings) -> int:
    """Executions in that time."""
    module = TARGETS[name]
    executions = 0
    end = time.monotonic() + seconds
    with no_hangs() as restart:
        for data in mutations(module, corpus_of(name), seed):
            restart()
            executions += 1
            try:
                execute(module.target, data)
            except Exception as error:
                findings.add(data, error)
            if time.monotonic() > end or len(findings.places) == MAX_FINDINGS:
                break
    return executions


def run_hypothesis(name: str, seconds: float, seed: int, findings: Findings) -> int:
    """Inputs that hypothesis chooses; what it finds, it makes smaller first."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    module = TARGETS[name]
    corpus = corpus_of(name)
    changed = st.builds(
        lambda data, number: module.mutate(data, corpus, random.Random(number)),
        st.sampled_from(corpus),
        st.integers(0, 2**32),
    )
    executions = 0
    worst = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(findings.places) < MAX_FINDINGS:

        @seeded(seed + executions)
        @settings(
            max_examples=200,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
        )
        @given(st.binary(max_size=300) | changed)
        def look(data: bytes) -> None:
            nonlocal executions, worst
            executions += 1
            restart()
            try:
                execute(module.target, data)
            except Exception:
                worst = data
                raise

        with no_hangs() as restart:
            try:
                look()
            except Exception as error:
                findings.add(worst, error)
    return executions


def run_atheris(name: str, seconds: float, seed: int, findings: Findings) -> int:
    """libFuzzer, led by coverage, in a process of its own; what it adds to the corpus is kept for this run only."""
    with tempfile.TemporaryDirectory() as folder:
        findings.folder.mkdir(parents=True, exist_ok=True)
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "fuzz.with_atheris", name, folder, str(CORPUS / name)),
                *(f"-max_total_time={max(1, round(seconds))}", f"-seed={seed + 1}", "-max_len=20000", "-timeout=60"),
                *("-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={findings.folder}/{name}-"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        findings.places.add("atheris")
        print(
            f"FINDING in {name}: the reproducer is in {findings.folder}\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}"
        )
    counts = [line.split()[-1] for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
    return int(counts[0]) if counts else 0


ENGINES: dict[str, Callable[[str, float, int, Findings], int]] = {
    "random": run_random,
    "hypothesis": run_hypothesis,
    "atheris": run_atheris,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Feed hostile input to what has to stand it.")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (default: 10)")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all; may be repeated")
    parser.add_argument("--engine", choices=ENGINES, default="random", help="default: random")
    parser.add_argument("--seed", type=int, default=0, help="another one, another way through (default: 0)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz/findings"), help="folder for reproducers")
    parser.add_argument("--input", type=Path, help="run one --target on this file only")
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    if options.input is not None:
        for name in names:
            execute(TARGETS[name].target, options.input.read_bytes())
        return 0
    found = 0
    for name in names:
        if name == "kernels" and fuzz_kernels.COMPILED is None:
            print(f"{name:<16} skipped: no compiled kernel is built", flush=True)
            continue
        findings = Findings(name, options.findings)
        executions = ENGINES[options.engine](name, options.seconds, options.seed, findings)
        found += len(findings.places)
        print(f"{name:<16} {executions:>9} executions   {len(findings.places)} findings", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
