"""From the first byte to a session, against servers that know less, want more, or stop at any step."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from pgsansio.authentication.oauth import Refusal
from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import AuthenticationMethod, CleartextPassword, OAuthToken, ScramPassword, Trust
from pgsansio.client import Connection, connecting
from pgsansio.client.port import Address
from pgsansio.errors import (
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    InterfaceError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
)
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationKerberosV5,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.startup import (
    PROTOCOL_3_0,
    PROTOCOL_3_2,
    BackendKeyData,
    CancelRequest,
    NegotiateProtocolVersion,
    SSLRequest,
    StartupMessage,
)
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.testing.loop import FakeTls, VirtualLoop
from pgsansio.testing.script import (
    ScriptedBackend,
    Step,
    error,
    expect,
    hang_up,
    login,
    notice,
    send,
    send_bytes,
)

CLEAR = AuthenticationCleartextPassword()
SECRET = ScramSecret.from_password("secret", b"0123456789abcdef", 2)


class World:
    """Servers in the order in which they are connected to."""

    def __init__(self, *scripts: Iterable[Step], tls: bool = False) -> None:
        self.waiting = [ScriptedBackend(script) for script in scripts]
        self.met: list[ScriptedBackend] = []
        self.loop = VirtualLoop(self._next)
        self.loop.tls = FakeTls() if tls else None

    def _next(self, address: Address) -> ScriptedBackend:
        self.met.append(self.waiting.pop(0))
        return self.met[-1]

    def connect(self, dsn: str = "postgresql://u@db.example/d", **keywords: Any) -> Connection:
        keywords = {"timeout": None, "home": None, "ssl": False} | keywords
        settings = resolve_settings(dsn, environment={}, os_user="u", platform="linux", **keywords)
        return self.loop.finish(connecting.connect(self.loop.port, settings, Connection))

    @property
    def versions(self) -> list[int]:
        """What each server was asked for."""
        first = [next(one for one in server.messages if isinstance(one, StartupMessage)) for server in self.met]
        return [message.protocol_version for message in first]

    def is_over(self) -> bool:
        self.loop.run()
        return not self.loop.tasks and not any(port.connected for port in self.loop.ports)


# SCRAM


def stops_of_connecting(world: World, password: str) -> set[str]:
    """Where a connection that is made waits."""
    process: dict[str, Any] = {"environment": {}, "os_user": "u", "home": None, "platform": "linux"}
    settings = resolve_settings(f"postgresql://u:{password}@db.example/d", **process, ssl=False, timeout=None)
    task = world.loop.start(connecting.connect(world.loop.port, settings, Connection))
    stops: set[str] = set()
    while not task.done:
        stops.add(task.stop.name if task.stop else "")
        world.loop.step()
    return stops


def test_the_slow_step_is_done_once_for_a_password_and_a_salt() -> None:
    first, second = (
        ScramSecret.from_password("pass word", salt, 2) for salt in (b"salt of this test", b"another salt")
    )
    wrong = ScramSecret.from_password("right", b"a third one", 2)
    sessions = [first, first, second, wrong, wrong, first]
    world = World(*[login(ScramPassword(secret, "n")) for secret in sessions])
    slow = ["run_elsewhere" in stops_of_connecting(world, "pass word") for _ in sessions]
    # What no server has accepted is not kept.
    assert slow == [True, False, True, True, True, False]


# Versions of the protocol


def negotiating(offer: NegotiateProtocolVersion, *, late: bool = False, key: bytes = b"key!") -> list[Step]:
    begin, *rest = login(secret_key=key)
    if not late:
        return [begin, send(offer), *rest]
    return [begin, *rest[:2], send(offer), *rest[2:]]


REFUSED: list[list[Step]] = [
    [expect(StartupMessage), send(error("08P01", "bad packet header", "FATAL")), hang_up()],
    [expect(StartupMessage), send(error("0A000", "unsupported frontend protocol 3.2", "FATAL")), hang_up()],
    [expect(StartupMessage), hang_up()],
]


def test_3_0_is_asked_for_unless_one_says_so() -> None:
    world = World(login(), login(secret_key=b"k" * 32))
    world.connect()
    connection = world.connect(max_protocol_version="3.2")
    assert world.versions == [PROTOCOL_3_0, PROTOCOL_3_2]
    assert connection._frontend.protocol_version == PROTOCOL_3_2
    assert connection._frontend.secret_key == b"k" * 32


@pytest.mark.parametrize("late", [False, True])
def test_a_server_that_negotiates(late: bool) -> None:
    world = World(negotiating(NegotiateProtocolVersion(PROTOCOL_3_0), late=late))
    connection = world.connect(max_protocol_version="latest")
    assert world.versions == [PROTOCOL_3_2]
    assert connection._frontend.protocol_version == PROTOCOL_3_0


@pytest.mark.parametrize("script", REFUSED, ids=["violation", "unsupported", "end"])
def test_a_server_that_refuses_is_asked_for_less(script: list[Step]) -> None:
    world = World(script, login())
    connection = world.connect(max_protocol_version="3.2")
    assert world.versions == [PROTOCOL_3_2, PROTOCOL_3_0]
    assert connection._frontend.protocol_version == PROTOCOL_3_0
    assert sum(port.connected for port in world.loop.ports) == 1


@pytest.mark.parametrize("script", REFUSED, ids=["violation", "unsupported", "end"])
def test_it_is_asked_once(script: list[Step]) -> None:
    world = World(script, list(script))
    with pytest.raises(PostgresError) as caught:
        world.connect(max_protocol_version="3.2")
    assert world.versions == [PROTOCOL_3_2, PROTOCOL_3_0]
    assert len(caught.value.attempts) == 2
    assert world.is_over()


@pytest.mark.parametrize("script", REFUSED, ids=["violation", "unsupported", "end"])
def test_less_may_not_do(script: list[Step]) -> None:
    world = World(script)
    with pytest.raises(PostgresError):
        world.connect(max_protocol_version="3.2", min_protocol_version="3.2")
    assert world.versions == [PROTOCOL_3_2]
    world = World(negotiating(NegotiateProtocolVersion(PROTOCOL_3_0)))
    with pytest.raises(InterfaceError, match=r"knows protocol 3\.0 at most, and min_protocol_version is 3\.2"):
        world.connect(max_protocol_version="3.2", min_protocol_version="3.2")
    assert world.is_over()


@pytest.mark.parametrize(
    "script",
    [
        [expect(StartupMessage), send(error("28000", "no entry", "FATAL")), hang_up()],
        [expect(StartupMessage), send(error("53300", "too many", "FATAL")), hang_up()],
        [expect(StartupMessage), send(NegotiateProtocolVersion(PROTOCOL_3_0)), hang_up()],
        [expect(StartupMessage), send(AuthenticationOk(), error("08P01", "no", "FATAL")), hang_up()],
        [expect(StartupMessage), send(NegotiateProtocolVersion(3 << 16 | 1))],
    ],
)
def test_other_failures_are_not_about_the_version(script: list[Step]) -> None:
    world = World(script)
    with pytest.raises((PostgresError, ProtocolError)):
        world.connect(max_protocol_version="3.2")
    assert len(world.met) == 1


def test_a_server_without_an_answer_is_not_asked_again() -> None:
    world = World([expect(StartupMessage)])
    with pytest.raises(OperationTimeoutError):
        world.connect(max_protocol_version="3.2", timeout=10)
    assert len(world.met) == 1
    assert world.is_over()


def test_each_way_is_asked_for_the_version_that_the_server_has_accepted() -> None:
    """`prefer`: TLS with 3.2, TLS with 3.0, then plain text, and not with 3.2 again."""

    def accept(server: ScriptedBackend) -> bool:
        server.backend.answer_encryption(b"S")
        return True

    violation, rejected = error("08P01", "bad packet", "FATAL"), error("28000", "no entry", "FATAL")
    world = World(
        [expect(SSLRequest), accept, expect(StartupMessage), send(violation), hang_up()],
        [expect(SSLRequest), accept, expect(StartupMessage), send(rejected), hang_up()],
        login(),
        tls=True,
    )
    world.connect(max_protocol_version="3.2", ssl="prefer")
    assert world.versions == [PROTOCOL_3_2, PROTOCOL_3_0, PROTOCOL_3_0]


@pytest.mark.parametrize("size", [4, 32, 256])
def test_a_cancel_request_has_the_whole_key(size: int) -> None:
    key = bytes(range(256))[:size]
    world = World(login(secret_key=key))
    exchange = world.connect(max_protocol_version="3.2")._frontend.cancel_exchange()
    assert exchange is not None
    assert exchange.data_to_send() == CancelRequest(4711, key).encode()


# Tokens


def token_server(expected: str = "abc.def") -> list[Step]:
    return login(OAuthToken(lambda given: given == expected, Refusal("invalid_token", "db")))


async def _later() -> str:
    return "abc.def"


@pytest.mark.parametrize("source", ["abc.def", lambda: "abc.def", _later], ids=["text", "function", "coroutine"])
def test_a_token(source: str | Callable[[], str] | Callable[[], Awaitable[str]]) -> None:
    world = World(token_server())
    connection = world.connect(host="/tmp", oauth_token=source, password="secret")
    assert not connection.is_closed()
    sent = [message for message in world.met[0].messages if isinstance(message, SASLInitialResponse)]
    assert [message.mechanism for message in sent] == ["OAUTHBEARER"]


def test_a_token_is_not_asked_for_without_need() -> None:
    def never() -> str:
        raise AssertionError("nobody wants a token")

    for method in (Trust(), CleartextPassword("secret"), ScramPassword(SECRET, "n")):
        World(login(method)).connect(host="/tmp", oauth_token=never, password="secret")
    world = World(token_server())
    with pytest.raises(InterfaceError, match="not encrypted"):
        world.connect(oauth_token=never)
    assert world.is_over()


def test_a_token_over_tls() -> None:
    def accept(server: ScriptedBackend) -> bool:
        server.backend.answer_encryption(b"S")
        return True

    world = World([expect(SSLRequest), accept, *token_server()], tls=True)
    assert world.connect(ssl="require", oauth_token="abc.def").tls is not None


def test_a_refused_token() -> None:
    world = World(token_server("another"))
    with pytest.raises(InvalidAuthorizationSpecificationError, match="OAuth bearer authentication failed") as caught:
        world.connect(host="/tmp", oauth_token="abc.def")
    assert caught.value.__notes__ == ["the server says of the OAuth token: status 'invalid_token', scope 'db'"]
    assert "abc.def" not in repr(caught.value)
    assert world.is_over()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (lambda: None, ClientConfigurationError),
        (lambda: "no token", ClientConfigurationError),
        (lambda: 1 / 0, ZeroDivisionError),
        ("no token", ClientConfigurationError),
        (None, InterfaceError),
        ("", InterfaceError),
    ],
)
def test_no_token(source: Any, expected: type[Exception]) -> None:
    world = World(token_server())
    with pytest.raises(expected) as caught:
        world.connect(host="/tmp", oauth_token=source)
    assert "no token" not in str(caught.value)
    assert world.is_over()


def test_a_source_of_tokens_that_is_none() -> None:
    with pytest.raises(ClientConfigurationError, match="oauth_token is expected to be a str or a callable, got int"):
        World().connect(oauth_token=5)


def test_a_server_that_leaves_while_the_token_is_fetched() -> None:
    world = World([expect(StartupMessage), send(OAuthToken.request), send(error("08P01", "late", "FATAL")), hang_up()])
    with pytest.raises((PostgresError, ConnectionDoesNotExistError)):
        world.connect(host="/tmp", oauth_token=_later)
    assert world.is_over()


# What a server may ask for


@pytest.mark.parametrize(
    ("method", "words", "match"),
    [
        (Trust, "channel_binding=require", "the server let us in without it"),
        (lambda: CleartextPassword("secret"), "channel_binding=require", "in clear text"),
        (lambda: ScramPassword(SECRET, "n"), "channel_binding=require", "did not offer"),
        (lambda: CleartextPassword("secret"), "require_auth=scram-sha-256", "in clear text"),
        (Trust, "require_auth=!none", "without any authentication"),
    ],
)
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_rules(method: Callable[[], AuthenticationMethod], words: str, match: str, mode: str) -> None:
    """What breaks them ends the connection, and is not tried in another way, nor at another host."""
    script: list[Step] = [expect(StartupMessage), lambda server: server.backend.authenticate(method()) or True]
    if mode == "prefer":
        script.insert(0, expect(SSLRequest))
        script.insert(1, lambda server: server.backend.answer_encryption(b"N") or True)
    world = World(script, tls=mode != "disable")
    with pytest.raises(InterfaceError, match=match):
        world.connect(f"postgresql://u:secret@a,b/d?{words}", ssl=mode)
    assert len(world.met) == 1
    assert world.is_over()
    assert not any(hasattr(message, "password") for message in world.met[0].messages)


# Servers that mean no good, and servers that stop


def challenge(text: str) -> Step:
    """Answers the client's first message of SCRAM with this, in which {nonce} is the client's."""

    def step(server: ScriptedBackend) -> bool:
        first = server.take()
        if first is None:
            return False
        assert isinstance(first, SASLInitialResponse)
        nonce = (first.data or b"").rpartition(b"r=")[2].decode()
        server.backend.send(AuthenticationSASLContinue(text.format(nonce=nonce).encode()))
        return True

    return step


SALT = "s=MDEyMzQ1Njc4OWFiY2RlZg=="
GOOD = f"r={{nonce}}x,{SALT},i=2"
SCRAM = AuthenticationSASL(("SCRAM-SHA-256",))


@pytest.mark.parametrize(
    ("steps", "expected", "match"),
    [
        ([send(SCRAM), challenge(f"r=x{{nonce}},{SALT},i=2")], ProtocolError, "nonce does not extend"),
        ([send(SCRAM), challenge(f"r={{nonce}},{SALT},i=2")], ProtocolError, "nonce does not extend"),
        ([send(SCRAM), challenge(f"r={{nonce}}x,{SALT},i=0")], ProtocolError, "iteration count"),
        ([send(SCRAM), challenge(f"r={{nonce}}x,{SALT},i=-1")], ProtocolError, "iteration count"),
        ([send(SCRAM), challenge(f"r={{nonce}}x,{SALT},i=2147483648")], InterfaceError, "more than 1000000"),
        ([send(SCRAM), challenge(f"m=x,r={{nonce}}x,{SALT},i=2")], ProtocolError, "extension"),
        ([send(SCRAM), challenge("r={nonce}x,s=,i=2")], ProtocolError, "salt is empty"),
        ([send(SCRAM), challenge(GOOD), send_bytes(AuthenticationOk().encode())], ProtocolError, "AuthenticationOk"),
        (
            [send(SCRAM), challenge(GOOD), expect(SASLResponse), send(AuthenticationSASLFinal(b"v=AAAA"))],
            InterfaceError,
            "could not verify server signature",
        ),
        (
            [send(SCRAM), challenge(GOOD), expect(SASLResponse), send(AuthenticationSASLFinal(b"e=invalid-proof"))],
            InvalidPasswordError,
            "invalid-proof",
        ),
        (
            [send(SCRAM), challenge(GOOD), expect(SASLResponse), send_bytes(AuthenticationOk().encode())],
            ProtocolError,
            "AuthenticationOk",
        ),
        (
            [send(SCRAM), challenge(GOOD), expect(SASLResponse), send_bytes(CLEAR.encode())],
            ProtocolError,
            "CleartextPassword",
        ),
        ([send(SCRAM), send_bytes(CLEAR.encode())], ProtocolError, "CleartextPassword"),
        ([send(SCRAM), send_bytes(SCRAM.encode())], ProtocolError, "AuthenticationSASL"),
        ([send(AuthenticationSASL(()))], InterfaceError, "unsupported SASL"),
        ([send(AuthenticationSASL(("SCRAM-SHA-1",)))], InterfaceError, "unsupported SASL"),
        ([send(AuthenticationSASL(("SCRAM-SHA-256-PLUS",)))], InterfaceError, "taken the encryption away"),
        ([send(AuthenticationKerberosV5())], InterfaceError, "unsupported authentication method"),
        ([send_bytes(b"R\0\0\0\x08\0\0\0\x01")], ProtocolError, "method 1 is unknown"),
        ([send_bytes(b"R\0\0\0\x09\0\0\0\0\0")], ProtocolError, "AuthenticationOk"),
        ([send_bytes(b"R\0\0\x07\xd1")], ProtocolError, "no answer to a start-up message"),
        ([send_bytes(b"R\x7f\xff\xff\xff")], ProtocolError, "no answer to a start-up message"),
        ([send_bytes(b"E\x7f\xff\xff\xff")], ProtocolError, "no answer to a start-up message"),
        ([send_bytes(b"K\0\0\0\x0c\0\0\0\x01key!")], ProtocolError, "unexpected BackendKeyData"),
        ([send_bytes(b"Z\0\0\0\x05I")], ProtocolError, "unexpected ReadyForQuery"),
        ([send_bytes(b"D\0\0\0\x06\0\0")], ProtocolError, "no answer to a start-up message"),
        ([send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")], ProtocolError, "no answer to a start-up message"),
        ([send(*[notice()] * 101)], ProtocolError, "too many notices"),
    ],
)
def test_servers_that_mean_no_good(steps: list[Step], expected: type[Exception], match: str) -> None:
    world = World([expect(StartupMessage), *steps])
    with pytest.raises(expected, match=match):
        world.connect(password="secret")
    assert world.is_over()
    assert len(world.met) == 1
    assert b"secret" not in b"".join(message.encode() for message in world.met[0].messages)


STEPS: dict[str, list[Step]] = {
    "trust": [expect(StartupMessage), send(AuthenticationOk()), send(BackendKeyData(1, b"key!"))],
    "password": [expect(StartupMessage), send(CLEAR), expect(PasswordMessage), send(AuthenticationOk())],
    "scram": [expect(StartupMessage), send(SCRAM), challenge(GOOD), expect(SASLResponse)],
    "oauth": [
        expect(StartupMessage),
        send(OAuthToken.request),
        expect(SASLInitialResponse),
        send(AuthenticationSASLContinue(b'{"status": "invalid_token"}')),
        expect(SASLResponse),
    ],
}


@pytest.mark.parametrize(
    ("method", "count"), [(method, count) for method in STEPS for count in range(len(STEPS[method]) + 1)]
)
@pytest.mark.parametrize("silent", [False, True], ids=["end", "silence"])
def test_a_server_that_stops(method: str, count: int, silent: bool) -> None:
    world = World([*STEPS[method][:count], *([] if silent else [hang_up()])])
    with pytest.raises(OperationTimeoutError if silent else ConnectionDoesNotExistError):
        world.connect(host="/tmp", password="secret", oauth_token="abc.def", timeout=10)
    assert world.is_over()
    assert len(world.met) == 1


def test_a_password_goes_out_once_and_only_where_it_is_asked_for() -> None:
    world = World(login(ScramPassword(SECRET, "n")), login(CleartextPassword("secret")))
    for count in (0, 1):
        world.connect(password="secret")
        sent = b"".join(message.encode() for message in world.met[-1].messages)
        assert sent.count(b"secret") == count
