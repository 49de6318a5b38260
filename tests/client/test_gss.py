"""Authentication by a security context that somebody else makes: whose steps are done elsewhere, and may go wrong."""

from collections.abc import Iterator
from typing import Any

import pytest

from pgsansio.authentication.server import GssTokens
from pgsansio.client import Connection, SequentialPort, connecting
from pgsansio.client.port import Address, GssContext
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    InternalClientError,
    InvalidAuthorizationSpecificationError,
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
)
from pgsansio.messages.authentication import (
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationOk,
    GSSResponse,
)
from pgsansio.messages.startup import BackendKeyData, SSLRequest, StartupMessage
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.policy.gss import GssTarget
from pgsansio.testing.loop import Cancelled, FakeTls, Task, VirtualLoop
from pgsansio.testing.script import ScriptedBackend, Step, error, expect, hang_up, login, notice, send

MORE = AuthenticationGSSContinue(b"server's")


class LibraryError(Exception):
    """The library's own."""


class Context:
    """Does what it was told to; the target that it was made for, and the tokens that it was given."""

    def __init__(self, *answers: tuple[bytes | None, bool] | Exception) -> None:
        self.answers = list(answers)
        self.target: GssTarget | None = None
        self.given: list[bytes | None] = []

    def __call__(self, target: GssTarget) -> GssContext:
        assert self.target is None, "made twice"
        self.target = target
        return self

    def step(self, token: bytes | None) -> tuple[bytes | None, bool]:
        self.given.append(token)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class World:
    """A server, and the context of who connects to it."""

    def __init__(self, script: list[Step], *answers: tuple[bytes | None, bool] | Exception) -> None:
        self.server = ScriptedBackend(script)
        self.met = 0
        self.loop = VirtualLoop(self._meet)
        self.context = Context(*answers)
        self.loop.gss_context = self.context

    def _meet(self, address: Address) -> ScriptedBackend:
        self.met += 1
        return self.server

    def begin(self, dsn: str = "postgresql://u@db.example/d", **keywords: Any) -> Task:
        keywords = {"timeout": None, "home": None, "ssl": False} | keywords
        settings = resolve_settings(dsn, environment={}, os_user="u", platform="linux", **keywords)
        return self.loop.start(connecting.connect(self.loop.port, settings, Connection))

    def connect(self, dsn: str = "postgresql://u@db.example/d", **keywords: Any) -> Connection:
        task = self.begin(dsn, **keywords)
        self.loop.run(task)
        connection: Connection = task.result()
        return connection

    def is_over(self) -> bool:
        self.loop.run()
        return not self.loop.tasks and not any(port.connected for port in self.loop.ports)


def mutual(*, negotiate: bool = False) -> list[Step]:
    """Kerberos: a token each, and the client's context is established by the server's."""
    return login(GssTokens(lambda token: (b"server's", token == b"ours"), negotiate=negotiate))


MUTUAL = ((b"ours", False), (None, True))


def test_a_ticket() -> None:
    world = World(mutual(), *MUTUAL)
    connection = world.connect()
    assert not connection.is_closed()
    assert world.context.given == [None, b"server's"]
    assert world.context.target == GssTarget("gssapi", "postgres", "db.example")
    assert [m for m in world.server.messages if isinstance(m, GSSResponse)] == [GSSResponse(b"ours")]


def test_one_step() -> None:
    world = World(login(GssTokens(lambda token: (None, True))), (b"ours", True))
    world.connect()
    assert world.context.given == [None]


@pytest.mark.parametrize(
    ("dsn", "negotiate", "target"),
    [
        ("postgresql://u@h?krbsrvname=pg", False, GssTarget("gssapi", "pg", "h")),
        ("postgresql://u@h?hostaddr=10.0.0.1", False, GssTarget("gssapi", "postgres", "h")),
        ("postgresql://u@[fe80::1%25eth0]", False, GssTarget("gssapi", "postgres", "fe80::1")),
        ("postgresql://u@h?gssdelegation=1", False, GssTarget("gssapi", "postgres", "h", delegate=True)),
        ("postgresql://u@h?gsslib=sspi", False, GssTarget("sspi", "postgres", "h")),
        ("postgresql://u@h?gsslib=sspi", True, GssTarget("sspi", "postgres", "h", negotiate=True)),
    ],
)
def test_whom_the_context_is_for(dsn: str, negotiate: bool, target: GssTarget) -> None:
    world = World(mutual(negotiate=negotiate), *MUTUAL)
    world.connect(dsn)
    assert world.context.target == target
    assert target.host_based_name == f"{target.service}@{target.host}"
    assert target.principal == f"{target.service}/{target.host}"


