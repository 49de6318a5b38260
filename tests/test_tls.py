"""TLS as bytes: two sessions over memory, cut into any pieces, broken at any place."""

import dataclasses
import itertools
import ssl
from collections.abc import Iterator

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.engine.operations import SYNC, Operation
from pgsansio.enums import Outcome
from pgsansio.errors import ClientConfigurationError
from pgsansio.tls import TlsEngine
from pgsansio_asyncio.tls import tls_engine

AUTHORITY = trustme.CA()
HOST = "db.example"
CERTIFICATE = AUTHORITY.issue_cert(HOST)


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    context.set_alpn_protocols(["postgresql"])
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    context.set_alpn_protocols(["postgresql"])
    return context


class Inner:
    """An engine that keeps what it is given, and says what it is told to."""

    cancel_due = False
    busy = False

    def __init__(self, room: int = 4096) -> None:
        self.received = b""
        self.to_send = b""
        self.eof = False
        self.lost: list[BaseException | None] = []
        self.ended = False
        self.news = False
        self.reading_paused = False
        self.done: list[Operation] = []
        self._room = memoryview(bytearray(room))

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        return self._room

    def bytes_received(self, size_bytes: int) -> None:
        self.received += bytes(self._room[:size_bytes])

    def receive_eof(self) -> None:
        self.eof = self.ended = self.news = True

    def connection_lost(self, cause: BaseException | None) -> None:
        self.lost.append(cause)
        self.ended = self.news = True

    def data_to_send(self) -> bytes:
        data, self.to_send = self.to_send, b""
        return data

    def completed(self) -> list[Operation]:
        done, self.done = self.done, []
        return done


