"""No password, token or key is in what an error shows, whatever goes wrong, wherever the secret comes from."""

import functools
import pickle
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import pytest

from pgsansio.authentication.oauth import Refusal
from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import CleartextPassword, MD5Password, OAuthToken, ScramPassword
from pgsansio.client import Connection, connecting
from pgsansio.client.parameters import Process, find_settings
from pgsansio.client.port import Address
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.startup import StartupMessage
from pgsansio.policy.conninfo import Settings, parse_dsn, resolve_settings
from pgsansio.policy.parameter_sources import Given
from pgsansio.testing.loop import VirtualLoop, VirtualPort
from pgsansio.testing.script import ScriptedBackend, Step, error, expect, hang_up, login, send, send_bytes
from pgsansio.types.secret import hide_arguments, hide_source
from tests.support.leaks import SECRET, shown_by

HOME = "/home/me"
SERVICES = f"[s]\nhost=h\nuser=u\npassword={SECRET}\n"
#: A repr that tells it, as a partial's and a bound method's do.
ASK = functools.partial(str, SECRET)


async def _ask_later() -> str:
    return SECRET


#: Arguments of connect(), variables, and files by their paths.
Way: TypeAlias = tuple[dict[str, Any], dict[str, str], dict[str, str]]

#: As many ways to give the password.
WAYS: dict[str, Way] = {
    "keyword": ({"password": SECRET}, {}, {}),
    "URI": ({"dsn": f"postgresql://u:{SECRET}@h/d"}, {}, {}),
    "URI's query": ({"dsn": f"postgresql://u@h/d?password={SECRET}"}, {}, {}),
    "words": ({"dsn": f"host=h password={SECRET}"}, {}, {}),
    "variable": ({}, {"PGPASSWORD": SECRET}, {}),
    "service": ({"service": "s"}, {}, {f"{HOME}/.pg_service.conf": SERVICES}),
    "password file": ({}, {}, {f"{HOME}/.pgpass": f"other:*:*:*:no\n*:*:*:*:{SECRET}\n"}),
    "function": ({"password": ASK}, {}, {}),
    "coroutine function": ({"password": _ask_later}, {}, {}),
    "connect_parameters": ({"connect_parameters": lambda: {"password": SECRET}}, {}, {}),
    "connect_parameters with a DSN": ({"connect_parameters": lambda: {"dsn": f"host=h password={SECRET}"}}, {}, {}),
}


class Port(VirtualPort):
    """Reads files out of its loop's."""

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        text: str | None = self.loop.files.get(path)  # type: ignore[attr-defined]
        return text


class Loop(VirtualLoop):
    def __init__(self, files: dict[str, str], script: Iterable[Step]) -> None:
        super().__init__(self._make)
        self.files = files
        self._script = script

    def _make(self, address: Address) -> ScriptedBackend:
        return ScriptedBackend(self._script)


def connect(way: Way, script: Iterable[Step], **more: Any) -> Connection:
    arguments, variables, files = way
    loop = Loop(files, script)

    async def run() -> Connection:
        given: dict[str, Any] = {
            "dsn": None, "host": "h", "user": "u", "database": "d", "password": None, "service": None, "ssl": False,
            "timeout": 10, "oauth_token": None,
        }  # fmt: skip
        given |= arguments | more
        process = Process({"PATH": "/", **variables}, "u", HOME, "linux")
        function = given.pop("connect_parameters", None)
        settings = await find_settings(Port(loop), process, hide_arguments(given), hide_source(function))
        return await connecting.connect(lambda: Port(loop), settings, Connection)

    try:
        return loop.finish(run())
    finally:
        for port in loop.ports:
            port.abort()
        loop.run()


STORED = ScramSecret.from_password(SECRET, b"0123456789abcdef", 2)
SCRAM = AuthenticationSASL(("SCRAM-SHA-256",))


def begin(method: Callable[[], Any]) -> list[Step]:
    def step(server: ScriptedBackend) -> bool:
        server.backend.authenticate(method())
        return True

    return [expect(StartupMessage), step]


def challenge(server: ScriptedBackend) -> bool:
    first = server.take()
    if first is None:
        return False
    assert isinstance(first, SASLInitialResponse)
    nonce = (first.data or b"").rpartition(b"r=")[2]
    server.backend.send(AuthenticationSASLContinue(b"r=%bx,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=2" % nonce))
    return True


REJECTED = error("28P01", "password authentication failed", "FATAL")

