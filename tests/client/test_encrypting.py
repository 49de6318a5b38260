"""What is said before a connection is encrypted, by whom, and what happens when it goes wrong at any step.

`FakeTls` leaves the bytes as they are: these tests are about the order of things.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from pgsansio.authentication.server import CleartextPassword
from pgsansio.client import Connection, SequentialPort, connecting, run
from pgsansio.client.port import Address
from pgsansio.engine.encryption import EncryptionExchange
from pgsansio.enums import Outcome
from pgsansio.errors import (
    CannotConnectNowError,
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    InterfaceError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    OperationTimeoutError,
    ProtocolError,
)
from pgsansio.messages.frontend import Terminate
from pgsansio.messages.startup import CancelRequest, SSLRequest, StartupMessage
from pgsansio.policy.conninfo import Settings, TcpAddress, resolve_settings
from pgsansio.testing.loop import Cancelled, FakeTls, VirtualLoop, VirtualPort
from pgsansio.testing.script import (
    ScriptedBackend,
    Step,
    error,
    expect,
    expect_first_execution,
    hang_up,
    login,
    send,
)
from pgsansio.types import TlsInfo

SSL_REQUEST = SSLRequest().encode()
REJECTED = "no pg_hba.conf entry"


class Server:
    """Answers SSLRequest, if it comes, with these bytes; then it follows the script."""

    def __init__(self, answer: bytes, script: Iterable[Step]) -> None:
        self.asked = False
        self.inside = ScriptedBackend(script)
        self._answer = answer
        self._received = b""
        self._outbox = b""
        self._begun = False

    @property
    def hung_up(self) -> bool:
        return self.inside.hung_up

    def receive_data(self, data: bytes) -> None:
        if self._begun:
            self.inside.receive_data(data)
            return
        self._received += data
        if len(self._received) >= len(SSL_REQUEST):
            self._begun = True
            if self._received.startswith(SSL_REQUEST):
                self.asked = True
                self._received = self._received[len(SSL_REQUEST) :]
                self._outbox = self._answer
            if self._received:
                self.inside.receive_data(self._received)

    def receive_eof(self) -> None:
        self.inside.hung_up = True

    def data_to_send(self) -> bytes:
        data, self._outbox = self._outbox, b""
        return data or self.inside.data_to_send()


def welcome() -> Server:
    return Server(b"S", login())


def refused() -> Server:
    return Server(b"N", login())


def answering(data: bytes, *script: Step) -> Server:
    return Server(data, [*script])


def rejecting(sqlstate: str = "28000", answer: bytes = b"S") -> Server:
    return Server(answer, [expect(StartupMessage), send(error(sqlstate, REJECTED, "FATAL")), hang_up()])


class World:
    """A loop with TLS, and servers in the order in which they are connected to."""

    def __init__(self, *servers: Server, tls: FakeTls | None = None, inline: bool = False) -> None:
        self.servers = list(servers)
        self.met: list[Server] = []
        self.loop = VirtualLoop(self._next, inline=inline)
        self.tls = FakeTls() if tls is None else tls
        self.loop.tls = self.tls

    def _next(self, address: Address) -> Server:
        server = self.servers[len(self.met)]
        self.met.append(server)
        return server

    def connect(self, **keywords: Any) -> Connection:
        return self.loop.finish(connecting.connect(self.loop.port, settings(**keywords), Connection))

    def is_over(self) -> bool:
        self.loop.run()
        return not self.loop.tasks and not any(port.connected for port in self.loop.ports)


def settings(dsn: str = "postgresql://u@db.example/d", **keywords: Any) -> Settings:
    keywords = {"timeout": None, "home": None} | keywords
    return resolve_settings(dsn, environment={}, os_user="u", platform="linux", **keywords)


# Who is asked, and what the answer leads to


@pytest.mark.parametrize(
    ("mode", "server", "asked", "encrypted"),
    [
        ("disable", welcome, False, False),
        ("allow", welcome, False, False),
        ("prefer", welcome, True, True),
        ("prefer", refused, True, False),
        ("require", welcome, True, True),
        ("verify-full", welcome, True, True),
        (None, welcome, True, True),
        (True, welcome, True, True),
        (False, welcome, False, False),
    ],
)
def test_modes(mode: object, server: Any, asked: bool, encrypted: bool) -> None:
    world = World(server())
    connection = world.connect(ssl=mode)
    assert world.met[0].asked is asked
    assert connection.tls == (world.tls.info if encrypted else None)
    assert len(world.tls.started) == encrypted


def test_a_unix_socket_is_never_encrypted() -> None:
    world = World(welcome())
    connection = world.connect(host="/tmp", ssl="verify-full")
    assert not world.met[0].asked
    assert connection.tls is None


def test_direct_tls_asks_nobody() -> None:
    world = World(welcome())
    connection = world.connect(ssl="require", direct_tls=True)
    assert not world.met[0].asked
    assert connection.tls is world.tls.info


def test_the_handshake_gets_the_name_that_was_given_and_the_context() -> None:
    world = World(welcome(), welcome(), welcome())
    world.connect(ssl="require")
    context = World
    context.wrap_bio = None  # type: ignore[attr-defined]
    world.connect(host="fe80::1%eth0", ssl=context)
    world.connect(dsn="host=h sslsni=0 sslmode=require")
    assert [name for _, name in world.tls.started] == ["db.example", "fe80::1", None]
    assert world.tls.started[0][0] == settings(ssl="require").tls
    assert world.tls.started[1][0] is context


def test_a_port_without_tls_does_without_unless_it_is_demanded() -> None:
    world = World(welcome())
    world.loop.tls = None
    assert world.connect(ssl="prefer").tls is None
    assert not world.met[0].asked
    with pytest.raises(ClientConfigurationError, match="this client's port has no TLS, and sslmode require demands it"):
        world.connect(ssl="require")
    assert len(world.met) == 1


def test_a_sequential_port_says_that_it_has_none() -> None:
    class Port(SequentialPort):
        """None of its I/O is asked for here."""

    Port.__abstractmethods__ = frozenset()
    port = Port()  # type: ignore[abstract]
    assert not port.has_tls
    for call in (port.tls_context(settings().tls), port.start_tls(None, None)):
        with pytest.raises(InterfaceError, match="this client has no TLS"):
            run(call)
    engine = EncryptionExchange()
    port.drive(engine)
    assert port.engine is engine


# What goes wrong


@pytest.mark.checklist("TLS-4")
def test_tls_is_refused() -> None:
    world = World(refused())
    with pytest.raises(ConnectionError, match=r'^PostgreSQL server at "db\.example:5432" rejected SSL upgrade$'):
        world.connect(ssl="require")
    assert world.is_over()


@pytest.mark.checklist("TLS-4")
@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_the_text_of_an_error_before_encryption_is_nobodys_word(mode: str) -> None:
    said = error("28000", "pay here: example.org", "FATAL").encode()
    world = World(answering(said))
    with pytest.raises(ConnectionError, match="sent an error response during SSL exchange; check the server logs") as e:
        world.connect(ssl=mode)
    assert "example.org" not in "".join(map(str, [e.value, e.value.__cause__, e.value.__context__]))
    assert world.is_over()


@pytest.mark.parametrize("answer", [b"H", b"\0", b"\x15\x03\x01", b"G", b"HTTP/1.1 400 Bad Request\r\n"])
def test_garbage_instead_of_an_answer(answer: bytes) -> None:
    world = World(answering(answer))
    with pytest.raises(ProtocolError, match=f"the answer to a request for encryption was the byte 0x{answer[0]:02x}"):
        world.connect(ssl="prefer")
    assert world.is_over()


@pytest.mark.parametrize("answer", [b"S" + error().encode(), b"N" + error().encode(), b"SS"])
def test_surplus_bytes_are_an_attack(answer: bytes) -> None:
    """CVE-2021-23222."""
    world = World(answering(answer))
    with pytest.raises(ProtocolError, match="received unencrypted data after the answer"):
        world.connect(ssl="prefer")
    assert world.tls.started == []
    assert world.is_over()


def test_surplus_bytes_that_come_before_the_handshake_begins_are_an_attack_too() -> None:
    world = World(answering(b"S"))
    task = world.loop.start(connecting.connect(world.loop.port, settings(ssl="require"), Connection))
    while not (world.loop.ports and any(operation.settled for operation in world.loop.ports[0].settled)):
        assert world.loop.step()
    world.loop.ports[0].feed(b"R")  # the task has been woken, and has not run
    world.loop.run(task)
    assert isinstance(task.error, ProtocolError)
    assert "before the encryption" in str(task.error)
    assert world.tls.started == []


@pytest.mark.parametrize("direct", [False, True])
def test_bytes_during_the_handshake_of_which_the_session_knows_nothing(direct: bool) -> None:
    """TLS delivers them to whoever was driven before it: they are not the session's."""
    world = World(answering(b"S"))
    task = world.loop.start(connecting.connect(world.loop.port, settings(ssl="require", direct_tls=direct), Connection))
    while not world.tls.started:
        assert world.loop.step()
    world.loop.ports[0].feed(b"R\0\0\0\x08\0\0\0\0")
    world.loop.run(task)
    assert isinstance(task.error, ProtocolError)
    assert world.is_over()


