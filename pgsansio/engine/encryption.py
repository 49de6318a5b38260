"""Phase 1: the request for encryption and the single byte that answers it ("SSL Session Encryption").

What follows the byte decides between a handshake, plain text and nothing at all. Bytes that arrive together with an `S`
or a `G` were put there by somebody in between (CVE-2021-23222), and an error in this phase is nobody's word
(CVE-2024-10977): its text is not even read.
"""

from pgsansio.engine.operations import SYNC, Operation
from pgsansio.engine.states import ENCRYPTION, Encryption
from pgsansio.engine.tls_alerts import alert_text
from pgsansio.enums import Outcome
from pgsansio.errors import ProtocolError
from pgsansio.messages.startup import GSSENCRequest, SSLRequest

__all__ = ["EncryptionExchange", "EncryptionRequest"]

_ROOM_BYTES = 64


class EncryptionRequest:
    """Asks for TLS (or GSS encryption), and reads the answer.

    Attributes:
        state: ASKING_*, until the answer came.
    """

    def __init__(self, *, gss: bool = False) -> None:
        self.state = Encryption.ASKING_GSS if gss else Encryption.ASKING_TLS

    def data_to_send(self) -> bytes:
        return (GSSENCRequest() if self.state is Encryption.ASKING_GSS else SSLRequest()).encode()

    def receive(self, data: bytes) -> Encryption:
        """The state after these bytes, all that have arrived.

        Raises:
            ProtocolError: no answer that the protocol has, or bytes after the answer.
        """
        if not data:
            return self.state
        following = ENCRYPTION[self.state].get(data[:1])
        if following is None:
            raise ProtocolError(f"the answer to a request for encryption was the byte 0x{data[0]:02x}")
        self.state = following
        if following in (Encryption.TLS, Encryption.GSS, Encryption.REFUSED) and len(data) > 1:
            raise ProtocolError(
                "received unencrypted data after the answer to a request for encryption",
            )
        return following


class EncryptionExchange:
    """Phase 1 as an `Engine`, for the time before another one is driven over the same stream.

    Attributes:
        operation: settled when the answer is there, or with the error that prevents it.
        state: what the answer leads to, as of `EncryptionRequest`.
    """

    news = False
    cancel_due = False
    busy = False
    reading_paused = False

    def __init__(self, *, direct: bool = False) -> None:
        """
        Args:
            direct: nothing is asked: a handshake comes at once, and nothing may arrive before it.
        """
        self.operation = Operation(b"", (), SYNC)
        self.operation.written = True
        self._request = EncryptionRequest()
        self._outbox = b"" if direct else self._request.data_to_send()
        self._received = b""
        self._room = memoryview(bytearray(_ROOM_BYTES))
        self._woken: list[Operation] = []
        if direct:
            self._request.state = Encryption.TLS
            self.operation.outcome = Outcome.COMPLETED

    @property
    def state(self) -> Encryption:
        return self._request.state

    def check(self) -> None:
        """What has arrived up to now must be the answer alone; ask before anything else is driven over the stream.

        Raises:
            ProtocolError, ConnectionError: the stream cannot be used for anything.
        """
        if self.operation.error is not None:
            raise self.operation.error

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        return self._room

    def bytes_received(self, size_bytes: int) -> None:
        if self.operation.error is not None or self.state is Encryption.ERROR:
            return
        self._received += bytes(self._room[:size_bytes])
        try:
            if self.operation.settled:
                raise ProtocolError("received data before the encryption that was agreed on has begun")
            self._request.receive(self._received)
        except ProtocolError as error:
            error.connection_usable = False
            self._settle(error)
        else:
            self._settle(None)

    def receive_eof(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, cause: BaseException | None) -> None:
        if self.operation.error is None:
            # The handshake may be over, and this be what the server thinks of the client's certificate.
            text, said = "the server closed the connection while encryption was being agreed on", alert_text(cause)
            error = ConnectionResetError(text if said is None else f"{text}: {said}")
            error.__cause__ = cause
            self._settle(error)

    def data_to_send(self) -> bytes:
        data, self._outbox = self._outbox, b""
        return data

    def completed(self) -> list[Operation]:
        woken, self._woken = self._woken, []
        return woken

    @property
    def ended(self) -> bool:
        return self.operation.error is not None

    def _settle(self, error: BaseException | None) -> None:
        operation = self.operation
        if not operation.settled:
            self._woken.append(operation)
        operation.error = error
        operation.outcome = Outcome.COMPLETED if error is None else Outcome.FAILED