class Server:
    """The other end."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = (context or server_context()).wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.received = b""
        self.shaken = False
        self.goodbye = False

    def feed(self, data: bytes) -> None:
        self.incoming.write(data)
        try:
            if not self.shaken:
                self.session.do_handshake()
                self.shaken = True
            while True:
                piece = self.session.read(65536)
                if not piece:
                    self.goodbye = True
                    return
                self.received += piece
        except ssl.SSLWantReadError:
            pass

    def say(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.session.write(view) :]


def feed(engine: TlsEngine, data: bytes) -> None:
    while data:
        room = engine.get_buffer()
        size = min(len(room), len(data))
        room[:size] = data[:size]
        data = data[size:]
        engine.bytes_received(size)


def pieces(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while data:
        size = next(sizes)
        yield data[:size]
        data = data[size:]


def all_at_once() -> Iterator[int]:
    while True:
        yield 1 << 30


def carry(engine: TlsEngine, server: Server, sizes: Iterator[int] | None = None) -> None:
    """Until nobody has anything to say."""
    sizes = sizes or all_at_once()
    while True:
        to_server, to_client = engine.data_to_send(), server.outgoing.read()
        if not to_server and not to_client:
            return
        for piece in pieces(to_server, sizes):
            server.feed(piece)
        for piece in pieces(to_client, sizes):
            feed(engine, piece)


def start(inner: Inner, context: ssl.SSLContext | None = None, name: str | None = HOST) -> TlsEngine:
    return tls_engine(inner, context or client_context(), name)


def pair(room: int = 4096) -> tuple[TlsEngine, Inner, Server]:
    inner, server = Inner(room), Server()
    engine = start(inner)
    carry(engine, server)
    assert engine.completed() == [engine.handshake]
    return engine, inner, server


def test_a_handshake() -> None:
    inner, server = Inner(), Server()
    inner.to_send = b"secret"
    engine = start(inner)
    assert not engine.handshake.settled
    assert engine.info is None
    hello = engine.data_to_send()
    assert hello
    assert inner.to_send == b"secret"  # nothing of it before the handshake is over
    server.feed(hello)
    carry(engine, server)
    assert engine.handshake.outcome is Outcome.COMPLETED
    assert engine.info is not None
    assert engine.info.version == "TLSv1.3"
    assert engine.info.cipher.startswith("TLS_")
    assert engine.info.alpn == "postgresql"
    assert engine.info.peer_certificate == ssl.PEM_cert_to_DER_cert(CERTIFICATE.cert_chain_pems[0].bytes().decode())
    assert "peer_certificate" not in repr(engine.info)
    assert server.received == b"secret"


@given(
    st.lists(st.integers(1, 20_000), min_size=1, max_size=10),
    st.integers(1, 5000),
    st.binary(max_size=3000),
    st.integers(0, 20),
    st.binary(max_size=3000),
    st.integers(0, 20),
)
def test_any_pieces(sizes: list[int], room: int, up: bytes, up_times: int, down: bytes, down_times: int) -> None:
    inner, server = Inner(room), Server()
    engine = start(inner)
    piece_sizes = itertools.cycle(sizes)
    carry(engine, server, piece_sizes)
    inner.to_send = up * up_times
    server.say(down * down_times)
    carry(engine, server, piece_sizes)
    assert (server.received, inner.received) == (up * up_times, down * down_times)


def test_much_at_once_both_ways() -> None:
    engine, inner, server = pair(room=100_000)
    up, down = bytes(range(256)) * 4000, bytes(range(255, -1, -1)) * 4000
    inner.to_send = up
    server.say(down)
    carry(engine, server)
    assert server.received == up
    assert inner.received == down


def test_another_engine_inside() -> None:
    engine, inner, server = pair()
    server.say(b"for the first")
    carry(engine, server)
    other = Inner()
    other.to_send = b"of the other"
    engine.inner = other
    server.say(b"for the other")
    carry(engine, server)
    assert (inner.received, other.received, server.received) == (b"for the first", b"for the other", b"of the other")


def test_what_the_engine_inside_says_of_itself() -> None:
    engine, inner, _ = pair()
    operation = Operation(b"", (), SYNC)
    inner.done = [operation]
    assert engine.completed() == [operation]
    for name in ("news", "ended", "cancel_due", "busy", "reading_paused"):
        assert getattr(engine, name) is False
        setattr(inner, name, True)
        assert getattr(engine, name) is True


def test_goodbye_is_said_after_the_last_word_and_once() -> None:
    engine, inner, server = pair()
    inner.to_send, inner.ended = b"Terminate", True
    carry(engine, server)
    assert server.received == b"Terminate"
    assert server.goodbye
    assert engine.data_to_send() == b""


@pytest.mark.parametrize("politely", [True, False])
def test_the_end_of_the_stream(politely: bool) -> None:
    engine, inner, server = pair()
    server.say(b"last words")
    if politely:
        with pytest.raises(ssl.SSLWantReadError):
            server.session.unwrap()
    feed(engine, server.outgoing.read())
    assert inner.eof is politely
    engine.receive_eof()
    assert inner.received == b"last words"
    assert inner.eof
    assert inner.lost == []
    assert engine.ended
    feed(engine, b"anything")  # nobody listens any more
    assert inner.received == b"last words"


def test_a_connection_that_is_lost() -> None:
    engine, inner, _ = pair()
    cause = ConnectionResetError(104, "reset by peer")
    engine.connection_lost(cause)
    assert inner.lost == [cause]
    assert engine.ended


def failed_handshake(engine: TlsEngine, inner: Inner) -> BaseException:
    assert engine.handshake.outcome is Outcome.FAILED
    assert engine.info is None
    assert engine.news
    assert engine.ended
    error = engine.handshake.error
    assert error is not None
    assert inner.lost == [error]
    assert engine.completed() == [engine.handshake]
    return error


@pytest.mark.parametrize(
    "data", [b"E\0\0\0\x10SFATAL\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\0\2\2\x28", b"\0" * 20]
)
def test_garbage_instead_of_a_handshake(data: bytes) -> None:
    inner = Inner()
    engine = start(inner)
    engine.data_to_send()
    feed(engine, data)
    assert isinstance(failed_handshake(engine, inner), ssl.SSLError)


@given(st.binary(min_size=1, max_size=200))
def test_any_garbage_ends_in_an_error_or_waits(data: bytes) -> None:
    inner = Inner()
    engine = start(inner)
    engine.data_to_send()
    feed(engine, data)
    engine.receive_eof()
    assert isinstance(failed_handshake(engine, inner), OSError)


def test_the_end_during_the_handshake() -> None:
    inner, server = Inner(), Server()
    engine = start(inner)
    server.feed(engine.data_to_send())
    feed(engine, server.outgoing.read()[:100])
    engine.receive_eof()
    error = failed_handshake(engine, inner)
    assert isinstance(error, ConnectionResetError)
    assert "during the TLS handshake" in str(error)
    engine.connection_lost(None)
    assert len(inner.lost) == 1


def test_a_loss_during_the_handshake() -> None:
    inner = Inner()
    engine = start(inner)
    cause = OSError("cable")
    engine.connection_lost(cause)
    error = failed_handshake(engine, inner)
    assert isinstance(error, ConnectionResetError)
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    ("name", "authority", "reason"),
    [("other.example", AUTHORITY, "Hostname mismatch"), (HOST, trustme.CA(), "unable to get local issuer")],
)
def test_a_certificate_that_is_not_to_be_trusted(name: str, authority: trustme.CA, reason: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    inner, server = Inner(), Server()
    engine = start(inner, context, name)
    server.feed(engine.data_to_send())
    feed(engine, server.outgoing.read())
    error = failed_handshake(engine, inner)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert reason in str(error)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):  # the server is told
        server.feed(engine.data_to_send())


def test_a_client_certificate_that_is_refused_after_the_handshake() -> None:
    """With TLS 1.3 the client's end is over before the server has looked at the certificate."""
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    inner, server = Inner(), Server(context)
    engine = start(inner)
    server.feed(engine.data_to_send())
    feed(engine, server.outgoing.read())
    assert engine.handshake.outcome is Outcome.COMPLETED
    with pytest.raises(ssl.SSLError):
        server.feed(engine.data_to_send())
    feed(engine, server.outgoing.read())
    (error,) = inner.lost
    assert isinstance(error, ssl.SSLError)
    assert "certificate required" in str(error).replace("_", " ").lower()
    assert engine.news
    assert engine.ended


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_record_is_never_delivered(place: int, change: int) -> None:
    engine, inner, server = pair()
    server.say(b"x" * 300)
    data = bytearray(server.outgoing.read())
    data[-1 - place] ^= change
    feed(engine, bytes(data))
    engine.receive_eof()
    assert inner.received == b""
    assert inner.ended