def test_the_end_instead_of_an_answer() -> None:
    world = World(answering(b"", hang_up()))
    with pytest.raises(ConnectionResetError, match="closed the connection while encryption was being agreed on"):
        world.connect(ssl="require")
    assert world.is_over()


@pytest.mark.parametrize("server", [answering(b""), Server(b"S", []), Server(b"N", [])])
def test_silence_ends_with_the_time_limit(server: Server) -> None:
    world = World(server)
    before = world.loop.now
    with pytest.raises(OperationTimeoutError) as caught:
        world.connect(ssl="prefer", timeout=7)
    assert caught.value.outcome is Outcome.CANCELLED
    assert world.loop.now - before == 7
    assert world.is_over()


@pytest.mark.checklist("TLS-9")
@pytest.mark.parametrize(("direct", "chosen"), [(True, None), (True, "h2"), (False, "h2")])
def test_another_protocol_was_chosen(direct: bool, chosen: str | None) -> None:
    info = dataclasses.replace(FakeTls().info, alpn=chosen)
    world = World(welcome(), tls=FakeTls(info))
    with pytest.raises(ConnectionError, match=r"did not choose the protocol 'postgresql' \(ALPN\)"):
        world.connect(ssl="require", direct_tls=direct)
    assert not world.met[0].inside.messages
    assert world.is_over()


