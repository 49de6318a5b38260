"""Arrays, ranges, multiranges and composites of inlined types: a generated decoder for each sort of parts.

A decoder takes data[at:limit] and returns None for what it leaves to the codec: several dimensions, lower bounds other
than 1, whatever contradicts itself or the codec. For an array of date its loop reads

    for _ in repeat(None, count):
        n0, = unpack_length(data, at)
        if n0 == 4:
            v0, = unpack_value(data, at + 4)
            at += 8
            try: v0 = date_from_ordinal(v0 + 730120)
            except (ValueError, OverflowError): v0 = special_0(v0)
        elif n0 == -1:
            v0 = None
            at += 4
        else: break
        append(v0)
    else:
        if at == limit: return values
    return None

Arrays have an encoder, too. It takes vectors of ordinary values, and leaves the rest to the codec in the same way.
"""

import functools
import struct
from collections.abc import Callable
from itertools import chain
from typing import Any, Final, TypeAlias, cast

from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.kernel.pure.inline import (
    CONTAINERS,
    ENCODINGS,
    FIXED,
    NAMES,
    VARIABLE,
    inlined,
    parameter_shape_of,
    shape_of,
)
from pgsansio.kernel.pure.record import Columns, Record
from pgsansio.kernel.pure.row_source import composite_source
from pgsansio.types.range import Range

__all__ = ["part_decoder", "part_encoder", "special_decoder"]

#: decode(data, at, limit) -> the value, or None.
PartDecoder: TypeAlias = Callable[[bytes, int, int], Any]


def part_decoder(codec: ValueCodec) -> PartDecoder | None:
    """The decoder of a container of inlined types; else None."""
    return _part_decoder(codec, {})


def _part_decoder(codec: ValueCodec, made: dict[ValueCodec, PartDecoder | None]) -> PartDecoder | None:
    # One for all that share a part: otherwise types that are twice in others, which are twice in others, add up.
    if codec not in made:
        made[codec] = _make_part_decoder(codec, made)
    return made[codec]


def _make_part_decoder(codec: ValueCodec, made: dict[ValueCodec, PartDecoder | None]) -> PartDecoder | None:
    if inlined(codec) not in CONTAINERS:
        return None
    if codec.opcode is Opcode.COMPOSITE:
        members = codec.members
        make = _make_composite(shape_of(members))
        return make(
            Record,
            Columns(codec.names),
            tuple([member.oid for member in members]),
            [member.decode for member in members],
            [special_decoder(member) for member in members],
            [_part_decoder(member, made) for member in members],
        )
    element = codec.element
    assert element is not None
    make = _make(codec.opcode, element.opcode)
    return make(element.oid, element.decode, special_decoder(element), _part_decoder(element, made))


def special_decoder(codec: ValueCodec) -> Callable[..., Any] | None:
    """The codec's decoder for a value of fixed size whose fields were unpacked already."""
    fixed = FIXED.get(codec.opcode)
    if fixed is None:
        return None
    pack, decode = struct.Struct(">" + fixed.format).pack, codec.decode
    return lambda *fields: decode(pack(*fields))


def part_encoder(codec: ValueCodec) -> Callable[[Any], bytes | None] | None:
    """An encoder of lists and tuples for an array that is inlined; None for what is left to the codec."""
    element = codec.element
    if element is None or parameter_shape_of((codec,)) != (Opcode.ARRAY,):
        return None
    encoder: Callable[[Any], bytes | None] = _make_array_encoder(element.opcode)(element.oid)
    return encoder


@functools.lru_cache(maxsize=256)
def _make_composite(shape: tuple[Opcode, ...]) -> Callable[..., PartDecoder]:
    return _compiled(*composite_source(shape))


@functools.lru_cache(maxsize=256)
def _make(container: Opcode, element: Opcode) -> Callable[..., PartDecoder]:
    """`make(oid, decode_0, special_0, part_0)`; the arguments are of the element."""
    names: dict[str, object] = {**NAMES, "unpack_length": struct.Struct(">i").unpack_from}
    body = (_range_body if container is Opcode.RANGE else _list_body)(container, element, names)
    lines = ["def make(oid, decode_0, special_0, part_0):", "    def decode_container(data, at, limit):"]
    lines += ["        " + line for line in body]
    lines.append("    return decode_container")
    return _compiled("\n".join(lines) + "\n", names)


def _compiled(text: str, names: dict[str, object]) -> Callable[..., PartDecoder]:
    exec(compile(text, "<pgsansio container decoder>", "exec"), names)
    return cast("Callable[..., PartDecoder]", names["make"])


