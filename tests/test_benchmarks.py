"""The comparison runs: every client answers every case rightly, and what is made of the times is right.

What it measures is not looked at.
"""

import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import groupby
from math import inf
from pathlib import Path
from random import Random
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest

from benchmarks import bench_types
from benchmarks.__main__ import main
from benchmarks.answers import check
from benchmarks.bench_types import Times
from benchmarks.cases import CASES as COMPARED
from benchmarks.cases import LARGE, Case, Growth, Shape
from benchmarks.chart import charts, comparison_chart, growth_chart
from benchmarks.child import Child, Unavailable
from benchmarks.comparison import Comparison, Count, Differs
from benchmarks.loops import loop_named
from benchmarks.measuring import Measurement, estimate, lacking
from benchmarks.process import measure_times
from benchmarks.publish import between, publish
from benchmarks.report import case_table, growth_table, memory_table, summary_table
from benchmarks.results import Gap, Ratio, Result, Results, Round, ratio, shared_turns
from benchmarks.runners import RUNNERS, Kind, Runner
from benchmarks.server import Prepared, prepared_server
from benchmarks.tables import BATCH, RECORD
from benchmarks.targets import Cell, targets
from benchmarks.type_cases import CASES, TypeCase
from pgsansio.codecs.builtin import PREFERRED
from pgsansio.codecs.catalog import BY_NAME, BY_OID
from tests.support.servers import Server

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dsn(postgres: Server) -> str:
    # Over TCP, since a server that root starts lets only root and its own account into its folder.
    return f"postgresql://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{postgres.database}"


# answers


@pytest.fixture(scope="module")
def prepared(dsn: str) -> Iterator[Prepared]:
    with prepared_server(dsn) as server:
        yield server


def shrunk(case: Case) -> Case:
    """The same with fewer rows, tasks and connections."""
    if case.rows > 10_000:
        return replace(case, rows=2000, sql=case.sql.replace(f"1, {case.rows}", "1, 2000"))
    return replace(case, tasks=min(case.tasks, 20), each=1, connections=3)


def load(runner: Runner) -> Any:
    try:
        runner.versions()
        return runner.load()
    except ImportError as error:
        pytest.skip(f"needs the extra 'bench': {error}")


@pytest.mark.server
@pytest.mark.parametrize("runner", RUNNERS.values(), ids=lambda runner: runner.name)
def test_every_client_answers_every_case(runner: Runner, prepared: Prepared) -> None:
    client_class, loop = load(runner), loop_named(runner.loop)
    # What prepared_server() has no places for.
    places = dict.fromkeys(("connect-trust", "connect-scram", "connect-tls"), prepared.dsn)
    cases = [shrunk(case) for case in COMPARED.values() if case.shape in client_class.shapes() and not case.growth]
    done: list[str] = []

    async def work() -> None:
        async with AsyncExitStack() as stack:
            client = client_class(prepared.dsn, places, stack, loop)
            await client.start()
            for case in cases:
                operation, rows = await client.prepare(case)  # sees to it that the answer is right
                await client.before(case)
                measured = await measure_times(client, operation, case, 2 * case.unit, with_latencies=True)
                assert 0 < measured["p50"] <= measured["p99"] <= measured["wall"]
                assert rows == (case.rows or rows)
                done.append(case.name)

    loop.run(work)
    assert done == [case.name for case in cases]


def test_ours_and_asyncpg_do_every_case() -> None:
    assert RUNNERS["pgsansio"].load().shapes() == RUNNERS["pgsansio-trio"].load().shapes() == set(Shape)
    assert RUNNERS["asyncpg"].load().shapes() == set(Shape)
    assert RUNNERS["floor"].load().shapes() == set(Shape) - {Shape.MEMORY, Shape.CONNECT}
    assert RUNNERS["floor-trio"].load().shapes() == set(Shape) - {Shape.MEMORY, Shape.CONNECT, Shape.TASKS}