def test_servers_before_17_choose_no_protocol() -> None:
    info = TlsInfo("TLSv1.3", "none", None, None)
    assert World(welcome(), tls=FakeTls(info)).connect(ssl="require").tls is info


# The other way


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(("mode", "encrypted"), [("allow", [False, True]), ("prefer", [True, False])])
def test_the_other_way_is_tried_once(mode: str, encrypted: list[bool]) -> None:
    world = World(rejecting(), welcome())
    connection = world.connect(ssl=mode)
    assert [server.asked for server in world.met] == encrypted
    assert (connection.tls is not None) is encrypted[-1]
    world = World(rejecting(), rejecting())
    with pytest.raises(InvalidAuthorizationSpecificationError) as caught:
        world.connect(ssl=mode)
    assert len(caught.value.attempts) == len(world.met) == 2  # type: ignore[attr-defined]
    assert caught.value is caught.value.attempts[1]  # type: ignore[attr-defined]
    assert world.is_over()


@pytest.mark.checklist("TLS-3")
def test_a_failed_handshake_is_followed_by_plain_text_only_where_that_will_do() -> None:
    failure = ConnectionResetError("handshake")
    world = World(welcome(), welcome(), tls=FakeTls(error=failure))
    connection = world.connect(ssl="prefer")
    assert connection.tls is None
    assert [server.asked for server in world.met] == [True, False]
    world = World(welcome(), tls=FakeTls(error=failure))
    with pytest.raises(ConnectionResetError):
        world.connect(ssl="require")
    world = World(rejecting(), welcome(), tls=FakeTls(error=failure))
    with pytest.raises(ConnectionResetError) as caught:
        world.connect(ssl="allow")
    assert caught.value.attempts[1] is failure  # type: ignore[attr-defined]
    assert world.is_over()


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize("mode", ["allow", "prefer"])
def test_a_wrong_password_is_not_hidden_by_a_rejection(mode: str) -> None:
    world = World(rejecting("28P01"), rejecting("28000"))
    with pytest.raises(InvalidPasswordError) as caught:
        world.connect(ssl=mode)
    assert [type(one) for one in caught.value.attempts] == [  # type: ignore[attr-defined]
        InvalidPasswordError,
        InvalidAuthorizationSpecificationError,
    ]


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(
    ("mode", "server", "expected"),
    [
        ("allow", lambda: rejecting("57P03"), CannotConnectNowError),
        ("prefer", lambda: rejecting("57P03"), CannotConnectNowError),
        # The server has no TLS, so it was plain already.
        ("prefer", lambda: rejecting(answer=b"N"), InvalidAuthorizationSpecificationError),
        # Once authenticated.
        (
            "prefer",
            lambda: Server(b"S", [*login()[:-1], send(error("28000", REJECTED, "FATAL")), hang_up()]),
            InvalidAuthorizationSpecificationError,
        ),
        ("allow", lambda: Server(b"S", [*login()[:-1], hang_up()]), ConnectionDoesNotExistError),
        ("prefer", lambda: answering(b"", hang_up()), ConnectionResetError),
        ("require", rejecting, InvalidAuthorizationSpecificationError),
    ],
)
def test_the_other_way_is_not_tried(mode: str, server: Any, expected: type[Exception]) -> None:
    world = World(server())
    with pytest.raises(expected):
        world.connect(ssl=mode)
    assert len(world.met) == 1
    assert world.is_over()