def _read_value(element: Opcode, names: dict[str, object], null: list[str]) -> list[str]:
    """Statements that leave the element at `at` in v0 and go behind it; "break" for what it cannot be.

    Args:
        null: what to do where the length is -1; none if that cannot be.
    """
    fixed = FIXED.get(element)
    if fixed is not None:
        names["unpack_value"] = struct.Struct(">" + fixed.format).unpack_from
        read = [
            f"if n0 == {fixed.width}:",
            f"    {', '.join(fixed.names('v0'))}, = unpack_value(data, at + 4)",
            f"    at += {4 + fixed.width}",
            *("    " + line for line in fixed.conversion("v0", "special_0")),
        ]
    else:
        statements = [line.format(v="v0", n="n0", decode="decode_0", part="part_0") for line in VARIABLE[element]]
        read = [
            "if n0 >= 0:",
            "    at += 4",
            "    end = at + n0",
            *("    " + line for line in statements),
            "    at = end",
        ]
    return ["n0, = unpack_length(data, at)", *read, *null, "else: break"]


#: The header of an empty array, and of one with a single dimension.
_unpack_empty = struct.Struct(">iiI").unpack_from
_unpack_vector = struct.Struct(">iiIii").unpack_from


def _list_body(container: Opcode, element: Opcode, names: dict[str, object]) -> list[str]:
    fixed = FIXED.get(element)
    null = []
    if container is Opcode.ARRAY:
        names |= {"unpack_empty": _unpack_empty, "unpack_vector": _unpack_vector}
        null = ["elif n0 == -1:", "    v0 = None", "    at += 4"]
        lines = [
            "if limit - at == 12:",
            "    dimensions, has_null, found = unpack_empty(data, at)",
            "    return None if dimensions or has_null & -2 or found != oid else []",
            "dimensions, has_null, found, count, lower = unpack_vector(data, at)",
            "if dimensions != 1 or has_null & -2 or found != oid or lower != 1: return None",
            "at += 20",
        ]
    else:
        lines = ["count, = unpack_length(data, at)", "at += 4"]
    lines.append("if not 0 <= count <= (limit - at) // 4: return None")
    if fixed is not None:
        lines += _converted_vector(element, names) if fixed.convert else _plain_vector(element, names)
    lines += ["values = []", "append = values.append", "for _ in repeat(None, count):"]
    lines += ["    " + line for line in [*_read_value(element, names, null), "append(v0)"]]
    return [*lines, "else:", "    if at == limit: return values", "return None"]


#: Elements that are unpacked at once, and the most that get a Struct for their number.
_BLOCK: Final = 256


def _plain_vector(element: Opcode, names: dict[str, object]) -> list[str]:
    """Statements that return all elements at once, if none is NULL; they are what is unpacked."""
    fixed = FIXED[element]

    @functools.lru_cache(maxsize=_BLOCK)
    def unpack(count: int) -> Callable[[bytes, int], tuple[Any, ...]]:
        return struct.Struct(">" + ("4x" + fixed.format) * count).unpack_from

    iter_blocks = struct.Struct(">" + ("4x" + fixed.format) * _BLOCK).iter_unpack

    def unpack_many(data: bytes, at: int, count: int) -> list[Any]:
        rest = at + count // _BLOCK * _BLOCK * step
        return [*chain.from_iterable(iter_blocks(data[at:rest])), *unpack(count % _BLOCK)(data, rest)]

    step = 4 + fixed.width
    names |= {"unpack": unpack, "unpack_many": unpack_many, "length": bytes([fixed.width])}
    # The lengths of all elements, one byte of each at a time.
    return [
        f"if limit - at == {step} * count:",
        "    zeros = bytes(count)",
        f"    if (data[at + 3 : limit : {step}] == length * count and data[at : limit : {step}] == zeros",
        f"        and data[at + 1 : limit : {step}] == zeros and data[at + 2 : limit : {step}] == zeros):",
        f"        return list(unpack(count)(data, at)) if count <= {_BLOCK} else unpack_many(data, at, count)",
    ]


def _converted_vector(element: Opcode, names: dict[str, object]) -> list[str]:
    """Statements that return all elements, converted one by one, if none is NULL."""
    fixed = FIXED[element]
    names["iter_elements"] = struct.Struct(">i" + fixed.format).iter_unpack
    return [
        f"if limit - at == {4 + fixed.width} * count:",
        "    values = []",
        "    append = values.append",
        f"    for n0, {', '.join(fixed.names('v0'))} in iter_elements(data[at:limit]):",
        f"        if n0 != {fixed.width}: break",
        *("        " + line for line in fixed.conversion("v0", "special_0")),
        "        append(v0)",
        "    else: return values",
    ]


