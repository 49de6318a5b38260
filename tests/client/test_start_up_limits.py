"""Every wait in connecting and in cancelling comes to an end, at whatever step nobody answers any more."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import ScramPassword
from pgsansio.client import Connection, connecting
from pgsansio.client.parameters import Process, find_settings
from pgsansio.client.port import Address
from pgsansio.engine.driven import Engine
from pgsansio.errors import ConnectionDoesNotExistError, OperationTimeoutError
from pgsansio.messages.startup import CancelRequest, SSLRequest, StartupMessage
from pgsansio.policy.conninfo import TcpAddress, UnixAddress, resolve_settings
from pgsansio.policy.happy_eyeballs import MAX_ADDRESSES
from pgsansio.testing.loop import Cancelled, FakeTls, Stop, Stuck, VirtualLoop, VirtualPort
from pgsansio.testing.peer import Deaf
from pgsansio.testing.script import (
    ScriptedBackend,
    expect,
    expect_first_execution,
    hang_up,
    login,
    send_bytes,
)
from pgsansio.types.secret import hide_source
from pgsansio.types.tls import TlsInfo

STORED = ScramSecret.from_password("secret", b"0123456789abcdef", 2)


class Silent(Deaf):
    def receive_eof(self) -> None:
        self.hung_up = True


async def for_ever(name: str) -> None:
    await Stop(name, lambda: False)


class Port(VirtualPort):
    """One of its ways into the world never answers."""

    stuck = ""

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        if self.stuck == "resolve":
            await for_ever("resolve")
        return [TcpAddress(host, port)]

    async def open_stream(self, address: Address, engine: Engine) -> None:
        if self.stuck == "open_stream":
            await for_ever("open_stream")
        await super().open_stream(address, engine)

    async def tls_context(self, settings: Any) -> object:
        if self.stuck == "tls_context":
            await for_ever("tls_context")
        return await super().tls_context(settings)

    async def start_tls(self, context: object, server_hostname: str | None) -> TlsInfo:
        if self.stuck == "start_tls":
            await for_ever("start_tls")
        return await super().start_tls(context, server_hostname)

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        if self.stuck == "read_file":
            await for_ever("read_file")
        return None

    async def run_elsewhere(self, function: Callable[[], Any], *, may_abandon: bool = False) -> Any:
        if self.stuck == "run_elsewhere":
            await for_ever("run_elsewhere")
        return function()

    async def call_user(self, function: Callable[..., Any], *arguments: object) -> Any:
        if self.stuck == "call_user":
            await for_ever("call_user")
        return function(*arguments)


def accept(server: ScriptedBackend) -> bool:
    server.backend.answer_encryption(b"S")
    return True


#: Where it stops: what the server does until then, and what is asked of it.
PLACES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "resolve": (Silent, {}),
    "open_stream": (Silent, {}),
    "the answer to SSLRequest": (Silent, {"ssl": "require"}),
    "tls_context": (Silent, {"ssl": "require"}),
    "start_tls": (lambda: ScriptedBackend([expect(SSLRequest), accept]), {"ssl": "require"}),
    "read_file": (lambda: ScriptedBackend(login()), {"passfile": "/x", "password": None}),
    "call_user": (lambda: ScriptedBackend(login()), {"password": lambda: "secret"}),
    "run_elsewhere": (lambda: ScriptedBackend(login(ScramPassword(STORED, "n"))), {}),
    "the start-up": (lambda: ScriptedBackend([expect(StartupMessage)]), {}),
    "the query for the role": (lambda: ScriptedBackend(login()), {"target_session_attrs": "primary"}),
}


def connect(place: str, **limits: Any) -> tuple[VirtualLoop, Callable[[], Connection]]:
    make, keywords = PLACES[place]
    loop = VirtualLoop(lambda address: make())
    loop.tls = FakeTls()

    class Here(Port):
        stuck = place

    given: dict[str, Any] = {"password": "other than before", "ssl": False} | keywords | limits
    settings = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home="/home/u", platform="linux", **given
    )

    def run() -> Connection:
        return loop.finish(connecting.connect(lambda: Here(loop), settings, Connection))

    return loop, run


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("limits", "seconds"), [({}, 60), ({"timeout": 7}, 7), ({"connect_timeout": 5}, 5), ({"timeout": 0.001}, 0.001)]
)
def test_silence_has_an_end(place: str, limits: dict[str, Any], seconds: float) -> None:
    """Without any limit, after a minute; `connect_timeout` is a limit for each address."""
    loop, run = connect(place, **limits)
    before = loop.now
    with pytest.raises(OperationTimeoutError) as caught:
        run()
    assert loop.now - before == pytest.approx(seconds)
    assert caught.value.outcome is not None
    loop.run()
    assert loop.tasks == []
    assert not any(port.connected for port in loop.ports)


@pytest.mark.parametrize("place", PLACES)
def test_who_wants_to_wait_for_ever_may(place: str) -> None:
    _, run = connect(place, timeout=None)
    with pytest.raises(Stuck, match="waits for ever"):
        run()


@pytest.mark.parametrize(("limit", "seconds"), [({}, 60), ({"timeout": 7}, 7), ({"timeout": None}, None)])
@pytest.mark.parametrize("place", ["call_user", "read_file"])
def test_finding_the_parameters_has_an_end(place: str, limit: dict[str, Any], seconds: float | None) -> None:
    loop = VirtualLoop(lambda address: Silent())

    class Here(Port):
        stuck = place

    process = Process(environment={}, os_user="u", home="/home/u", platform="linux")
    function = dict if place == "call_user" else None
    finding = find_settings(Here(loop), process, {"service": "s", **limit}, hide_source(function))
    before = loop.now
    with pytest.raises(Stuck if seconds is None else OperationTimeoutError):
        loop.finish(finding)
    assert seconds is None or loop.now - before == pytest.approx(seconds)


def test_what_it_took_to_find_the_parameters_counts() -> None:
    loop = VirtualLoop(lambda address: Silent())
    settings = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home="/", platform="linux", timeout=7, ssl=False
    )
    before = loop.now
    with pytest.raises(OperationTimeoutError):
        loop.finish(connecting.connect(lambda: Port(loop), settings, Connection, began=before - 5))
    assert loop.now - before == pytest.approx(2)


@pytest.mark.parametrize("timeout", [0, -1, -math.inf])
def test_no_time_at_all(timeout: float) -> None:
    loop, run = connect("the start-up", timeout=timeout)
    with pytest.raises(OperationTimeoutError):
        run()
    assert not any(port.peer for port in loop.ports)


# Names with thousands of addresses


def many(make: Callable[[Address], Any], count: int, **keywords: Any) -> tuple[VirtualLoop, list[Address], Any]:
    asked: list[Address] = []

    def note(address: Address) -> Any:
        asked.append(address)
        return make(address)

    loop = VirtualLoop(note)

    class Here(VirtualPort):
        async def resolve(self, host: str, port: int) -> list[TcpAddress]:
            return [
                TcpAddress(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", port) for number in range(count)
            ]

    settings = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home=None, platform="linux", ssl=False, **keywords
    )
    return loop, asked, functools.partial(connecting.connect, lambda: Here(loop), settings, Connection)


def refuse(address: Address) -> Any:
    raise ConnectionRefusedError(111, "refused")


@pytest.mark.parametrize("order", ["disable", "random"])
def test_ten_thousand_addresses_that_refuse(order: str) -> None:
    loop, asked, begin = many(refuse, 10_000, load_balance_hosts=order)
    with pytest.raises(ConnectionRefusedError) as caught:
        loop.finish(begin())
    assert len(asked) == len(set(asked)) == MAX_ADDRESSES
    assert len(caught.value.attempts) == MAX_ADDRESSES  # type: ignore[attr-defined]


@pytest.mark.parametrize("order", ["disable", "random"])
def test_ten_thousand_addresses_that_say_nothing(order: str) -> None:
    loop, asked, begin = many(lambda address: Silent(), 10_000, load_balance_hosts=order)
    before = loop.now
    with pytest.raises(OperationTimeoutError):
        loop.finish(begin())
    assert loop.now - before <= 60
    assert len(asked) <= MAX_ADDRESSES
    loop.run()
    assert not any(port.connected for port in loop.ports)


# Cancelling


def connected(cancelled: Callable[[], Any]) -> tuple[VirtualLoop, Connection, Any]:
    """A connection whose query is under way; CancelRequests go to servers that are made by this."""
    servers: list[Any] = []

    def make(address: Address) -> Any:
        servers.append(ScriptedBackend([*login(), *expect_first_execution("SELECT 1")]) if not servers else cancelled())
        return servers[-1]

    loop = VirtualLoop(make)
    settings = resolve_settings(
        None, host="/tmp", environment={}, os_user="u", home=None, platform="linux", timeout=None
    )
    assert isinstance(settings.addresses[0], UnixAddress)
    connection = loop.finish(connecting.connect(loop.port, settings, Connection))
    task = loop.start(connection.fetch("SELECT 1"))
    loop.run()
    return loop, connection, task


def refused_here() -> Any:
    raise ConnectionRefusedError(111, "refused")


@pytest.mark.parametrize(
    "cancelled",
    [
        Silent,
        lambda: ScriptedBackend([expect(CancelRequest)]),
        lambda: ScriptedBackend([expect(CancelRequest), hang_up()]),
        lambda: ScriptedBackend([send_bytes(b"E\0\0\0\5\0"), expect(CancelRequest), send_bytes(b"x" * 100_000)]),
        lambda: ScriptedBackend([hang_up()]),
        refused_here,
    ],
    ids=["deaf", "never closes", "closes", "talks", "closes at once", "refuses"],
)
@pytest.mark.parametrize("timeout", [None, 3])
def test_closing_is_over_in_time(cancelled: Callable[[], Any], timeout: float | None) -> None:
    """The CancelRequest is a part of it, which asyncpg waits for without a limit."""
    loop, connection, task = connected(cancelled)
    before = loop.now
    closing = loop.start(connection.close(timeout=timeout))
    loop.run(closing)
    assert closing.error is None or isinstance(closing.error, OSError)
    assert loop.now - before <= (10 if timeout is None else timeout)
    assert connection.is_closed()
    loop.run()
    assert isinstance(task.error, Exception)
    assert not any(port.connected for port in loop.ports)
    assert loop.tasks == []


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_cancel_connection_that_ends_in_any_way_has_ended(how: str) -> None:
    loop, connection, task = connected(lambda: ScriptedBackend([expect(CancelRequest)]))
    before = loop.now
    closing = loop.start(connection.close())
    while len(loop.ports) < 2 or not loop.ports[-1].connected:
        assert loop.step(time_passes=False)
    while loop.step(time_passes=False):
        pass
    loop.ports[-1].lose(ConnectionResetError(104, "reset") if how == "reset" else None)
    while loop.step(time_passes=False):
        pass
    assert loop.now == before
    loop.ports[0].lose(None)
    loop.run(closing)
    loop.run()
    assert isinstance(task.error, ConnectionDoesNotExistError)


def test_without_a_key_what_is_abandoned_ends_with_its_connection() -> None:
    """Some poolers give none; then nothing is known of what runs, and nothing may be written behind it."""
    servers: list[Any] = []

    def make(address: Address) -> Any:
        servers.append(ScriptedBackend([*login(process_id=None), *expect_first_execution("SELECT 1")]))
        return servers[-1]

    loop = VirtualLoop(make)
    settings = resolve_settings(
        None, host="/tmp", environment={}, os_user="u", home=None, platform="linux", timeout=None
    )
    connection = loop.finish(connecting.connect(loop.port, settings, Connection))
    task = loop.start(connection.fetch("SELECT 1"))
    loop.run()
    task.cancel()
    loop.run()
    assert isinstance(task.error, Cancelled)
    assert len(servers) == 1
    assert connection.is_closed()
    assert not any(port.connected for port in loop.ports)
