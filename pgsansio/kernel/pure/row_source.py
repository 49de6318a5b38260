"""Writes the source of a row decoder for one shape of result.

How the generated code works. A run of fixed-width columns, the frame header before the first and the length after the
last are unpacked at once, as if nothing were NULL; if one of the unpacked lengths says otherwise, that run alone is
read column by column. Nothing is checked that a later check implies: whatever goes wrong (an exception, a `break`)
leaves `pos` at the start of the row, and the caller reads that row again, slowly and with every check. User codecs
(`CALL`) run last, when the frame is known to be right and all inlined values were accepted, so none is ever called
twice for one value.

Rows of fixed-width columns only, without a NULL among them, all have the same frame: a block of them is compared with
it by strided slices, one per header byte, and then unpacked by one `iter_unpack`.

For a result of (int4, text) it reads

    def run(data, pos, limit, rows, room):
        append = rows.append
        stop = limit - 19
        column = -1
        row_end = 0
        try:
            for _ in repeat(None, room):
                if pos > stop: break
                tag, size, count, n0, v0, n1 = unpack_0(data, pos)
                at = pos + 19
                row_end = pos + size + 1
                if tag != 68 or count != 2 or row_end > limit: break
                if n0 != 4:
                    ...
                if n1 >= 0:
                    end = at + n1
                    v1 = data[at:end].decode()
                    at = end
                elif n1 == -1: v1 = None
                else: break
                if at != row_end: break
                record = new(record_class)
                record._values = (v0, v1,)
                record._columns = columns
                append(record)
                pos = row_end
        except MemoryError: raise
        except Exception as error:
            if column >= 0: return row_end, refused(error, column)
        return pos, None
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from pgsansio.kernel.contract import Opcode
from pgsansio.kernel.pure.inline import CONTAINERS, FIXED, NAMES, VARIABLE, Shape

__all__ = ["BULK_ROWS", "composite_source", "row_source"]

#: Rows that are compared and unpacked at once; fewer than the minimum are not worth it.
BULK_ROWS: Final = 256
_BULK_MINIMUM: Final = 4


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands between values, as a struct format and the names of its fields."""

    #: Before all of them.
    header: str
    header_names: str
    #: Before each; `{i}` is its number.
    prefix: str = "i"
    prefix_names: str = "n{i}"

    @property
    def prefix_size(self) -> int:
        return struct.calcsize(f">{self.prefix}")


_DATA_ROW: Final = _Frame("BiH", "tag, size, count")
_COPY_TUPLE: Final = _Frame("H", "count")
_COMPOSITE: Final = _Frame("i", "count", "Ii", "o{i}, n{i}")


@dataclass(slots=True)
class _Source:
    """Lines of source, and the objects that they name."""

    lines: list[str] = field(default_factory=list)
    names: dict[str, object] = field(default_factory=lambda: dict(NAMES))

    def add(self, indent: int, *lines: str) -> None:
        self.lines += ["    " * indent + line for line in lines]

    def unpack(self, name: str, format: str) -> int:
        """Let `name` be unpack_from of this format; its size."""
        compiled = struct.Struct(">" + format)
        self.names[name] = compiled.unpack_from
        return compiled.size


def row_source(shape: Shape, copy: bool) -> tuple[str, dict[str, object]]:
    """The source of `make(record_class, columns, refused, decoders, specials, parts)`, and its global names.

    Args:
        shape: of the columns.
        copy: for tuples of binary COPY; else for DataRow messages.
    `make` returns two functions, the second None unless all columns are of fixed width:
        run(data, pos, limit, rows, room) -> (pos, error): decodes up to `room` rows from `pos`, and stops before any
        row
            that it does not understand. With an error of a codec, `pos` is the offset after that codec's row.
        bulk(data, pos, limit, rows, room) -> pos: the same for rows without NULL; stops also where too few are left.
    """
    source = _Source()
    source.add(0, "def make(record_class, columns, refused, decoders, specials, parts):")
    _add_functions(source, shape)
    _add_run(source, shape, copy)
    if all(opcode in FIXED for opcode in shape):
        _add_bulk(source, shape, copy)
        source.add(1, "return run, bulk")
    else:
        source.add(1, "return run, None")
    return "\n".join(source.lines) + "\n", source.names


