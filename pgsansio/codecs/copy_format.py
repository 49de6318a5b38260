"""The formats of COPY data around its values (manual, "COPY", File Formats).

Binary: a header, tuples as the kernel encodes and decodes them, a trailer. Text: a line for each row, made here of the
tuples that the kernel encodes with text codecs, so that values are checked and refused in one place.
"""

import re
import struct
from collections.abc import Callable
from typing import Final

from pgsansio.errors import ProtocolError
from pgsansio.kernel.contract import NULL_LENGTH

__all__ = ["HEADER", "TRAILER", "end_of_header", "is_trailer", "text_lines"]

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
#: Signature, no flags, no extension.
HEADER: Final = _SIGNATURE + bytes(8)
TRAILER: Final = b"\xff\xff"
#: A file with one of these set has something in it that an old reader would misunderstand.
_CRITICAL_FLAGS: Final = 0xFFFF0000

_count: Final[Callable[[bytes, int], tuple[int]]] = struct.Struct("!H").unpack_from
_length: Final[Callable[[bytes, int], tuple[int]]] = struct.Struct("!i").unpack_from
_head: Final[Callable[[bytes, int], tuple[int, int]]] = struct.Struct("!II").unpack_from

_SPECIAL: Final = re.compile(rb"[\\\n\r\t]")
_ESCAPES: Final = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t"}


def end_of_header(data: bytes) -> int | None:
    """Where the first tuple of binary data begins; None: there is not enough of it yet.

    Raises:
        ProtocolError: this is no such data, or has parts that cannot be understood.
    """
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise ProtocolError("COPY data does not begin with the signature of the binary format")
    if len(data) < len(HEADER):
        return None
    flags, extension_bytes = _head(data, len(_SIGNATURE))
    if flags & _CRITICAL_FLAGS:
        raise ProtocolError(f"COPY data in binary format has unknown critical flags: {flags:#010x}")
    end = len(HEADER) + extension_bytes
    return end if len(data) >= end else None


def is_trailer(data: bytes, position: int) -> bool:
    """Whether binary data ends here, as it has to.

    Raises:
        ProtocolError: there is something behind the trailer.
    """
    if not data.startswith(TRAILER, position):
        return False
    if len(data) > position + len(TRAILER):
        raise ProtocolError(f"{len(data) - position - len(TRAILER)} bytes behind the trailer of binary COPY data")
    return True


def text_lines(tuples: bytes) -> bytes:
    """Lines of COPY's text format, tabs between values.

    Args:
        tuples: complete ones of the binary format, whose values are text in UTF-8.
    """
    lines: list[bytes] = []
    position, end = 0, len(tuples)
    while position < end:
        (count,) = _count(tuples, position)
        position += 2
        values: list[bytes] = []
        for _ in range(count):
            (length,) = _length(tuples, position)
            position += 4
            if length == NULL_LENGTH:
                values.append(rb"\N")
                continue
            value = tuples[position : position + length]
            position += length
            values.append(_SPECIAL.sub(_escape, value) if _SPECIAL.search(value) else value)
        lines.append(b"\t".join(values))
    lines.append(b"")
    return b"\n".join(lines)


def _escape(found: re.Match[bytes]) -> bytes:
    return _ESCAPES[found.group()]