WRONG: dict[str, Any] = {
    "one": 3,
    "lookup": (1, "name of 00000002", 1.5),
    "pg_type": [("int4", 0, 0, 8, True)] * 200,
    "int4": [(i,) for i in range(1000)],
    "bytea": [(b"a" * 1000,)] * 99,
    "arrays": [(list(range(1000)),)] * 10,
    "wide": [(None,) * 9] * 1000,
    "scalars": [],
    "text": [("row 1", "y1", None)] * 1000,
    "large-fetch": [],
    "large-cursor": (LARGE, (LARGE, LARGE, "row 1")),
    "large-stream": (LARGE - 1, (LARGE, LARGE, f"row {LARGE}")),
    "copy-in": None,
    "copy-out-raw": 0,
    "copy-out-typed": (10_000, RECORD[:-1]),
    "batch": None,
    "transaction": (2, "name of 00000002", 3.0),
    "tasks": (1, "name of 00000001", None),
    "pool-100": (1, "name of 00000001"),
    "notify": "",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_seen(name: str) -> None:
    async def query(sql: str) -> list[tuple[Any, ...]]:
        return [(BATCH - 1, 1, RECORD[3], RECORD[4], RECORD[6])]

    def plain(rows: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in rows]

    with pytest.raises(AssertionError, match=f"wrong answer to the case '{name}'"):
        check(COMPARED[name], WRONG[name], plain, query).send(None)


# the program


def measure(dsn: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--dsn", dsn, "--rounds", "1", "--seconds", "0.001", *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.server
def test_every_runner_has_its_line(dsn: str, tmp_path: Path) -> None:
    target, folder = tmp_path / "result.json", tmp_path / "charts"
    names = "asyncpg,pgsansio,floor,pgsansio-trio"
    options = ["--cases", "one,rows-1000,rows-10000,memory", "--json", str(target), "--charts", str(folder)]
    printed = measure(dsn, *options, "--runners", names)

    written: dict[str, Any] = json.loads(target.read_text())
    assert written["machine"]["server"].startswith("PostgreSQL")
    assert {result["runner"] for result in written["results"] if result["case"] == "one"} == set(names.split(","))
    for result in written["results"]:
        assert [each["count"] > 0 and each["wall"] > 0 for each in result["rounds"]] == [True]
        assert f"\n  {result['runner']} " in printed
    assert re.findall(r"^(?:Memory|Client CPU per|Summary)", printed, re.MULTILINE) == [
        "Memory",
        "Client CPU per",
        "Summary",
    ]
    assert {file.name for file in folder.iterdir()} >= {"cases-asyncio.svg", "cases-trio.svg", "growth-rows.svg"}
    assert measure(dsn, *options, "--runners", "asyncpg,floor").startswith("there is nothing to be measured\n")


@pytest.mark.server
def test_connecting_needs_a_server_of_its_own(dsn: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "--cases", "connect-trust,connect-scram,connect-tls"]
    command += ["--rounds", "1", "--seconds", "0.001", "--runners", "asyncpg,pgsansio,pgsansio-trio"]
    given = subprocess.run([*command, "--dsn", dsn], cwd=ROOT, capture_output=True, text=True, check=True)
    assert given.stderr.count(" is left out: it needs a server of our own") == 3

    own = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = [line.partition(":")[0] for line in own.stdout.splitlines() if re.match(r"connect-\w+:", line)]
    left_out = [line.split()[0] for line in own.stderr.splitlines() if "the server has no TLS" in line]
    assert [*measured, *left_out] == ["connect-trust", "connect-scram", "connect-tls"]
    assert own.stdout.count("\n  pgsansio-trio ") == len(measured)


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--cases", "one,nothing"])
    assert "unknown: nothing; there are: one, lookup" in capsys.readouterr().err


def kept(results: Results) -> Comparison:
    comparison = Comparison(results=results)
    comparison.begin({"machine": "a loom"}, {"asyncpg": "0.32.0"}, ["python", "-m", "benchmarks"])
    return comparison


def test_what_was_written_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = made_up()
    file = tmp_path / "result.json"
    kept(results).save(file)
    main(["--read", str(file), "--charts", str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.startswith("machine: a loom\nversions: asyncpg 0.32.0\n")
    assert case_table(results, "one") in printed
    assert summary_table(results) in printed
    assert (tmp_path / "cases-asyncio.svg").read_text() == comparison_chart(results, "asyncio")


def test_runs_on_other_machines_are_refused() -> None:
    comparison = kept(made_up())
    comparison.begin({"machine": "a loom"}, {"psycopg": "3.3"}, [])
    assert comparison.versions == {"asyncpg": "0.32.0", "psycopg": "3.3"}
    with pytest.raises(Differs, match=r"^asyncpg: '0\.32\.0', now '0\.31\.0'; machine: 'a loom', now 'a mill'$"):
        comparison.begin({"machine": "a mill"}, {"asyncpg": "0.31.0"}, [])
    assert len(comparison.runs) == 2


class Scripted(Child):
    """A child that says that it has worked."""

    asked: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def run(self, case: Case, count: int, turn: int = 0) -> tuple[int, Round]:
        if turn:
            self.asked.append((self.runner.name, turn))
        if self.runner.name == "psqlpy":
            raise Unavailable("it does not")
        return 1, Round(turn, count, 1.0, 1.0)


def turns(results: Results, rounds: int, *names: str, commit: str = "c0ffee", deadline: float = inf) -> list[str]:
    """Whom a run with so many rounds asks, turn by turn."""
    Scripted.asked.clear()
    children = {name: Scripted(RUNNERS[name]) for name in (*names, *(each.runner for each in results.all))}
    measurement = Measurement(results, Prepared("", ""), children, rounds, 1.0, commit, deadline=deadline)
    measurement.measure(COMPARED["one"], [RUNNERS[name] for name in names])
    grouped = groupby(Scripted.asked, key=lambda each: each[1])
    return [" ".join(name for name, _ in of_turn) for _, of_turn in grouped]


def test_what_is_missing_is_measured_beside_what_it_is_compared_with() -> None:
    results = Results([])
    assert turns(results, 2, "asyncpg", "pgsansio", "psycopg", "asyncpg-uvloop") == [
        "asyncpg asyncpg-uvloop pgsansio psycopg",
        "psycopg pgsansio asyncpg-uvloop asyncpg",
    ]
    assert turns(results, 2, "asyncpg", "pgsansio") == []
    assert turns(results, 3, "asyncpg") == ["asyncpg pgsansio"]
    assert turns(results, 1, "floor") == ["floor pgsansio asyncpg"]
    # Not together with those of another commit.
    assert turns(results, 1, "psqlpy", "pg8000", commit="decaf") == ["asyncpg floor pg8000"]
    assert results.find("one", "psqlpy") is None
    assert turns(results, 9, "asyncpg", deadline=-inf) == []
    ours = one_of(results, "one", "pgsansio")
    assert [each.turn for each in ours.rounds] == [1, 2, 3, 4]
    assert shared_turns(ours, one_of(results, "one", "psycopg")) == [1, 2]
    assert [result.runner for result in results.all] == [name for name in RUNNERS if results.find("one", name)]


def test_the_estimate_is_of_what_is_missing() -> None:
    runners = [RUNNERS["asyncpg"], RUNNERS["pgsansio"], RUNNERS["triopg"]]
    results = made_up()
    assert [each.name for each in lacking(results, COMPARED["one"], runners, 2)] == ["triopg"]
    # Each with a round of 4 s (the median of 4 and 8, of 8, ...), twice that to calibrate, and a second.
    assert estimate(results, COMPARED["one"], runners[:1], 3, 1.0) == pytest.approx(0.05 + 2 * 8 + 8 + 1)
    assert estimate(Results([]), COMPARED["one"], runners, 3, 1.0) == pytest.approx(3 * (0.05 + 0.02 + 3 + 1))


def test_rounds_of_other_turns_are_compared_by_their_medians() -> None:
    early = Result("one", "asyncpg", 1, [Round(1, 1, 2.0, 2.0), Round(2, 1, 4.0, 4.0)])
    late = Result("one", "pgsansio", 1, [Round(3, 1, 1.0, 1.0)])
    assert ratio(early, late, "cpu") == Ratio(3.0, 3.0, 3.0)
    assert Results([early, late, Result("one", "floor", 1, [Round(3, 1, 0.5, 0.5)])]).gap(late) is None


def test_targets_are_met_or_missed() -> None:
    comparison = kept(made_up())
    for name, number in (("asyncpg", 100_000), ("pgsansio", 44_000), ("pgsansio-trio", 101_000)):
        comparison.counts["one", name] = Count("one", name, "c0ffee", number)
    found = {(target.case, target.what): target for target in targets(comparison)}
    assert found["one", "G"].cells == {"asyncio": Cell("0.65 (0.50-0.80)", met=False)}
    # The floor is too near.
    assert found["lookup", "G"].cells == {"uvloop": Cell("CPU 1.11 (1.11-1.11)", met=True)}
    assert found["one", "instructions, by asyncpg's"].cells == {
        "asyncio": Cell("0.44 (44,000)", met=True),
        "trio": Cell("1.01 (101,000)", met=False),
    }
    assert found["all", "CPU: not behind the best peer"].cells == {
        "asyncio": Cell("0 of 2", met=True),
        "uvloop": Cell("0 of 1", met=True),
        "trio": Cell("1 of 1: one (0.75 psycopg)", met=None),
    }
    assert found["rows-...", "CPU per row, by that of fewer"].cells == {"asyncio": Cell("3.00", met=False)}
    assert {target.case for target in found.values()} >= {"tasks", "memory", "pool-100", "copy-in"}


def test_the_documents_are_written_between_their_marks(tmp_path: Path) -> None:
    for name in ("benchmarks/README.md", "docs/performance.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    comparison = kept(made_up())
    written = publish(comparison, tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in written} >= {
        "docs/performance.md",
        "docs/charts/growth-rows.svg",
    }
    readme, page = (
        (tmp_path / name).read_text(encoding="utf-8") for name in ("benchmarks/README.md", "docs/performance.md")
    )
    assert "| `one` | G | >= 0.7 | **0.65 (0.50-0.80) missed** |  |  |" in readme
    assert "| pgsansio | 0 |  |  | 2,250,000.0 | " in readme
    assert "](charts/cases-uvloop.svg)" in page
    assert publish(comparison, tmp_path) == written
    assert (tmp_path / "benchmarks/README.md").read_text(encoding="utf-8") == readme
    with pytest.raises(ValueError, match="no marks"):
        between("nothing", "text")


# what is made of it


def rounds(*times: tuple[int, float, float]) -> list[Round]:
    return [Round(turn, count, wall, cpu) for turn, (count, wall, cpu) in enumerate(times)]


def made_up() -> Results:
    """By the clock ours is twice, then four times as fast as asyncpg, by the processor twice and 1.6 times."""
    return Results(
        [
            Result("one", "asyncpg", 1, rounds((1, 8.0, 4.0), (2, 16.0, 8.0))),
            Result("one", "pgsansio", 1, rounds((10, 40.0, 20.0), (10, 20.0, 25.0))),
            Result("one", "psycopg", 1, rounds((1, 10.0, 3.0), (1, 10.0, 3.0))),
            Result("one", "pg8000", 1, rounds((1, 1.0, 0.1), (1, 1.0, 0.1))),
            Result("one", "floor", 1, rounds((1, 1.0, 1.5), (1, 1.0, 1.0))),
            Result("one", "pgsansio-trio", 1, rounds((1, 4.0, 4.0), (1, 4.0, 4.0))),
            Result("lookup", "asyncpg-uvloop", 1, rounds((1, 1.0, 1.0), (1, 1.0, 1.0))),
            Result("lookup", "pgsansio-uvloop", 1, rounds((1, 0.5, 0.9), (1, 0.5, 0.9))),
            Result("lookup", "floor-uvloop", 1, rounds((1, 0.5, 0.8), (1, 0.5, 0.8))),
            Result("rows-1000", "asyncpg", 1000, rounds((1, 8.0, 4.0))),
            Result("rows-10000", "asyncpg", 10_000, rounds((1, 80.0, 40.0))),
            Result("rows-1000", "pgsansio", 1000, rounds((10, 40.0, 20.0))),
            Result("rows-10000", "pgsansio", 10_000, rounds((1, 80.0, 60.0))),
            Result("tasks-10", "pgsansio", 1, rounds((10, 1.0, 1e-4))),
            Result("tasks-1000", "pgsansio", 1, rounds((1000, 1.0, 2e-2))),
            Result(
                "memory",
                "pgsansio",
                LARGE,
                [Round(peak, 1, 1.0, 1.0, None, None, peak, peak / 2) for peak in (3, 1, 2)],
            ),
        ]
    )


def one_of(results: Results, case: str, runner: str) -> Result:
    return next(result for result in results.of(case) if result.runner == runner)


def test_the_gap_is_of_the_same_round() -> None:
    results = made_up()
    # (4 - 2) / (4 - 1.5) and (4 - 2.5) / (4 - 1)
    gap = results.gap(one_of(results, "one", "pgsansio"))
    assert gap == Gap(Ratio(pytest.approx(0.65), 0.5, 0.8), pytest.approx((0.625 + 0.75) / 2))
    assert gap.counts
    assert results.gap(one_of(results, "one", "psycopg")) is None  # not ours
    assert results.gap(one_of(results, "one", "pgsansio-trio")) is None  # there is no floor of trio
    assert results.gap(one_of(results, "rows-1000", "pgsansio")) is None


def test_a_gap_near_the_floor_does_not_count() -> None:
    results = made_up()
    gap = results.gap(one_of(results, "lookup", "pgsansio-uvloop"))
    assert gap is not None
    assert gap.above_floor == pytest.approx(0.2)
    assert not gap.counts
    assert summary_table(results).splitlines()[4].split() == [
        *("lookup", "pgsansio-uvloop", "900,000.0", "2.00", "1.11", "2.00", "asyncpg-uvloop", "1.11", "asyncpg-uvloop"),
        *("-", "(20%", "above", "floor)"),
    ]


def test_a_floor_that_is_dearer_makes_no_gap() -> None:
    times = {"asyncpg": 1.0, "pgsansio": 0.9, "floor": 1.1}
    results = Results(Result("one", name, 1, rounds((1, 1.0, cpu))) for name, cpu in times.items())
    gap = results.gap(one_of(results, "one", "pgsansio"))
    assert gap == Gap(None, pytest.approx(-0.1))
    assert not gap.counts


def test_ratios_are_of_the_same_round() -> None:
    line = next(line for line in case_table(made_up(), "one").splitlines() if line.startswith("  pgsansio "))
    assert [part.strip() for part in line.split("  ") if part.strip()] == [
        *("pgsansio", "0", "2,250,000.0", "2,000,000.0"),
        *("3.00 (2.00-4.00)", "1.80 (1.60-2.00)", "1.35 (1.20-1.50) psycopg", "0.65 (0.50-0.80)"),
    ]
    entry = made_up().as_json()[1]
    assert entry["baseline"]["runner"] == "asyncpg"
    assert entry["baseline"]["wall"] == {"median": 3.0, "lowest": 2.0, "highest": 4.0}
    assert entry["best_peer"]["runner"] == "psycopg"
    assert entry["gap"]["counts"] is True


def test_the_best_peer_is_on_the_same_loop() -> None:
    results = made_up()
    found = {
        (case, name): peer and peer.runner
        for case, name in [("one", "pgsansio"), ("one", "pgsansio-trio"), ("lookup", "pgsansio-uvloop")]
        for peer in [results.best_peer(one_of(results, case, name), "cpu")]
    }
    # pg8000, which blocks, is the fastest of all.
    assert list(found.values()) == ["psycopg", "psycopg", "asyncpg-uvloop"]
    by_wall = results.best_peer(one_of(results, "one", "pgsansio"), "wall")
    assert by_wall is not None
    assert by_wall.runner == "asyncpg"


def test_growth_is_cost_per_row_and_per_task() -> None:
    lines = {line.split()[0]: line.split() for line in growth_table(made_up(), Growth.ROWS).splitlines()}
    assert lines["asyncpg"] == ["asyncpg", "4,000,000", "ns", "4,000,000", "ns", "1.00", "1.00"]
    assert lines["pgsansio"][-2:] == ["3.00", "3.00"]
    tasks = growth_table(made_up(), Growth.TASKS).splitlines()[-1]
    assert tasks.split() == ["pgsansio", "10,000", "ns", "20,000", "ns", "2.00", "2.00"]
    assert growth_table(Results(made_up().all[:10]), Growth.ROWS) == ""


def test_memory_is_a_median() -> None:
    assert memory_table(made_up()).split()[-2:] == ["2.0", "1.0"]
    assert memory_table(Results(made_up().of("one"))) == ""


SVG = "{http://www.w3.org/2000/svg}"


def test_the_bars_are_as_long_as_the_ratios() -> None:
    drawn = ElementTree.fromstring(comparison_chart(made_up(), "asyncio"))
    bars = [each for each in drawn.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]
    lengths = {bar.findtext(f"{SVG}title"): float(bar.attrib["width"]) for bar in bars}
    unit = (760 - 150 - 60) / 8
    assert lengths == {
        "pgsansio: 1.80": pytest.approx(1.8 * unit, abs=0.1),
        "psycopg: 1.33": pytest.approx(4 / 3 * unit, abs=0.1),
        "floor: 3.33": pytest.approx((4 / 1.5 + 4) / 2 * unit, abs=0.1),
    }
    (line,) = drawn.iter(f"{SVG}line")
    assert float(line.attrib["x1"]) == pytest.approx(150 + unit, abs=0.1)


def test_growth_is_drawn_as_a_line_for_each_runner() -> None:
    drawn = ElementTree.fromstring(growth_chart(made_up(), Growth.ROWS))
    curves = {each.findtext(f"{SVG}title"): each.find(f"{SVG}polyline") for each in drawn.iter(f"{SVG}g")}
    points = {name: curve.attrib["points"].split() for name, curve in curves.items() if curve is not None}
    # The highest cost, 6 ms, is at the top, y = 56, and nothing at y = 330.
    assert points == {"asyncpg": ["60.0,147.3", "700.0,147.3"], "pgsansio": ["60.0,238.7", "700.0,56.0"]}


def test_charts_without_results_are_left_out() -> None:
    assert charts(Results([])) == {}
    assert set(charts(made_up())) == {
        "cases-asyncio.svg",
        "cases-uvloop.svg",
        "cases-trio.svg",
        "growth-rows.svg",
        "growth-tasks.svg",
    }


def test_every_runner_has_a_baseline() -> None:
    times = rounds((1, 1.0, 1.0))
    results = Results(Result("one", name, 1, times) for name in RUNNERS)
    for result in results.all:
        runner, baseline, floor = RUNNERS[result.runner], results.baseline(result), results.floor(result)
        assert baseline is not None
        assert baseline.runner == ("asyncpg-uvloop" if runner.loop == "uvloop" else "asyncpg")
        assert floor is not None
        assert RUNNERS[floor.runner].kind is Kind.FLOOR
        assert runner.loop in (RUNNERS[floor.runner].loop, "blocking")


# types


def test_every_type_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert {BY_OID[oid].name for oid in PREFERRED} <= CASES.keys()
    # Before each type it collects, and what earlier tests have left would be walked through 92 times.
    gc.collect()
    gc.freeze()

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
