"""TLS as bytes: it stands between a transport and an engine, and is an `Engine` itself.

How this works. What the transport received is written into one memory buffer of a TLS session, which decrypts it
straight into the room of the engine inside; what that engine has to say is encrypted into the other buffer, and that is
what the transport gets. So a transport needs to know nothing of TLS: ciphertext waits, keeps its place and is dropped
like any other bytes. The session and its buffers (ssl.SSLObject, ssl.MemoryBIO) are given by the adapter: this package
opens no files and knows no library.

Two things are done as libpq does them. The end of the stream without a TLS goodbye is the end of the stream: the
protocol inside has lengths and an end of its own, and PostgreSQL does not say goodbye. And after the engine's last
word, goodbye is said, but not waited for.
"""

from contextlib import suppress
from typing import Final, Literal, Protocol

from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import SYNC, Operation
from pgsansio.engine.tls_alerts import alert_text
from pgsansio.enums import Outcome
from pgsansio.types.tls import TlsInfo

__all__ = ["MemoryBuffer", "TlsEngine", "TlsSession"]

#: Ciphertext taken at once; a record has at most 16 KiB.
_ROOM_BYTES: Final = 65536


class TlsSession(Protocol):
    """What is used of ssl.SSLObject."""

    def do_handshake(self) -> None: ...

    def read(self, size: int, buffer: memoryview, /) -> int: ...

    def write(self, data: memoryview, /) -> int: ...

    def pending(self) -> int: ...

    def unwrap(self) -> object: ...

    def version(self) -> str | None: ...

    def cipher(self) -> tuple[str, str, int] | None: ...

    def getpeercert(self, binary_form: Literal[True]) -> bytes | None: ...

    def selected_alpn_protocol(self) -> str | None: ...


class MemoryBuffer(Protocol):
    """What is used of ssl.MemoryBIO."""

    @property
    def pending(self) -> int: ...

    def read(self) -> bytes: ...

    def write(self, data: memoryview, /) -> int: ...


class TlsEngine:
    """An `Engine` that drives another one through TLS.

    Attributes:
        inner: what is driven; it may be exchanged for another one between two feeds.
        handshake: settled when the handshake is over, or with the error that has ended it.
        info: what it has come to; None before that.
    """

    def __init__(
        self,
        inner: Engine,
        session: TlsSession,
        incoming: MemoryBuffer,
        outgoing: MemoryBuffer,
        want_read: type[Exception],
    ) -> None:
        """
        Args:
            session: of the client's side, over these buffers; the handshake has not begun.
            want_read: what the session raises when it needs more bytes. Everything else that it raises is an OSError.
        """
        self.inner = inner
        self.info: TlsInfo | None = None
        self.handshake = Operation(b"", (), SYNC)
        self.handshake.written = True
        self._session = session
        self._incoming = incoming
        self._outgoing = outgoing
        self._want_read = want_read
        self._room = memoryview(bytearray(_ROOM_BYTES))
        self._woken: list[Operation] = []
        #: What the session could not take yet.
        self._unsent = b""
        #: Nothing more is decrypted or encrypted.
        self._over = False
        self._failed = False
        self._shake_hands()

    # received

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        return self._room

    def bytes_received(self, size_bytes: int) -> None:
        if self._over:
            return
        self._incoming.write(self._room[:size_bytes])
        if self.info is None:
            self._shake_hands()
        if self.info is not None:
            self._read()

    def receive_eof(self) -> None:
        if self.info is None:
            self._fail(ConnectionResetError("the server closed the connection during the TLS handshake"))
        elif not self._over:
            self._over = True
            self.inner.receive_eof()

    def connection_lost(self, cause: BaseException | None) -> None:
        if self.info is None:
            error = ConnectionResetError("the connection was lost during the TLS handshake")
            error.__cause__ = cause
            self._fail(error)
        else:
            self._over = True
            self.inner.connection_lost(cause)

    def _shake_hands(self) -> None:
        session = self._session
        try:
            session.do_handshake()
        except self._want_read:
            return
        except OSError as error:
            said = alert_text(error)
            if said is not None:
                error.add_note(said)
            self._fail(error)
            return
        cipher = session.cipher()
        self.info = TlsInfo(
            session.version() or "",
            "" if cipher is None else cipher[0],
            session.getpeercert(True),
            session.selected_alpn_protocol(),
        )
        self._settle(None)

    def _read(self) -> None:
        """Decrypt everything that has arrived, as much at a time as the engine has room for."""
        session, incoming = self._session, self._incoming
        starved = False
        while not starved and (incoming.pending or session.pending()):
            inner = self.inner
            room = inner.get_buffer(-1)
            filled = 0
            size = 1
            failure: OSError | None = None
            try:
                while size and filled < len(room):
                    size = session.read(len(room) - filled, room[filled:])
                    filled += size
                    if not incoming.pending and not session.pending():
                        break
            except self._want_read:
                starved = True
            except OSError as error:
                failure = error
            if filled:
                inner.bytes_received(filled)
            if failure is not None:
                self._fail(failure)
                return
            if not size:  # the other end says goodbye
                self.receive_eof()
                return

    # to be sent

    def data_to_send(self) -> bytes:
        if self.info is not None and not self._over:
            data = self.inner.data_to_send()
            if data or self._unsent:
                self._write(self._unsent + data)
            if self.inner.ended and not self._unsent:
                self._over = True
                with suppress(self._want_read, OSError):
                    self._session.unwrap()
        return self._outgoing.read() if self._outgoing.pending else b""

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._session.write(view) :]  # one record
            self._unsent = b""
        except self._want_read:  # a renegotiation is under way
            self._unsent = bytes(view)
        except OSError as error:
            error.__traceback__ = None  # its frames have what was to be sent: a password, perhaps
            self._fail(error)

    # what it has come to

    def completed(self) -> list[Operation]:
        if self._woken:
            woken, self._woken = self._woken, []
            return woken + self.inner.completed()
        return self.inner.completed()

    @property
    def news(self) -> bool:
        return self._failed or self.inner.news

    @property
    def ended(self) -> bool:
        return self._over or self.inner.ended

    @property
    def cancel_due(self) -> bool:
        return self.inner.cancel_due

    @property
    def busy(self) -> bool:
        return self.inner.busy

    @property
    def reading_paused(self) -> bool:
        return self.inner.reading_paused

    def _settle(self, error: BaseException | None) -> None:
        handshake = self.handshake
        if not handshake.settled:
            handshake.error = error
            handshake.outcome = Outcome.COMPLETED if error is None else Outcome.FAILED
            self._woken.append(handshake)

    def _fail(self, error: BaseException) -> None:
        if not self._failed:
            self._over = self._failed = True
            self._settle(error)
            self.inner.connection_lost(error)
