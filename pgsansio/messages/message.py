"""What all messages have in common."""

from typing import ClassVar, Protocol, Self

from pgsansio.wire.fields import Reader

__all__ = ["Message", "EmptyMessage"]


class Message(Protocol):
    """Any message class. All are frozen dataclasses; secrets are fields without a repr."""

    #: The type byte, or b"" for the messages before and at start-up, which have none.
    TAG: ClassVar[bytes]

    def encode(self) -> bytes:
        """The whole message: type byte, length, body.

        Raises:
            InterfaceError: a field holds what the protocol cannot carry: a zero byte in a string, 65536 parameters.
        """
        ...

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The message with this body (what follows type byte and length).

        Raises:
            ProtocolError: the body is too short, too long or contradicts itself. It is the only error, for any bytes.
        """
        ...


class EmptyMessage:
    """A message that is nothing but its type byte and its length."""

    __slots__ = ()

    TAG: ClassVar[bytes]

    def encode(self) -> bytes:
        return self.TAG + b"\x00\x00\x00\x04"

    @classmethod
    def decode(cls, body: bytes) -> Self:
        Reader(cls.__name__, body).end()
        return cls()
