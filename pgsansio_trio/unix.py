"""Who is at the other end of a Unix socket."""

import socket
import struct
import sys
from typing import Final, Protocol

__all__ = ["peer_user"]

#: struct ucred: process, user, group.
_CREDENTIALS: Final = struct.Struct("3i")


class _Socket(Protocol):
    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


def peer_user(raw: _Socket) -> str | None:
    """The name of the user whose process it is; None: the system does not tell (only Linux does here), or it has none.

    Source: unix(7), SO_PEERCRED.
    """
    if sys.platform != "linux":
        return None
    import pwd  # not everywhere

    try:
        _, user, _ = _CREDENTIALS.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return pwd.getpwuid(user).pw_name
    except (OSError, KeyError):
        return None
