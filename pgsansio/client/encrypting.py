"""Opening a stream to a server in the way that was decided on: in plain text, or with TLS around it.

Until TLS is there, nothing of the engine that is to be driven is written, and what arrives is the answer to SSLRequest
or an attack.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from pgsansio.client.port import Address, Port
from pgsansio.engine.driven import Engine
from pgsansio.engine.encryption import EncryptionExchange
from pgsansio.engine.states import Encryption
from pgsansio.errors import InterfaceError
from pgsansio.policy.conninfo import Settings, TcpAddress
from pgsansio.policy.encryption_mode import (
    ALPN_PROTOCOL,
    Answer,
    Attempt,
    Decision,
    Stage,
    Way,
    after_answer,
    protocol_is_chosen,
)
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.types.tls import TlsInfo

__all__ = ["PLAIN", "Channel", "Progress", "channel", "encrypt", "first_engine", "open_channel"]

_ANSWERS: Final = {
    Encryption.TLS: Answer.ACCEPTED,
    Encryption.REFUSED: Answer.REFUSED,
    Encryption.ERROR: Answer.ERROR,
}


_PLAIN_WAY: Final = Way.PLAIN
_PLAIN: Final = Attempt(_PLAIN_WAY)


class Channel(NamedTuple):
    """How a stream is opened, so that another one can be opened in the same way."""

    attempt: Attempt
    #: Of a socket of TCP.
    tcp: TcpOptions = TcpOptions()
    #: For `Port.start_tls`; None where there is no TLS.
    context: object | None = None
    server_hostname: str | None = None
    #: Who has to be at the other end of a Unix socket; "": anybody.
    required_peer: str = ""

    def again(self, info: TlsInfo | None) -> "Channel":
        """For another stream to the same server (a CancelRequest's): no less encrypted than this one became."""
        if self.attempt.way is _PLAIN_WAY:
            return self
        if info is None:
            return Channel(_PLAIN, self.tcp, required_peer=self.required_peer)
        return Channel(Attempt(self.attempt.way), self.tcp, self.context, self.server_hostname)


PLAIN: Final = Channel(_PLAIN)


@dataclass(slots=True)
class Progress:
    """How far an attempt has come."""

    stage: Stage = Stage.OPENING
    encrypted: bool = False
    #: The server has understood the StartupMessage.
    heard: bool = False


async def channel(port: Port, attempt: Attempt, asked: Address, settings: Settings) -> Channel:
    """What this attempt needs.

    Args:
        asked: as the user gave it; its name is what the server's certificate has to be for.
    Raises:
        ClientConfigurationError: a file cannot be used.
    """
    if not isinstance(asked, TcpAddress):
        return Channel(attempt, settings.tcp, required_peer=settings.authentication.required_peer)
    if attempt.way is _PLAIN_WAY:
        return Channel(attempt, settings.tcp)
    tls = settings.tls
    context = await port.tls_context(tls) if tls.context is None else tls.context
    # A zone, as in fe80::1%eth0, is this machine's alone: no certificate has it.
    name = asked.host.partition("%")[0] if tls.send_server_name else None
    return Channel(attempt, settings.tcp, context, name)


def first_engine(engine: Engine, way: Channel) -> Engine:
    """What a stream is opened for, to drive `engine` in the end: until `encrypt` has been called."""
    attempt = way.attempt
    if attempt.way is _PLAIN_WAY and not way.required_peer:
        return engine
    # The exchange that asks for nothing says nothing either: the engine's first word may be a secret.
    return EncryptionExchange(direct=attempt.way is not Way.TLS)


async def encrypt(
    port: Port, address: Address, first: Engine, engine: Engine, way: Channel, progress: Progress
) -> TlsInfo | None:
    """Encrypt the stream that was opened, and drive `engine` from now on.

    Returns:
        What TLS has come to; None: there is none.
    Raises:
        OSError: no TLS, or no certificate to trust. ProtocolError: bytes that have no business there. InterfaceError:
            it is not who is required. The caller aborts the port.
    """
    if not isinstance(first, EncryptionExchange):
        return None
    exchange, attempt = first, way.attempt
    if attempt.way is _PLAIN_WAY:
        _check_peer(way.required_peer, port.peer_user())
        exchange.check()
        port.drive(engine)
        return None
    try:
        await port.wait(exchange.operation)
        exchange.check()
        decision = after_answer(attempt, _ANSWERS[exchange.state])
        if decision is Decision.GO_ON_PLAIN:
            port.drive(engine)
            return None
        if decision is not Decision.HANDSHAKE:
            raise ConnectionError(f"PostgreSQL server at {_shown(address)} {_REFUSALS[decision]}")
        progress.stage = Stage.HANDSHAKE
        info = await port.start_tls(way.context, way.server_hostname)
        exchange.check()
    except OSError as error:
        # An ErrorResponse begins with a letter where a record of TLS has its kind and version.
        was_in_words = getattr(error, "reason", None) == "WRONG_VERSION_NUMBER"
        if attempt.way is not Way.DIRECT_TLS or not (was_in_words or isinstance(error, ConnectionError)):
            raise
        raise ConnectionResetError(
            f"PostgreSQL server at {_shown(address)} "
            + ("answered in plain text" if was_in_words else "closed the connection")
            + " during the handshake of direct TLS, which servers before PostgreSQL 17 and PgBouncer 1.25 do not know"
        ) from error
    if not protocol_is_chosen(attempt, info.alpn):
        raise ConnectionError(
            f"PostgreSQL server at {_shown(address)} did not choose the protocol {ALPN_PROTOCOL!r} (ALPN), "
            "so it may be a server of something else"
            + ("" if info.alpn else f"; a context of one's own needs set_alpn_protocols([{ALPN_PROTOCOL!r}])")
        )
    progress.encrypted = True
    port.drive(engine)
    return info


async def open_channel(port: Port, address: Address, engine: Engine, way: Channel) -> None:
    """Connect, encrypt, and drive `engine` from now on. Raises as the two do; the caller aborts the port."""
    first = first_engine(engine, way)
    port.set_tcp_options(way.tcp)
    await port.open_stream(address, first)
    await encrypt(port, address, first, engine, way, Progress())


def _check_peer(required: str, found: str | None) -> None:
    if found != required:
        raise InterfaceError(
            f"requirepeer={required} is not met: "
            + ("the system does not tell who the server is" if found is None else f"the server is {found}")
        )


_REFUSALS: Final = {
    Decision.REFUSED: "rejected SSL upgrade",
    Decision.UNTRUSTED_ERROR: "sent an error response during SSL exchange; check the server logs for details",
}


def _shown(address: Address) -> str:
    return f'"{address.host}:{address.port}"' if isinstance(address, TcpAddress) else repr(address.path)
