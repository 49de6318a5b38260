"""`python -m pgsansio_asyncio` and `python -m pgsansio_trio`, as their users run them."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.servers import Server

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.server


@pytest.fixture(params=["pgsansio_asyncio", "pgsansio_trio"])
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(
    package: str, *arguments: str, given: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", package, *arguments],
        check=False,
        cwd=ROOT,
        input=given if given is not None else "",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def test_terminals_are_the_same() -> None:
    ours, theirs = (ROOT / f"pgsansio_{loop}" / "terminal.py" for loop in ("asyncio", "trio"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_statements(package: str, postgres: Server) -> None:
    done = run(
        package,
        postgres.dsn,
        "-c",
        "create temp table t (id int, name text); insert into t values (1, 'pear'), (20, null)",
        "-c",
        "select * from t; delete from t where id = 1",
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == [
        "CREATE TABLE",
        "INSERT 0 2",
        " id | name",
        " ---+-----",
        "  1 | pear",
        " 20 | NULL",
        "(2 rows)",
        "DELETE 1",
    ]


def test_an_error_ends_it(package: str, postgres: Server) -> None:
    done = run(package, postgres.dsn, "-c", "select 1 as one; select *\n from nowhere; select 3")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [" one", " ---", "   1", "(1 row)"]
    assert done.stderr.splitlines() == [
        'ERROR: relation "nowhere" does not exist (SQLSTATE 42P01, UndefinedTableError)',
        "LINE 2:  from nowhere",
        "              ^",
    ]


def test_statements_on_standard_input(package: str, postgres: Server) -> None:
    done = run(
        package, given="select 'grün' as colour;\n", environment={"PGHOST": postgres.host, **variables(postgres)}
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == [" colour", " ------", " grün", "(1 row)"]


def variables(postgres: Server) -> dict[str, str]:
    return {
        "PGPORT": str(postgres.port),
        "PGUSER": postgres.user,
        "PGPASSWORD": postgres.password,
        "PGDATABASE": postgres.database,
    }


def test_what_an_encoding_cannot_say(package: str, postgres: Server) -> None:
    done = run(package, postgres.dsn, "-c", "select 'grün'", environment={"PYTHONIOENCODING": "ascii"})
    assert "gr\\xfcn" in done.stdout


def test_a_trace_shows_both_ways_and_no_secrets(package: str, postgres: Server) -> None:
    done = run(package, postgres.dsn, "--trace", "-c", "select 1")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert lines[0] == "F SSLRequest"
    assert lines[1].startswith("F StartupMessage parameters=(('user', 'postgres')")
    assert len(re.findall(r"^F AuthenticationResponse \(\d+ bytes, <hidden>\)$", done.stderr, re.MULTILINE)) == 2
    assert "B AuthenticationSASLContinue data=<hidden>" in lines
    assert re.search("^B BackendKeyData process_id=[0-9]+ secret_key=<hidden>$", done.stderr, re.MULTILINE)
    assert [tuple(line.split()[:2]) for line in lines[-14:]] == [
        ("B", "ReadyForQuery"),
        ("F", "Parse"),
        ("F", "Describe"),
        ("F", "Bind"),
        ("F", "Execute"),
        ("F", "Sync"),
        ("B", "ParseComplete"),
        ("B", "ParameterDescription"),
        ("B", "RowDescription"),
        ("B", "BindComplete"),
        ("B", "DataRow"),
        ("B", "CommandComplete"),
        ("B", "ReadyForQuery"),
        ("F", "Terminate"),
    ]
    assert postgres.password not in done.stderr


def test_a_wrong_password(package: str, postgres: Server) -> None:
    done = run(package, postgres.dsn.replace(postgres.password, "wrong"), "-c", "select 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("FATAL: password authentication failed for user")
    assert "(SQLSTATE 28P01, InvalidPasswordError)" in done.stderr


def test_nobody_there(package: str) -> None:
    done = run(package, "postgresql://127.0.0.1:1/x", "-c", "select 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR: [Errno 111]")


def test_a_setting_that_makes_no_sense(package: str) -> None:
    done = run(package, "postgresql://h:port/x", "-c", "select 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR: ")
    assert "Traceback" not in done.stderr


def test_nobody_reads(package: str, postgres: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", package, postgres.dsn, "-c", "select generate_series(1, 100000)"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def on_a_terminal(package: str, *arguments: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit status and what was shown, with a terminal as standard input and output."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", package, *arguments],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "100", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        theirs = -1
        shown = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other side is closed (Linux)
                break
            if not data:
                break
            shown += data
        return process.wait(30), shown.decode()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def test_a_greeting(package: str, postgres: Server) -> None:
    status, shown = on_a_terminal(package, postgres.dsn, environment={"TERM": "dumb"})
    assert status == 0
    assert shown.startswith(f"Connected to PostgreSQL {postgres.version}")
    assert "'postgres'" in shown
    assert "\x1b" not in shown


def test_a_terminal_with_colours(package: str, postgres: Server) -> None:
    pytest.importorskip("rich")
    status, shown = on_a_terminal(
        package, postgres.dsn, "-c", "select 1 as n, null as x", environment={"TERM": "xterm"}
    )
    assert status == 0
    assert "\x1b[2mNULL" in shown
    assert "(1 row)" in shown


HEADINGS = [
    "1. 500 rows by executemany()",
    "2. Values with their types",
    "3. A transaction, and a savepoint that is rolled back",
    "4. 50 queries at once, on this one connection",
    "5. LISTEN and NOTIFY",
    "Timings",
]


def check_tour(shown: str) -> None:
    positions = [shown.find(heading) for heading in HEADINGS]
    assert -1 not in positions
    assert positions == sorted(positions)
    for text in (
        "The table has 500 rows now.",
        "Decimal('1.50')",
        "(SQLSTATE 23505",
        "Kept after the commit: cherry.",
        "with the same answers",
        "Received on 'tour'",
        "50 queries at once ",
        "queries/s",
    ):
        assert text in shown


def test_the_tour(package: str, server_programs: str) -> None:
    done = run(package, "--rows", "500", environment={"PG_BIN": server_programs})
    assert (done.stderr, done.returncode) == ("", 0)
    assert " 10% 20% 30% 40% 50% 60% 70% 80% 90% 100%\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    check_tour(done.stdout)


def test_the_tour_on_a_terminal(server_programs: str) -> None:
    pytest.importorskip("rich")
    environment = {"PG_BIN": server_programs, "TERM": "xterm"}
    status, shown = on_a_terminal("pgsansio_asyncio", "--rows", "500", environment=environment)
    assert status == 0
    assert "500/500" in shown
    check_tour(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))


def test_no_server_programs(package: str, tmp_path: Path) -> None:
    done = run(package, environment={"PG_BIN": str(tmp_path)})
    assert done.returncode == 1
    assert re.search(r"""pip install ['"]pgsansio\[embedded\]""", done.stderr)
    assert "postgresql://" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def temporary_folder() -> Iterator[str]:
    """For the server's files; pytest's own folder is too deep for sockets, and closed to other accounts."""
    with tempfile.TemporaryDirectory(prefix="pgsansio-test-") as name:
        os.chmod(name, 0o777)
        yield name


def test_interrupted(package: str, server_programs: str, temporary_folder: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", package, "--rows", "100000000"],
        cwd=ROOT,
        env={**os.environ, "PG_BIN": server_programs, "TMPDIR": temporary_folder},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = iter(process.stdout.readline, "")
        assert any("executemany(" in line and line.startswith("    ") for line in lines)
        assert len(os.listdir(temporary_folder)) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == "Interrupted.\n"
    assert os.listdir(temporary_folder) == []
