"""Writes the source of an encoder for one shape of arguments.

How the generated code works. Arguments whose exact class `struct` packs as the codec would are packed together with
their lengths and the length of the argument after them. Where one of a run has another class, is None or is out of
range, that run alone is encoded value by value, and by the codecs only those that are so. `column` is the argument
whose codec (or str.encode) is running, so that an exception can be blamed on it and no user's codec is ever called
twice for one value.

For parameters (int4, text) the part between `try` and `except` reads

    a0, a1, = element
    if type(a1) is str:
        column = 1
        p1 = a1.encode()
        n1 = len(p1)
    elif a1 is None: n1, p1 = -1, b""
    else:
        column = 1
        p1 = encoded(encode_1, a1)
        n1 = len(p1)
    r0 = None
    if type(a0) is int:
        try: r0 = pack_0(4, a0, n1)
        except pack_errors: pass
    if r0 is None:
        r0 = b''
        if a0 is None: r0 += NULL
        else:
            column = 0
            r0 += field(encode_0, a0)
        column = 1
        r0 += prefix(n1)

and leaves two pieces, r0 and p1. Formats of `struct` are the types' own; what they refuse is a `pack_error`.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from pgsansio.kernel.contract import NULL_LENGTH, Opcode
from pgsansio.kernel.pure.inline import ENCODINGS, FIXED, NAMES, Shape

__all__ = ["BIND", "COPY", "MANY", "parameter_source"]

#: What the generated encoder makes.
BIND: Final = "bind"
MANY: Final = "many"
COPY: Final = "copy"


def parameter_source(shape: Shape, kind: str) -> tuple[str, dict[str, object]]:
    """The source of `make(encoders, parts, refused, sequence, parameters)`, and its global names.

    Args:
        shape: of the parameters.
        kind: what `make` returns:
            BIND    bind(names, element, result_formats, trailer) -> bytes
            MANY    many(elements, max_bytes, index, head, tail, base, extra) -> (bytes, count, exhausted): Bind
                    messages whose length is `base` more than that of their values, and which take `extra` bytes more
                    than that
            COPY    many(elements, max_bytes, index, extra) -> the same
        The arguments of `make`: the codecs' functions; those of `pgsansio.kernel.pure.containers`; refused(error,
        column, values, number), which raises what it makes of an exception; sequence(element, number), which raises
        for what is no tuple of the right size; the part of a Bind between its names and its values.
    """
    names: dict[str, object] = {
        **NAMES,
        "NULL": _NULL,
        "field": field,
        "encoded": encoded,
        "pack_errors": (struct.error, OverflowError),
        "pack_head": struct.Struct(">Bi").pack,
        "prefix": prefix,
    }
    body, pieces = _body(shape, names)
    sizes = [f"len({piece})" for piece in pieces]
    lines = ["def make(encoders, parts, refused, sequence, parameters):"]
    lines += [f"    encode_{index} = encoders[{index}]" for index in range(len(shape))]
    lines += [f"    part_{index} = parts[{index}]" for index, opcode in enumerate(shape) if opcode is Opcode.ARRAY]
    if kind == BIND:
        size = " + ".join(["4", "len(names)", "len(parameters)", "len(result_formats)", *sizes])
        parts = ", ".join(["pack_head(66, size)", "names", "parameters", *pieces, "result_formats", "trailer"])
        lines += [
            "    def bind(names, element, result_formats, trailer):",
            "        column = -1",
            "        try:",
            *_indented(3, body),
            "            column = -1",
            f"            size = {size}",
            f"            return b''.join(({parts}))",
            "        except MemoryError: raise",
            "        except Exception as error: refused(error, column, element, -1)",
            "    return bind",
        ]
        return "\n".join(lines) + "\n", names
    if kind == MANY:
        names_of_call = "elements, max_bytes, index, head, tail, base, extra"
        parts = "".join(f"{part}, " for part in ["pack_head(66, size + base)", "head", *pieces, "tail"])
    else:
        names_of_call = "elements, max_bytes, index, extra"
        names["count_bytes"] = struct.pack(">H", len(shape))
        parts = "".join(f"{part}, " for part in ["count_bytes", *pieces])
    lines += [
        f"    def many({names_of_call}):",
        "        chunk = []",
        "        produced = 0",
        "        number = index",
        "        for element in elements:",
        "            kind = type(element)",
        f"            if kind is not tuple and kind is not list or len(element) != {len(shape)}:",
        "                element = sequence(element, number)",
        "            column = -1",
        "            try:",
        *_indented(4, body),
        "                column = -1",
        f"                size = {' + '.join(sizes) or '0'}",
        f"                chunk += ({parts})",
        "            except MemoryError: raise",
        "            except Exception as error: refused(error, column, element, number)",
        "            number += 1",
        "            produced += size + extra",
        "            if produced >= max_bytes: return b''.join(chunk), number - index, False",
        "        return b''.join(chunk), number - index, True",
        "    return many",
    ]
    return "\n".join(lines) + "\n", names


def _body(shape: Shape, names: dict[str, object]) -> tuple[list[str], list[str]]:
    """Statements that encode `element`, and the names of the bytes they leave, in order."""
    lines = [f"{''.join(f'a{index}, ' for index in range(len(shape)))}= element"] if shape else []
    pieces: list[str] = []
    index = 0
    while index < len(shape):
        run: list[int] = []
        while index < len(shape) and shape[index] in FIXED:
            run.append(index)
            index += 1
        variable = index if index < len(shape) else None
        if variable is not None:
            lines += _encode_variable(shape[variable], variable)
            index += 1
        piece = f"r{len(pieces)}"
        lines += _pack_run(shape, run, variable, piece, names)
        pieces.append(piece)
        if variable is not None:
            pieces.append(f"p{variable}")
    return lines, pieces


def _encode_variable(opcode: Opcode, index: int) -> list[str]:
    """Leave bytes in p, without their length, and the length in n."""
    a, p, n = f"a{index}", f"p{index}", f"n{index}"
    by_codec = [f"    column = {index}", f"    {p} = encoded(encode_{index}, {a})", f"    {n} = len({p})"]
    null = f'{n}, {p} = {NULL_LENGTH}, b""'
    encoding = ENCODINGS.get(opcode)
    if encoding is None:
        return [f"if {a} is None: {null}", "else:", *by_codec]
    doubt = [f"    if {p} is None: {p} = encoded(encode_{index}, {a})"] if encoding.doubtful else []
    return [
        f"if {encoding.test.format(a=a)}:",
        f"    column = {index}",
        f"    {p} = {encoding.encoded.format(a=a, part=f'part_{index}')}",
        *doubt,
        f"    {n} = len({p})",
        f"elif {a} is None: {null}",
        "else:",
        *by_codec,
    ]


def _pack_run(shape: Shape, run: list[int], variable: int | None, piece: str, names: dict[str, object]) -> list[str]:
    """Leave in `piece` the lengths and values of a run, and the length of the argument after it."""
    format = ""
    packed: list[str] = []
    tests: list[str] = []
    one_by_one = [f"{piece} = b''"]
    for index in run:
        fixed = FIXED[shape[index]]
        format += "i" + fixed.format
        packed += [str(fixed.width), fixed.packed.format(a=f"a{index}")]
        tests.append(fixed.test.format(a=f"a{index}"))
        one_by_one += _pack_one(shape[index], index, piece, names, alone=len(run) == 1)
    if variable is not None:
        format += "i"
        packed.append(f"n{variable}")
        one_by_one += [f"column = {variable}", f"{piece} += prefix(n{variable})"]
    pack = f"pack_{piece}"
    names[pack] = struct.Struct(">" + format).pack
    return [
        f"{piece} = None",
        f"if {' and '.join(tests) or True}:",
        f"    try: {piece} = {pack}({', '.join(packed)})",
        "    except pack_errors: pass",
        f"if {piece} is None:",
        *_indented(1, one_by_one),
    ]


def _pack_one(opcode: Opcode, index: int, piece: str, names: dict[str, object], alone: bool) -> list[str]:
    """Add one argument of a run to `piece`: because another is not ordinary, or, of a run of one, because it is not."""
    a = f"a{index}"
    by_codec = [f"column = {index}", f"{piece} += field(encode_{index}, {a})"]
    lines = [f"if {a} is None: {piece} += NULL"]
    if not alone:
        fixed = FIXED[opcode]
        pack = f"pack_{opcode.name}"
        names[pack] = struct.Struct(f">i{fixed.format}").pack
        lines += [
            f"elif {fixed.test.format(a=a)}:",
            f"    try: {piece} += {pack}({fixed.width}, {fixed.packed.format(a=a)})",
            "    except pack_errors:",
            *_indented(2, by_codec),
        ]
    return [*lines, "else:", *_indented(1, by_codec)]


def _indented(depth: int, lines: list[str]) -> list[str]:
    return ["    " * depth + line for line in lines]


# What the generated code calls, and what encoding by the definition is made of.


_pack_length = struct.Struct(">i").pack
_NULL: Final = _pack_length(NULL_LENGTH)


def prefix(length: int) -> bytes:
    """The length before a value, -1 for NULL. Raises OverflowError where an Int32 cannot hold it."""
    try:
        return _pack_length(length)
    except struct.error:
        raise OverflowError(f"value of {length} bytes is too long") from None


def encoded(encode: Callable[[Any], bytes], value: object) -> bytes:
    """What `encode` makes of a value; any buffer will do, as in asyncpg. Raises TypeError for what is none."""
    data = encode(value)
    return data if type(data) is bytes else memoryview(data).tobytes()  # pyright: ignore[reportUnnecessaryComparison]


def field(encode: Callable[[Any], bytes], value: object) -> bytes:
    """A value or None as it stands in a message: its length and its bytes."""
    if value is None:
        return _NULL
    data = encoded(encode, value)
    return prefix(len(data)) + data
