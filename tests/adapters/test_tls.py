"""TLS on each loop: what settings become, and peers that stop, lie or show wrong papers in the middle of it."""

import contextlib
import datetime
import importlib
import os
import re
import shutil
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
import trustme

from pgsansio.enums import TransactionStatus
from pgsansio.errors import ClientConfigurationError, OperationTimeoutError, ProtocolError
from pgsansio.messages.authentication import AuthenticationOk
from pgsansio.messages.backend import CommandComplete, ErrorResponse, ReadyForQuery
from pgsansio.messages.frontend import Terminate
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.tls_settings import TlsFile, TlsSettings
from tests.support.certificates import Certificates
from tests.support.clients import PATIENCE_SECONDS
from tests.support.peers import answer, hear, peer, then, until_closed

T = TypeVar("T")

READY = ReadyForQuery(TransactionStatus.IDLE).encode()
WELCOME = AuthenticationOk().encode() + READY
AUTHORITY = trustme.CA()
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


# Contexts


@pytest.fixture(params=["asyncio", "trio"])
def tls_context(request: pytest.FixtureRequest) -> Callable[[TlsSettings], ssl.SSLContext]:
    function: Callable[[TlsSettings], ssl.SSLContext] = importlib.import_module(
        f"pgsansio_{request.param}.tls"
    ).tls_context
    return function


def file(path: str, parameter: str, origin: str | None = "the DSN") -> TlsFile:
    return TlsFile(path, parameter, origin)


@pytest.mark.parametrize(
    ("mode", "verified", "checked"),
    [
        (SSLMode.allow, ssl.CERT_NONE, False),
        (SSLMode.prefer, ssl.CERT_NONE, False),
        (SSLMode.require, ssl.CERT_REQUIRED, False),
        (SSLMode.verify_ca, ssl.CERT_REQUIRED, False),
        (SSLMode.verify_full, ssl.CERT_REQUIRED, True),
    ],
)
def test_what_a_mode_verifies(
    tls_context: Any, certificates: Certificates, mode: SSLMode, verified: ssl.VerifyMode, checked: bool
) -> None:
    context = tls_context(TlsSettings(mode, root=file(certificates["ca.crt"], "sslrootcert")))
    assert context.verify_mode is verified
    assert context.check_hostname is checked
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN


def test_require_verifies_nothing_without_authorities(tls_context: Any, tmp_path: Path) -> None:
    absent = file(str(tmp_path / "root.crt"), "sslrootcert", None)
    assert tls_context(TlsSettings(SSLMode.require, root=absent)).verify_mode is ssl.CERT_NONE
    assert tls_context(TlsSettings(SSLMode.require)).verify_mode is ssl.CERT_NONE
    for settings in (TlsSettings(SSLMode.verify_ca, root=absent), TlsSettings(SSLMode.verify_full)):
        with pytest.raises(ClientConfigurationError, match="does not exist or cannot be accessed"):
            tls_context(settings)


@pytest.mark.checklist("TLS-5")
def test_without_a_home_the_error_says_so(tls_context: Any) -> None:
    with pytest.raises(ClientConfigurationError, match=r'root certificate file "~/\.postgresql/root\.crt"') as caught:
        tls_context(TlsSettings(SSLMode.verify_full))
    assert caught.value.detail is not None
    assert "HOME is either unset" in caught.value.detail


def test_versions(tls_context: Any) -> None:
    settings = TlsSettings(SSLMode.prefer, minimum_version="TLSv1.3", maximum_version="TLSv1.3")
    context = tls_context(settings)
    assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_3
    before = tls_context(TlsSettings(SSLMode.prefer, minimum_version=None)).minimum_version
    assert before is ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).minimum_version


