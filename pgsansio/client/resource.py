"""What is made on a connection, and of use for as long as whoever made it has the connection."""

from typing import TYPE_CHECKING

from pgsansio.errors import InterfaceError
from pgsansio.kernel import ResourceState

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["Resource"]


class Resource(ResourceState):
    """Something that a pool's connection takes along when it is released.

    `_releases` is how often the connection had been given back when this was made.
    """

    __slots__ = ()

    _connection: "Connection"

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._releases = connection._releases

    def _check(self, method: str) -> None:
        """Raises InterfaceError: the connection was released or closed."""
        if self._connection._releases != self._releases:
            reason = "has been released back to the pool"
        elif self._connection.is_closed():
            reason = "is closed"
        else:
            return
        raise InterfaceError(f"cannot call {type(self).__name__}.{method}(): the underlying connection {reason}")