FAILURES: dict[str, list[Step]] = {
    "nobody answers": [expect(StartupMessage)],
    "the end at once": [expect(StartupMessage), hang_up()],
    "rejected at once": [expect(StartupMessage), send(REJECTED), hang_up()],
    "clear: rejected": [
        expect(StartupMessage), send(AuthenticationCleartextPassword()), expect(PasswordMessage), send(REJECTED),
    ],
    "clear: silence": [expect(StartupMessage), send(AuthenticationCleartextPassword()), expect(PasswordMessage)],
    "clear: the end": [
        expect(StartupMessage), send(AuthenticationCleartextPassword()), expect(PasswordMessage), hang_up(),
    ],
    "clear: asked twice": [
        expect(StartupMessage), send(AuthenticationCleartextPassword()), expect(PasswordMessage),
        send_bytes(AuthenticationCleartextPassword().encode()),
    ],
    "clear: nonsense": [
        expect(StartupMessage), send(AuthenticationCleartextPassword()), expect(PasswordMessage), send_bytes(b"HTTP/"),
    ],
    "clear: too many notices": [
        expect(StartupMessage), send(AuthenticationCleartextPassword()), expect(PasswordMessage),
        send_bytes(b"N\0\0\0\5\0" * 200),
    ],
    "md5: rejected": [
        expect(StartupMessage), send(AuthenticationMD5Password(b"salt")), expect(PasswordMessage), send(REJECTED),
    ],
    "md5: another request": [
        expect(StartupMessage), send_bytes(AuthenticationMD5Password(b"salt").encode() * 2),
    ],
    "scram: rejected": [
        *begin(lambda: ScramPassword(ScramSecret.from_password("other", b"0123456789abcdef", 2), "n")), send(REJECTED),
    ],
    "scram: no mechanism": [expect(StartupMessage), send(AuthenticationSASL(("X",)))],
    "scram: a bad challenge": [
        expect(StartupMessage), send(SCRAM), expect(SASLInitialResponse),
        send(AuthenticationSASLContinue(b"r=?,s=,i=0")),
    ],
    "scram: silence": [expect(StartupMessage), send(SCRAM), expect(SASLInitialResponse)],
    "scram: let in too early": [
        expect(StartupMessage), send(SCRAM), expect(SASLInitialResponse), send_bytes(AuthenticationOk().encode()),
    ],
    "scram: a bad signature": [
        expect(StartupMessage), send(SCRAM), challenge, expect(SASLResponse),
        send(AuthenticationSASLFinal(b"v=AAAA")),
    ],
    "scram: an error": [
        expect(StartupMessage), send(SCRAM), challenge, expect(SASLResponse),
        send(AuthenticationSASLFinal(b"e=invalid-proof")),
    ],
    "scram: the end while it computes": [
        expect(StartupMessage), send(SCRAM), challenge, hang_up(),
    ],
    "after it": [*login(CleartextPassword(SECRET))[:3], send(error("53300", "too many", "FATAL")), hang_up()],
    "nonsense after it": [*login(MD5Password("u", SECRET, b"salt"))[:3], send_bytes(b"Z\0\0\0\5T")],
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_connecting_fails(failure: str) -> None:
    for name, way in WAYS.items():
        with pytest.raises(Exception) as caught:
            connect(way, FAILURES[failure])
        shown = shown_by(caught.value)
        assert SECRET not in shown, f"{name}: {[line for line in shown.splitlines() if SECRET in line]}"
        assert "Settings(" in shown  # frames were looked at, and they have what the secret could be in


def test_they_get_in_by_each_way() -> None:
    for way in WAYS.values():
        connection = connect(way, login(ScramPassword(STORED, "n")))
        assert SECRET not in f"{connection!r} {connection._settings!r} {connection._frontend!r}"
        connection.terminate()


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"port": "x"}, "port"),
        ({"host": "a\0b"}, "host"),
        ({"ssl": "wrong"}, "sslmode"),
        ({"connect_timeout": "x"}, "connect_timeout"),
        ({"server_settings": 5}, "server_settings"),
        ({"server_settings": {"a": "x" * 20000}}, "10000"),
        ({"timeout": "x"}, "timeout"),
        ({"gsslib": "x"}, "gsslib"),
        ({"service": "unknown"}, "unknown"),
        ({"sslpassword": b"x"}, "sslpassword"),
        ({"max_protocol_version": "2"}, "max_protocol_version"),
    ],
)
def test_another_parameter_is_wrong(more: dict[str, Any], match: str) -> None:
    for name, way in WAYS.items():
        with pytest.raises(Exception, match=match) as caught:
            connect(way, [], **more)
        shown = shown_by(caught.value)
        assert SECRET not in shown, f"{name}: {[line for line in shown.splitlines() if SECRET in line]}"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ({"password": f"{SECRET}\0"}, {}),
        ({"password": f"{SECRET}\ud800"}, {}),
        ({"password": SECRET.encode()}, {}),
        ({"password": [SECRET]}, {}),
        ({}, {"PGPASSWORD": f"{SECRET}\ud800"}),
        ({"dsn": f"postgresql://u:{SECRET}%00@h"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}%ff@h"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}@h/?x"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}?@h/"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}@[h"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}@h:x"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}/x@h"}, {}),
        ({"dsn": f"postgresql://u:x/{SECRET}@h"}, {}),
        ({"dsn": f"postgresql://u:x@[{SECRET}@h"}, {}),
        ({"dsn": f"postgresql://u:{SECRET}\ud800@h"}, {}),
        ({"dsn": f"mysql://u:{SECRET}@h"}, {}),
        ({"dsn": f"password='{SECRET}"}, {}),
        ({"dsn": f"password={SECRET} x"}, {}),
        ({"dsn": f"password={SECRET} unknown=x"}, {}),
        ({"dsn": f"scram_client_key={SECRET}"}, {}),
        ({"dsn": f"oauth_client_secret={SECRET}"}, {}),
        ({"dsn": f"postgresql://h/?target_session_attrs=anyuser%20password={SECRET}"}, {}),
        ({"dsn": SECRET}, {}),
        ({"dsn": SECRET.encode()}, {}),
        ({"dsn": [SECRET]}, {}),
        ({"sslpassword": f"{SECRET}\0"}, {}),
        ({"sslpassword": SECRET.encode()}, {}),
        ({"oauth_token": SECRET.encode()}, {}),
        ({"oauth_token": f"{SECRET}\0"}, {}),
        ({"password": functools.partial(int, SECRET)}, {}),
        ({"connect_parameters": lambda: f"host=h password={SECRET}"}, {}),
        ({"connect_parameters": lambda: {"password": SECRET, "unknown": 1}}, {}),
        ({"connect_parameters": lambda: {"password": [SECRET]}}, {}),
        ({"connect_parameters": functools.partial(int, SECRET)}, {}),
    ],
)
def test_the_secret_itself_is_wrong(arguments: dict[str, Any], variables: dict[str, str]) -> None:
    with pytest.raises(Exception) as caught:
        connect((arguments, variables, {}), FAILURES["clear: rejected"])
    shown = shown_by(caught.value)
    # int() says what it was given; that is the user's function.
    lines = [line for line in shown.splitlines() if SECRET in line and "invalid literal for int()" not in line]
    assert lines == []