def composite_source(shape: Shape) -> tuple[str, dict[str, object]]:
    """The source of `make(record_class, columns, oids, decoders, specials, parts)`, and its global names.

    `make` returns decode(data, pos, limit) -> a record of the members of this shape, or None for what it does not
    understand.
    """
    source = _Source()
    source.names |= {"once": (None,), "struct_error": struct.error}
    source.add(0, "def make(record_class, columns, oids, decoders, specials, parts):")
    _add_functions(source, shape)
    source.add(1, "def decode(data, pos, limit):", "    try:", "        for _ in once:")
    _add_values(source, shape, _COMPOSITE, [f"if count != {len(shape)}: break"])
    found = "".join(f"o{index}, " for index in range(len(shape)))
    source.add(4, f"if at != limit or ({found}) != oids: break")
    for index in _calls(shape):
        source.add(4, f"if v{index} is not None: v{index} = decode_{index}(v{index})")
    _add_record(source, shape)
    source.add(4, "return record")
    source.add(2, "except struct_error: pass")
    source.add(1, "return decode")
    return "\n".join(source.lines) + "\n", source.names


def _add_functions(source: _Source, shape: Shape) -> None:
    """Name the functions of each value that its statements call."""
    for index, opcode in enumerate(shape):
        if opcode in FIXED:
            if FIXED[opcode].convert:
                source.add(1, f"special_{index} = specials[{index}]")
            continue
        if opcode in CONTAINERS:
            source.add(1, f"part_{index} = parts[{index}]")
        if opcode in CONTAINERS or opcode in (Opcode.CALL, Opcode.NUMERIC):
            source.add(1, f"decode_{index} = decoders[{index}]")


def _calls(shape: Shape) -> list[int]:
    return [index for index, opcode in enumerate(shape) if opcode is Opcode.CALL]


def _values(shape: Shape) -> str:
    return "(" + "".join(f"v{index}, " for index in range(len(shape))) + ")"


def _add_record(source: _Source, shape: Shape) -> None:
    source.add(4, "record = new(record_class)", f"record._values = {_values(shape)}", "record._columns = columns")


def _add_run(source: _Source, shape: Shape, copy: bool) -> None:
    source.add(1, "def run(data, pos, limit, rows, room):")
    body = len(source.lines)
    source.add(2, "try:", "    for _ in repeat(None, room):", "        if pos > stop: break")
    if copy:
        size = _add_values(source, shape, _COPY_TUPLE, [f"if count != {len(shape)}: break"])
        source.add(4, "if at > limit: break", "row_end = at")
    else:
        wrong = f"if tag != 68 or count != {len(shape)} or row_end > limit: break"
        size = _add_values(source, shape, _DATA_ROW, ["row_end = pos + size + 1", wrong])
        source.add(4, "if at != row_end: break")
    calls = _calls(shape)
    for index in calls:
        source.add(4, f"if v{index} is not None:", f"    column = {index}", f"    v{index} = decode_{index}(v{index})")
    if calls:
        source.add(4, "column = -1")
    _add_record(source, shape)
    source.add(4, "append(record)", "pos = row_end")
    source.add(
        2,
        "except MemoryError: raise",
        "except Exception as error:",
        "    if column >= 0: return row_end, refused(error, column)",
        "return pos, None",
    )
    before = ["append = rows.append", f"stop = limit - {size}", "column = -1", "row_end = 0"]
    source.lines[body:body] = ["    " * 2 + line for line in before]


def _add_values(source: _Source, shape: Shape, frame: _Frame, check: list[str]) -> int:
    """Read the values behind the header at `pos`, which `check` looks at; what is called is left as its bytes.

    Returns:
        The size of the header and all that is unpacked with it.
    """
    index = 0
    first_size = 0
    while index < len(shape) or not first_size:
        run: list[int] = []
        while index < len(shape) and shape[index] in FIXED:
            run.append(index)
            index += 1
        variable = index if index < len(shape) else None
        size = _add_segment(source, shape, run, variable, frame, with_header=not first_size)
        if not first_size:
            first_size = size
            source.add(4, *check)
        _add_nulls(source, shape, run, variable, frame)
        if variable is not None:
            _add_variable(source, shape[variable], variable)
            index += 1
    return first_size


def _add_segment(
    source: _Source, shape: Shape, run: list[int], variable: int | None, frame: _Frame, with_header: bool
) -> int:
    """Unpack a run of fixed-width columns and the length of the column after it; the bytes these take without NULL."""
    format, names = (frame.header, [frame.header_names]) if with_header else ("", [])
    for index in run:
        fixed = FIXED[shape[index]]
        format += frame.prefix + fixed.format
        names += [frame.prefix_names.format(i=index), *fixed.names(f"v{index}")]
    if variable is not None:
        format += frame.prefix
        names.append(frame.prefix_names.format(i=variable))
    unpack = f"unpack_{len(source.names)}"
    size = source.unpack(unpack, format)
    start = "pos" if with_header else "at"
    source.add(4, f"{', '.join(names)}, = {unpack}(data, {start})", f"at = {start} + {size}")
    return size


