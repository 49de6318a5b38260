"""The comparison runs: every runner gives right answers and has a line. What it measures is not looked at."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.report import Result, Round, as_json, growth_table, main_table, memory_table
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
