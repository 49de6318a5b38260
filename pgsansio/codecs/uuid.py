"""uuid: its 16 bytes (the server's uuid_send and uuid_recv)."""

import re
import uuid
from typing import Any, Final

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.kernel import UUID
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_uuid", "encode_uuid"]

#: Section of the manual.
SOURCE: Final = "UUID Type"

_NOT_HEX: Final = re.compile("[^0-9A-Fa-f]")


def decode_uuid(data: bytes) -> uuid.UUID:
    """The kernel's subclass of `uuid.UUID`."""
    if len(data) != 16:
        raise wrong_length("uuid", data, 16)
    value: uuid.UUID = UUID(bytes=data)
    return value


def encode_uuid(value: Any) -> bytes:
    """A `uuid.UUID`, or its 32 hexadecimal digits as str, with up to four hyphens wherever they are.

    Raises:
        TypeError: neither. ValueError: a str that is no UUID.
    """
    if isinstance(value, uuid.UUID):
        data = value.bytes
        # A subclass may have made it anew.
        if type(data) is not bytes or len(data) != 16:  # pyright: ignore[reportUnnecessaryComparison]
            raise TypeError(f"the bytes of this {type_name(value)} are not those of a UUID")
        return data
    if not isinstance(value, str):
        raise TypeError(f"expected a uuid.UUID or str, got {type_name(value)}")
    if not 32 <= len(value) <= 36:
        raise ValueError(f"invalid UUID {value!r}: length must be between 32..36 characters, got {len(value)}")
    digits = value.replace("-", "")
    wrong = _NOT_HEX.search(digits)
    if wrong is not None:
        raise ValueError(f"invalid UUID {value!r}: unexpected character {wrong[0]!r}")
    if len(digits) != 32:
        less_or_more = "less" if len(digits) < 32 else "more"
        raise ValueError(f"invalid UUID {value!r}: decodes to {less_or_more} than 16 bytes")
    return bytes.fromhex(digits)


def decode_uuid_text(data: bytes) -> uuid.UUID:
    return decode_uuid(encode_uuid(data.decode()))


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "uuid",
        Opcode.UUID,
        decode_uuid,
        encode_uuid,
        decode_uuid_text,
        text_encoder(encode_uuid, decode_uuid, str),
    ),
)