def test_files_are_read_again_only_when_they_change(
    tls_context: Any, certificates: Certificates, tmp_path: Path
) -> None:
    root, revocations = tmp_path / "root.crt", tmp_path / "crl"
    revocations.mkdir()
    shutil.copy(certificates["ca.crt"], root)
    settings = TlsSettings(
        SSLMode.verify_full,
        root=file(str(root), "sslrootcert"),
        crl=file(str(tmp_path / "root.crl"), "sslcrl", None),
        crl_dir=file(str(revocations), "sslcrldir"),
    )

    def trusted(context: ssl.SSLContext) -> int:
        return len(context.get_ca_certs())

    first = tls_context(settings)
    assert tls_context(settings) is first
    with open(root, "ab") as out:
        out.write(Path(certificates["other-ca.crt"]).read_bytes())
    second = tls_context(settings)
    assert second is not first
    assert (trusted(first), trusted(second)) == (1, 2)
    shutil.copy(certificates["empty.crl"], tmp_path / "root.crl")  # one that was not there
    third = tls_context(settings)
    assert third is not second
    shutil.copy(certificates["empty.crl"], revocations / "00000000.r0")
    fourth = tls_context(settings)
    assert fourth is not third
    assert tls_context(settings) is fourth
    root.unlink()
    with pytest.raises(ClientConfigurationError, match="sslrootcert from the DSN"):
        tls_context(settings)


def test_files_are_read_once_for_all_who_ask_at_once(
    tls_context: Any, certificates: Certificates, tmp_path: Path
) -> None:
    root = tmp_path / "root.crt"
    root.write_bytes(Path(certificates["ca.crt"]).read_bytes() * 500)  # takes a while
    settings = TlsSettings(SSLMode.verify_full, root=file(str(root), "sslrootcert"))
    together = threading.Barrier(8)

    def make(_: int) -> ssl.SSLContext:
        together.wait()
        context: ssl.SSLContext = tls_context(settings)
        return context

    with ThreadPoolExecutor(8) as threads:
        first, *others = threads.map(make, range(8))
    assert all(other is first for other in others)


def test_who_waits_for_a_context_that_cannot_be_made_gets_the_error(tls_context: Any, tmp_path: Path) -> None:
    settings = TlsSettings(SSLMode.verify_full, root=file(str(tmp_path / "root.crt"), "sslrootcert"))
    together = threading.Barrier(4)

    def fail(_: int) -> str:
        together.wait()
        with pytest.raises(ClientConfigurationError) as caught:
            tls_context(settings)
        return str(caught.value)

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(fail, range(4)))) == 1


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_nobody_else_may_read_the_secrets(tls_context: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    tls_context(TlsSettings(SSLMode.require, key_log=file(str(path), "sslkeylogfile")))
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_so_many_contexts_are_kept(tls_context: Any) -> None:
    first = TlsSettings(SSLMode.prefer, password="0")
    kept = tls_context(first)
    for number in range(1, 32):
        tls_context(TlsSettings(SSLMode.prefer, password=str(number)))
        assert tls_context(first) is kept  # used again and again
    for number in range(100, 132):
        tls_context(TlsSettings(SSLMode.prefer, password=str(number)))
    assert tls_context(first) is not kept


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"root": "no-file"},
            'root certificate file ".*no-file" does not exist .*No such file.*sslrootcert from the DSN',
        ),
        ({"root": "cert_user.key"}, "sslrootcert '.*cert_user.key' from the DSN has nothing in it that can be used"),
        ({"root": ""}, "root certificate file .*Is a directory|has nothing in it"),
        ({"crl": "no-crl"}, 'sslcrl ".*no-crl" does not exist or cannot be accessed: No such file'),
        ({"crl": "cert_user.key"}, "sslcrl '.*cert_user.key' from the DSN has nothing in it that can be used"),
        ({"crl_dir": "no-folder"}, 'sslcrldir ".*no-folder" does not exist or cannot be accessed: No such file'),
        ({"certificate": "no-crt"}, 'sslcert ".*no-crt" does not exist or cannot be accessed'),
        ({"certificate": "cert_user.crt", "key": "no-key"}, 'sslkey ".*no-key" does not exist or cannot be accessed'),
        ({"certificate": "cert_user.crt", "key": "ca.crt"}, "sslcert .* and sslkey '.*ca.crt' from the DSN cannot be"),
        ({"certificate": "ca.crt"}, "sslcert '.*ca.crt' from the DSN cannot be used"),
        ({"certificate": "a\0b"}, "embedded null"),
        ({"key_log": "no-folder/x"}, 'sslkeylogfile ".*no-folder/x" does not exist or cannot be accessed'),
    ],
)
def test_files_that_cannot_be_used(
    tls_context: Any, certificates: Certificates, settings: dict[str, str], message: str
) -> None:
    words = {"root": "sslrootcert", "crl": "sslcrl", "crl_dir": "sslcrldir", "certificate": "sslcert", "key": "sslkey"}
    paths = {"root": "ca.crt"} | settings
    files = {
        field: file(f"{certificates.folder}/{path}", words.get(field, "sslkeylogfile")) for field, path in paths.items()
    }
    with pytest.raises(ClientConfigurationError, match=message):
        tls_context(TlsSettings(SSLMode.verify_full, **files))  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_others_keep(tls_context: Any, tmp_path: Path) -> None:
    path = tmp_path / "root.crt"
    path.touch(0)
    with pytest.raises(ClientConfigurationError, match="Permission denied"):
        tls_context(TlsSettings(SSLMode.require, root=file(str(path), "sslrootcert", None)))