@pytest.mark.parametrize("failure", ["clear: rejected", "md5: rejected", "scram: silence"])
@pytest.mark.parametrize("wrong", [f"{SECRET}\0", f"{SECRET}\ud800"])
def test_a_function_returns_what_cannot_be_sent(failure: str, wrong: str) -> None:
    with pytest.raises(Exception) as caught:
        connect(({"password": lambda: wrong}, {}, {}), FAILURES[failure])
    assert SECRET not in shown_by(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"[s]\npassword={SECRET}\nunknown=1\n",
        f"[s]\npassword={SECRET}\n{SECRET}\n",
        f"[s]\npassword {SECRET}\n",
        f"[s]\nservice={SECRET}\n",
        f"[other]\npassword={SECRET}\n[s\n",
        f"[other]\npassword={SECRET}\n",
        f"[s]\npassword={SECRET}\nport=x\n",
    ],
)
def test_a_service_file_is_wrong(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        connect(({"service": "s"}, {}, {f"{HOME}/.pg_service.conf": text}), [])
    assert SECRET not in shown_by(caught.value)


# Tokens

TOKEN_FAILURES: dict[str, list[Step]] = {
    "refused": login(OAuthToken(lambda token: False, Refusal("invalid_token"))),
    "silence": [expect(StartupMessage), send(OAuthToken.request), expect(SASLInitialResponse)],
    "the end": [expect(StartupMessage), send(OAuthToken.request), expect(SASLInitialResponse), hang_up()],
    "nonsense": [
        expect(StartupMessage), send(OAuthToken.request), expect(SASLInitialResponse),
        send(AuthenticationSASLContinue(b"?")),
    ],
    "a password instead": [
        expect(StartupMessage), send(OAuthToken.request), expect(SASLInitialResponse),
        send_bytes(AuthenticationCleartextPassword().encode()),
    ],
}  # fmt: skip


@pytest.mark.parametrize("failure", [*TOKEN_FAILURES])
@pytest.mark.parametrize(
    "source", [SECRET, f"{SECRET} !", ASK, _ask_later, functools.partial(str.encode, SECRET)],
    ids=["text", "none", "function", "coroutine", "bytes"],
)  # fmt: skip
def test_tokens(failure: str, source: Any) -> None:
    with pytest.raises(Exception) as caught:
        connect(({"oauth_token": source, "host": "/tmp", "database": "d"}, {}, {}), TOKEN_FAILURES[failure])
    assert SECRET not in shown_by(caught.value)


# What holds them


def settings(**keywords: Any) -> Settings:
    return resolve_settings(
        f"postgresql://u:{SECRET}@h/d?sslpassword={SECRET}",
        environment={"PGPASSWORD": SECRET},
        os_user=None,
        home=None,
        platform="linux",
        **keywords,
    )


def test_settings() -> None:
    found = settings(oauth_token=SECRET)
    assert found.password is not None
    assert found.oauth_token is not None
    assert [found.password.reveal(), found.oauth_token.reveal(), found.tls.password.reveal()] == [SECRET] * 3
    assert SECRET not in f"{found!r} {found.tls!r}"
    assert not hasattr(found, "__dict__")
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(found)
    assert SECRET not in repr(Process({"PGPASSWORD": SECRET}, None, None, "linux"))
    assert SECRET not in repr(Given(SECRET, "somewhere"))


def test_the_public_reader_has_its_argument_and_nobody_else_has() -> None:
    with pytest.raises(ValueError, match="IPv6") as caught:
        parse_dsn(f"postgresql://u:{SECRET}@[h")
    assert SECRET not in shown_by(caught.value, "parse_dsn")
