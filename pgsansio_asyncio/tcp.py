"""Options of a connection's socket from `TcpOptions`."""

import socket
from typing import Protocol

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.tcp_options import TcpOptions, socket_options

__all__ = ["set_tcp_options"]


class _Socket(Protocol):
    def setsockopt(self, level: int, optname: int, value: int, /) -> None: ...


def set_tcp_options(raw: _Socket, options: TcpOptions) -> None:
    """Set what this system has; as in libpq, what it has not has no effect.

    Raises:
        ClientConfigurationError: the system refuses a value.
    """
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