# What goes wrong


@pytest.mark.parametrize("step", [0, 1])
def test_an_error_of_the_library(step: int) -> None:
    reason = LibraryError("no ticket")
    world = World(mutual(), *MUTUAL[:step], reason)
    with pytest.raises(InternalClientError) as caught:
        world.connect("postgresql://u@a,b/d")
    assert str(caught.value) == "unexpected error while performing authentication: no ticket"
    assert caught.value.__cause__ is reason
    assert world.is_over()
    assert world.met == 1


def test_an_error_while_the_context_is_made() -> None:
    def fail(target: GssTarget) -> GssContext:
        raise LibraryError("no such name")

    world = World(mutual())
    world.loop.gss_context = fail
    with pytest.raises(InternalClientError, match="performing authentication: no such name"):
        world.connect()
    assert world.is_over()


def test_a_library_that_is_missing() -> None:
    """As adapters say it. Nothing else is tried, in plain text neither."""
    world = World([expect(SSLRequest), lambda server: server.backend.answer_encryption(b"N") or True, *mutual()])
    world.loop.tls = FakeTls()
    world.loop.gss_context = VirtualLoop(world._meet).gss_context
    with pytest.raises(InterfaceError, match="gssapi module not found"):
        world.connect(ssl="prefer")
    assert world.is_over()
    assert world.met == 1


def test_a_unix_socket() -> None:
    world = World(mutual())
    with pytest.raises(InternalClientError, match="GSSAPI/SSPI authentication is only supported for TCP/IP"):
        world.connect(host="/tmp")
    assert world.context.target is None
    assert world.is_over()


def test_a_server_that_refuses_the_token() -> None:
    def refuse(token: bytes) -> tuple[bytes | None, bool]:
        raise InvalidAuthorizationSpecificationError('GSSAPI authentication failed for user "u"')

    world = World(login(GssTokens(refuse)), (b"ours", True))
    with pytest.raises(InvalidAuthorizationSpecificationError, match="GSSAPI authentication failed"):
        world.connect()
    assert world.is_over()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([send(AuthenticationGSS()), send(error("08P01", "late", "FATAL")), hang_up()], PostgresError),
        ([send(AuthenticationGSS()), hang_up()], ConnectionDoesNotExistError),
        ([send(AuthenticationGSS()), expect(GSSResponse), send(MORE), hang_up()], ConnectionDoesNotExistError),
        (
            [send(AuthenticationGSS()), expect(GSSResponse), send(MORE, AuthenticationOk(), notice()), hang_up()],
            ConnectionDoesNotExistError,
        ),
        ([send(AuthenticationGSS()), expect(GSSResponse), send(AuthenticationOk())], ProtocolError),
    ],
)
def test_servers_that_stop(steps: list[Step], expected: type[Exception]) -> None:
    world = World([expect(StartupMessage), *steps], *MUTUAL)
    with pytest.raises(expected):
        world.connect()
    assert world.is_over()


@pytest.mark.parametrize("count", range(5))
def test_a_server_that_says_nothing(count: int) -> None:
    steps: list[Step] = [expect(StartupMessage), send(AuthenticationGSS()), expect(GSSResponse), send(MORE)]
    world = World(
        [*steps[:count], *([send(AuthenticationOk(), BackendKeyData(1, b"key!"))] if count > 3 else [])], *MUTUAL
    )
    with pytest.raises(OperationTimeoutError):
        world.connect(timeout=10)
    assert world.is_over()


def places() -> Iterator[int]:
    """How many things are done before somebody is let in."""
    world = World(mutual(), *MUTUAL)
    task = world.begin()
    count = 0
    while not task.done:
        yield count
        world.loop.step()
        count += 1


@pytest.mark.parametrize("for_good", [False, True])
def test_cancelled_anywhere(for_good: bool) -> None:
    stops: set[str] = set()
    for place in places():
        world = World(mutual(), *MUTUAL)
        task = world.begin()
        for _ in range(place):
            world.loop.step()
        stops.add(task.stop.name if task.stop else "")
        task.cancel(for_good=for_good)
        world.loop.run(task)
        assert isinstance(task.error, Cancelled)
        assert world.is_over()
    assert "run_elsewhere" in stops


def test_a_sequential_port_says_that_it_has_none() -> None:
    class Port(SequentialPort):
        """None of its I/O is asked for here."""

    Port.__abstractmethods__ = frozenset()
    with pytest.raises(InterfaceError, match="neither GSSAPI nor SSPI"):
        Port().gss_context(GssTarget("gssapi", "postgres", "h"))  # type: ignore[abstract]
