"""Peer: the other end of a connection, as what carries the bytes sees it."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

__all__ = ["Deaf", "Peer", "Unasked"]


class Peer(Protocol):
    """A server's end of one connection, without any I/O."""

    @property
    def hung_up(self) -> bool:
        """It has closed, or closes when what it has to say is sent."""
        ...

    def receive_data(self, data: bytes) -> None:
        """The client has sent this."""
        ...

    def receive_eof(self) -> None:
        """The client has closed, or is lost."""
        ...

    def data_to_send(self) -> bytes:
        """What it says next; asked again until it is b"", so it can be given in parts."""
        ...


@runtime_checkable
class Unasked(Peer, Protocol):
    """A peer that may have something to say though the client has sent nothing."""

    #: Called then, by its own methods; set by who carries the bytes, if it would not ask by itself.
    on_news: Callable[[], None] | None


class Deaf:
    """What takes a connection, hears nothing, says nothing, and never closes."""

    hung_up = False

    def receive_data(self, data: bytes) -> None:
        """It goes nowhere."""

    def receive_eof(self) -> None:
        """It is not heard either."""

    def data_to_send(self) -> bytes:
        return b""
