"""keepalives and tcp_user_timeout -> `TcpOptions`, and which options of a socket they are.

Source: manual, "Parameter Key Words" of libpq.
"""

from dataclasses import dataclass
from typing import Final

from pgsansio.policy.parameter_sources import Sources, integer

__all__ = ["SocketOption", "TcpOptions", "resolve_tcp", "socket_options"]


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """How the system finds out that the other end of a TCP connection is gone. 0 is what it does by itself."""

    #: Ask an idle connection's other end whether it is there.
    keepalives: bool = True
    #: Seconds of silence before the first question; between two of them; and how many may stay without an answer.
    keepalives_idle: int = 0
    keepalives_interval: int = 0
    keepalives_count: int = 0
    #: Milliseconds that what was sent may stay without an acknowledgement.
    tcp_user_timeout: int = 0


@dataclass(frozen=True, slots=True)
class SocketOption:
    """One call of setsockopt, by the names of Python's module socket."""

    #: The parameter, for errors.
    parameter: str
    level: str
    #: The first that the system has; none: the parameter has no effect there, as in libpq.
    names: tuple[str, ...]
    value: int


def resolve_tcp(sources: Sources) -> TcpOptions:
    """Decide on a connection's socket.

    Raises:
        ClientConfigurationError: a value is no integer; the text names the parameter and where it came from.
    """
    on = sources.find("keepalives")

    def find(name: str, unit: str = "") -> int:
        given = sources.find(name)
        return 0 if given is None else max(integer(name, given, unit), 0)

    return TcpOptions(
        keepalives=on is None or integer("keepalives", on) != 0,
        keepalives_idle=find("keepalives_idle", "in seconds"),
        keepalives_interval=find("keepalives_interval", "in seconds"),
        keepalives_count=find("keepalives_count"),
        tcp_user_timeout=find("tcp_user_timeout", "in milliseconds"),
    )


_TCP: Final = "IPPROTO_TCP"


def socket_options(options: TcpOptions) -> list[SocketOption]:
    """What has to be set."""
    # Small messages go at once; waiting for acknowledgements would cost more than their number.
    found = [SocketOption("nodelay", _TCP, ("TCP_NODELAY",), 1)]
    if options.keepalives:
        found += [
            SocketOption("keepalives", "SOL_SOCKET", ("SO_KEEPALIVE",), 1),
            # macOS has its own name for the first.
            SocketOption("keepalives_idle", _TCP, ("TCP_KEEPIDLE", "TCP_KEEPALIVE"), options.keepalives_idle),
            SocketOption("keepalives_interval", _TCP, ("TCP_KEEPINTVL",), options.keepalives_interval),
            SocketOption("keepalives_count", _TCP, ("TCP_KEEPCNT",), options.keepalives_count),
        ]
    found.append(SocketOption("tcp_user_timeout", _TCP, ("TCP_USER_TIMEOUT",), options.tcp_user_timeout))
    return [option for option in found if option.value]
