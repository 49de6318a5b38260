"""The field types of messages, as bounds-checked readers and writers (manual, "Message Data Types").

A reader takes the body of one message apart, a writer puts one message together; both name the message and the field
in their errors. Integers are in network byte order. Counts of parameters, columns and format codes are unsigned
although the manual writes Int16: a server accepts 65535 parameters.

Strings are UTF-8, since a session's client_encoding is pinned to it. A server whose database has the encoding
SQL_ASCII sends what it stored, which may be anything; such bytes become lone surrogates (Python's "surrogateescape")
and become the same bytes again when they are written, so that no name or payload of such a database is out of reach.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from pgsansio.enums import Format
from pgsansio.errors import InterfaceError, ProtocolError

__all__ = ["MAX_BODY_BYTES", "Reader", "Writer"]

#: No message is longer: PostgreSQL's MaxAllocSize (1 GiB - 1), less the terminating zero of its buffer and the length
#: word.
MAX_BODY_BYTES: Final = 0x3FFFFFFF - 1 - 4

_MAX_COUNT: Final = 0xFFFF

_INT8: Final = struct.Struct("!B")
_INT16: Final = struct.Struct("!h")
_UINT16: Final = struct.Struct("!H")
_INT32: Final = struct.Struct("!i")
_UINT32: Final = struct.Struct("!I")
_INT64: Final = struct.Struct("!q")

_FORMATS: Final = {int(format): format for format in Format}


class Reader:
    """The fields of one message body, in order.

    Args:
        message: the message's name, for errors.
        body: the message without type byte and length.

    Every method takes the name of the field it reads, moves behind that field and raises ProtocolError when the body
    ends before the field does. `end` comes last.
    """

    __slots__ = ("_body", "_message", "_position")

    def __init__(self, message: str, body: bytes) -> None:
        self._message = message
        self._body = body
        self._position = 0

    def error(self, text: str) -> ProtocolError:
        """The error for a body that contradicts itself; to be raised by the caller."""
        return ProtocolError(f"{self._message}: {text}")

    def _take(self, size: int, field: str) -> int:
        """The position of the next `size` bytes, and step over them."""
        position = self._position
        left = len(self._body) - position
        if size > left:
            raise self.error(f"{field} needs {size} bytes, {left} are left")
        self._position = position + size
        return position

    def int8(self, field: str) -> int:
        """An unsigned byte: the manual's Int8 is only used for format codes."""
        return self._body[self._take(1, field)]

    def int16(self, field: str) -> int:
        value: int = _INT16.unpack_from(self._body, self._take(2, field))[0]
        return value

    def uint16(self, field: str) -> int:
        value: int = _UINT16.unpack_from(self._body, self._take(2, field))[0]
        return value

    def int32(self, field: str) -> int:
        value: int = _INT32.unpack_from(self._body, self._take(4, field))[0]
        return value

    def uint32(self, field: str) -> int:
        """An oid, or a request code of the start-up."""
        value: int = _UINT32.unpack_from(self._body, self._take(4, field))[0]
        return value

    def int64(self, field: str) -> int:
        value: int = _INT64.unpack_from(self._body, self._take(8, field))[0]
        return value

    def raw(self, size: int, field: str) -> bytes:
        """Byte(n): exactly `size` bytes."""
        position = self._take(size, field)
        return self._body[position : position + size]

    def string(self, field: str, errors: str = "surrogateescape") -> str:
        """String: up to the next zero byte, which is stepped over. `errors` as for `bytes.decode`, never "strict"."""
        end = self._body.find(0, self._position)
        if end < 0:
            raise self.error(f"{field} has no terminating zero byte")
        value = self._body[self._position : end].decode("utf-8", errors)
        self._position = end + 1
        return value

    def value(self, field: str) -> bytes | None:
        """An Int32 length and that many bytes; None for the length -1, which is NULL."""
        size = self.int32(field)
        if size < 0:
            if size == -1:
                return None
            raise self.error(f"{field} has the length {size}")
        return self.raw(size, field)

    def uint32s(self, count: int, field: str) -> tuple[int, ...]:
        """`count` oids."""
        return struct.unpack_from(f"!{count}I", self._body, self._take(4 * count, field))

    def format(self, field: str) -> Format:
        """An Int16 format code, 0 or 1."""
        return self._known_format(self.int16(field), field)

    def formats(self, field: str) -> tuple[Format, ...]:
        """A count and that many format codes."""
        count = self.uint16(f"count of {field}s")
        codes: tuple[int, ...] = struct.unpack_from(f"!{count}h", self._body, self._take(2 * count, field))
        return tuple([self._known_format(code, field) for code in codes])

    def _known_format(self, code: int, field: str) -> Format:
        try:
            return _FORMATS[code]
        except KeyError:
            raise self.error(f"{field} is {code}, neither 0 (text) nor 1 (binary)") from None

    def rest(self) -> bytes:
        """All that is left, for fields that run to the end of the message."""
        position = self._position
        self._position = len(self._body)
        return self._body[position:]

    def at_end(self) -> bool:
        return self._position == len(self._body)

    def end(self) -> None:
        """Raise ProtocolError if something is left."""
        surplus = len(self._body) - self._position
        if surplus:
            raise self.error(f"{surplus} surplus bytes after the last field")


