"""Servers that stop, lie or stall anywhere between the first byte and the last one of a start-up, over real sockets."""

import asyncio
import contextlib
import importlib
import math
import ssl
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import pytest
import trustme

from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import CleartextPassword, ScramPassword
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    InternalClientError,
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
)
from pgsansio.messages.authentication import AuthenticationCleartextPassword, AuthenticationOk
from pgsansio.messages.startup import StartupMessage
from pgsansio.testing.faults import Cut, Faulty, Stall
from pgsansio.testing.peer import Peer
from pgsansio.testing.script import ScriptedBackend, Step, error, expect, hang_up, login, send, send_bytes
from tests.support.clients import PATIENCE_SECONDS
from tests.support.leaks import SECRET, shown_by
from tests.support.mock_server import OverTls, speaking

pytestmark = pytest.mark.anyio

STORED = ScramSecret.from_password(SECRET, b"0123456789abcdef", 2)
METHODS: dict[str, Callable[[], Any]] = {
    "password": lambda: CleartextPassword(SECRET),
    "scram": lambda: ScramPassword(STORED, "n"),
}


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}")


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", key_type=trustme.KeyType.ECDSA).configure_cert(context)
    context.set_alpn_protocols(["postgresql"])
    return context


async def failure_of(module: ModuleType, arguments: dict[str, Any]) -> Exception | None:
    """What connecting comes to; None: it succeeds. What fails is documented, and shows no secret."""
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            connection = await module.connect(**{"password": SECRET, **arguments})
    except (OSError, PostgresError, InterfaceError, InternalClientError) as caught:
        failure = caught
    else:
        connection.terminate()
        return None
    assert not getattr(failure, "connection_usable", False)
    return failure


async def all_failures(module: ModuleType, arguments: dict[str, Any], count: int) -> list[Exception | None]:
    """The same for many at once."""
    failures: list[Exception | None] = []

    async def one() -> None:
        failures.append(await failure_of(module, arguments))

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return failures


async def length_of(module: ModuleType, make: Callable[[], Peer], **words: Any) -> int:
    """How many bytes such a server says until the client is in."""
    made: list[Faulty] = []

    def whole() -> Faulty:
        made.append(Faulty(make()))
        return made[-1]

    async with speaking(whole, over_tcp=bool(words)) as arguments:
        assert await failure_of(module, arguments | words) is None
    return made[0].sent_bytes


