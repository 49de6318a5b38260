"""Sockets of TCP: their options from `TcpOptions`, and names of addresses."""

import socket
from typing import Any, Final

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.tcp_options import TcpOptions, socket_options

__all__ = ["numeric_host", "tcp_socket", "tcp_target"]

#: Where it stands in the address of a socket of IPv6.
_SCOPE: Final = 3


def tcp_socket(host: str, options: TcpOptions) -> socket.socket:
    """A new socket, not blocking, for a connection to this address: with the options that this system has.

    As in libpq, what the system has not has no effect, and all are set before the socket connects.

    Raises:
        OSError: there are no such sockets. ClientConfigurationError: the system refuses a value.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    raw = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        raw.setblocking(False)
        for option in socket_options(options):
            name = next((name for name in option.names if hasattr(socket, name)), None)
            if name is None:
                continue
            try:
                raw.setsockopt(getattr(socket, option.level), getattr(socket, name), option.value)
            except OSError as error:
                raise ClientConfigurationError(
                    f"{option.parameter} {option.value} is not possible on this system: {error.strerror}"
                ) from error
    except BaseException:
        raw.close()
        raise
    return raw


def tcp_target(host: str, port: int) -> tuple[Any, ...]:
    """What such a socket connects to. Looks nothing up.

    Raises:
        OSError: there is no such zone.
    """
    if "%" not in host:
        return host, port
    # Of a host and a port alone the zone would be forgotten.
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]


def numeric_host(address: tuple[Any, ...]) -> str:
    """The host of an address of `getaddrinfo`, with its zone where it has one (fe80::1%2)."""
    host = str(address[0])
    scope = address[_SCOPE] if len(address) > _SCOPE else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