@pytest.mark.parametrize(
    ("context", "name", "message"),
    [
        ("context", HOST, "ssl is expected to be an ssl.SSLContext, got str"),
        (client_context(), "", "the context checks the host's name, and there is none"),
        (client_context(), ".example", "no TLS connection to the host '.example' can be made"),
        (client_context(), "x" * 70 + "\xe4", "no TLS connection to the host 'x"),
        # What sslsni=0 leads to with a context that checks names.
        (client_context(), None, "the context checks the host's name, and there is none"),
        (server_context(), HOST, "no TLS connection"),
    ],
)
def test_a_handshake_that_cannot_begin(context: object, name: str | None, message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        tls_engine(Inner(), context, name)


class RenegotiatingSession:
    """An SSLObject that cannot take more than a byte before it has read something."""

    def __init__(self) -> None:
        self.written = b""
        self.may_write = 1

    def do_handshake(self) -> None: ...

    def read(self, size: int, buffer: memoryview, /) -> int:
        self.may_write += 2
        raise ssl.SSLWantReadError

    def write(self, data: memoryview, /) -> int:
        if not self.may_write:
            raise ssl.SSLWantReadError
        self.may_write -= 1
        self.written += bytes(data[:1])
        return 1

    def pending(self) -> int:
        return 0

    def unwrap(self) -> object:
        raise ssl.SSLWantReadError

    def version(self) -> str:
        return "TLSv1.2"

    def cipher(self) -> None:
        return None

    def getpeercert(self, binary_form: bool) -> None:
        return None

    def selected_alpn_protocol(self) -> None:
        return None


def test_what_the_session_cannot_take_yet_keeps_its_place() -> None:
    inner, session = Inner(), RenegotiatingSession()
    engine = TlsEngine(inner, session, ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.SSLWantReadError)
    assert engine.info is not None
    assert dataclasses.astuple(engine.info) == ("TLSv1.2", "", None, None)
    inner.to_send, inner.ended = b"abc", True
    engine.data_to_send()
    inner.to_send = b"de"
    engine.data_to_send()
    assert session.written == b"a"
    feed(engine, b"x")
    engine.data_to_send()
    assert session.written == b"abc"
    feed(engine, b"x")
    engine.data_to_send()
    assert session.written == b"abcde"