def _add_nulls(source: _Source, shape: Shape, run: list[int], variable: int | None, frame: _Frame) -> None:
    """Convert what a run unpacked; but read it column by column if it holds a NULL after all."""
    if not run:
        return
    before = frame.prefix_size
    size = sum(before + FIXED[shape[index]].width for index in run) + (before if variable is not None else 0)
    wrong = " or ".join(f"n{index} != {FIXED[shape[index]].width}" for index in run)
    source.add(4, f"if {wrong}:", f"    at -= {size}")
    for index in run:
        fixed = FIXED[shape[index]]
        unpack = f"unpack_{shape[index].name}"
        source.unpack(unpack, frame.prefix + fixed.format)
        names = [frame.prefix_names.format(i=index), *fixed.names(f"v{index}")]
        source.add(5, f"{', '.join(names)} = {unpack}(data, at)")
        source.add(5, f"if n{index} == {fixed.width}:", f"    at += {before + fixed.width}")
        source.add(6, *fixed.conversion(f"v{index}", f"special_{index}"))
        source.add(5, f"elif n{index} == -1:", f"    v{index} = None", f"    at += {before}", "else: break")
    if variable is not None:
        source.unpack("unpack_prefix", frame.prefix)
        names = [frame.prefix_names.format(i=variable)]
        source.add(5, f"{', '.join(names)}, = unpack_prefix(data, at)", f"at += {before}")
    if any(FIXED[shape[index]].convert for index in run):
        source.add(4, "else:")
        for index in run:
            source.add(5, *FIXED[shape[index]].conversion(f"v{index}", f"special_{index}"))


def _add_variable(source: _Source, opcode: Opcode, index: int) -> None:
    names = {"v": f"v{index}", "n": f"n{index}", "decode": f"decode_{index}", "part": f"part_{index}"}
    source.add(4, f"if n{index} >= 0:", f"    end = at + n{index}")
    source.add(5, *(line.format(**names) for line in VARIABLE[opcode]))
    source.add(5, "at = end")
    source.add(4, f"elif n{index} == -1: v{index} = None", "else: break")


def _add_bulk(source: _Source, shape: Shape, copy: bool) -> None:
    widths = [FIXED[opcode].width for opcode in shape]
    body = b"".join(struct.pack(f">i{width}x", width) for width in widths)
    header = struct.pack(">H", len(shape))
    if not copy:
        header = struct.pack(">Bi", ord("D"), 6 + len(body)) + header
    frame = header + body
    # Which bytes of the frame are header.
    offsets = list(range(len(header)))
    format = f"{len(header)}x"
    names: list[str] = []
    at = len(header)
    for index, width in enumerate(widths):
        offsets += range(at, at + 4)
        at += 4 + width
        fixed = FIXED[shape[index]]
        format += "4x" + fixed.format
        names += fixed.names(f"v{index}")
    # The low bytes first: they are what a NULL or another message changes.
    offsets.sort(key=lambda offset: frame[offset] == 0)
    compiled = struct.Struct(">" + format)
    source.names["iter_unpack"] = compiled.iter_unpack
    source.names["frame"] = tuple((offset, frame[offset : offset + 1]) for offset in offsets)
    source.add(
        1,
        "def bulk(data, pos, limit, rows, room):",
        "    append = rows.append",
        "    while True:",
        f"        count = (limit - pos) // {len(frame)}",
        "        if count > room: count = room",
        f"        if count > {BULK_ROWS}: count = {BULK_ROWS}",
        f"        if count < {_BULK_MINIMUM}: return pos",
        "        for offset, byte in frame:",
        f"            bytes = data[pos + offset : pos + count * {len(frame)} : {len(frame)}]",
        "            if bytes != byte * count:",
        "                count -= len(bytes.lstrip(byte))",
        "                if not count: return pos",
        f"        end = pos + count * {len(frame)}",
        "        room -= count",
    )
    converted = [
        line for index, opcode in enumerate(shape) for line in FIXED[opcode].conversion(f"v{index}", f"special_{index}")
    ]
    make = ["record = new(record_class)", "record._columns = columns"]
    if not converted:
        source.add(3, "for values in iter_unpack(data[pos:end]):")
        source.add(4, *make, "record._values = values", "append(record)")
        source.add(3, "pos = end")
        return
    # A value may be refused: then its row is left to `run`.
    source.add(3, "try:", f"    for {', '.join(names)}, in iter_unpack(data[pos:end]):")
    source.add(5, *converted, *make, f"record._values = {_values(shape)}", "append(record)", f"pos += {len(frame)}")
    source.add(3, "except Exception: return pos")