def test_the_password_is_asked_for_once() -> None:
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        return "x"

    world = World(rejecting(), Server(b"S", login(CleartextPassword("x"))))
    world.connect(ssl="prefer", password=password)
    assert len(asked) == 1


@pytest.mark.parametrize("order", [["good", "bad"], ["bad", "good"], ["bad", "good", "bad"]])
def test_of_a_names_addresses_one_that_was_reached_tells_more(order: list[str]) -> None:
    untrusted = ConnectionResetError("certificate")
    world = World(tls=FakeTls(error=untrusted))

    class Port(VirtualPort):
        async def resolve(self, host: str, port: int) -> list[TcpAddress]:
            return [TcpAddress(name, port) for name in order]

    def make(address: Address) -> Server:
        assert isinstance(address, TcpAddress)
        if address.host == "bad":
            raise ConnectionRefusedError(111, "refused")
        return welcome()

    world.loop.make_peer = make
    with pytest.raises(ConnectionResetError) as caught:
        world.loop.finish(connecting.connect(lambda: Port(world.loop), settings(ssl="require"), Connection))
    assert caught.value is untrusted
    assert len(caught.value.attempts) == len(order)  # type: ignore[attr-defined]
    # Of several names, the last one's error is raised, whatever it is.
    world.loop.make_peer = lambda address: make(TcpAddress("good" if address.port == 1 else "bad", 1))
    several = settings("host=a,b port=1,2 sslmode=require")
    with pytest.raises(ConnectionRefusedError):
        world.loop.finish(connecting.connect(lambda: Port(world.loop), several, Connection))


# Cancelling what runs


@pytest.mark.checklist("TLS-10")
@pytest.mark.parametrize(
    ("mode", "servers", "asked"),
    [
        ("disable", [welcome], False),
        ("allow", [welcome], False),
        ("prefer", [welcome], True),
        ("prefer", [refused], False),
        ("require", [welcome], True),
        # What became of the connection counts, not what was asked for.
        ("allow", [rejecting, welcome], True),
        ("prefer", [rejecting, welcome], False),
    ],
)
def test_a_cancel_request_goes_the_same_way(mode: str, servers: list[Any], asked: bool) -> None:
    made = [server() for server in servers]
    made[-1].inside.then(*expect_first_execution("SELECT 1"), expect(Terminate), hang_up())
    cancelled = Server(b"S", [expect(CancelRequest), hang_up()])
    world = World(*made, cancelled)
    connection = world.connect(ssl=mode)
    task = world.loop.start(connection.fetch("SELECT 1"))
    world.loop.run()
    world.loop.finish(connection.close())
    assert isinstance(task.error, Exception)
    assert cancelled.asked is asked
    assert [type(message) for message in cancelled.inside.messages] == [CancelRequest]
    assert [type(message) for message in made[-1].inside.messages][-1] is Terminate


