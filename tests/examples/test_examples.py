"""The examples, as their readers run them, and the blocking client at its limits."""

import ast
import importlib.util
import io
import os
import re
import socket
import subprocess
import sys
import tokenize
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pgsansio
from pgsansio.client import Connection, connecting, run
from pgsansio.policy.conninfo import resolve_settings
from tests.support.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples"

OUTPUTS = {
    "asyncio_first.py": "2 pear date\n3 plum date\n23505 fruit_pkey\napple pear plum\n",
    "trio_first.py": "apple pear plum\n3\n",
    "blocking_client.py": (
        "100000\n23505 100000\ncancelled and still usable\nNotification(pid=0, channel='ripe', payload='pear')\n"
    ),
    "selectors_loop.py": "2 4 6\nNotification(pid=0, channel='ripe', payload='pear')\ncancelled and still usable\n",
}


def test_every_example_is_run() -> None:
    # mock_server.py takes no connection string, and has a module of tests of its own.
    assert sorted([*OUTPUTS, "mock_server.py"]) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.server
@pytest.mark.parametrize("name", OUTPUTS)
def test_what_it_prints(name: str, postgres: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), postgres.dsn],
        check=False,
        cwd=EXAMPLES.parent,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert re.sub("pid=[0-9]+", "pid=0", done.stdout) == OUTPUTS[name]


def code_lines(source: str, class_name: str) -> int:
    """Lines of a class that are neither blank nor comments nor docstrings."""
    (node,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == class_name)
    lines: set[int] = set()
    passive = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in passive:
            lines.update(range(token.start[0], token.end[0] + 1))
    for inner in ast.walk(node):
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(inner):
            lines.difference_update(range(inner.body[0].lineno, (inner.body[0].end_lineno or 0) + 1))
    return len(lines & set(range(node.lineno, (node.end_lineno or 0) + 1)))


def test_the_blocking_port_is_as_short_as_we_say() -> None:
    assert code_lines((EXAMPLES / "blocking_client.py").read_text(encoding="utf-8"), "BlockingPort") <= 60


@pytest.fixture(scope="module")
def blocking_client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("blocking_client", EXAMPLES / "blocking_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["tcp", "unix"])
def connection(request: pytest.FixtureRequest, blocking_client: ModuleType, postgres: Server) -> Iterator[Connection]:
    dsn = postgres.dsn
    if request.param == "unix":
        dsn = (
            f"host={postgres.socket_dir} port={postgres.port} user={postgres.user} password={postgres.password} "
            f"dbname={postgres.database}"
        )
    connection: Connection = blocking_client.connect(dsn)
    yield connection
    run(connection.close())


@pytest.mark.server
class TestBlockingClient:
    def test_both_buffers_full(self, connection: Connection) -> None:
        text = "x" * (16 << 20)
        assert run(connection.fetchval("SELECT $1::text", text)) == text

    def test_is_closed_notices_the_end(self, connection: Connection) -> None:
        assert not connection.is_closed()
        with pytest.raises(pgsansio.ConnectionDoesNotExistError, match="terminating connection"):
            run(connection.execute("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert connection.is_closed()
        with pytest.raises(pgsansio.InterfaceError, match="connection is closed"):
            run(connection.fetchval("SELECT 1"))

    def test_ended_by_somebody_else(
        self, connection: Connection, blocking_client: ModuleType, postgres: Server
    ) -> None:
        other: Connection = blocking_client.connect(postgres.dsn)
        assert run(other.fetchval("SELECT pg_terminate_backend($1, 10000)", connection.get_server_pid()))
        run(other.close())
        with pytest.raises(pgsansio.ConnectionDoesNotExistError, match="terminating connection"):
            run(connection.fetchval("SELECT 1"))

    def test_deadlines_nest(self, connection: Connection) -> None:
        async def nested() -> None:
            async with connection._port.deadline(connection._port.clock() + 0.05):
                await connection.execute("SELECT pg_sleep(60)", timeout=30)

        with pytest.raises(TimeoutError):
            run(nested())
        assert run(connection.fetchval("SELECT 1")) == 1

    def test_an_iterator_that_fails(self, connection: Connection) -> None:
        def elements() -> Iterator[tuple[int]]:
            for number in range(20_000):
                yield (number,)
            raise LookupError

        run(connection.execute("CREATE TEMPORARY TABLE t (n int)"))
        with pytest.raises(LookupError):
            run(connection.executemany("INSERT INTO t VALUES ($1)", elements()))
        assert run(connection.fetchval("SELECT count(*) FROM t")) == 0

    def test_closing_twice(self, connection: Connection) -> None:
        run(connection.close())
        assert connection.is_closed()

    def test_a_wrong_password(self, blocking_client: ModuleType, postgres: Server) -> None:
        with pytest.raises(pgsansio.InvalidPasswordError):
            blocking_client.connect(postgres.dsn.replace(postgres.password, "wrong"))


def test_nobody_there(blocking_client: ModuleType, tmp_path: Path) -> None:
    for place in ("host=127.0.0.1 port=1", f"host={tmp_path}"):
        with pytest.raises(OSError, match=r"refused|No such file"):
            blocking_client.connect(f"{place} user=x")


def test_nobody_answers(blocking_client: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(pgsansio.OperationTimeoutError):
        blocking_client.connect(f"host=127.0.0.1 port={deaf.getsockname()[1]} user=x connect_timeout=1")


def test_nobody_answers_within_the_time_for_all_of_it(blocking_client: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        place = f"host=127.0.0.1,127.0.0.1 port={deaf.getsockname()[1]}"
        process: dict[str, Any] = {"environment": {}, "os_user": "x", "home": None, "platform": "linux"}
        settings = resolve_settings(place, timeout=0.2, **process)
        with pytest.raises(pgsansio.OperationTimeoutError, match="time limit for connecting has passed"):
            run(connecting.connect(blocking_client.BlockingPort, settings, Connection))


def test_run_refuses_what_suspends() -> None:
    class Suspending:
        def __await__(self) -> Iterator[None]:
            yield

    async def suspend() -> None:
        await Suspending()

    async def raise_one() -> None:
        raise LookupError

    with pytest.raises(pgsansio.InterfaceError, match="has awaited something that suspends"):
        run(suspend())
    with pytest.raises(LookupError):
        run(raise_one())
    work: Coroutine[Any, Any, int] = _seven()
    assert run(work) == 7


async def _seven() -> int:
    return 7