#: The flags of a range that has bounds (the server's rangetypes.h) -> is there a lower one, an upper one; is each part
#: of the range. Others are empty, or contradict themselves.
_INCLUDES_LOWER, _INCLUDES_UPPER, _NO_LOWER, _NO_UPPER = 2, 4, 8, 16
_BOUNDS: Final = {
    flags: (
        not flags & _NO_LOWER,
        not flags & _NO_UPPER,
        bool(flags & _INCLUDES_LOWER),
        bool(flags & _INCLUDES_UPPER),
    )
    for flags in range(0, 32, 2)
    if flags & (_INCLUDES_LOWER | _NO_LOWER) != _INCLUDES_LOWER | _NO_LOWER
    and flags & (_INCLUDES_UPPER | _NO_UPPER) != _INCLUDES_UPPER | _NO_UPPER
}


def _range_body(container: Opcode, element: Opcode, names: dict[str, object]) -> list[str]:
    names |= {"bounds": _BOUNDS, "Range": Range, "once": (None,)}
    read = ["        " + line for line in _read_value(element, names, [])]
    return [
        "found = bounds.get(data[at])",
        "if found is None: return None",
        "has_lower, has_upper, lower_inc, upper_inc = found",
        "at += 1",
        "lower = v0 = None",
        "for _ in once:",
        "    if has_lower:",
        *read,
        "        lower = v0",
        "        v0 = None",
        "    if has_upper:",
        *read,
        "    if at != limit: break",
        "    value = new(Range)",
        "    value._empty = False",
        "    value._lower = lower",
        "    value._upper = v0",
        "    value._lower_inc = lower_inc",
        "    value._upper_inc = upper_inc",
        "    return value",
        "return None",
    ]


@functools.lru_cache(maxsize=256)
def _make_array_encoder(element: Opcode) -> Callable[[int], Callable[[Any], bytes | None]]:
    """`make(oid)`; the argument is of the element."""
    names: dict[str, object] = {
        **NAMES,
        "pack_vector": struct.Struct(">iiIii").pack,
        "pack_length": struct.Struct(">i").pack,
        "pack_errors": (struct.error, OverflowError, UnicodeEncodeError),
    }
    body = _pack_elements(element, names) if element in FIXED else _join_elements(element)
    lines = [
        "def make(oid):",
        "    def encode_array(values):",
        "        count = len(values)",
        "        if not count: return None",
        "        try:",
        *("            " + line for line in body),
        "        except pack_errors: return None",
        "        return pack_vector(1, 0, oid, count, 1) + body",
        "    return encode_array",
    ]
    exec(compile("\n".join(lines) + "\n", "<pgsansio array encoder>", "exec"), names)
    return cast("Callable[[int], Callable[[Any], bytes | None]]", names["make"])


def _pack_elements(element: Opcode, names: dict[str, object]) -> list[str]:
    """Statements that leave the lengths and values of all elements in `body`, or return None."""
    fixed = FIXED[element]
    step = 4 + fixed.width

    @functools.lru_cache(maxsize=_BLOCK)
    def pack(count: int) -> Callable[..., bytes]:
        return struct.Struct(">" + ("4x" + fixed.format) * count).pack

    def pack_many(fields: list[Any]) -> bytes:
        size = _BLOCK * fixed.fields
        blocks = [fields[start : start + size] for start in range(0, len(fields), size)]
        return b"".join([pack(len(block) // fixed.fields)(*block) for block in blocks])

    names |= {"pack": pack, "pack_many": pack_many, "length": bytes([fixed.width])}
    packed, test = fixed.packed.format(a="a0"), fixed.test.format(a="a0")
    # The fields of an element of several come one after another.
    fields = f"[{packed} for a0 in values if {test}]"
    if fixed.fields > 1:
        fields = f"[field for a0 in values if {test} for field in ({packed})]"
    return [
        f"fields = {fields}",
        f"if len(fields) != {fixed.fields} * count: return None",
        f"body = bytearray(pack(count)(*fields) if count <= {_BLOCK} else pack_many(fields))",
        f"body[3::{step}] = length * count",
    ]


def _join_elements(element: Opcode) -> list[str]:
    """The same for elements of different sizes."""
    encoding = ENCODINGS[element]
    test = encoding.test.format(a="a0")
    missing = " or None in parts" if encoding.doubtful else ""
    return [
        f"parts = [{encoding.encoded.format(a='a0')} for a0 in values if {test}]",
        f"if len(parts) != count{missing}: return None",
        "body = b''.join([pack_length(len(part)) + part for part in parts])",
    ]
