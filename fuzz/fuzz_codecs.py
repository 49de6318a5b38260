"""Every codec's decoder on arbitrary bytes, and its encoder on what that gives and on what it was not made for.

Input: which codec (of all in `tests.support.every_codec`: built-in ones, containers, extensions, declarations) and what
to do; then one value, or what a value is made of. Held to: ValueError or a value; a value that was decoded can be
encoded again, or is refused by one of the errors an encoder may raise; and what was encoded decodes to the same.
"""

import ast
import random
import re
import warnings
from typing import Any, Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.enums import Format
from pgsansio.errors import DataError, InterfaceError
from pgsansio.kernel import encode_bind, parameter_plan
from pgsansio.kernel.contract import ValueCodec
from tests.support.every_codec import every_case

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 3
_NEGATIVE_ZERO: Final = re.compile(r"'-(0[.0]*(?:E[+-]?[0-9]+)?')")
#: By label, so that an input means the same as long as no codec is added before its own.
CASES: Final = tuple(sorted(every_case(), key=lambda case: case.label))


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        number = chance.randrange(len(CASES))
        return number.to_bytes(2, "big") + chance.randbytes(1) + (CASES[number].valid or b"")
    return mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    choices, value = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    codec = pick(CASES, int.from_bytes(choices[:2], "big")).codec
    if choices[2] % 4 == 3:
        _encode_anything(codec, value)
        return
    try:
        decoded: Any = codec.decode(value)
    except (ValueError, RecursionError) as error:
        # Only json.loads, which is the user's here, goes as deep as its text says.
        if isinstance(error, RecursionError) and "json" not in codec.name:
            raise
        return
    try:
        encoded = codec.encode(decoded)
    except (TypeError, ValueError, OverflowError, InterfaceError):
        return
    encoded = bytes(encoded)
    again = codec.decode(encoded)
    # In text some values have several spellings, of which Decimal remembers: 1.0E+5.
    assert codec.encode(again) == encoded, f"{codec.name}: {decoded!r} -> {encoded!r} -> {again!r}"
    if codec.format is Format.BINARY:
        # The sign of a zero, which PostgreSQL's numeric does not have, is lost.
        shown = _NEGATIVE_ZERO.sub(r"'\1", repr(decoded))
        assert _NEGATIVE_ZERO.sub(r"'\1", repr(again)) == shown, f"{codec.name}: {decoded!r} -> {again!r}"


def _encode_anything(codec: ValueCodec, text: bytes) -> None:
    """A Python literal as the argument of a statement; what is none is itself the argument, as str or as bytes."""
    value: Any
    try:
        with warnings.catch_warnings(action="ignore"):
            value = ast.literal_eval(text.decode()[:500])
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        value = text.decode("latin-1") if text[:1] != b"b" else text
    try:
        message = encode_bind(parameter_plan((codec,)), b"\0\0", (value,), b"\0\0", b"")
    except (DataError, InterfaceError) as error:
        if "query argument $1" not in str(error):
            raise
        return
    assert message[:1] == b"B"