def test_a_cancel_request_is_not_sent_in_plain_text_where_the_connection_is_encrypted() -> None:
    server = welcome()
    server.inside.then(*expect_first_execution("SELECT 1"))
    refusing = Server(b"N", [])
    world = World(server, refusing)
    connection = world.connect(ssl="prefer")
    world.loop.start(connection.fetch("SELECT 1"))
    world.loop.run()
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        world.loop.finish(connection.close())
    assert refusing.inside.messages == []
    assert connection.is_closed()
    assert world.is_over()


# Cancelled at every step


@pytest.mark.parametrize("mode", ["allow", "prefer", "require", "direct"])
@pytest.mark.parametrize("how", ["cancelled", "thrown away", "lost"])
def test_nothing_remains_whenever_it_is_stopped(mode: str, how: str) -> None:
    keywords: dict[str, Any] = {"ssl": "require", "direct_tls": True} if mode == "direct" else {"ssl": mode}
    steps = 0
    while True:
        servers = [rejecting(), welcome()] if mode in ("allow", "prefer") else [welcome()]
        world = World(*servers)
        task = world.loop.start(connecting.connect(world.loop.port, settings(**keywords), Connection))
        for _ in range(steps):
            assert world.loop.step()
        if task.done:
            break
        steps += 1
        if how == "cancelled":
            task.cancel()
            world.loop.run(task)
            assert isinstance(task.error, Cancelled)
        elif how == "thrown away":
            world.loop.tasks.remove(task)
            task.close()
        else:
            world.servers += [welcome(), welcome()]
            for port in world.loop.ports:
                port.lose(ConnectionResetError(104, "reset by peer"))
            world.loop.run(task)
            assert task.error is None or isinstance(task.error, (OSError, ConnectionDoesNotExistError, InterfaceError))
            if task.error is None:
                task.result().terminate()
        assert world.is_over()
    assert steps > 8
    task.result().terminate()


# Who is at the other end of a Unix socket


def test_a_required_peer() -> None:
    server = welcome()
    world = World(server)
    world.loop.peer_user = "postgres"
    world.connect(host="/tmp", requirepeer="postgres")
    assert [type(message) for message in server.inside.messages] == [StartupMessage]


@pytest.mark.parametrize(
    ("found", "message"),
    [("mallory", "the server is mallory"), (None, "the system does not tell who the server is")],
)
def test_a_peer_that_is_not_the_required_one_hears_nothing(found: str | None, message: str) -> None:
    server = welcome()
    world = World(server)
    world.loop.peer_user = found
    with pytest.raises(InterfaceError, match=f"^requirepeer=postgres is not met: {message}$"):
        world.connect(host="/tmp", requirepeer="postgres")
    assert server.inside.messages == []
    assert world.is_over()


def test_a_required_peer_is_not_asked_for_over_tcp() -> None:
    assert World(welcome()).connect(requirepeer="postgres").tls is not None


@pytest.mark.parametrize("by_leaving", [False, True])
def test_a_cancel_request_is_for_the_required_peer_only(by_leaving: bool) -> None:
    server, impostor = welcome(), Server(b"", [])
    server.inside.then(*expect_first_execution("SELECT 1"))
    world = World(server, impostor)
    world.loop.peer_user = "postgres"
    connection = world.connect(host="/tmp", requirepeer="postgres")
    world.loop.start(connection.fetch("SELECT 1"))
    world.loop.run()
    world.loop.peer_user = "mallory"
    if by_leaving:
        world.loop.finish(connection._leave())
    else:
        with pytest.raises(InterfaceError, match="requirepeer"):
            world.loop.finish(connection.close())
    assert world.is_over()
    assert len(world.met) == 2
    assert impostor.inside.messages == []
    assert connection.is_closed()
    assert world.loop.failures == []