class Writer:
    """One message under construction.

    Args:
        message: the message's name, for errors.
        tag: its type byte; b"" for the messages before and at start-up, which have none.

    Every method appends one field; `field` is its name for errors. For what the field cannot hold it raises
    InterfaceError; the writer is of no use then.
    """

    __slots__ = ("_buffer", "_header", "_message")

    def __init__(self, message: str, tag: bytes) -> None:
        self._message = message
        self._header = len(tag)
        self._buffer = bytearray(tag + b"\x00\x00\x00\x00")

    def error(self, text: str) -> InterfaceError:
        """The error for a message that cannot be written; to be raised by the caller."""
        return InterfaceError(f"{self._message}: {text}")

    def _integer(self, kind: struct.Struct, value: int, field: str) -> None:
        try:
            self._buffer += kind.pack(value)
        except struct.error:
            raise self.error(f"{field} {value!r} does not fit into {kind.size} bytes") from None

    def int8(self, value: int, field: str) -> None:
        self._integer(_INT8, value, field)

    def int16(self, value: int, field: str) -> None:
        self._integer(_INT16, value, field)

    def uint16(self, value: int, field: str) -> None:
        self._integer(_UINT16, value, field)

    def int32(self, value: int, field: str) -> None:
        self._integer(_INT32, value, field)

    def uint32(self, value: int, field: str) -> None:
        self._integer(_UINT32, value, field)

    def int64(self, value: int, field: str) -> None:
        self._integer(_INT64, value, field)

    def count(self, things: Sequence[object], field: str) -> None:
        """The number of `things` as an unsigned Int16. One more than 65535 would wrap to 0, so it is refused."""
        if len(things) > _MAX_COUNT:
            raise self.error(f"{len(things)} {field}s, at most {_MAX_COUNT} are possible")
        self._buffer += _UINT16.pack(len(things))

    def raw(self, value: bytes) -> None:
        """Byte(n), without a length."""
        self._buffer += value

    def string(self, value: str, field: str) -> None:
        """String, with its zero byte.

        A zero byte within would end it early, and what follows would be read as the next field: as another start-up
        parameter, for example. The error does not show the value, which may be a password.
        """
        try:
            encoded = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise self.error(f"{field} cannot be encoded as UTF-8 ({error.reason})") from None
        if 0 in encoded:
            raise self.error(f"{field} contains a zero byte")
        self._buffer += encoded
        self._buffer.append(0)

    def value(self, value: bytes | None) -> None:
        """An Int32 length and the bytes; the length -1 for None."""
        if value is None:
            self._buffer += b"\xff\xff\xff\xff"
            return
        if len(value) > MAX_BODY_BYTES:
            raise self.error(f"a value of {len(value)} bytes, at most {MAX_BODY_BYTES} are possible")
        self._buffer += _INT32.pack(len(value))
        self._buffer += value

    def uint32s(self, values: Iterable[int], field: str) -> None:
        """Oids, without a count."""
        for value in values:
            self._integer(_UINT32, value, field)

    def formats(self, values: Sequence[Format], field: str) -> None:
        """A count and that many format codes."""
        self.count(values, field)
        self._buffer += struct.pack(f"!{len(values)}h", *values)

    def frame(self, max_body_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The whole message: type byte, length (which counts itself), body.

        Raises InterfaceError if the body is longer than the receiver would accept: it would drop the connection.
        """
        size = len(self._buffer) - self._header - 4
        if size > max_body_bytes:
            raise self.error(f"{size} bytes, at most {max_body_bytes} are possible")
        _INT32.pack_into(self._buffer, self._header, size + 4)
        return bytes(self._buffer)
