"""The comparison runs: every runner gives right answers and has a line. What it measures is not looked at."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks import bench_types
from benchmarks.__main__ import main
from benchmarks.bench_types import Times
from benchmarks.report import Result, Round, as_json, growth_table, main_table, memory_table
from benchmarks.type_cases import CASES, TypeCase
from pgsansio.codecs.builtin import PREFERRED
from pgsansio.codecs.catalog import BY_NAME, BY_OID
from tests.support.servers import Server

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def dsn(postgres: Server) -> str:
    # Over TCP, since a server that root starts lets only root and its own account into its folder.
    return f"postgresql://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{postgres.database}"


def measure(dsn: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--dsn", dsn, "--rounds", "2", "--seconds", "0.001", *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.server
def test_every_runner_measures_a_lookup(dsn: str, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    printed = measure(dsn, "--cases", "lookup", "--json", str(target))

    written: dict[str, Any] = json.loads(target.read_text())
    runners = {result["runner"] for result in written["results"]}
    expected = {"asyncpg", "pgsansio", "floor", "asyncpg-uvloop", "pgsansio-uvloop", "floor-uvloop"}
    expected |= {"pgsansio-trio", "pgsansio-trio-bare", "floor-trio"}
    # triopg is nobody's dependency.
    assert runners - {"triopg"} == expected
    for result in written["results"]:
        assert [each["count"] > 0 and each["wall"] > 0 for each in result["rounds"]] == [True, True]
        assert f"\n  {result['runner']} " in printed
    assert written["machine"]["server"].startswith("PostgreSQL")


@pytest.mark.server
def test_every_case_has_a_floor_or_a_memory(dsn: str) -> None:
    cases = "one,pg_type,int4,wide,tasks,many,memory"
    printed = measure(dsn, "--cases", cases, "--runners", "pgsansio,floor")
    for case in cases.split(","):
        assert f"\n{case}: " in printed
    assert printed.count("\n  floor ") == 6
    assert "peak MiB" in printed


@pytest.mark.server
def test_connecting_needs_a_server_of_its_own(dsn: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "--cases", "connect-trust,connect-scram,connect-tls"]
    command += ["--rounds", "1", "--seconds", "0.001", "--runners", "asyncpg,pgsansio,pgsansio-trio"]
    given = subprocess.run([*command, "--dsn", dsn], cwd=ROOT, capture_output=True, text=True, check=True)
    assert given.stderr.count(" is left out: it needs a server of our own") == 3

    own = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = [line.partition(":")[0] for line in own.stdout.splitlines() if line.startswith("connect-")]
    left_out = [line.split()[0] for line in own.stderr.splitlines() if "the server has no TLS" in line]
    assert [*measured, *left_out] == ["connect-trust", "connect-scram", "connect-tls"]
    assert own.stdout.count("\n  pgsansio-trio ") == len(measured)


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--cases", "one,nothing"])
    assert "unknown: nothing; there are: one, lookup" in capsys.readouterr().err


def results() -> list[Result]:
    """Of two runners; the second is twice, then four times as fast by the clock, and always twice by the processor."""
    return [
        Result("rows-1000", "asyncpg", 1000, [Round(1, 8.0, 4.0), Round(2, 16.0, 8.0)]),
        Result("rows-1000", "pgsansio", 1000, [Round(10, 40.0, 20.0), Round(10, 20.0, 20.0)]),
        Result("rows-1000", "floor", 1000, [Round(1, 1.0, 0.5), Round(1, 1.0, 0.5)]),
        Result("rows-10000", "asyncpg", 10_000, [Round(1, 80.0, 40.0)]),
        Result("rows-10000", "pgsansio", 10_000, [Round(1, 80.0, 60.0)]),
    ]


def test_ratios_are_of_the_same_round() -> None:
    line = next(line for line in main_table(results()).splitlines() if line.startswith("  pgsansio"))
    times = ["3,000,000.0", "2,000,000.0", "2,000,000.0"]
    assert [part.strip() for part in line.split("  ") if part.strip()] == [
        "pgsansio",
        "0",
        *times,
        "3.00 (2.00-4.00)",
        "2.00 (2.00-2.00)",
        "4.00",
    ]
    entry = as_json(results(), {})["results"][1]
    assert entry["baseline"] == "asyncpg"
    assert entry["wall_ratio"] == {"median": 3.0, "lowest": 2.0, "highest": 4.0}


def test_growth_is_cost_per_row() -> None:
    lines = {line.split()[0]: line.split() for line in growth_table(results()).splitlines()}
    assert lines["asyncpg"] == ["asyncpg", "4000000", "ns/row", "4000000", "ns/row", "1.00"]
    assert lines["pgsansio"][-1] == "3.00"
    assert "floor" not in lines  # it has only one size
    assert growth_table(results()[:3]) == ""


def test_memory_is_a_median() -> None:
    rounds = [Round(1, 1.0, 1.0, peak, peak / 2) for peak in (3.0, 1.0, 2.0)]
    assert memory_table([Result("memory", "asyncpg", 200_000, rounds)]).split()[-2:] == ["2.0", "1.0"]
    assert memory_table(results()) == ""


# types


def test_every_type_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert {BY_OID[oid].name for oid in PREFERRED} <= CASES.keys()

    bench_types.main(["--rows", "2", "--rounds", "1", "--seconds", "0"])

    lines = capsys.readouterr().out.splitlines()
    assert [line[:28].rstrip() for line in lines[2 : 2 + len(CASES)]] == list(CASES)
    # Both directions of both: two numbers and a ratio each.
    int4 = next(line for line in lines if line.startswith("int4 "))
    assert int4.count("(") == 2
    assert next(line for line in lines if line.startswith("record ")).split()[-3:] == ["-", "-", "-"]


@pytest.mark.parametrize(("name", "status"), [("text", 0), ("int4", 1)])
def test_what_is_slow_needs_a_reason(
    name: str, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [name, "--slow", "--rows", "2", "--rounds", "1", "--seconds", "0"]
    monkeypatch.setattr(bench_types, "LIMIT", float("inf"))
    assert bench_types.main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setattr(bench_types, "LIMIT", float("-inf"))
    assert bench_types.main(arguments) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"{name} ")
    assert lines[4].startswith("! nobody has said why:" if status else "! nothing is done but")
    assert lines[5] == f"  {name}"


def test_an_unknown_type_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench_types.main(["int4", "nothing"])
    assert "unknown: nothing; there are: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("functions", "text"),
    [
        ((str.swapcase, str), "asyncpg did not write"),
        ((str, str.swapcase), "ours 'tsuYd', asyncpg's 'TSUyD'"),
    ],
)
def test_a_type_that_differs_is_not_measured(
    functions: tuple[Any, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def value(source: Random) -> str:
        return "tsuYd"

    monkeypatch.setitem(CASES, "text", TypeCase("text", BY_NAME["text"].oid, value, functions=functions))
    with pytest.raises(AssertionError, match=text):
        bench_types.main(["text", "--rows", "2", "--rounds", "1", "--seconds", "0"])


def test_what_is_slow_is_marked() -> None:
    assert Times([8.0, 2.0, 6.0], [2.0, 2.0, 1.0]).columns() == ("6", "2", "4.0 (1.0-6.0)")
    assert Times([9.0], [2.0]).columns() == ("9", "2", "4.5 (4.5-4.5) !")
    assert Times([9.0], []).columns() == ("9", "-", "-")
    assert Times([], []).columns() == ("-", "-", "-")


def test_types_run_under_pytest_benchmark() -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks/test_types.py", "-q", "-k", "record or line"]
    finished = subprocess.run(
        [*command, "--benchmark-disable", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    # line both ways; a record is no argument.
    assert "3 passed, 1 skipped" in finished.stdout
