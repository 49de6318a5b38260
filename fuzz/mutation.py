"""A seeded mutator for inputs that are a few choices and then, mostly, messages.

It knows the frames of the protocol (type byte, length), because nearly every change that does not is refused at the
first length; and the numbers at which sizes and signs go wrong.
"""

import random
import struct
from collections.abc import Sequence
from typing import Final

__all__ = ["mutated"]

#: No input gets longer: what breaks on more breaks on this much.
MAX_BYTES: Final = 20_000

_NUMBERS: Final = (
    0, 1, 2, 3, 4, 5, 7, 8, 16, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1,
)  # fmt: skip
_TOKENS: Final = (
    b"\0", b"\xff\xff\xff\xff", b"\xff\xff", b"\x00\x00\x00\x04", b"'", b'"', b"\\", b"$$", b"$a$",
    b"--", b"/*", b"*/", b";", b"{", b"}", b",", b"NULL", b"=", b"@", b":", b"/", b"?", b"&", b"%00", b"[", b"]",
    b"E'", b"\xc3\x28", b"\xed\xa0\x80", b"password=", b"infinity", b"NaN", b"1e999999999", b"0001-01-01 BC",
    b"SFATAL\0", b"client_encoding\0",
)  # fmt: skip
#: Messages that a backend sends, by their types.
_TAGS: Final = b"1233ACDEGHINRSTVWZcdnstvK"
_EMPTY: Final = b"123Incs"


def mutated(data: bytes, corpus: Sequence[bytes], chance: random.Random, prefix: int, tags: bytes = _TAGS) -> bytes:
    """`data` after some changes.

    Args:
        corpus: other inputs, to take parts from.
        prefix: how many bytes in front are choices, and no part of a message.
        tags: type bytes of messages that may be put in.
    """
    for _ in range(1 << chance.randrange(4)):
        if chance.random() < 0.15:
            data = _chosen(data, chance, prefix)
        elif chance.random() < 0.55:
            data = data[:prefix] + _framed(data[prefix:], chance.choice(corpus)[prefix:], chance, tags)
        else:
            data = _bytewise(data, chance)
        data = data[:MAX_BYTES]
    return data


def _chosen(data: bytes, chance: random.Random, prefix: int) -> bytes:
    """Another choice."""
    at = chance.randrange(prefix or 1)
    return data[:at] + chance.randbytes(1) + data[at + 1 :]


def _bytewise(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    size = chance.choice((1, 1, 1, 2, 4, 8, 50))
    match chance.randrange(7):
        case 0:
            return data[:at] + data[at + size :]
        case 1:
            return data[:at] + chance.randbytes(size) + data[at:]
        case 2:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 3:
            return data[:at] + chance.choice(_TOKENS) + data[at + chance.choice((0, size)) :]
        case 4:
            format = chance.choice((">H", ">I", ">Q"))
            number = chance.choice(_NUMBERS) & ((1 << 8 * struct.calcsize(format)) - 1)
            return data[:at] + struct.pack(format, number) + data[at + struct.calcsize(format) :]
        case 5:
            piece = data[at : at + size]
            return data[:at] + piece * chance.choice((2, 3, 200)) + data[at + size :]
        case _:
            return data[:at] + bytes([(data[at] if at < len(data) else 0) ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _frames(data: bytes) -> list[bytes]:
    """`data` cut into messages; the last piece is whatever does not fit."""
    found: list[bytes] = []
    at = 0
    while len(data) - at >= 5:
        size = 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        if not 5 <= size <= len(data) - at:
            break
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]] if at < len(data) else found


def _framed(data: bytes, other: bytes, chance: random.Random, tags: bytes) -> bytes:
    frames = _frames(data) or [b""]
    at = chance.randrange(len(frames))
    match chance.randrange(8):
        case 0:
            del frames[at]
        case 1:
            frames.insert(at, chance.choice(frames))
        case 2:
            more = _frames(other)
            frames[at:at] = more[chance.randrange(len(more) + 1) :][: chance.choice((1, 1, 3, 99))]
        case 3:
            tag = chance.choice(tags)
            frames.insert(at, _frame(tag, b"" if tag in _EMPTY else chance.randbytes(chance.choice((1, 2, 6, 20)))))
        case 4:
            other_at = chance.randrange(len(frames))
            frames[at], frames[other_at] = frames[other_at], frames[at]
        case 5 if len(frames[at]) >= 5:
            frames[at] = bytes([chance.choice(tags)]) + frames[at][1:]
        case 6:
            frames[at:at] = [chance.choice(frames)] * chance.choice((2, 50))
        case _ if len(frames[at]) >= 5:
            # The body changes, and its length is right again.
            frames[at] = _frame(frames[at][0], _bytewise(frames[at][5:], chance))
        case _:
            frames[at] = _bytewise(frames[at], chance)
    return b"".join(frames)


def _frame(tag: int, body: bytes) -> bytes:
    return bytes([tag]) + struct.pack(">I", len(body) + 4) + body