# Peers


def server_context(alpn: str | None = "postgresql", **certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost", "127.0.0.1", **certificate).configure_cert(context)
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context


def handshake(context: ssl.SSLContext, heard: list[bytes]) -> Callable[[socket.socket], None]:
    """Shakes hands, hears what comes and closes."""

    def behave(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as session:
            heard.append(session.recv(4096))

    return behave


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}")


async def connect(module: ModuleType, port: int | list[int], **settings: Any) -> Any:
    settings = {
        "host": "127.0.0.1",
        "user": "u",
        "database": "d",
        "password": "",
        "timeout": PATIENCE_SECONDS,
    } | settings
    async with module.connect(port=port, **settings):
        raise AssertionError("these peers let nobody in")


@pytest.fixture
def root(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full", "require"])
async def test_an_expired_certificate(module: ModuleType, root: str, mode: str) -> None:
    heard: list[bytes] = []
    shown = server_context(not_before=YESTERDAY - datetime.timedelta(days=1), not_after=YESTERDAY)
    async with peer(then(answer(b"S"), handshake(shown, heard))) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await connect(module, port, dsn=f"postgresql://?sslmode={mode}&sslrootcert={root}")
    assert heard == []


@pytest.mark.anyio
@pytest.mark.checklist("TLS-9")
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("chosen", ["postgresql", "h2", None])
async def test_what_is_spoken_inside(module: ModuleType, root: str, direct: bool, chosen: str | None) -> None:
    """With direct TLS, the start-up message goes to a server that has agreed to speak PostgreSQL's protocol only."""
    heard: list[bytes] = []
    shaking = handshake(server_context(chosen), heard)
    async with peer(shaking if direct else then(answer(b"S"), shaking)) as port:
        with pytest.raises(Exception) as caught:
            await connect(module, port, dsn=f"postgresql://?sslmode=verify-full&sslrootcert={root}", direct_tls=direct)
    # A server that knows none of what was offered goes on without a choice, at least this one.
    if direct and chosen != "postgresql":
        assert isinstance(caught.value, ConnectionError)
        assert b"user" not in b"".join(heard)
    else:
        assert isinstance(caught.value, module.ConnectionDoesNotExistError)
        assert b"user\0u\0database\0d\0" in heard[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("behave", "settings", "expected"),
    [
        (answer(b""), {}, ConnectionError),
        (answer(b"N"), {}, ConnectionError),
        (answer(b"ESFATAL\0"), {}, ConnectionError),
        (answer(b"X"), {}, ProtocolError),
        (answer(b"S\x16\x03\x03"), {}, ProtocolError),
        (answer(b"S"), {}, OSError),
        (then(answer(b"S"), hear, lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n")), {}, OSError),
        (lambda client: client.sendall(b"E\0\0\0\x08XXXX"), {"direct_tls": True}, (OSError, ProtocolError)),
        (lambda client: None, {"direct_tls": True}, OSError),
    ],
    ids=[
        "end",
        "refused",
        "error",
        "garbage",
        "surplus",
        "end after S",
        "web server",
        "server before 17",
        "direct end",
    ],
)
async def test_peers_that_are_no_good(
    module: ModuleType, behave: Callable[[socket.socket], None], settings: dict[str, Any], expected: Any
) -> None:
    async with peer(behave) as port:
        with pytest.raises(expected) as caught:
            await connect(module, port, ssl="require", **settings)
    assert not isinstance(caught.value, TimeoutError)


@pytest.mark.anyio
@pytest.mark.parametrize("behave", [hear, lambda client: None], ids=["end", "reset"])
async def test_a_server_that_knows_no_direct_tls(module: ModuleType, behave: Callable[[socket.socket], None]) -> None:
    async with peer(behave) as port:
        with pytest.raises(ConnectionResetError, match=r"handshake of direct TLS, which servers before PostgreSQL 17"):
            await connect(module, port, ssl="require", direct_tls=True)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("behave", "settings"),
    [
        (until_closed, {"ssl": "require"}),
        (then(answer(b"S"), until_closed), {"ssl": "require"}),
        (until_closed, {"ssl": "require", "direct_tls": True}),
        (then(answer(b"N"), until_closed), {"ssl": "prefer"}),
        (then(answer(b"S"), until_closed), {"ssl": "prefer"}),
    ],
    ids=["before S", "after S", "direct", "after N", "preferred"],
)
async def test_silence(module: ModuleType, behave: Callable[[socket.socket], None], settings: dict[str, Any]) -> None:
    """At every step it ends with the time limit, and there is no second attempt."""
    connections: list[socket.socket] = []

    def counted(client: socket.socket) -> None:
        connections.append(client)
        behave(client)

    async with peer(counted) as port:
        with pytest.raises(OperationTimeoutError):
            await connect(module, port, timeout=0.2, **settings)
    assert len(connections) == 1


@pytest.mark.anyio
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others forget what was received before a reset")
async def test_why_the_server_has_gone_is_read_though_it_cannot_be_written_to(module: ModuleType) -> None:
    """Here the goodbye and the reset arrive together, before anything is written."""
    goodbye = ErrorResponse({"S": "FATAL", "C": "57P01", "M": "terminating connection due to administrator command"})
    go, gone = threading.Event(), threading.Event()

    def behave(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(WELCOME)
        go.wait(PATIENCE_SECONDS)
        client.sendall(goodbye.encode())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        gone.set()

    async with peer(behave) as port:
        settings = {"host": "127.0.0.1", "port": port, "user": "u", "database": "d", "password": "", "ssl": False}
        async with module.connect(**settings) as connection:
            go.set()
            assert gone.wait(PATIENCE_SECONDS)  # the loop stands still
            with pytest.raises(module.ConnectionDoesNotExistError, match="terminating connection due to administrator"):
                await connection.execute("SELECT 1")


@pytest.mark.anyio
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("direct", [False, True])
async def test_a_server_that_refuses_what_the_client_shows(
    module: ModuleType, certificates: Certificates, version: ssl.TLSVersion, direct: bool
) -> None:
    """With TLS 1.3 that is the first to be read after the handshake. The next host is asked, as after any alert."""
    shown = server_context()
    shown.verify_mode = ssl.CERT_REQUIRED
    shown.load_verify_locations(certificates["ca.crt"])
    shown.maximum_version = version
    shaking = handshake(shown, [])
    connections: list[socket.socket] = []

    def behave(client: socket.socket) -> None:
        connections.append(client)
        with contextlib.suppress(ssl.SSLError):
            shaking(client) if direct else then(answer(b"S"), shaking)(client)

    async with peer(behave) as port:
        for words, text in (
            ("", "the server (demands a client's certificate|has ended TLS)"),
            (f"&sslcert={certificates['stranger.pem']}", r"the server has refused .*\(TLS alert: unknown ca\)"),
        ):
            with pytest.raises(Exception) as caught:
                await connect(
                    module,
                    [port, port],
                    host=["127.0.0.1", "127.0.0.1"],
                    dsn=f"postgresql://?sslmode=require{words}",
                    direct_tls=direct,
                )
            if version is ssl.TLSVersion.TLSv1_3:
                assert isinstance(caught.value, module.ConnectionDoesNotExistError)
                assert isinstance(caught.value.__cause__, BaseExceptionGroup)
            else:
                assert isinstance(caught.value, ssl.SSLError)
            assert re.search(text, "".join([str(caught.value), *getattr(caught.value, "__notes__", [])]))
            assert len(caught.value.attempts) == 2  # type: ignore[union-attr]
    assert len(connections) == 4


# Sessions


class Session:
    """The server's end, over memory."""

    def __init__(self, client: socket.socket, context: ssl.SSLContext) -> None:
        self.client = client
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.retrying(self.tls.do_handshake)
        self.heard()  # StartupMessage
        self.tls.write(WELCOME)
        client.sendall(self.outgoing.read())

    def heard(self) -> bytes:
        return self.retrying(lambda: self.tls.read(4096))

    def retrying(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.client.sendall(self.outgoing.read())
                if not (data := self.client.recv(4096)):
                    raise
                self.incoming.write(data)

    def records(self, data: bytes = b"") -> bytes:
        """This, encrypted."""
        self.tls.write(data)
        return self.outgoing.read()


def goodbye(session: Session) -> None:
    with contextlib.suppress(ssl.SSLWantReadError):
        session.tls.unwrap()
    session.client.sendall(session.outgoing.read())
    until_closed(session.client)  # and its own end stays open


def half_a_record(session: Session) -> None:
    session.client.sendall(session.records(READY)[:-5])


def damaged(session: Session) -> None:
    data = bytearray(session.records(READY))
    data[-1] ^= 1
    session.client.sendall(data)
    until_closed(session.client)


def in_plain_text(session: Session) -> None:
    session.client.sendall(READY)
    until_closed(session.client)


@pytest.mark.anyio
@pytest.mark.parametrize("end", [lambda session: None, goodbye, half_a_record, damaged, in_plain_text])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_that_end_in_any_way(
    module: ModuleType, end: Callable[[Session], None], version: ssl.TLSVersion
) -> None:
    context = server_context()
    context.maximum_version = version

    def behave(client: socket.socket) -> None:
        session = Session(client, context)
        session.heard()  # the query
        end(session)

    async with peer(then(answer(b"S"), behave)) as port:
        settings = {"host": "127.0.0.1", "port": port, "user": "u", "database": "d", "password": "", "ssl": "require"}
        async with module.connect(**settings) as connection:
            with pytest.raises(module.ConnectionDoesNotExistError, match="connection was closed in the middle of"):
                await connection.execute("SELECT 1", timeout=PATIENCE_SECONDS)
            assert connection.is_closed()


@pytest.mark.anyio
async def test_bytes_that_come_one_by_one(module: ModuleType) -> None:
    def behave(client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(client, server_context())
        session.heard()
        for byte in session.records(CommandComplete("SELECT 1").encode() + READY):
            client.sendall(bytes([byte]))
        heard.append(session.heard())

    heard: list[bytes] = []
    async with peer(then(answer(b"S"), behave)) as port:
        settings = {"host": "127.0.0.1", "port": port, "user": "u", "database": "d", "password": "", "ssl": "require"}
        async with module.connect(**settings) as connection:
            assert await connection.execute("SELECT 1") == "SELECT 1"
    assert heard == [Terminate().encode()]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "said", [b"", b"S", b"S\x16\x03\x03\x40\x00"], ids=["no answer", "no handshake", "a part of it"]
)
async def test_a_cancelled_handshake_leaves_nothing(module: ModuleType, said: bytes) -> None:
    heard, closed = threading.Event(), threading.Event()

    def behave(client: socket.socket) -> None:
        answer(said[:1])(client)
        if len(said) > 1:
            client.recv(4096)
            client.sendall(said[1:])
        heard.set()
        until_closed(client)
        closed.set()

    async with peer(behave) as port, anyio.create_task_group() as tasks:

        async def connecting() -> None:
            await connect(module, port, ssl="prefer")

        tasks.start_soon(connecting)
        assert await anyio.to_thread.run_sync(heard.wait, PATIENCE_SECONDS)
        tasks.cancel_scope.cancel()
    assert closed.is_set()  # the peer's thread has ended
