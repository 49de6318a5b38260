"""The text literals of arrays, composites, ranges, multiranges, records and hstore.

Input: which codec; then a literal. Held to: ValueError or a value; a value that was decoded is encoded again, the
literal made of it decodes to the same, and its own literal is no other one.
"""

import random
from typing import Any, Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from tests.support.every_codec import every_case

__all__ = ["CASES", "PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 2
CASES: Final = tuple(
    sorted(
        (
            case
            for case in every_case()
            if case.codec.format is Format.TEXT
            and not case.label.startswith("custom")
            and (case.codec.element or case.codec.members or case.codec.name in ("record", "hstore", "nothing", "cube"))
        ),
        key=lambda case: case.label,
    )
)
_TOKENS: Final = (
    b"{", b"}", b"(", b")", b"[", b"]", b",", b'"', b'""', b"\\", b'\\"', b"NULL", b"null", b" ", b"[0:1]=",
    b"[-1:1][2:2]=", b"empty", b"=>", b"\xc3\xa9", b"\x00", b"1", b"-", b";",
)  # fmt: skip


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        number = chance.randrange(len(CASES))
        return number.to_bytes(2, "big") + (CASES[number].valid or b"")
    for _ in range(1 << chance.randrange(4)):
        at = chance.randrange(PREFIX_BYTES, len(data) + 1) if len(data) >= PREFIX_BYTES else len(data)
        data = data[:at] + chance.choice(_TOKENS) + data[at + chance.randrange(3) :]
    return data if chance.random() < 0.7 else mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    choices, literal = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    codec = pick(CASES, int.from_bytes(choices, "big")).codec
    try:
        decoded: Any = codec.decode(literal)
    except ValueError:
        return
    try:
        encoded = codec.encode(decoded)
    except UnsupportedClientFeatureError:
        return
    except (TypeError, ValueError, OverflowError) as error:
        # A date that is in no ISO style stays str, which is no date; vector's own lists are no elements of an array.
        if not _is_known(codec.name, str(error)):
            raise
        return
    again = codec.decode(encoded)
    assert codec.encode(again) == encoded, f"{codec.name}: {decoded!r} -> {encoded!r} -> {again!r}"


def _is_known(name: str, reason: str) -> bool:
    return (
        any(part in name for part in ("date", "time", "tsr", "tsm", "tstz", "void", "vector", "halfvec"))
        or "non-homogeneous" in reason
        or "out of" in reason
        or "U+0000" in reason
        or "exponent" in reason
    )
