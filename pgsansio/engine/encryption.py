"""Phase 1: the request for encryption and the single byte that answers it ("SSL Session Encryption").

What follows the byte decides between a handshake, plain text and nothing at all. Bytes that arrive together with an `S`
or a `G` were put there by somebody in between (CVE-2021-23222), and an error in this phase is nobody's word
(CVE-2024-10977): its text is not even read.
"""

from pgsansio.engine.states import ENCRYPTION, Encryption
from pgsansio.errors import ProtocolError
from pgsansio.messages.startup import GSSENCRequest, SSLRequest

__all__ = ["EncryptionRequest"]


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
