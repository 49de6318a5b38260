"""Every codec's decoder on arbitrary bytes, and its encoder on what that gives.

Input: which type and format; then one value. Held to: ValueError or a value; a value that was decoded can be encoded
again, or is refused by one of the errors an encoder may raise; and what was encoded decodes to the same.
"""

import random
import re
from typing import Any, Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.codecs import Registry
from pgsansio.codecs.catalog import BY_OID
from pgsansio.enums import Format

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 2
_REGISTRY: Final = Registry()
_NEGATIVE_ZERO: Final = re.compile(r"'-(0[.0]*(?:E[+-]?[0-9]+)?')")
#: Every built-in type with its codecs, those that nobody knows (read as text or bytes) at the end.
_OIDS: Final = (*sorted(oid for oid in BY_OID if _REGISTRY.codec(oid) is not None), 999_999)


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    choices, value = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    codec = _REGISTRY.codec_in(pick(_OIDS, choices[0]), Format(choices[1] % 2))
    try:
        decoded: Any = codec.decode(value)
    except ValueError:
        return
    try:
        encoded = codec.encode(decoded)
    except (TypeError, ValueError, OverflowError):
        return
    assert type(encoded) is bytes
    again = codec.decode(encoded)
    # In text some values have several spellings, of which Decimal remembers: 1.0E+5.
    assert codec.encode(again) == encoded, f"{codec.name}: {decoded!r} -> {encoded!r} -> {again!r}"
    if codec.format is Format.BINARY:
        # The sign of a zero, which PostgreSQL's numeric does not have, is lost.
        shown = _NEGATIVE_ZERO.sub(r"'\1", repr(decoded))
        assert repr(again) == shown, f"{codec.name}: {decoded!r} -> {again!r}"