@pytest.mark.parametrize("silent", [False, True], ids=["end", "silence"])
@pytest.mark.parametrize("method", ["password", "scram"])
async def test_a_server_that_stops_after_any_byte(module: ModuleType, method: str, silent: bool) -> None:
    def make() -> ScriptedBackend:
        return ScriptedBackend(login(METHODS[method]()))

    size = await length_of(module, make)
    sizes = iter(range(size))
    stop = Stall if silent else Cut
    cut: Callable[[], Peer] = lambda: Faulty(make(), sent=[stop(next(sizes))])  # noqa: E731
    async with speaking(cut) as arguments:
        if silent:
            arguments["timeout"] = 0.3
        failures = await all_failures(module, arguments, size)
    expected = OperationTimeoutError if silent else (ConnectionDoesNotExistError, ConnectionError)
    assert all(isinstance(one, expected) for one in failures), failures
    for one in failures[:: size // 8]:
        assert one is not None
        assert SECRET not in shown_by(one)


@pytest.mark.parametrize("silent", [False, True], ids=["end", "silence"])
@pytest.mark.parametrize("direct", [False, True], ids=["asked", "direct"])
async def test_a_server_that_stops_after_any_byte_of_tls(
    module: ModuleType, context: ssl.SSLContext, direct: bool, silent: bool
) -> None:
    def make() -> OverTls:
        return OverTls(ScriptedBackend(login(METHODS["scram"]())), context)

    words = {"ssl": "require", "direct_tls": direct}
    size = await length_of(module, make, **words)
    # Each length of a record's head, and some of its body. (Signatures are not always of the same length.)
    chosen = [*range(8), *range(8, size - 20, 83)]
    sizes = iter(chosen)
    stop = Stall if silent else Cut
    cut: Callable[[], Peer] = lambda: Faulty(make(), sent=[stop(next(sizes))])  # noqa: E731
    async with speaking(cut, over_tcp=True) as arguments:
        if silent:
            arguments["timeout"] = 0.3
        failures = await all_failures(module, arguments | words, len(chosen))
    expected = OperationTimeoutError if silent else (ConnectionDoesNotExistError, OSError)
    assert all(isinstance(one, expected) for one in failures), failures
    for one in failures[::8]:
        assert one is not None
        assert SECRET not in shown_by(one)


def scripted(*steps: Step) -> Callable[[], Peer]:
    return lambda: ScriptedBackend(steps)


CLEAR = AuthenticationCleartextPassword()


@pytest.mark.parametrize(
    ("make", "expected", "match"),
    [
        (scripted(send_bytes(b"SSH-2.0-OpenSSH_9.6\r\n")), ProtocolError, "no answer to a start-up message"),
        (scripted(send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")), ProtocolError, "no answer to a start-up message"),
        (scripted(send_bytes(b"N\0\0\0\0")), ProtocolError, "no answer to a start-up message"),
        (scripted(send_bytes(b"K\0\0\0\x0c\0\0\0\1key!")), ProtocolError, "unexpected BackendKeyData"),
        (scripted(send_bytes(AuthenticationOk().encode() * 2)), ProtocolError, "unexpected AuthenticationOk"),
    ],
)
async def test_a_server_that_speaks_first(
    module: ModuleType, make: Callable[[], Peer], expected: type[Exception], match: str
) -> None:
    async with speaking(make, greets=True) as arguments:
        failure = await failure_of(module, arguments)
    assert isinstance(failure, expected)
    assert match in str(failure)
    async with speaking(make, greets=True, over_tcp=True) as arguments:
        failure = await failure_of(module, {**arguments, "ssl": "require"})
    assert isinstance(failure, ProtocolError | OSError)


@pytest.mark.parametrize("resets", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("over_tcp", [False, True], ids=["unix", "tcp"])
async def test_a_server_that_has_gone_when_the_password_comes(module: ModuleType, over_tcp: bool, resets: bool) -> None:
    """What was to be written is in nothing that tells of it."""
    make = scripted(expect(StartupMessage), send(CLEAR), hang_up())
    async with speaking(make, over_tcp=over_tcp, resets=resets) as arguments:
        failure = await failure_of(module, {**arguments, "ssl": False})
    assert isinstance(failure, ConnectionDoesNotExistError | ConnectionError)
    assert SECRET not in shown_by(failure)


async def test_a_fatal_error_and_nothing_behind_it(module: ModuleType) -> None:
    make = scripted(expect(StartupMessage), send(error("57P03", "starting up", "FATAL")))
    async with speaking(make) as arguments:
        failure = await failure_of(module, arguments)
    assert isinstance(failure, PostgresError)
    assert failure.sqlstate == "57P03"


class Leaving:
    """Asks for the password, and has said why it leaves, and left, before that comes."""

    hung_up = False

    def __init__(self) -> None:
        self._words: list[bytes] = []

    def receive_data(self, data: bytes) -> None:
        self._words = [CLEAR.encode(), error("57P01", "terminating connection", "FATAL").encode()]

    def data_to_send(self) -> bytes:
        if not self._words:
            return b""
        self.hung_up = len(self._words) == 1
        return self._words.pop(0)


@pytest.mark.parametrize("over_tcp", [False, True], ids=["unix", "tcp"])
async def test_what_the_server_said_last_is_heard_though_it_cannot_be_written_to(
    module: ModuleType, over_tcp: bool
) -> None:
    async with speaking(Leaving, over_tcp=over_tcp) as arguments:
        failures = await all_failures(module, {**arguments, "ssl": False}, 20)
    assert {getattr(failure, "sqlstate", failure) for failure in failures} == {"57P01"}


class Babbler:
    """Says the same for ever."""

    hung_up = False

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first = first
        self._again = again * (1 + 10_000 // len(again))

    def receive_data(self, data: bytes) -> None:
        pass

    def data_to_send(self) -> bytes:
        data, self._first = self._first or self._again, b""
        return data


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (AuthenticationOk().encode(), b"S\0\0\0\x08a\0b\0"),
        (AuthenticationOk().encode(), b"K\0\0\0\x0c\0\0\0\1key!"),
        (b"", b"N\0\0\0\5\0"),
        (b"", b"v\0\0\0\x0c\0\3\0\0\0\0\0\0"),
        (b"", b"R\0\0\0\x0c\0\0\0\x0bx=1,"),
        (b"E", b"x" * 100),
    ],
    ids=["parameters", "keys", "notices", "versions", "challenges", "garbage"],
)
async def test_a_server_that_never_comes_to_an_end(module: ModuleType, first: bytes, again: bytes) -> None:
    """Without a time limit, too."""
    async with speaking(lambda: Babbler(first, again)) as arguments:
        failure = await failure_of(module, {**arguments, "timeout": None})
    assert isinstance(failure, ProtocolError)


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 1e-9, 0.001, -math.inf])
async def test_tiny_time_limits(module: ModuleType, timeout: float) -> None:
    async with speaking(scripted()) as arguments:
        failure = await failure_of(module, {**arguments, "timeout": timeout})
    assert isinstance(failure, OperationTimeoutError)


@pytest.mark.parametrize("timeout", [None, 1e6, 1e12, 1e300, math.inf])
async def test_huge_time_limits(module: ModuleType, timeout: float | None) -> None:
    async with speaking(lambda: ScriptedBackend(login())) as arguments:
        assert await failure_of(module, {**arguments, "timeout": timeout}) is None
    async with speaking(lambda: ScriptedBackend(login())) as arguments:
        assert await failure_of(module, {**arguments, "timeout": timeout, "command_timeout": timeout}) is None


async def test_no_task_remains(module: ModuleType) -> None:
    if module.__name__ != "pgsansio_asyncio":
        return  # trio's nurseries see to that
    before = asyncio.all_tasks()
    async with speaking(scripted(expect(StartupMessage), send(CLEAR))) as arguments:
        for timeout in (0.02, 0.001):
            await failure_of(module, {**arguments, "timeout": timeout})
        mine = {task for task in asyncio.all_tasks() - before if "pgsansio" in repr(task.get_coro())}
        assert mine == set()


@pytest.mark.parametrize("kind", ["pool", "listener"])
async def test_pools_and_listeners_show_no_secret_either(module: ModuleType, kind: str) -> None:
    make = scripted(expect(StartupMessage), send(CLEAR), hang_up())
    async with speaking(make) as arguments:
        arguments["dsn"] = f"postgresql://u:{SECRET}@/d"
        entered = module.create_pool(**arguments, min_size=1) if kind == "pool" else module.listen("jobs", **arguments)
        with pytest.raises(Exception) as caught:
            await entered.__aenter__()
    assert SECRET not in shown_by(caught.value)


async def test_a_pools_own_function_gets_the_plain_values(module: ModuleType) -> None:
    heard: list[Any] = []

    async def mine(dsn: str, **arguments: Any) -> Any:
        heard.extend([dsn, arguments["password"]])
        raise LookupError("no")

    with contextlib.suppress(LookupError):
        async with module.create_pool("postgresql://h", password=SECRET, connect=mine, min_size=1):
            raise AssertionError
    assert heard[:2] == ["postgresql://h", SECRET]
